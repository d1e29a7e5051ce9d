//! Minting signed URLs.

use crate::scheme::cloudfront::{MOST_EXPIRES_DIGITS, canned_policy, encode};
use crate::url::{is_url_text, strip};
use crate::{PrivateKey, SigningError};
use std::time::SystemTime;

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

fn check_url(url: &str) -> Result<(), SigningError> {
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
    if authority.ends_with(default_port) {
        return refuse("viewers do not send the default port; leave it out");
    }
    if strip(path_and_query) != path_and_query {
        return refuse("it already has signing parameters; sign the URL without them");
    }
    Ok(())
}

/// RFC 3986 section 2.3: what never needs an escape.
fn check_key_id(key_id: &str) -> Result<(), SigningError> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if !(1..=128).contains(&key_id.len()) || !key_id.bytes().all(unreserved) {
        return Err(SigningError::KeyId(key_id.to_owned()));
    }
    Ok(())
}

fn seconds(expires: SystemTime) -> Result<u64, SigningError> {
    let since_1970 = expires.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| SigningError::Expiry)?;
    let seconds = since_1970.as_secs();
    if seconds == 0 || seconds.to_string().len() > MOST_EXPIRES_DIGITS {
        return Err(SigningError::Expiry);
    }
    Ok(seconds)
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
