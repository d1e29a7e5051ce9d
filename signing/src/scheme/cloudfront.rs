//! CloudFront signed URLs with a canned policy.
//!
//! Source: Amazon CloudFront Developer Guide, "Create a signed URL using a canned policy". Four parameters are added
//! to the URL's query: `Expires` (seconds since 1970), `Signature`, `Key-Pair-Id` and, where the hash is not SHA-1,
//! `Hash-Algorithm=SHA256`. The signature covers a policy text that both sides write from the URL and the expiry.

use crate::key::Hash;
use crate::url::{Parameter, Parameters, is_url_text, strip};
use crate::{Grant, KeyGroup, Presented, Reason, SchemeName};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::time::{Duration, SystemTime};

/// Up to the year 33658; within what every clock can hold.
pub(crate) const MOST_EXPIRES_DIGITS: usize = 12;
const MOST_KEY_ID_BYTES: usize = 128;
/// Of an RSA key of 8192 bits, in base64.
const MOST_SIGNATURE_BYTES: usize = 1368;

/// The checks, cheapest first.
pub(crate) fn judge(group: &KeyGroup, presented: &Presented<'_>, now: SystemTime) -> Result<Grant, Reason> {
    let token = Token::find(presented.path_and_query)?;
    let (key_id, key) = group.key(token.key_id).ok_or(Reason::KeyUnknown)?;
    let expires = SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(token.expires))
        .ok_or(Reason::ParameterMalformed(Parameter::Expires.name()))?;
    // `DateLessThan`: the moment itself is too late.
    if now >= expires {
        return Err(Reason::SignatureExpired);
    }
    let signature = decode(token.signature)
        .filter(|signature| signature.len() == key.signature_length())
        .ok_or(Reason::ParameterMalformed(Parameter::Signature.name()))?;
    let policy = canned_policy(&resource(presented)?, token.expires);
    if !key.verifies(token.hash, policy.as_bytes(), &signature) {
        return Err(Reason::SignatureMismatch);
    }
    Ok(Grant { scheme: SchemeName::Cloudfront, key_id: key_id.clone(), expires })
}

/// The text that a signature covers. `resource` is the URL without signing parameters.
pub(crate) fn canned_policy(resource: &str, expires: u64) -> String {
    format!(
        r#"{{"Statement":[{{"Resource":"{resource}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}"#
    )
}

/// CloudFront's base64: `-`, `_` and `~` where the standard has `+`, `=` and `/`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes).replace('+', "-").replace('=', "_").replace('/', "~")
}

/// Undoes [`encode`], and takes nothing that it does not write: each signature has one spelling.
fn decode(text: &str) -> Option<Vec<u8>> {
    let standard: Option<Vec<u8>> = text
        .bytes()
        .map(|byte| match byte {
            b'-' => Some(b'+'),
            b'_' => Some(b'='),
            b'~' => Some(b'/'),
            byte if byte.is_ascii_alphanumeric() => Some(byte),
            _ => None,
        })
        .collect();
    // The standard engine insists on padding and on zero in the bits after the last byte (RFC 4648 section 3.5).
    STANDARD.decode(standard?).ok()
}

/// A token whose parts have the right shape.
struct Token<'a> {
    expires: u64,
    signature: &'a str,
    key_id: &'a str,
    hash: Hash,
}

impl<'a> Token<'a> {
    fn find(path_and_query: &'a str) -> Result<Self, Reason> {
        let found = Parameters::find(path_and_query)?;
        if found.are_absent() {
            return Err(Reason::SignatureMissing);
        }
        if found.policy.is_some() {
            return Err(Reason::PolicyUnsupported);
        }
        let expires = present(found.expires, Parameter::Expires)?;
        let signature = present(found.signature, Parameter::Signature)?;
        let key_id = present(found.key_pair_id, Parameter::KeyPairId)?;
        if signature.is_empty() || signature.len() > MOST_SIGNATURE_BYTES {
            return Err(Reason::ParameterMalformed(Parameter::Signature.name()));
        }
        if key_id.is_empty() || key_id.len() > MOST_KEY_ID_BYTES {
            return Err(Reason::ParameterMalformed(Parameter::KeyPairId.name()));
        }
        Ok(Token {
            expires: parse_expires(expires)?,
            signature,
            key_id,
            hash: parse_hash(found.hash_algorithm)?,
        })
    }
}

fn present(value: Option<&str>, parameter: Parameter) -> Result<&str, Reason> {
    value.ok_or(Reason::ParameterMissing(parameter.name()))
}

/// Digits without a sign or a leading zero, so that each moment has one spelling.
fn parse_expires(text: &str) -> Result<u64, Reason> {
    let malformed = Reason::ParameterMalformed(Parameter::Expires.name());
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || text.len() > MOST_EXPIRES_DIGITS || text.starts_with('0') {
        return Err(malformed);
    }
    text.parse().map_err(|_| malformed)
}

fn parse_hash(value: Option<&str>) -> Result<Hash, Reason> {
    match value {
        None | Some("SHA1") => Ok(Hash::Sha1),
        Some("SHA256") => Ok(Hash::Sha256),
        Some(_) => Err(Reason::ParameterMalformed(Parameter::HashAlgorithm.name())),
    }
}

/// The URL that was signed, if this viewer did not change it.
fn resource(presented: &Presented<'_>) -> Result<String, Reason> {
    let Presented { scheme, authority, path_and_query } = presented;
    let url = format!("{scheme}://{authority}{}", strip(path_and_query));
    if !is_url_text(&url) {
        return Err(Reason::UrlMalformed);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_the_text_of_the_developer_guide() {
        assert_eq!(
            canned_policy(
                "https://d111111abcdef8.cloudfront.net/image.jpg?color=red&size=medium",
                1767290400
            ),
            r#"{"Statement":[{"Resource":"https://d111111abcdef8.cloudfront.net/image.jpg?color=red&size=medium","Condition":{"DateLessThan":{"AWS:EpochTime":1767290400}}}]}"#
        );
    }

    #[test]
    fn base64_uses_cloudfronts_letters_and_only_those() {
        assert_eq!(encode(&[0xfb, 0xff, 0xbe, 0xff]), "-~--~w__");
        for length in 0..9 {
            let bytes = vec![0xfa_u8; length];
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
        for text in ["+~--", "-/--", "-~--~w==", "-~--~w", "-~--~w_", "-~--~x__", "-~--~w__ ", "%2D~--"] {
            assert_eq!(decode(text), None, "{text} was taken");
        }
    }

    #[test]
    fn expiry_has_one_spelling() {
        assert_eq!(parse_expires("1800000000"), Ok(1_800_000_000));
        assert_eq!(parse_expires("999999999999"), Ok(999_999_999_999));
        for text in [
            "",
            "0",
            "01800000000",
            "+1",
            "-1",
            "1.0",
            " 1",
            "1e9",
            "1000000000000",
            "١",
            "18446744073709551617",
        ] {
            assert!(parse_expires(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn the_hash_is_sha1_unless_the_url_says_sha256() {
        assert_eq!(parse_hash(None), Ok(Hash::Sha1));
        assert_eq!(parse_hash(Some("SHA1")), Ok(Hash::Sha1));
        assert_eq!(parse_hash(Some("SHA256")), Ok(Hash::Sha256));
        for text in ["", "sha256", "SHA-256", "none", "SHA512"] {
            assert!(parse_hash(Some(text)).is_err(), "{text:?} was taken");
        }
    }
}
