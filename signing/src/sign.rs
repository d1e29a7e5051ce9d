//! Minting CloudFront's signed URLs and cookies.

use crate::policy::seconds;
use crate::scheme::cloudfront::{COOKIES, canned_policy, encode};
use crate::scheme::uri_signing::{Claims, mint};
use crate::scheme::{SchemeName, hmac};
use crate::url::{has_dot_segments, is_url_text, strip};
use crate::{Policy, PrivateKey, Secret, SigningError, SigningKey};
use std::net::IpAddr;
use std::time::SystemTime;

/// A cookie to set: its name and its value. The path, domain and lifetime are the application's choice.
pub type Cookie = (&'static str, String);

/// Signs `url` with a CloudFront canned policy: good until `expires` (whole seconds; fractions are cut off).
///
/// The hash is SHA-256 and the URL says so (`Hash-Algorithm=SHA256`). The URL must be what viewers will send, byte for
/// byte: absolute, percent-encoded, with a path, without a default port, a fragment or signing parameters.
///
/// # Errors
/// The URL or key id is not of that form, the expiry cannot be written, or the cryptography library fails.
pub fn sign_canned(
    url: &str,
    expires: SystemTime,
    key_id: &str,
    key: &PrivateKey,
) -> Result<String, SigningError> {
    check_url(url)?;
    check_key_id(key_id)?;
    let expires = seconds(expires)?;
    let signature = encode(&key.sign_sha256(canned_policy(url, expires).as_bytes())?);
    let separator = if url.contains('?') { '&' } else { '?' };
    Ok(format!(
        "{url}{separator}Expires={expires}&Signature={signature}&Key-Pair-Id={key_id}&Hash-Algorithm=SHA256"
    ))
}

/// Signs `url` with a custom policy, whose resource should cover it.
///
/// # Errors
/// As [`sign_canned`].
pub fn sign_policy(
    url: &str,
    policy: &Policy,
    key_id: &str,
    key: &PrivateKey,
) -> Result<String, SigningError> {
    check_url(url)?;
    check_key_id(key_id)?;
    let policy = policy.to_json();
    let (signature, policy) = (encode(&key.sign_sha256(policy.as_bytes())?), encode(policy.as_bytes()));
    let separator = if url.contains('?') { '&' } else { '?' };
    Ok(format!(
        "{url}{separator}Policy={policy}&Signature={signature}&Key-Pair-Id={key_id}&Hash-Algorithm=SHA256"
    ))
}

/// The cookies that open `url`, and nothing else, until `expires`.
///
/// # Errors
/// As [`sign_canned`].
pub fn cookies_canned(
    url: &str,
    expires: SystemTime,
    key_id: &str,
    key: &PrivateKey,
) -> Result<Vec<Cookie>, SigningError> {
    check_url(url)?;
    check_key_id(key_id)?;
    let expires = seconds(expires)?;
    let signature = encode(&key.sign_sha256(canned_policy(url, expires).as_bytes())?);
    Ok(vec![
        (COOKIES[0], expires.to_string()),
        (COOKIES[2], signature),
        (COOKIES[3], key_id.to_owned()),
        (COOKIES[4], "SHA256".to_owned()),
    ])
}

/// The cookies that open what `policy` is about.
///
/// # Errors
/// The key id is not of its form, or the cryptography library fails.
pub fn cookies_policy(policy: &Policy, key_id: &str, key: &PrivateKey) -> Result<Vec<Cookie>, SigningError> {
    check_key_id(key_id)?;
    let policy = policy.to_json();
    let signature = encode(&key.sign_sha256(policy.as_bytes())?);
    Ok(vec![
        (COOKIES[1], encode(policy.as_bytes())),
        (COOKIES[2], signature),
        (COOKIES[3], key_id.to_owned()),
        (COOKIES[4], "SHA256".to_owned()),
    ])
}

/// What a token of the scheme `hmac` opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'a> {
    /// This URL alone.
    Url(&'a str),
    /// Whatever begins with this URL, which ends with a slash.
    Prefix(&'a str),
}

/// The token of the scheme `hmac`, for the query parameter or cookie `Selvedge-Token`; good until `expires` (whole seconds), and if
/// need be at one address only.
///
/// ```
/// use signing::{Reach, Secret, hmac_token};
/// use std::time::{Duration, SystemTime};
///
/// let secret = Secret::from_text("a secret of more than thirty-two characters")?;
/// let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
/// let token = hmac_token(Reach::Prefix("https://cdn.test/live/one/"), expires, None, "player1", &secret)?;
/// assert!(token.starts_with("1.1800000000.10.-.") && token.ends_with(".player1"));
/// # Ok::<(), signing::SigningError>(())
/// ```
///
/// # Errors
/// The URL or key id is not of that form, or the expiry cannot be written.
pub fn hmac_token(
    reach: Reach<'_>,
    expires: SystemTime,
    address: Option<IpAddr>,
    key_id: &str,
    secret: &Secret,
) -> Result<String, SigningError> {
    let (Reach::Url(url) | Reach::Prefix(url)) = reach;
    check_url(url)?;
    check_key_id(key_id)?;
    let refuse = |cause| SigningError::Url { url: url.to_owned(), cause };
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let extent = match reach {
        Reach::Url(_) => 0,
        Reach::Prefix(_) => path.len(),
    };
    let reach = hmac::reach(path, extent).ok_or_else(|| refuse("a prefix ends with a slash of the path"))?;
    let (expires, address) = (seconds(expires)?, address.map(|address| address.to_canonical()));
    let covered = hmac::Covered { key_id, expires, extent, address, scheme, authority, reach };
    Ok(covered.token(secret))
}

/// The JWT of these claims, for the query parameter, path parameter or cookie `URISigningPackage`.
///
/// # Errors
/// The key id is not of its form, or the cryptography library fails.
pub fn sign_jwt(claims: &Claims, key_id: &str, key: &SigningKey) -> Result<String, SigningError> {
    check_key_id(key_id)?;
    mint(claims, key_id, key)
}

/// The URL with a token of `scheme` in its query, where a viewer's request carries it.
#[must_use]
pub fn in_query(url: &str, scheme: SchemeName, token: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    let name = scheme.cookie();
    format!("{url}{separator}{name}={token}")
}

pub(crate) fn check_url(url: &str) -> Result<(), SigningError> {
    let refuse = |cause| Err(SigningError::Url { url: url.to_owned(), cause });
    if !is_url_text(url) {
        return refuse("percent-encode spaces, quotes, control and non-ASCII characters");
    }
    if url.contains('#') {
        return refuse("viewers do not send the fragment; leave '#' and what follows out");
    }
    let (rest, default_port) = if let Some(rest) = url.strip_prefix("https://") {
        (rest, ":443")
    } else if let Some(rest) = url.strip_prefix("http://") {
        (rest, ":80")
    } else {
        return refuse("it must start with https:// or http://");
    };
    let Some(path_start) = rest.find('/') else {
        return refuse("it needs a path, at least '/' after the host");
    };
    let (authority, path_and_query) = rest.split_at(path_start);
    if authority.is_empty() || authority.contains(['?', '@']) {
        return refuse("it needs a host, without user name, and a path after it");
    }
    if has_dot_segments(path_and_query) {
        return refuse("viewers resolve the segments . and .. of the path; sign what they come to");
    }
    if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return refuse("viewers send the host in lower case; write it so");
    }
    if authority.ends_with(default_port) {
        return refuse("viewers do not send the default port; leave it out");
    }
    if strip(path_and_query) != path_and_query {
        return refuse("it already has signing parameters; sign the URL without them");
    }
    Ok(())
}

/// RFC 3986 section 2.3: what never needs an escape.
pub(crate) fn check_key_id(key_id: &str) -> Result<(), SigningError> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if !(1..=128).contains(&key_id.len()) || !key_id.bytes().all(unreserved) {
        return Err(SigningError::KeyId(key_id.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn urls_that_no_viewer_sends_are_refused() {
        for url in [
            "",
            "/a",
            "ftp://cdn.test/a",
            "HTTPS://cdn.test/a",
            "https://cdn.test",
            "https://cdn.test?a=/",
            "https:///a",
            "https://me@cdn.test/a",
            "https://cdn.test:443/a",
            "http://cdn.test:80/a",
            "https://cdn.test/a#b",
            "https://cdn.test/a b",
            "https://cdn.test/a\"b",
            "https://cdn.test/a\\b",
            "https://cdn.test/é",
            "https://cdn.test/a\n",
            "https://cdn.test/a?Expires=1",
            "https://cdn.test/a?b&Policy",
            "https://cdn.test/a/../b",
            "https://cdn.test/a/%2e",
        ] {
            let error = check_url(url).unwrap_err();
            assert!(matches!(error, SigningError::Url { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn urls_that_viewers_send_are_taken() {
        for url in [
            "https://cdn.test/",
            "http://cdn.test:8080/a?b=c&d=e/f?g",
            "https://[::1]:8443/a%20b",
            "https://cdn.test:80/~a,b;c@d+e*f",
            "https://cdn.test/a?expires=1",
        ] {
            assert_eq!(check_url(url), Ok(()));
        }
    }

    #[test]
    fn key_ids_need_no_escape() {
        assert_eq!(check_key_id("K2JCJMDEHXQW5F"), Ok(()));
        for id in ["", "a&b", "a b", "a=b", "ä", &"K".repeat(129)] {
            assert!(check_key_id(id).is_err(), "{id:?} was taken");
        }
    }

    #[test]
    fn an_expiry_must_fit_into_a_url() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(seconds(epoch + Duration::from_millis(1_999)), Ok(1));
        for expires in [epoch, epoch - Duration::from_secs(1), epoch + Duration::from_secs(1_000_000_000_000)]
        {
            assert_eq!(seconds(expires), Err(SigningError::Expiry));
        }
    }
}
