//! Which header fields cross between viewers and a bucket.
//!
//! Both ways by name: what is not known to be harmless stays behind. A viewer's `x-amz-copy-source` or `x-amz-acl` would be an
//! order to the service.

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, EXPIRES, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, RETRY_AFTER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const CONDITIONS: [HeaderName; 4] = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];
/// What is kept with an object and given out with it.
const OF_OBJECTS: [HeaderName; 6] =
    [CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES];
const TO_VIEWERS: [HeaderName; 9] = [
    ACCEPT_RANGES,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    DATE,
    ETAG,
    LAST_MODIFIED,
    RETRY_AFTER,
    TRANSFER_ENCODING,
    HeaderName::from_static("cdn-cache-control"),
];
/// The user's own metadata.
const METADATA: &str = "x-amz-meta-";
/// Metadata of this node's own.
pub(super) const OWN_METADATA: &str = "x-amz-meta-selvedge-";

/// The fields of a request that reads.
pub(super) struct Asked {
    pub(super) headers: HeaderMap,
    /// The fields of the request to make when the first is answered 412.
    pub(super) instead: Option<HeaderMap>,
}

/// S3 does not know `If-Range`, and without it would give a part of another version (RFC 9110 section 13.1.5): it is asked for
/// the part if that version is still there, and when it is not, for all.
pub(super) fn of_reading(viewers: &HeaderMap) -> Asked {
    let mut headers = conditions(viewers);
    let signable = |name| viewers.get(name).filter(|value| is_signable(value));
    let Some(range) = signable(RANGE) else { return Asked { headers, instead: None } };
    if !viewers.contains_key(IF_RANGE) {
        headers.insert(RANGE, range.clone());
        return Asked { headers, instead: None };
    }
    // A version that cannot be asked for is none that is there.
    let Some(version) = signable(IF_RANGE) else { return Asked { headers, instead: None } };
    let condition = if version.as_bytes().starts_with(b"\"") { IF_MATCH } else { IF_UNMODIFIED_SINCE };
    // A weak tag never matches here, and a second condition cannot be told from the first.
    if version.as_bytes().starts_with(b"W/") || headers.contains_key(&condition) {
        return Asked { headers, instead: None };
    }
    let instead = headers.clone();
    headers.insert(RANGE, range.clone());
    headers.insert(condition, version.clone());
    Asked { headers, instead: Some(instead) }
}

pub(super) fn conditions(viewers: &HeaderMap) -> HeaderMap {
    copied(viewers, |name| CONDITIONS.contains(name))
}

/// What a viewer says about an object that it uploads.
pub(super) fn of_object(viewers: &HeaderMap) -> HeaderMap {
    copied(viewers, |name| CONDITIONS.contains(name) || OF_OBJECTS.contains(name) || is_metadata(name))
}

/// Takes out of an answer what is the service's own: ids of its requests, encryption, storage class, versions.
pub(super) fn keep_from_viewers(headers: &mut HeaderMap) {
    let is_for_viewers = |name: &HeaderName| {
        TO_VIEWERS.contains(name)
            || OF_OBJECTS.contains(name)
            || is_metadata(name) && !name.as_str().starts_with(OWN_METADATA)
    };
    let others: Vec<_> = headers.keys().filter(|name| !is_for_viewers(name)).cloned().collect();
    for name in others {
        headers.remove(name);
    }
}

fn is_metadata(name: &HeaderName) -> bool {
    name.as_str().starts_with(METADATA)
}

/// The wanted fields whose values can be signed.
fn copied(from: &HeaderMap, is_wanted: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let wanted = from.iter().filter(|(name, value)| is_wanted(name) && is_signable(value));
    wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Visible ASCII. A service reads other bytes otherwise than they were signed, and would take that for a wrong key.
fn is_signable(value: &HeaderValue) -> bool {
    value.to_str().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(field).collect()
    }

    #[test]
    fn no_order_and_no_secret_of_a_viewer_reaches_the_bucket() {
        let sent = fields(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-amz-copy-source", "/other/secret"),
            ("x-amz-acl", "public-read"),
            ("x-amz-security-token", "t"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-tagging", "a=b"),
            ("x-forwarded-for", "192.0.2.1"),
            ("content-type", "image/png"),
            ("if-none-match", "\"v1\""),
            ("x-amz-meta-title", "cat"),
            ("range", "bytes=0-9"),
        ]);
        let kept = [("content-type", "image/png"), ("if-none-match", "\"v1\""), ("x-amz-meta-title", "cat")];
        assert_eq!(of_object(&sent), fields(&kept));
        assert_eq!(of_reading(&sent).headers, fields(&[("if-none-match", "\"v1\""), ("range", "bytes=0-9")]));
    }

    #[test]
    fn the_services_own_fields_stay_behind() {
        let kept = [("content-type", "image/png"), ("etag", "\"v1\""), ("x-amz-meta-title", "cat")];
        let mut came = fields(&kept);
        came.extend(fields(&[
            ("x-amz-request-id", "4442587FB7D0A2F9"),
            ("x-amz-id-2", "abc"),
            ("x-amz-version-id", "v"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-meta-selvedge-from", "x"),
            ("x-minio-deployment-id", "d"),
            ("server", "AmazonS3"),
            ("location", "http://media.s3.example.com/"),
            ("set-cookie", "a=b"),
        ]));
        keep_from_viewers(&mut came);
        assert_eq!(came, fields(&kept));
    }

    #[test]
    fn what_cannot_be_signed_is_not_asked_for() {
        let odd = || HeaderValue::from_bytes(b"bytes=0-9\xe9").unwrap();
        let ranged = HeaderMap::from_iter([(RANGE, odd())]);
        assert_eq!(of_reading(&ranged).headers, HeaderMap::new());
        let mut versioned = fields(&[("range", "bytes=0-9")]);
        versioned.insert(IF_RANGE, odd());
        let asked = of_reading(&versioned);
        assert_eq!((asked.headers, asked.instead), (HeaderMap::new(), None), "all of the object");
    }

    #[test]
    fn a_part_of_another_version_is_never_asked_for() {
        let asked = of_reading(&fields(&[("range", "bytes=0-9"), ("if-range", "\"v1\"")]));
        assert_eq!(asked.headers, fields(&[("range", "bytes=0-9"), ("if-match", "\"v1\"")]));
        assert_eq!(asked.instead, Some(HeaderMap::new()));
        let date = "Fri, 24 May 2013 00:00:00 GMT";
        let asked = of_reading(&fields(&[("range", "bytes=0-9"), ("if-range", date)]));
        assert_eq!(asked.headers, fields(&[("range", "bytes=0-9"), ("if-unmodified-since", date)]));
        for pairs in [&[("range", "bytes=0-9"), ("if-range", "W/\"v1\"")][..], &[("if-range", "\"v1\"")]] {
            assert_eq!(of_reading(&fields(pairs)).headers, HeaderMap::new(), "{pairs:?}");
        }
    }
}
