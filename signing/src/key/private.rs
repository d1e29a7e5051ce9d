//! Private keys: for who mints tokens, and for a node that renews them.

use super::{KeyKind, PublicKey, rejected, wrong_label};
use crate::{SigningError, pem};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use std::fmt;
use zeroize::Zeroizing;

const PRIVATE: &str =
    "-----BEGIN PRIVATE KEY-----, -----BEGIN RSA PRIVATE KEY----- or -----BEGIN EC PRIVATE KEY-----";

/// A private key: RSA of 2048 to 8192 bits, P-256 or Ed25519. Its debug output shows nothing of it, and the library clears
/// its memory when it is dropped.
pub struct PrivateKey {
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    // The library binds a key to the form of its signatures: DER for CloudFront, two bare numbers in a JWT.
    P256 { der: EcdsaKeyPair, fixed: EcdsaKeyPair },
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Reads PEM, not encrypted: PKCS#8 `BEGIN PRIVATE KEY` (RFC 5958), PKCS#1 `BEGIN RSA PRIVATE KEY` (RFC 8017) or
    /// `BEGIN EC PRIVATE KEY` (RFC 5915).
    ///
    /// # Errors
    /// The text is no PEM, another kind of PEM, or the key is neither RSA of 2048 to 8192 bits nor P-256 nor Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, SigningError> {
        let block = pem::decode(text, PRIVATE)?;
        let der: &[u8] = &block.der;
        let pair = match block.label {
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(der)
                .map(Pair::Rsa)
                .or_else(|cause| p256(der).or_else(|_| ed25519(der)).map_err(|()| rejected(cause)))?,
            "RSA PRIVATE KEY" => Pair::Rsa(RsaKeyPair::from_der(der).map_err(rejected)?),
            "EC PRIVATE KEY" => {
                p256(der).map_err(|()| SigningError::Key { cause: "not of the curve P-256".to_owned() })?
            }
            other => return Err(wrong_label(other, PRIVATE)),
        };
        Ok(Self { pair })
    }

    /// Makes a new key; RSA has 2048 bits, the size that CloudFront asks for, and takes a part of a second.
    ///
    /// # Errors
    /// `kind` is [`KeyKind::Hmac`], which has no halves ([`Secret::generate`](crate::Secret::generate) makes one), or the machine
    /// gives no random numbers.
    pub fn generate(kind: KeyKind) -> Result<Self, SigningError> {
        let failed = |_| SigningError::Library("make a key");
        let pair = match kind {
            KeyKind::Rsa => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?),
            KeyKind::P256 => {
                let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
                let der = made.to_pkcs8v1().map_err(failed)?;
                p256(der.as_ref()).map_err(|()| SigningError::Library("make a key"))?
            }
            KeyKind::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            KeyKind::Hmac => {
                return Err(SigningError::Key { cause: "a secret has no private half".to_owned() });
            }
        };
        Ok(Self { pair })
    }

    /// Makes a new RSA key of 2048 bits.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub fn generate_rsa() -> Result<Self, SigningError> {
        Self::generate(KeyKind::Rsa)
    }

    /// RSA, P-256 or Ed25519.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self.pair {
            Pair::Rsa(_) => KeyKind::Rsa,
            Pair::P256 { .. } => KeyKind::P256,
            Pair::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// Writes PEM with `BEGIN PRIVATE KEY` (PKCS#8). Keep it secret; the text is cleared when it is dropped.
    ///
    /// # Errors
    /// The machine gives no memory.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SigningError> {
        let failed = |_| SigningError::Library("write the key");
        Ok(match &self.pair {
            Pair::Rsa(pair) => pem::encode("PRIVATE KEY", pair.as_der().map_err(failed)?.as_ref()),
            Pair::P256 { der, .. } => pem::encode("PRIVATE KEY", der.to_pkcs8v1().map_err(failed)?.as_ref()),
            // The older of the two forms: the one that openssl writes and everybody reads.
            Pair::Ed25519(pair) => pem::encode("PRIVATE KEY", pair.to_pkcs8v1().map_err(failed)?.as_ref()),
        })
    }

    /// The public half.
    ///
    /// # Errors
    /// The machine gives no memory.
    pub fn public_key(&self) -> Result<PublicKey, SigningError> {
        let failed = |_| SigningError::Library("write the public key");
        match &self.pair {
            Pair::Rsa(pair) => PublicKey::from_spki(pair.public_key().as_der().map_err(failed)?.as_ref()),
            Pair::P256 { der, .. } => {
                PublicKey::from_spki(&[&super::P256_SPKI[..], der.public_key().as_ref()].concat())
            }
            Pair::Ed25519(pair) => {
                PublicKey::from_spki(&[&super::ED25519_SPKI[..], pair.public_key().as_ref()].concat())
            }
        }
    }

    /// A CloudFront signature with SHA-256: RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.1) or ECDSA in DER.
    pub(crate) fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match &self.pair {
            Pair::Rsa(pair) => sign_rsa(pair, &RSA_PKCS1_SHA256, message),
            Pair::P256 { der, .. } => sign_p256(der, message),
            Pair::Ed25519(_) => Err(SigningError::Unsuitable("Ed25519", "cloudfront")),
        }
    }

    /// The signature of a JWT (RFC 7518 sections 3.4 and 3.5, RFC 8037 section 3.1).
    pub(crate) fn sign_jwt(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match &self.pair {
            Pair::Rsa(pair) => sign_rsa(pair, &RSA_PSS_SHA256, message),
            Pair::P256 { fixed, .. } => sign_p256(fixed, message),
            Pair::Ed25519(pair) => {
                let signature = pair.try_sign(message).map_err(|_| SigningError::Library("sign"))?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

fn p256(der: &[u8]) -> Result<Pair, ()> {
    let pair = |algorithm| {
        let pkcs8 = EcdsaKeyPair::from_pkcs8(algorithm, der);
        pkcs8.or_else(|_| EcdsaKeyPair::from_private_key_der(algorithm, der)).map_err(drop)
    };
    Ok(Pair::P256 {
        der: pair(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
        fixed: pair(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
    })
}

fn ed25519(der: &[u8]) -> Result<Pair, ()> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519).map_err(drop)
}

fn sign_rsa(
    pair: &RsaKeyPair,
    encoding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Vec<u8>, SigningError> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| SigningError::Library("sign"))?;
    Ok(signature)
}

fn sign_p256(pair: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, SigningError> {
    let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| SigningError::Library("sign"))?;
    Ok(signature.as_ref().to_vec())
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PrivateKey({}, secret)", self.kind().name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Hash;

    /// `openssl ecparam -name prime256v1 -genkey -noout`
    const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIJ8oPWR9Qo2hgN8a6+BchieHznb8GOLNpiWi7dqQ8FSyoAoGCCqGSM49\nAwEHoUQDQgAEUc2JineviYR+z9E/SmKkTG3GAw5qR4RFjjfTF7irx0aJz4dux3/F\ngkTUnfB6Fo3zEVGfPGbBKYQVFAknt6sJVw==\n-----END EC PRIVATE KEY-----\n";

    #[test]
    fn a_new_key_survives_its_own_pem() {
        for kind in [KeyKind::Rsa, KeyKind::P256] {
            let key = PrivateKey::generate(kind).unwrap();
            let again = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
            let public = PublicKey::from_pem(&key.public_key().unwrap().to_pem()).unwrap();
            let signature = again.sign_sha256(b"words").unwrap();
            assert_eq!((again.kind(), public.kind()), (kind, kind));
            assert!(public.signature_lengths().unwrap().contains(&signature.len()));
            assert!(public.verifies(Hash::Sha256, b"words", &signature));
            assert!(!public.verifies(Hash::Sha256, b"word", &signature));
            assert!(!public.verifies(Hash::Sha1, b"words", &signature));
        }
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let again = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.public_key().unwrap().to_pem(), key.public_key().unwrap().to_pem());
        assert!(again.sign_sha256(b"words").is_err());
    }

    #[test]
    fn debug_output_shows_nothing_of_a_private_key() {
        for kind in [KeyKind::Rsa, KeyKind::P256, KeyKind::Ed25519] {
            let key = PrivateKey::generate(kind).unwrap();
            assert_eq!(format!("{key:?}"), format!("PrivateKey({}, secret)", kind.name()));
        }
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        for label in ["PUBLIC KEY", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            let text = pem::encode(label, &[0x30, 0x03, 0x02, 0x01, 0x00]);
            assert!(PrivateKey::from_pem(&text).is_err());
        }
    }

    #[test]
    fn what_openssl_writes_for_a_curve_is_read() {
        assert_eq!(PrivateKey::from_pem(SEC1).unwrap().kind(), KeyKind::P256);
    }
}
