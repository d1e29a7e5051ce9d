//! Secrets that both sides know.

use crate::SigningError;
use aws_lc_rs::{hmac, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// RFC 7518 section 3.2: as long as the hash, at least.
const FEWEST_BYTES: usize = 32;
const MOST_BYTES: usize = 4096;

/// A secret for HMAC-SHA256. Its debug output shows nothing of it, and its memory is cleared when it is dropped.
#[derive(Clone)]
pub struct Secret {
    key: Arc<hmac::Key>,
}

impl Secret {
    /// Takes the text as it stands, without white space at its ends: its bytes are the key, in every language.
    ///
    /// # Errors
    /// It has fewer than 32 bytes or more than 4096.
    pub fn from_text(text: &str) -> Result<Self, SigningError> {
        let bytes = text.trim().as_bytes();
        if !(FEWEST_BYTES..=MOST_BYTES).contains(&bytes.len()) {
            return Err(SigningError::Secret(bytes.len()));
        }
        Ok(Self { key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)) })
    }

    /// The text of a new secret: 32 random bytes in base64url (RFC 4648 section 5), 43 letters. Keep it secret.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub fn generate() -> Result<Zeroizing<String>, SigningError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut *bytes).map_err(|_| SigningError::Library("make a secret"))?;
        Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
    }

    /// HMAC-SHA256 (RFC 2104) of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, message)
    }

    /// Whether `tag` is that of `message`, in a time that does not tell how much of it is right.
    pub(crate) fn verifies(&self, message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.key, message, tag).is_ok()
    }

    /// Whether both are the same key: what one signs, the other verifies, and that in constant time.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        const QUESTION: &[u8] = b"the same?";
        self.verifies(QUESTION, other.sign(QUESTION).as_ref())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(HMAC)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_is_its_own_text() {
        let text = Secret::generate().unwrap();
        let (secret, again) =
            (Secret::from_text(&text).unwrap(), Secret::from_text(&format!("{}\n", *text)).unwrap());
        assert_eq!(text.len(), 43);
        assert!(again.verifies(b"words", secret.sign(b"words").as_ref()));
        assert!(!again.verifies(b"word", secret.sign(b"words").as_ref()));
        assert!(!again.verifies(b"words", &secret.sign(b"words").as_ref()[..31]));
        assert_eq!(format!("{secret:?}"), "Secret(HMAC)");
        let other = Secret::from_text(&Secret::generate().unwrap()).unwrap();
        assert!(secret.is_same(&again) && !secret.is_same(&other));
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused() {
        for text in ["", "password", &"x".repeat(31), &"x".repeat(4097)] {
            assert!(Secret::from_text(text).is_err(), "{text}");
        }
    }
}
