//! From the path of a request to the name of an object, and how the service wants it.

use crate::failure::{Cause, Failure};

/// The path of the object that `path` names, behind `base`. Object names are bytes behind one slash, and are encoded exactly
/// once, whatever the viewer encoded: S3 knows `%2F` and `/` as the same name. Dot segments are no names here, as no path of
/// the edge has any.
pub(super) fn target(base: &str, path: &str) -> Result<String, Cause> {
    let nothing = |detail: &str| Cause::new(Failure::Denied(404), detail);
    let refused = |detail: &str| Cause::new(Failure::Denied(400), detail);
    let name = decode(path).ok_or_else(|| refused("the path has a % without two hexadecimal digits"))?;
    // What has no name is the bucket itself: to read it is to list it, to delete it is the end of it.
    if name.iter().all(|byte| *byte == b'/') {
        return Err(nothing("the path names no object"));
    }
    if name.iter().any(u8::is_ascii_control) {
        return Err(refused("no object has control characters in its name"));
    }
    let Ok(text) = std::str::from_utf8(&name) else {
        return Err(nothing("no object has a name that is not UTF-8"));
    };
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(refused("the name of the object has a dot segment"));
    }
    let mut target = String::with_capacity(base.len() + name.len() + 16);
    target.push_str(base);
    encode(&name, &mut target);
    Ok(target)
}

/// AWS's `UriEncode`, with slashes kept: all but unreserved characters as `%XY`.
pub(super) fn encode(bytes: &[u8], into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            into.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
            into.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
}

/// A value in a query or a form: slashes too.
pub(super) fn encode_value(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    encode(value.as_bytes(), &mut encoded);
    encoded.replace('/', "%2F")
}

pub(super) fn decode(path: &str) -> Option<Vec<u8>> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (high, low) = (digit()?, digit()?);
        decoded.push(high << 4 | low);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> String {
        target("/media", path).unwrap()
    }

    #[test]
    fn names_are_encoded_exactly_once() {
        for (path, expected) in [
            ("/cat.jpg", "/media/cat.jpg"),
            ("/a%20b+c", "/media/a%20b%2Bc"),
            ("/a%2Bb", "/media/a%2Bb"),
            ("/%e2%82%ac", "/media/%E2%82%AC"),
            ("/a%2Fb", "/media/a/b"),
            ("/a//b/", "/media/a//b/"),
            ("/100%25", "/media/100%25"),
            ("/a:b@c;d=e&f!'()*~", "/media/a%3Ab%40c%3Bd%3De%26f%21%27%28%29%2A~"),
            ("/%3Fuploads", "/media/%3Fuploads"),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
    }

    #[test]
    fn the_bucket_itself_is_never_named() {
        for path in ["/", "//", "/%2F", "/%2f/"] {
            assert_eq!(target("/media", path).unwrap_err().failure, Failure::Denied(404), "{path}");
        }
    }

    #[test]
    fn what_no_object_is_called_is_refused() {
        for (path, status) in [
            ("/a/%2e%2e/b", 400),
            ("/..%2Fother-bucket/x", 400),
            ("/a%00b", 400),
            ("/a%0d%0ab", 400),
            ("/%zz", 400),
            ("/%4", 400),
            ("/%ff", 404),
        ] {
            assert_eq!(target("/media", path).unwrap_err().failure, Failure::Denied(status), "{path}");
        }
    }
}
