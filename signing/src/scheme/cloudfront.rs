//! CloudFront signed URLs and signed cookies, with canned and custom policies.
//!
//! Source: Amazon CloudFront Developer Guide, "Use signed URLs" and "Use signed cookies". A canned policy is a text that both
//! sides write from the URL and `Expires`; a custom one travels along as `Policy`. `Signature` is over that text, `Key-Pair-Id`
//! names the key, and `Hash-Algorithm=SHA256` stands there where the hash is not SHA-1. Cookies have the same names behind
//! `CloudFront-`.

use crate::key::{Hash, Key};
use crate::memory;
use crate::policy::{check_time, moment};
use crate::url::is_url_text;
use crate::verify::Place;
use crate::{Grant, KeyGroup, Policy, Presented, PublicKey, Reason, SchemeName, cookie, url};
use base64::Engine;
use base64::alphabet::{self, Alphabet, Symbol};
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use std::sync::Arc;
use std::time::SystemTime;

/// In the order of [`Token`]'s fields.
pub(crate) const PARAMETERS: [&str; 5] = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];
pub(crate) const COOKIES: [&str; 5] = [
    "CloudFront-Expires",
    "CloudFront-Policy",
    "CloudFront-Signature",
    "CloudFront-Key-Pair-Id",
    "CloudFront-Hash-Algorithm",
];

const MOST_EXPIRES_DIGITS: usize = 12;
const MOST_KEY_ID_BYTES: usize = 128;
/// Of an RSA key of 8192 bits, in base64.
const MOST_SIGNATURE_BYTES: usize = 1368;
/// CloudFront's base64: `-`, `_` and `~` where the standard has `+`, `=` and `/`. It insists on padding and on zero in the bits after the
/// last byte (RFC 4648 section 3.5), so that each signature has one spelling.
static BASE64: GeneralPurpose = GeneralPurpose::new(&LETTERS, PAD);
const LETTERS: Alphabet = {
    const TEXT: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~";
    match Symbol::new(b'_') {
        Some(padding) => match Alphabet::new_with_padding(TEXT, padding) {
            Ok(letters) => letters,
            Err(_) => alphabet::STANDARD,
        },
        None => alphabet::STANDARD,
    }
};
/// As long as a browser lets a cookie be (RFC 6265 section 6.1).
const MOST_POLICY_BYTES: usize = 4096;

/// The checks, cheapest first.
pub(crate) fn judge(
    group: &KeyGroup,
    presented: &Presented<'_>,
    place: Place,
    now: SystemTime,
) -> Result<Grant, Reason> {
    let Some(token) = Token::find(presented, place)? else { return Err(Reason::SignatureMissing) };
    let (key_id, key) = group.key(token.key_id).ok_or(Reason::KeyUnknown)?;
    let Key::Public(key) = key else { return Err(Reason::KeyUnsuitable) };
    let resource = group.strip(presented.path_and_query);
    let (expires, opens) = match token.terms {
        Terms::Canned(expires) => {
            // `DateLessThan`: the moment itself is too late.
            check_time(expires, None, now)?;
            let policy = canned_policy(&whole_url(presented, &resource)?, expires);
            let name = memory::name(&[
                token.key_id.as_bytes(),
                token.hash_byte(),
                token.signature.as_bytes(),
                policy.as_bytes(),
            ]);
            if group.policies.get(&name).is_none() {
                token.check_signature(group, key, policy.as_bytes(), presented, now)?;
                group.policies.insert(name, None);
            }
            (moment(expires), None)
        }
        Terms::Custom(encoded) => {
            let name = memory::name(&[
                token.key_id.as_bytes(),
                token.hash_byte(),
                token.signature.as_bytes(),
                encoded.as_bytes(),
            ]);
            let policy = match group.policies.get(&name).flatten() {
                Some(policy) => {
                    policy.check_cheaply(presented, &resource, now)?;
                    policy
                }
                None => {
                    let text = decode(encoded).ok_or(Reason::ParameterMalformed(token.names[1]))?;
                    let policy = Arc::new(Policy::parse(&text)?);
                    policy.check_cheaply(presented, &resource, now)?;
                    token.check_signature(group, key, &text, presented, now)?;
                    group.policies.insert(name, Some(Arc::clone(&policy)));
                    policy
                }
            };
            policy.check_resource(presented, &resource)?;
            (policy.expires(), policy.resource().cloned())
        }
    };
    Ok(Grant {
        scheme: SchemeName::Cloudfront,
        key_id: Arc::clone(key_id),
        expires: Some(expires),
        resource: opens,
        token_id: None,
        renewal: None,
    })
}

/// The policy as it was read, for people.
pub(crate) fn read(presented: &Presented<'_>, place: Place) -> Option<String> {
    let token = Token::find(presented, place).ok()??;
    match token.terms {
        Terms::Canned(expires) => {
            let resource = url::strip(presented.path_and_query);
            Some(canned_policy(&whole_url(presented, &resource).ok()?, expires))
        }
        Terms::Custom(encoded) => String::from_utf8(decode(encoded)?).ok(),
    }
}

/// The key id that a token names.
pub(crate) fn named(presented: &Presented<'_>, place: Place) -> Option<String> {
    let [id] = match place {
        Place::Url => url::find(presented.path_and_query, [PARAMETERS[3]]).ok()?,
        Place::Cookies => cookie::find(presented.cookies, [COOKIES[3]]).ok()?,
    };
    id.map(str::to_owned)
}

/// The text that a signature covers. `resource` is the URL without signing parameters.
pub(crate) fn canned_policy(resource: &str, expires: u64) -> String {
    format!(
        r#"{{"Statement":[{{"Resource":"{resource}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}"#
    )
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Undoes [`encode`], and takes nothing that it does not write.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// A token whose parts have the right shape, as far as that can be told without a key.
struct Token<'a> {
    /// What its parts are called, in URL or cookie.
    names: [&'static str; 5],
    terms: Terms<'a>,
    signature: &'a str,
    key_id: &'a str,
    hash: Hash,
}

/// What a signature is over.
enum Terms<'a> {
    /// Seconds since 1970; the rest is the URL.
    Canned(u64),
    /// The policy, encoded.
    Custom(&'a str),
}

impl<'a> Token<'a> {
    fn find(presented: &Presented<'a>, place: Place) -> Result<Option<Self>, Reason> {
        let (names, found) = match place {
            Place::Url => (PARAMETERS, url::find(presented.path_and_query, PARAMETERS)?),
            Place::Cookies => (COOKIES, cookie::find(presented.cookies, COOKIES)?),
        };
        if found == [None; 5] {
            return Ok(None);
        }
        let [expires, policy, signature, key_id, hash] = found;
        let within = |value: Option<&'a str>, place: usize, most: usize| match value {
            None => Err(Reason::ParameterMissing(names[place])),
            Some(value) if value.is_empty() || value.len() > most => {
                Err(Reason::ParameterMalformed(names[place]))
            }
            Some(value) => Ok(value),
        };
        let terms = match (expires, policy) {
            (Some(_), Some(_)) => return Err(Reason::PolicyAmbiguous),
            (None, Some(_)) => Terms::Custom(within(policy, 1, MOST_POLICY_BYTES)?),
            (expires, None) => {
                let expires = parse_expires(within(expires, 0, MOST_EXPIRES_DIGITS)?);
                Terms::Canned(expires.ok_or(Reason::ParameterMalformed(names[0]))?)
            }
        };
        Ok(Some(Token {
            names,
            terms,
            signature: within(signature, 2, MOST_SIGNATURE_BYTES)?,
            key_id: within(key_id, 3, MOST_KEY_ID_BYTES)?,
            hash: parse_hash(hash).ok_or(Reason::ParameterMalformed(names[4]))?,
        }))
    }

    fn hash_byte(&self) -> &'static [u8] {
        match self.hash {
            Hash::Sha1 => b"1",
            Hash::Sha256 => b"2",
        }
    }

    fn check_signature(
        &self,
        group: &KeyGroup,
        key: &PublicKey,
        policy: &[u8],
        presented: &Presented<'_>,
        now: SystemTime,
    ) -> Result<(), Reason> {
        let lengths = key.signature_lengths().ok_or(Reason::KeyUnsuitable)?;
        let malformed = Reason::ParameterMalformed(self.names[2]);
        let written = |bytes: &usize| bytes.div_ceil(3) * 4;
        if !(written(lengths.start())..=written(lengths.end())).contains(&self.signature.len()) {
            return Err(malformed);
        }
        if !group.suspects.may_try(presented.address, now) {
            return Err(Reason::SignatureFlood);
        }
        let signature = decode(self.signature).filter(|signature| lengths.contains(&signature.len()));
        let signature = signature.ok_or(malformed)?;
        if !key.verifies(self.hash, policy, &signature) {
            group.suspects.failed(presented.address, now);
            return Err(Reason::SignatureMismatch);
        }
        Ok(())
    }
}

/// Digits without a sign or a leading zero, so that each moment has one spelling.
fn parse_expires(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || text.len() > MOST_EXPIRES_DIGITS || text.starts_with('0') {
        return None;
    }
    text.parse().ok()
}

fn parse_hash(value: Option<&str>) -> Option<Hash> {
    match value {
        None | Some("SHA1") => Some(Hash::Sha1),
        Some("SHA256") => Some(Hash::Sha256),
        Some(_) => None,
    }
}

/// The URL that was signed, if this viewer did not change it.
fn whole_url(presented: &Presented<'_>, path_and_query: &str) -> Result<String, Reason> {
    let url = [presented.scheme, "://", presented.authority, path_and_query].concat();
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
        assert_eq!(parse_expires("1800000000"), Some(1_800_000_000));
        assert_eq!(parse_expires("999999999999"), Some(999_999_999_999));
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
            assert!(parse_expires(text).is_none(), "{text:?} was taken");
        }
    }

    #[test]
    fn the_hash_is_sha1_unless_the_token_says_sha256() {
        assert_eq!(parse_hash(None), Some(Hash::Sha1));
        assert_eq!(parse_hash(Some("SHA1")), Some(Hash::Sha1));
        assert_eq!(parse_hash(Some("SHA256")), Some(Hash::Sha256));
        for text in ["", "sha256", "SHA-256", "none", "SHA512"] {
            assert!(parse_hash(Some(text)).is_none(), "{text:?} was taken");
        }
    }
}
