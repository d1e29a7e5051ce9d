//! Claims that only the node may read: JWE in the compact serialization (RFC 7516 section 7.1, RFC 9246 section 2.1.10).
//!
//! Decrypted is only what a good signature is over, and once for each token. Tokens are made with `dir`; those of others may also
//! bring a key of their own, wrapped.

use super::claims::network_in;
use crate::key::EncryptionKey;
use crate::strict::{Object, present};
use crate::{Reason, SigningError};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use zeroize::Zeroizing;

/// Of the whole serialization; that of an address has some two hundred.
const MOST_BYTES: usize = 1024;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

const FORM: Reason = Reason::TokenMalformed("cdniip is neither an address nor an encrypted one");
const ALGORITHM: Reason = Reason::TokenMalformed(
    "cdniip is encrypted otherwise than by dir, A128KW or A256KW with A128GCM or A256GCM",
);
const NO_ADDRESS: Reason = Reason::TokenMalformed("what is encrypted in cdniip is no address");

/// The protected header (RFC 7516 section 4.1). What is not known here does not count, but for what must be understood.
#[derive(Deserialize)]
struct Header {
    alg: String,
    enc: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    zip: Option<IgnoredAny>,
}

/// The keys of a group that decrypt, by the id that a header names.
pub(crate) type Decryption = HashMap<String, EncryptionKey>;

/// Whether this has the outline of a JWE: five parts.
pub(super) fn is_sealed(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 4
}

/// The network that is encrypted in a claim.
pub(super) fn open(sealed: &str, keys: &Decryption) -> Result<IpNet, Reason> {
    if sealed.len() > MOST_BYTES {
        return Err(FORM);
    }
    let parts: Vec<&str> = sealed.split('.').collect();
    let [protected, wrapped, nonce, text, tag] = *parts.as_slice() else { return Err(FORM) };
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| FORM);
    let Object(header): Object<Header> = serde_json::from_slice(&bytes(protected)?).map_err(|_| FORM)?;
    // RFC 7516 section 4.1.13: what must be understood and is not. Compressed text would be larger than it looks.
    if header.crit.is_some() || header.zip.is_some() {
        return Err(Reason::TokenMalformed("cdniip's header asks for more than decryption"));
    }
    let algorithm = header.algorithm()?;
    let nonce: [u8; NONCE_BYTES] = bytes(nonce)?.try_into().map_err(|_| FORM)?;
    let (wrapped, tag) = (bytes(wrapped)?, bytes(tag)?);
    if tag.len() != TAG_BYTES {
        return Err(FORM);
    }
    let key = match &header.kid {
        Some(id) => keys.get(id),
        None => keys.values().next().filter(|_| keys.len() == 1),
    };
    let key = header.content_key(key.ok_or(Reason::DecryptionKeyUnknown)?, &wrapped, algorithm)?;
    let mut text = [bytes(text)?, tag].concat();
    let plain = LessSafeKey::new(key)
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(protected.as_bytes()), &mut text)
        .map_err(|_| Reason::DecryptionFailed)?;
    std::str::from_utf8(plain).ok().and_then(network_in).ok_or(NO_ADDRESS)
}

/// The network, encrypted with this key itself (`dir`, RFC 7518 section 4.5).
pub(super) fn seal(network: &IpNet, key_id: &str, key: &EncryptionKey) -> Result<String, SigningError> {
    const FAILED: SigningError = SigningError::Library("encrypt the address");
    let (enc, algorithm) = match key.bytes().len() {
        16 => ("A128GCM", &AES_128_GCM),
        _ => ("A256GCM", &AES_256_GCM),
    };
    let header = serde_json::json!({ "alg": "dir", "enc": enc, "kid": key_id }).to_string();
    let protected = URL_SAFE_NO_PAD.encode(header);
    let mut nonce = [0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| FAILED)?;
    let mut text = network.to_string().into_bytes();
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key.bytes()).map_err(|_| FAILED)?);
    let aad = Aad::from(protected.as_bytes());
    let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text);
    let tag = tag.map_err(|_| FAILED)?;
    let [nonce, text, tag] = [&nonce[..], &text, tag.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
    Ok(format!("{protected}..{nonce}.{text}.{tag}"))
}

impl Header {
    /// RFC 7518 section 5.3.
    fn algorithm(&self) -> Result<&'static Algorithm, Reason> {
        match (self.alg.as_str(), self.enc.as_str()) {
            ("dir" | "A128KW" | "A256KW", "A128GCM") => Ok(&AES_128_GCM),
            ("dir" | "A128KW" | "A256KW", "A256GCM") => Ok(&AES_256_GCM),
            _ => Err(ALGORITHM),
        }
    }

    /// What the text is encrypted with: the key itself, or one that it wraps (RFC 7518 sections 4.5 and 4.4).
    fn content_key(
        &self,
        key: &EncryptionKey,
        wrapped: &[u8],
        algorithm: &'static Algorithm,
    ) -> Result<UnboundKey, Reason> {
        let cipher = match self.alg.as_str() {
            "A128KW" => &AES_128,
            "A256KW" => &AES_256,
            _ if !wrapped.is_empty() => return Err(FORM),
            _ => return UnboundKey::new(algorithm, key.bytes()).map_err(|_| Reason::DecryptionFailed),
        };
        let kek = AesKek::new(cipher, key.bytes()).map_err(|_| Reason::DecryptionFailed)?;
        let mut room = Zeroizing::new([0_u8; 32]);
        let content = kek.unwrap(wrapped, &mut *room).map_err(|_| Reason::DecryptionFailed)?;
        UnboundKey::new(algorithm, content).map_err(|_| Reason::DecryptionFailed)
    }
}
