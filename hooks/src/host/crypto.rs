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

#[cfg(test)]
mod tests {
    use super::*;

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    const DATA: &[u8] = b"header.payload";

    fn pem(der: &[u8]) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// What is told of a good signature, of other data, and of no signature.
    fn told(algorithm: Algorithm, key: &str, signature: &[u8]) -> [Result<bool, CryptoError>; 3] {
        [
            algorithm.verify(key, DATA, signature),
            algorithm.verify(key, b"header.other", signature),
            algorithm.verify(key, DATA, b""),
        ]
    }

    fn is_good(told: [Result<bool, CryptoError>; 3]) -> bool {
        matches!(told, [Ok(true), Ok(false), Ok(false)])
    }

    /// RFC 7515 appendix A.2: not of our own making.
    #[test]
    fn rs256_agrees_with_the_rfc() {
        let key = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
        let signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = octets("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw").unwrap();
        assert!(matches!(Algorithm::Rs256.verify(key, signed.as_bytes(), &signature), Ok(true)));
        assert!(matches!(Algorithm::Rs256.verify(key, &signed.as_bytes()[1..], &signature), Ok(false)));
        assert!(matches!(
            Algorithm::Es256.verify(key, signed.as_bytes(), &signature),
            Err(CryptoError::UnusableKey)
        ));
    }

    #[test]
    fn es256_takes_the_key_in_both_forms() {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let signature = pair.sign(&random, DATA).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let jwk = |x: &[u8]| {
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            format!(r#" {{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","use":"sig","kid":"1"}}"#)
        };
        // RFC 5480 section 2: the head of a SubjectPublicKeyInfo for P-256.
        let head = STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE").unwrap();
        let pem = pem(&[&head[..], x, y].concat());
        for key in [&jwk(x), &pem] {
            assert!(is_good(told(Algorithm::Es256, key, signature.as_ref())), "{key}");
            assert!(
                matches!(Algorithm::EdDsa.verify(key, DATA, &[]), Err(CryptoError::UnusableKey)),
                "{key}"
            );
        }
        assert!(matches!(Algorithm::Es256.verify(&jwk(&[7; 32]), DATA, &[]), Err(CryptoError::UnusableKey)));
    }

    #[test]
    fn eddsa_takes_the_key_in_both_forms() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let signature = pair.sign(DATA);
        let x = pair.public_key().as_ref();
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(x));
        // RFC 8410 section 10.1.
        let head = STANDARD.decode("MCowBQYDK2VwAyEA").unwrap();
        for key in [jwk, pem(&[&head[..], x].concat())] {
            assert!(is_good(told(Algorithm::EdDsa, &key, signature.as_ref())), "{key}");
        }
    }

    #[test]
    fn what_is_no_key_or_no_algorithm_is_told_apart() {
        let large = format!("{{{}", " ".repeat(MAX_KEY_BYTES));
        for key in
            ["", "{}", "{", "[]", "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----", "secret", &large]
        {
            assert!(
                matches!(Algorithm::Rs256.verify(key, DATA, b"x"), Err(CryptoError::UnusableKey)),
                "{key}"
            );
        }
        for name in ["none", "HS256", "rs256", ""] {
            assert!(matches!(Algorithm::of(name), Err(CryptoError::UnknownAlgorithm)), "{name}");
        }
    }
}
