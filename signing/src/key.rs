//! Public keys, parsed once and used many times.

mod encryption;
mod private;
mod secret;

pub use encryption::EncryptionKey;
pub use private::PrivateKey;
pub use secret::Secret;

use crate::{SigningError, pem};
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    VerificationAlgorithm,
};
use jsonwebtoken::Algorithm;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----";

/// What stands before the point in every SubjectPublicKeyInfo of a P-256 key (RFC 5480 section 2).
const P256_SPKI: [u8; 26] = *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// The same of an Ed25519 key (RFC 8410 section 4).
const ED25519_SPKI: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// The hash under a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
}

/// The kinds of keys that sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of 2048 to 8192 bits: CloudFront, and PS256 in a JWT.
    Rsa,
    /// ECDSA over NIST P-256: CloudFront, and ES256 in a JWT.
    P256,
    /// Ed25519: EdDSA in a JWT.
    Ed25519,
    /// A secret that both sides know: the scheme `hmac`, and HS256 in a JWT.
    Hmac,
}

/// A public key: RSA of 2048 to 8192 bits, P-256 or Ed25519.
#[derive(Clone)]
pub struct PublicKey {
    material: Material,
    spki: Vec<u8>,
}

#[derive(Clone)]
enum Material {
    // The library binds a parsed key to its hash and to the form of its signatures, so there is one for each; `jwt` is for JWTs.
    Rsa { sha1: ParsedPublicKey, sha256: ParsedPublicKey, jwt: ParsedPublicKey, signature_length: usize },
    P256 { sha1: ParsedPublicKey, sha256: ParsedPublicKey, jwt: ParsedPublicKey },
    Ed25519 { jwt: ParsedPublicKey },
}

/// What signs a token: a private key, or a secret. Its debug output shows nothing of it.
#[derive(Debug, Clone)]
pub enum SigningKey {
    /// Whoever has the public half can verify.
    Private(Arc<PrivateKey>),
    /// Whoever has it can sign and verify.
    Secret(Secret),
}

/// What verifies a token: a public key, or a secret.
#[derive(Debug, Clone)]
pub enum Key {
    /// Whoever has the private half signs.
    Public(PublicKey),
    /// Whoever verifies could sign too.
    Secret(Secret),
}

impl PublicKey {
    /// Reads PEM with `BEGIN PUBLIC KEY`: a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), as `openssl pkey -pubout`
    /// writes it and CloudFront takes it.
    ///
    /// # Errors
    /// The text is no PEM, another kind of PEM, or the key is neither RSA of 2048 to 8192 bits nor P-256 nor Ed25519.
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
        pem::encode("PUBLIC KEY", &self.spki).to_string()
    }

    /// RSA, P-256 or Ed25519.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self.material {
            Material::Rsa { .. } => KeyKind::Rsa,
            Material::P256 { .. } => KeyKind::P256,
            Material::Ed25519 { .. } => KeyKind::Ed25519,
        }
    }

    fn from_spki(der: &[u8]) -> Result<Self, SigningError> {
        let parsed = |algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]| {
            ParsedPublicKey::new(algorithm, bytes).map_err(rejected)
        };
        let material = if let Some(point) = der.strip_prefix(&P256_SPKI) {
            let sha1 = parsed(&ECDSA_P256_SHA1_ASN1, point)?;
            let sha256 = parsed(&ECDSA_P256_SHA256_ASN1, point)?;
            Material::P256 { sha1, sha256, jwt: parsed(&ECDSA_P256_SHA256_FIXED, point)? }
        } else if let Some(point) = der.strip_prefix(&ED25519_SPKI) {
            Material::Ed25519 { jwt: parsed(&ED25519, point)? }
        } else {
            let signature_length = PublicEncryptingKey::from_der(der).map_err(rejected)?.key_size_bytes();
            let sha1 = parsed(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, der)?;
            let sha256 = parsed(&RSA_PKCS1_2048_8192_SHA256, der)?;
            let jwt = parsed(&RSA_PSS_2048_8192_SHA256, der)?;
            Material::Rsa { sha1, sha256, jwt, signature_length }
        };
        Ok(Self { material, spki: der.to_vec() })
    }

    /// How many bytes a CloudFront signature by this key has; `None` where such a key signs none.
    pub(crate) fn signature_lengths(&self) -> Option<RangeInclusive<usize>> {
        match self.material {
            // RFC 8017 section 8.2.1.
            Material::Rsa { signature_length, .. } => Some(signature_length..=signature_length),
            // Two integers of at most 33 bytes in a sequence (RFC 3279 section 2.2.3).
            Material::P256 { .. } => Some(8..=72),
            Material::Ed25519 { .. } => None,
        }
    }

    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.2), or ECDSA with the signature in DER (RFC 3279 section 2.2.3).
    pub(crate) fn verifies(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let (sha1, sha256) = match &self.material {
            Material::Rsa { sha1, sha256, .. } | Material::P256 { sha1, sha256, .. } => (sha1, sha256),
            Material::Ed25519 { .. } => return false,
        };
        let key = match hash {
            Hash::Sha1 => sha1,
            Hash::Sha256 => sha256,
        };
        key.verify_sig(message, signature).is_ok()
    }

    /// PS256, ES256 (RFC 7518 sections 3.5 and 3.4) or EdDSA (RFC 8037 section 3.1).
    fn verifies_jwt(&self, message: &[u8], signature: &[u8]) -> bool {
        let (Material::Rsa { jwt, .. } | Material::P256 { jwt, .. } | Material::Ed25519 { jwt }) =
            &self.material;
        jwt.verify_sig(message, signature).is_ok()
    }
}

impl Key {
    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::Public(key) => key.kind(),
            Self::Secret(_) => KeyKind::Hmac,
        }
    }

    /// Whether both verify the same signatures. Secrets are compared in a time that does not tell how much of them is alike.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Public(ours), Self::Public(theirs)) => ours.spki == theirs.spki,
            (Self::Secret(ours), Self::Secret(theirs)) => ours.is_same(theirs),
            (Self::Public(_), Self::Secret(_)) | (Self::Secret(_), Self::Public(_)) => false,
        }
    }

    /// The one algorithm that a JWT by this key may name: a header that could choose another would choose its check.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.kind().algorithm()
    }

    /// Whether this is the signature of a JWT by the key's [algorithm](Self::algorithm).
    pub(crate) fn verifies_jwt(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Public(key) => key.verifies_jwt(message, signature),
            Self::Secret(secret) => secret.verifies(message, signature),
        }
    }
}

impl SigningKey {
    /// Reads PEM as [`PrivateKey::from_pem`], and whatever is no PEM as the text of a secret.
    ///
    /// # Errors
    /// It is neither.
    pub fn from_text(text: &str) -> Result<Self, SigningError> {
        match text.contains("-----BEGIN ") {
            true => Ok(Self::Private(Arc::new(PrivateKey::from_pem(text)?))),
            false => Ok(Self::Secret(Secret::from_text(text)?)),
        }
    }

    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::Private(key) => key.kind(),
            Self::Secret(_) => KeyKind::Hmac,
        }
    }

    /// What verifies its tokens.
    ///
    /// # Errors
    /// The machine gives no memory.
    pub fn verifying(&self) -> Result<Key, SigningError> {
        match self {
            Self::Private(key) => Ok(key.public_key()?.into()),
            Self::Secret(secret) => Ok(secret.clone().into()),
        }
    }
}

impl KeyKind {
    /// The algorithm of a JWT (RFC 7518 section 3.1, RFC 8037 section 3.1).
    pub(crate) fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa => Algorithm::PS256,
            Self::P256 => Algorithm::ES256,
            Self::Ed25519 => Algorithm::EdDSA,
            Self::Hmac => Algorithm::HS256,
        }
    }

    /// In a few words, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::P256 => "P-256",
            Self::Ed25519 => "Ed25519",
            Self::Hmac => "HMAC",
        }
    }
}

impl From<PublicKey> for Key {
    fn from(key: PublicKey) -> Self {
        Self::Public(key)
    }
}

impl From<Secret> for Key {
    fn from(secret: Secret) -> Self {
        Self::Secret(secret)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.material {
            Material::Rsa { signature_length, .. } => {
                write!(formatter, "PublicKey(RSA, {} bits)", signature_length * 8)
            }
            Material::P256 { .. } | Material::Ed25519 { .. } => {
                write!(formatter, "PublicKey({})", self.kind().name())
            }
        }
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

    /// `openssl genrsa 1024 | openssl rsa -pubout`
    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDfULvQiCroqaJPjMO4WWm0j0EM\nSb9clAmVFVdDWtfcMVgE5ckNAipbSfICKVHpJYUmUfRDvDr3dUxAKBQa1l2sU0dg\nEF/8gcfk5kiunBHqho52KXxqU3HJJ1/u3cGFd4b3PxiDHVMDv6/OD2RNdlu9eOfw\n9y3tVsjoDh3tO7SZGwIDAQAB\n-----END PUBLIC KEY-----\n";
    /// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 | openssl pkey -pubout`
    const P384: &str = "-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEs1BtvTRImSWpFq6l42meV1vCaEpvyyGJ\n5FVYlcVtUbDQ7OO++sjbeJaAVyEoAr64aNsH61V9VPuP/2cHPJCH2Gx+dAYunbWl\ni486vq0FxSXA8yxVXfNzoyPa1XRQt9YB\n-----END PUBLIC KEY-----\n";

    #[test]
    fn a_private_key_where_a_public_one_belongs_is_named_as_such() {
        let key = PrivateKey::generate(KeyKind::Rsa).unwrap();
        let error = PublicKey::from_pem(&key.to_pem().unwrap()).unwrap_err();
        let words = error.to_string();
        assert!(words.contains("a PRIVATE KEY"), "{words}");
        assert!(words.contains(PUBLIC), "{words}");
    }

    #[test]
    fn keys_of_other_kinds_or_too_small_are_refused() {
        for text in [P384, RSA_1024] {
            let error = PublicKey::from_pem(text).unwrap_err();
            assert!(matches!(error, SigningError::Key { .. }), "{error}");
            assert!(error.to_string().contains("2048"), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        let points = [[&P256_SPKI[..], &[4; 65]].concat(), [&ED25519_SPKI[..], &[2; 31]].concat()];
        for der in points.iter().map(Vec::as_slice).chain([&[0x30, 0x03, 0x02, 0x01, 0x00][..], &[]]) {
            assert!(PublicKey::from_pem(&pem::encode("PUBLIC KEY", der)).is_err());
        }
    }

    #[test]
    fn only_rsa_and_p256_sign_for_cloudfront() {
        for (kind, lengths) in
            [(KeyKind::Rsa, Some(256..=256)), (KeyKind::P256, Some(8..=72)), (KeyKind::Ed25519, None)]
        {
            let key = PrivateKey::generate(kind).unwrap().public_key().unwrap();
            assert_eq!((key.kind(), key.signature_lengths()), (kind, lengths));
        }
    }
}
