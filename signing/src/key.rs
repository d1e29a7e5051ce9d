//! RSA keys, parsed once and used many times.

use crate::{SigningError, pem};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicEncryptingKey};
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256,
};
use std::fmt;

const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----";
const PRIVATE: &str = "-----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----";

/// The hash under an RSA signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
}

/// An RSA public key of 2048 to 8192 bits.
#[derive(Clone)]
pub struct PublicKey {
    // The library binds a parsed key to its hash, so there is one for each.
    sha1: ParsedPublicKey,
    sha256: ParsedPublicKey,
    signature_length: usize,
}

/// An RSA private key of 2048 to 8192 bits. Its debug output shows nothing of it.
pub struct PrivateKey {
    pair: KeyPair,
}

impl PublicKey {
    /// Reads PEM with `BEGIN PUBLIC KEY`: a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), as `openssl rsa -pubout`
    /// writes it and CloudFront takes it.
    ///
    /// # Errors
    /// The text is no PEM, another kind of PEM, or the key is not RSA of 2048 to 8192 bits.
    pub fn from_pem(text: &str) -> Result<Self, SigningError> {
        let block = pem::decode(text, PUBLIC)?;
        if block.label != "PUBLIC KEY" {
            return Err(wrong_label(block.label, PUBLIC));
        }
        Self::from_spki(&block.der)
    }

    /// Writes PEM with `BEGIN PUBLIC KEY`.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", self.sha256.as_ref())
    }

    fn from_spki(der: &[u8]) -> Result<Self, SigningError> {
        let size = PublicEncryptingKey::from_der(der).map_err(rejected)?;
        Ok(Self {
            sha1: ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, der)
                .map_err(rejected)?,
            sha256: ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).map_err(rejected)?,
            signature_length: size.key_size_bytes(),
        })
    }

    /// Bytes of every signature by this key (RFC 8017 section 8.2.1).
    pub(crate) fn signature_length(&self) -> usize {
        self.signature_length
    }

    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.2).
    pub(crate) fn verifies(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let key = match hash {
            Hash::Sha1 => &self.sha1,
            Hash::Sha256 => &self.sha256,
        };
        key.verify_sig(message, signature).is_ok()
    }
}

impl PrivateKey {
    /// Reads PEM: PKCS#8 `BEGIN PRIVATE KEY` (RFC 5958) or PKCS#1 `BEGIN RSA PRIVATE KEY` (RFC 8017), not encrypted.
    ///
    /// # Errors
    /// The text is no PEM, another kind of PEM, or the key is not RSA of 2048 to 8192 bits.
    pub fn from_pem(text: &str) -> Result<Self, SigningError> {
        let block = pem::decode(text, PRIVATE)?;
        let pair = match block.label {
            "PRIVATE KEY" => KeyPair::from_pkcs8(&block.der),
            "RSA PRIVATE KEY" => KeyPair::from_der(&block.der),
            other => return Err(wrong_label(other, PRIVATE)),
        };
        Ok(Self { pair: pair.map_err(rejected)? })
    }

    /// Makes a new key of 2048 bits, the size that CloudFront asks for. Takes a part of a second.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub fn generate_rsa() -> Result<Self, SigningError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningError::Library("make a key"))?;
        Ok(Self { pair })
    }

    /// Writes PEM with `BEGIN PRIVATE KEY` (PKCS#8). Keep it secret.
    ///
    /// # Errors
    /// The machine gives no memory.
    pub fn to_pem(&self) -> Result<String, SigningError> {
        let der = self.pair.as_der().map_err(|_| SigningError::Library("write the key"))?;
        Ok(pem::encode("PRIVATE KEY", der.as_ref()))
    }

    /// The public half.
    ///
    /// # Errors
    /// The machine gives no memory.
    pub fn public_key(&self) -> Result<PublicKey, SigningError> {
        let der =
            self.pair.public_key().as_der().map_err(|_| SigningError::Library("write the public key"))?;
        PublicKey::from_spki(der.as_ref())
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2.1).
    pub(crate) fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SigningError::Library("sign"))?;
        Ok(signature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.signature_length * 8;
        write!(formatter, "PublicKey(RSA, {bits} bits)")
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey(RSA, secret)")
    }
}

fn wrong_label(label: &str, expected: &'static str) -> SigningError {
    SigningError::PemLabel { label: label.chars().take(40).collect(), expected }
}

#[allow(clippy::needless_pass_by_value)] // the shape that map_err wants
fn rejected(cause: KeyRejected) -> SigningError {
    SigningError::Key { cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkey -pubout`
    const P256: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEx4D4WIHTVptpFkdpeBxfsOIS0/X3\nw68XAKIZJL0BDn3WZAWRsClDwSz4QZmWWeuLGtop4pMBAild/w4hssye5w==\n-----END PUBLIC KEY-----\n";
    /// `openssl genrsa 1024 | openssl rsa -pubout`
    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDfULvQiCroqaJPjMO4WWm0j0EM\nSb9clAmVFVdDWtfcMVgE5ckNAipbSfICKVHpJYUmUfRDvDr3dUxAKBQa1l2sU0dg\nEF/8gcfk5kiunBHqho52KXxqU3HJJ1/u3cGFd4b3PxiDHVMDv6/OD2RNdlu9eOfw\n9y3tVsjoDh3tO7SZGwIDAQAB\n-----END PUBLIC KEY-----\n";

    #[test]
    fn a_new_key_survives_its_own_pem() {
        let key = PrivateKey::generate_rsa().unwrap();
        let again = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
        let public = PublicKey::from_pem(&key.public_key().unwrap().to_pem()).unwrap();
        let signature = again.sign_sha256(b"words").unwrap();
        assert_eq!(signature.len(), public.signature_length());
        assert!(public.verifies(Hash::Sha256, b"words", &signature));
        assert!(!public.verifies(Hash::Sha256, b"word", &signature));
        assert!(!public.verifies(Hash::Sha1, b"words", &signature));
    }

    #[test]
    fn debug_output_shows_nothing_of_a_private_key() {
        let key = PrivateKey::generate_rsa().unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(RSA, secret)");
    }

    #[test]
    fn a_private_key_where_a_public_one_belongs_is_named_as_such() {
        let key = PrivateKey::generate_rsa().unwrap();
        let error = PublicKey::from_pem(&key.to_pem().unwrap()).unwrap_err();
        let words = error.to_string();
        assert!(words.contains("a PRIVATE KEY"), "{words}");
        assert!(words.contains(PUBLIC), "{words}");
    }

    #[test]
    fn keys_that_are_not_rsa_or_too_small_are_refused() {
        for text in [P256, RSA_1024] {
            let error = PublicKey::from_pem(text).unwrap_err();
            assert!(matches!(error, SigningError::Key { .. }), "{error}");
            assert!(error.to_string().contains("2048"), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        for label in ["PUBLIC KEY", "PRIVATE KEY", "RSA PRIVATE KEY"] {
            let text = pem::encode(label, &[0x30, 0x03, 0x02, 0x01, 0x00]);
            assert!(PublicKey::from_pem(&text).is_err());
            assert!(PrivateKey::from_pem(&text).is_err());
        }
    }
}
