//! Fields after a body (RFC 9110 section 6.5), in both directions.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::Frame;

/// Fields that mean something only before a body (RFC 9110 section 6.5.1): framing, routing, authentication, what asks for or
/// controls the message, how its content is to be read; and those by which one could speak as a proxy or to one. Who merges
/// trailers into a head, as some origins do, must not find them there.
const NEVER: [&str; 46] = [
    "accept-ranges",
    "age",
    "authorization",
    "cache-control",
    "cdn-cache-control",
    "cdn-loop",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-http-method-override",
    "x-real-ip",
    "x-request-id",
];

/// The same frame; if it holds trailers, only those that may be passed on. `None` where none is left.
pub(crate) fn permitted(frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
    let mut trailers = match frame.into_trailers() {
        Ok(trailers) => trailers,
        Err(data) => return Some(data),
    };
    drop_forbidden(&mut trailers);
    (!trailers.is_empty()).then(|| Frame::trailers(trailers))
}

fn drop_forbidden(trailers: &mut HeaderMap) {
    let is_forbidden = |name: &&HeaderName| NEVER.binary_search(&name.as_str()).is_ok();
    let forbidden: Vec<HeaderName> = trailers.keys().filter(is_forbidden).cloned().collect();
    for name in forbidden {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn left(names: &[&'static str]) -> Vec<String> {
        let mut trailers = HeaderMap::new();
        for name in names {
            trailers.append(*name, HeaderValue::from_static("1"));
        }
        let frame = permitted(Frame::trailers(trailers));
        let trailers = frame.map(|frame| frame.into_trailers().unwrap()).unwrap_or_default();
        trailers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn the_list_can_be_searched() {
        assert!(NEVER.is_sorted());
    }

    #[test]
    fn what_belongs_before_a_body_is_dropped_behind_it() {
        assert_eq!(left(&["grpc-status", "transfer-encoding", "x-checksum"]), ["grpc-status", "x-checksum"]);
        assert_eq!(left(&["content-length", "host", "authorization", "set-cookie"]), [""; 0]);
    }

    #[test]
    fn content_is_not_touched() {
        let frame = permitted(Frame::data(Bytes::from("body"))).unwrap();
        assert_eq!(frame.into_data().unwrap(), "body");
    }
}
