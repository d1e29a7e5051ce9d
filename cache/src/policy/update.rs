//! What a 304 does to the stored header fields (RFC 9111 §3.2, §4.3.4).

use http::header::{AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG};
use http::{HeaderMap, HeaderName};

/// What describes the body held, which a 304 does not bring anew: lengths, codings, digests (RFC 9530, RFC 3230, RFC 1864) and the
/// validator that was confirmed.
const OF_THE_BODY: [HeaderName; 8] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ETAG,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// The fields of a 304 replace the stored ones, but for those that describe the body held. The stored `Age` and `Date` are about
/// the earlier answer.
pub(crate) fn update_headers(stored: &mut HeaderMap, confirmed: &HeaderMap) {
    stored.remove(AGE);
    stored.remove(DATE);
    for name in confirmed.keys().filter(|name| !OF_THE_BODY.contains(name)) {
        stored.remove(name);
        for value in confirmed.get_all(name) {
            stored.append(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn all_is_updated_but_what_describes_the_body() {
        let mut stored = headers(&[
            ("age", "9"),
            ("date", "then"),
            ("etag", "\"a\""),
            ("content-length", "5"),
            ("content-md5", "x"),
            ("content-type", "text/plain"),
            ("x-kept", "1"),
            ("x-new", "1"),
            ("x-new", "2"),
        ]);
        update_headers(
            &mut stored,
            &headers(&[
                ("etag", "\"b\""),
                ("content-length", "0"),
                ("content-md5", "y"),
                ("content-type", "text/html"),
                ("x-new", "3"),
                ("x-new", "4"),
            ]),
        );
        let expected = headers(&[
            ("etag", "\"a\""),
            ("content-length", "5"),
            ("content-md5", "x"),
            ("content-type", "text/html"),
            ("x-kept", "1"),
            ("x-new", "3"),
            ("x-new", "4"),
        ]);
        assert_eq!(stored, expected);
    }
}
