//! A short token for players and devices that know no public keys: HMAC-SHA256 over one URL, or over all that begin like it.
//!
//! The token stands in the query parameter or cookie `Selvedge-Token`, as `1.EXPIRES.EXTENT.BOUND.MAC.KEY`:
//!
//! - `1`, the version; `EXPIRES`, seconds since 1970, the first moment at which it is no longer good
//! - `EXTENT`, how many bytes of the path it is about, the last of them being `/`; `0` for the whole URL and nothing else
//! - `BOUND`, `a` when it is good at one address only, `-` when it is good everywhere
//! - `MAC`, 32 bytes in base64url without padding (RFC 4648 section 5); `KEY`, the id of the secret
//!
//! The MAC is over these lines, joined by line feeds: `selvedge-hmac-1`, the key's id, `EXPIRES`, `EXTENT`, the viewer's address
//! (RFC 5952) or `-`, and the URL's bytes: scheme, `://`, host and port as asked for in lower case, then path and query as sent,
//! without the token, cut to `EXTENT`.

use crate::key::Key;
use crate::policy::{check_time, moment};
use crate::verify::Place;
use crate::{Grant, KeyGroup, Presented, Reason, SchemeName, Secret, cookie, url};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

const VERSION: &str = "1";
const MOST_BYTES: usize = 512;
const MALFORMED: Reason = Reason::ParameterMalformed(SchemeName::TOKEN);

/// A token whose parts have the right shape.
struct Token<'a> {
    expires: u64,
    extent: usize,
    is_bound: bool,
    mac: [u8; 32],
    key_id: &'a str,
}

/// What a MAC is over.
pub(crate) struct Covered<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) expires: u64,
    pub(crate) extent: usize,
    pub(crate) address: Option<IpAddr>,
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a str,
    /// The path and query, cut to the extent.
    pub(crate) reach: &'a str,
}

/// The checks, cheapest first.
pub(crate) fn judge(
    group: &KeyGroup,
    presented: &Presented<'_>,
    place: Place,
    now: SystemTime,
) -> Result<Grant, Reason> {
    let found = find(presented, place)?.ok_or(Reason::SignatureMissing)?;
    let token = Token::parse(found).ok_or(MALFORMED)?;
    check_time(token.expires, None, now)?;
    let (key_id, key) = group.key(token.key_id).ok_or(Reason::KeyUnknown)?;
    let Key::Secret(secret) = key else { return Err(Reason::KeyUnsuitable) };
    let address = match (token.is_bound, presented.address) {
        (false, _) => None,
        (true, Some(viewer)) => Some(viewer.to_canonical()),
        (true, None) => return Err(Reason::AddressMismatch),
    };
    let resource = group.strip(presented.path_and_query);
    let covered = Covered {
        key_id: token.key_id,
        expires: token.expires,
        extent: token.extent,
        address,
        scheme: presented.scheme,
        authority: presented.authority,
        reach: reach(&resource, token.extent).ok_or(Reason::ResourceMismatch)?,
    };
    if !secret.verifies(covered.text().as_bytes(), &token.mac) {
        return Err(Reason::SignatureMismatch);
    }
    Ok(Grant {
        scheme: SchemeName::Hmac,
        key_id: Arc::clone(key_id),
        expires: Some(moment(token.expires)),
        resource: None,
        token_id: None,
        renewal: None,
    })
}

/// What the token says, for people.
pub(crate) fn read(presented: &Presented<'_>, place: Place) -> Option<String> {
    let Token { expires, extent, is_bound, key_id, .. } = Token::parse(find(presented, place).ok()??)?;
    let reach = match extent {
        0 => "one URL".to_owned(),
        bytes => format!("what begins with the first {bytes} bytes of this path"),
    };
    let bound = if is_bound { ", at one address" } else { "" };
    Some(format!("{reach}{bound}, until {expires}, by {key_id}"))
}

/// The key id that a token names.
pub(crate) fn named(presented: &Presented<'_>, place: Place) -> Option<String> {
    Some(Token::parse(find(presented, place).ok()??)?.key_id.to_owned())
}

fn find<'a>(presented: &Presented<'a>, place: Place) -> Result<Option<&'a str>, Reason> {
    let [found] = match place {
        Place::Url => url::find(presented.path_and_query, [SchemeName::TOKEN])?,
        Place::Cookies => cookie::find(presented.cookies, [SchemeName::TOKEN])?,
    };
    Ok(found)
}

impl Covered<'_> {
    fn text(&self) -> String {
        let Self { key_id, expires, extent, scheme, authority, reach, .. } = self;
        let address = self.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        format!("selvedge-hmac-1\n{key_id}\n{expires}\n{extent}\n{address}\n{scheme}://{authority}{reach}")
    }

    /// The token, as it stands in query or cookie.
    pub(crate) fn token(&self, secret: &Secret) -> String {
        let mac = URL_SAFE_NO_PAD.encode(secret.sign(self.text().as_bytes()));
        let bound = if self.address.is_some() { "a" } else { "-" };
        format!("{VERSION}.{}.{}.{bound}.{mac}.{}", self.expires, self.extent, self.key_id)
    }
}

impl<'a> Token<'a> {
    /// Each token has one spelling: no signs, no leading zeros, no padding.
    fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MOST_BYTES {
            return None;
        }
        let mut parts = text.splitn(6, '.');
        let mut next = || parts.next();
        let (version, expires, extent, bound, mac, key_id) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        let mut bytes = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(mac, &mut bytes).ok()?;
        let is_whole = version == VERSION && length == bytes.len() && !key_id.is_empty();
        is_whole.then_some(())?;
        Some(Token {
            expires: number(expires).filter(|expires| (1..=crate::policy::MOST_SECONDS).contains(expires))?,
            extent: usize::try_from(number(extent)?).ok()?,
            is_bound: match bound {
                "a" => true,
                "-" => false,
                _ => return None,
            },
            mac: bytes,
            key_id,
        })
    }
}

fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

/// So many bytes of the path, which end with a slash; everything for none.
pub(crate) fn reach(path_and_query: &str, extent: usize) -> Option<&str> {
    if extent == 0 {
        return Some(path_and_query);
    }
    let path = path_and_query.split_once('?').map_or(path_and_query, |parts| parts.0);
    path.get(..extent).filter(|reach| reach.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_with_a_slash_of_the_path() {
        assert_eq!(reach("/live/one/a.ts?b", 10), Some("/live/one/"));
        assert_eq!(reach("/live/one/a.ts?b", 0), Some("/live/one/a.ts?b"));
        assert_eq!(reach("/live/one/a.ts", 9), None);
        assert_eq!(reach("/live?/", 7), None);
        assert_eq!(reach("/live/", 7), None);
        assert_eq!(reach("/é/", 2), None);
    }

    #[test]
    fn each_token_has_one_spelling() {
        let mac = "A".repeat(43);
        let good = format!("1.1800000000.6.-.{mac}.K.1");
        let token = Token::parse(&good).unwrap();
        assert_eq!(
            (token.expires, token.extent, token.is_bound, token.key_id),
            (1_800_000_000, 6, false, "K.1")
        );
        for bad in [
            String::new(),
            good.replacen('1', "2", 1),
            good.replacen("1800000000", "01800000000", 1),
            good.replacen("1800000000", "+1800000000", 1),
            good.replacen("1800000000", "0", 1),
            good.replacen(".6.", ".06.", 1),
            good.replacen(".6.", ".18446744073709551616.", 1),
            good.replacen(".-.", ".b.", 1),
            good.replacen("AAA", "AA", 1),
            good.replacen("AAA.", "AAA=.", 1),
            good.replacen("A.", "B.", 1),
            format!("1.1800000000.6.-.{mac}."),
            format!("1.1800000000.6.-.{mac}"),
            format!("{good}{}", "x".repeat(512)),
        ] {
            assert!(Token::parse(&bad).is_none(), "{bad} was taken");
        }
    }
}
