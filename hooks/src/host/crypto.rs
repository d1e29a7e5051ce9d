//! Signatures and hashes for the guest.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::bindings::selvedge::edge::crypto::{CryptoError, Host};
use crate::state::CallState;

/// What is hashed in one go: a call's limits cannot interrupt it, and a megabyte takes 3 ms at worst.
const MAX_BYTES: usize = 1 << 20;
/// A public key's text: the largest that is taken, RSA of 8192 bits, has 1.5 KiB.
const MAX_KEY_BYTES: usize = 8 << 10;

/// Data that may be hashed at once.
pub(super) fn bounded(data: &[u8]) -> wasmtime::Result<&[u8]> {
    match data.len() {
        length if length > MAX_BYTES => Err(wasmtime::Error::msg(format!(
            "{length} bytes to hash at once, but the node takes {} MiB at most",
            MAX_BYTES >> 20
        ))),
        _ => Ok(data),
    }
}

impl Host for CallState {
    fn verify(
        &mut self,
        algorithm: String,
        public_key: String,
        data: Vec<u8>,
        signature: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, CryptoError>> {
        let data = bounded(&data)?;
        Ok(Algorithm::of(&algorithm).and_then(|algorithm| algorithm.verify(&public_key, data, &signature)))
    }

    fn sha256(&mut self, data: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        Ok(digest(&SHA256, bounded(&data)?).as_ref().to_vec())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

/// RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2: what a public key of the three kinds needs.
#[derive(Deserialize)]
#[serde(tag = "kty")]
enum Jwk {
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
    #[serde(rename = "EC")]
    Curve { crv: String, x: String, y: String },
    #[serde(rename = "OKP")]
    Octets { crv: String, x: String },
}

impl Algorithm {
    fn of(name: &str) -> Result<Self, CryptoError> {
        match name {
            "RS256" => Ok(Self::Rs256),
            "ES256" => Ok(Self::Es256),
            "EdDSA" => Ok(Self::EdDsa),
            _ => Err(CryptoError::UnknownAlgorithm),
        }
    }

    fn with_bytes(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::EdDsa => &ED25519,
        }
    }

    fn verify(self, key: &str, data: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        if key.len() > MAX_KEY_BYTES {
            return Err(CryptoError::UnusableKey);
        }
        if !key.trim_start().starts_with('{') {
            return self.verify_with(&from_pem(key)?, data, signature);
        }
        let key = serde_json::from_str(key).map_err(|_| CryptoError::UnusableKey)?;
        match (self, key) {
            (Self::Rs256, Jwk::Rsa { n, e }) => {
                let key = RsaPublicKeyComponents { n: octets(&n)?, e: octets(&e)? };
                let parsed = key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
                let parsed = parsed.map_err(|_| CryptoError::UnusableKey)?;
                Ok(parsed.verify_sig(data, signature).is_ok())
            }
            (Self::Es256, Jwk::Curve { crv, x, y }) if crv == "P-256" => {
                // SEC 1 section 2.3.3: an uncompressed point.
                let point = [&[4], &*octets(&x)?, &*octets(&y)?].concat();
                self.verify_with(&point, data, signature)
            }
            (Self::EdDsa, Jwk::Octets { crv, x }) if crv == "Ed25519" => {
                self.verify_with(&octets(&x)?, data, signature)
            }
            _ => Err(CryptoError::UnusableKey),
        }
    }

    /// A key that is no key of this kind is told from a signature that is none.
    fn verify_with(self, key: &[u8], data: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        let key = ParsedPublicKey::new(self.with_bytes(), key);
        let key = key.map_err(|_| CryptoError::UnusableKey)?;
        Ok(key.verify_sig(data, signature).is_ok())
    }
}

/// RFC 7468 section 13.
fn from_pem(text: &str) -> Result<Vec<u8>, CryptoError> {
    let body =
        text.split_once("-----BEGIN PUBLIC KEY-----").and_then(|(_, rest)| rest.split_once("-----END"));
    let compact: String = body.ok_or(CryptoError::UnusableKey)?.0.split_ascii_whitespace().collect();
    STANDARD.decode(compact).map_err(|_| CryptoError::UnusableKey)
}

/// RFC 7515 section 2.
fn octets(text: &str) -> Result<Vec<u8>, CryptoError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| CryptoError::UnusableKey)
}
