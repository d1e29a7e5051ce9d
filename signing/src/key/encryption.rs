//! Keys that hide what a token says of its viewer.

use crate::SigningError;
use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// An AES key of 128 or 256 bits: who mints tokens encrypts with it, and the node decrypts. It signs nothing. Its debug output
/// shows nothing of it, and its memory is cleared when it is dropped.
///
/// What it encrypts, it encrypts under random nonces: take another key before it has made 2³² tokens (NIST SP 800-38D section 8.3).
#[derive(Clone)]
pub struct EncryptionKey {
    bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl EncryptionKey {
    /// Takes 16 or 32 bytes in base64url without padding, as `k` of a JWK has them (RFC 7518 section 6.4.1); white space at the ends
    /// does not count.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_text(text: &str) -> Result<Self, SigningError> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map(Zeroizing::new);
        match bytes.ok().filter(|bytes| matches!(bytes.len(), 16 | 32)) {
            Some(bytes) => Ok(Self { bytes: Arc::new(bytes) }),
            None => Err(SigningError::EncryptionKey),
        }
    }

    /// The text of a new key: 32 random bytes in base64url (RFC 4648 section 5), 43 letters. Keep it secret.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub fn generate() -> Result<Zeroizing<String>, SigningError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut *bytes).map_err(|_| SigningError::Library("make a key"))?;
        Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
    }

    /// 16 or 32 bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EncryptionKey({} bits)", self.bytes.len() * 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_its_own_text() {
        let text = EncryptionKey::generate().unwrap();
        let key = EncryptionKey::from_text(&format!("{}\n", *text)).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(key.bytes()), *text);
        assert_eq!(format!("{key:?}"), "EncryptionKey(256 bits)");
    }

    #[test]
    fn other_lengths_and_other_texts_are_refused() {
        for text in [
            "",
            "4uFxxV7fhNmrtiah2d1fFg==",
            "4uFxxV7fhNmrtiah2d1f",
            "a secret of more than thirty-two characters",
        ] {
            assert_eq!(EncryptionKey::from_text(text).err(), Some(SigningError::EncryptionKey), "{text}");
        }
    }
}
