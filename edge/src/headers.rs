//! What crosses the edge in header fields, in both directions.

use crate::visit::Visit;
use bytes::BytesMut;
use cache::control::Directives;
use cache::{Coding, Entry};
use http::header::{
    self, ACCEPT_ENCODING, ACCEPT_RANGES, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, ETAG,
    FORWARDED, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, RANGE, TE, VARY, VIA,
};
use http::{HeaderMap, HeaderValue, Uri};
use std::net::IpAddr;

/// Whether a field ends at this hop (RFC 9110 §7.6.1), whatever `Connection` says, or is of this node alone: only records of
/// the store have the one, only the next shield is told the other.
fn ends_at_this_hop(name: &str) -> bool {
    let is_named = matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    );
    is_named || name == cache::slice::SLICES.as_str() || name == origin_shield::hop::HOP.as_str()
}

/// Fields that `Connection` cannot have removed: the edge itself relies on them.
const NOT_NOMINATED: [&str; 9] = [
    "host",
    "authorization",
    "cookie",
    "cache-control",
    "content-length",
    "cdn-loop",
    "via",
    "te",
    "upgrade",
];

/// Whether a viewer could speak as a proxy by this field. Those of trusted peers go on.
fn speaks_as_proxy(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-forwarded-proto"
            | "x-forwarded-scheme"
            | "x-forwarded-server"
            | "x-forwarded-ssl"
            | "x-real-ip"
    )
}

/// Whether frameworks may answer another method or path because of this field than the one that was routed, verified and keyed.
/// Never let through.
fn overrides(name: &str) -> bool {
    matches!(
        name,
        "x-http-method"
            | "x-http-method-override"
            | "x-method-override"
            | "x-original-host"
            | "x-original-url"
            | "x-rewrite-url"
    )
}

/// What goes to the origin under a named policy beside the fields of the key: what cannot shape an answer that is stored, or says
/// who asks through whom.
const SENT_WITHOUT_KEY: [&str; 22] = [
    "accept-encoding",
    "authorization",
    "cdn-loop",
    "cookie",
    "forwarded",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "traceparent",
    "tracestate",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "x-request-id",
];

/// `CDN-Loop` (RFC 8586 §2).
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// `X-Request-Id`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `Cache-Status` (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// `Proxy-Status` (RFC 9209).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// `CDN-Cache-Control` (RFC 9213), for the edge alone.
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host by which the viewer asked.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether there is a field of this name. Requests have few fields, and nearly none of those that could be asked for: a look at each is
/// cheaper than to hash the name.
#[must_use]
pub fn has(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|present| present == name)
}

/// Removes what `Connection` names as ending at this hop (RFC 9110 §7.6.1). Done before anything reads the request: what the
/// origin will not see must not be in the key either.
pub fn drop_nominated(headers: &mut HeaderMap) {
    if !has(headers, &CONNECTION)
        || headers.get_all(CONNECTION).iter().all(|line| is_about_the_connection(line.as_bytes()))
    {
        return;
    }
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|name| !is_about_the_connection(name.as_bytes()))
        .filter(|name| !NOT_NOMINATED.iter().any(|kept| kept.eq_ignore_ascii_case(name)))
        .filter_map(|name| name.parse().ok())
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

/// What nearly every `Connection` says, and no field is called (`keep-alive` ends at this hop anyway).
fn is_about_the_connection(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"keep-alive") || word.eq_ignore_ascii_case(b"close")
}

/// Removes everything that ends at this hop.
pub fn end_hop(headers: &mut HeaderMap) {
    drop_nominated(headers);
    drop_fields(headers, ends_at_this_hop);
}

/// The fields of a request that may go on to the origin: none that ends at this hop, none that would make the origin answer
/// another request than this one, and, unless its peer speaks for viewers, none by which it could pose as a proxy. That its
/// viewer takes trailers is said on (RFC 9110 §10.1.4): the edge passes them. No `Host` either: each origin gets its own. Copied in
/// one pass, with room for what [`introduce`] adds.
#[must_use]
pub fn onward(received: &HeaderMap, speaks_for_viewers: bool) -> HeaderMap {
    let stays = |name: &str| {
        name == "host"
            || ends_at_this_hop(name)
            || overrides(name)
            || !speaks_for_viewers && speaks_as_proxy(name)
    };
    let mut headers = HeaderMap::with_capacity(received.len() + INTRODUCTION);
    for (name, value) in received.iter().filter(|(name, _)| !stays(name.as_str())) {
        headers.append(name, value.clone());
    }
    let takes_trailers = received.get_all(TE).iter().any(|line| {
        let members = line.to_str().unwrap_or_default().split(',');
        members.into_iter().any(|member| member.trim().eq_ignore_ascii_case("trailers"))
    });
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    headers
}

/// Removes what is to be dropped. Nearly always that is nothing, which a look at the names shows.
fn drop_fields(headers: &mut HeaderMap, is_dropped: impl Fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| is_dropped(name.as_str())).cloned() {
        headers.remove(name);
    }
}

/// Removes the fields that speak to the edge alone, from an answer that is not stored. A `CDN-Cache-Control` that forbids storing
/// goes on: to the caches between here and the viewer, which RFC 9213 may speak to as well, nothing else may say so.
pub fn keep_from_viewers(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| cache::EDGE_ONLY.contains(name)) {
        return;
    }
    let forbids = headers.contains_key(CDN_CACHE_CONTROL) && {
        let said = Directives::of_response(headers);
        said.no_store || said.private || said.no_cache
    };
    for name in cache::EDGE_ONLY.iter().filter(|name| !forbids || **name != CDN_CACHE_CONTROL) {
        headers.remove(name);
    }
}

/// Under a named policy only what the key holds goes on, so that nothing unkeyed shapes what others are served.
pub fn keep_keyed(headers: &mut HeaderMap, key: &cache::KeySettings) {
    keep_keyed_cookies(headers, key);
    let kept = |name: &HeaderName| {
        SENT_WITHOUT_KEY.contains(&name.as_str())
            || key.headers.iter().any(|keyed| keyed.eq_ignore_ascii_case(name.as_str()))
    };
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| !kept(name)).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Leaves only what a shared answer may depend on: the edge asks for the whole, unconditionally, and for the codings that it
/// would ask for on behalf of anybody.
pub fn ask_for_everybody(headers: &mut HeaderMap, codings: &[Coding]) {
    for name in [
        RANGE,
        IF_RANGE,
        IF_MATCH,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
        ACCEPT_ENCODING,
        TE,
    ] {
        headers.remove(name);
    }
    let tokens: Vec<&str> = codings.iter().map(|coding| coding.token()).collect();
    if !tokens.is_empty()
        && let Ok(value) = HeaderValue::from_str(&tokens.join(", "))
    {
        headers.insert(ACCEPT_ENCODING, value);
    }
}

/// Asks for the whole and plain body, which a hook is to rewrite.
pub fn ask_for_all_of_it(headers: &mut HeaderMap) {
    for name in [RANGE, IF_RANGE, ACCEPT_ENCODING] {
        headers.remove(name);
    }
}

/// RFC 9111 §4.3.1: asks whether the stale copy is still right.
pub fn ask_whether_changed(headers: &mut HeaderMap, stale: &Entry) {
    if let Some(etag) = stale.header(&ETAG) {
        headers.insert(IF_NONE_MATCH, etag);
    }
    if let Some(date) = stale.header(&LAST_MODIFIED) {
        headers.insert(IF_MODIFIED_SINCE, date);
    }
}

fn keep_keyed_cookies(headers: &mut HeaderMap, key: &cache::KeySettings) {
    let chosen = key.select_cookies(headers);
    headers.remove(COOKIE);
    if let Some(value) = chosen.and_then(|cookies| HeaderValue::from_str(&cookies).ok()) {
        headers.insert(COOKIE, value);
    }
}

/// How many fields [`introduce`] adds, with the `Host` of whoever is asked.
const INTRODUCTION: usize = 9;

/// Room for what [`introduce`] writes, for most hosts.
const WRITTEN: usize = 256;

/// Says who asks and on whose behalf: `Via`, `CDN-Loop`, `Forwarded` (RFC 7239), `X-Forwarded-*`, `X-Request-Id`.
pub fn introduce(headers: &mut HeaderMap, visit: &Visit) {
    let node = &visit.node;
    headers.append(VIA, node.via.clone());
    headers.append(CDN_LOOP, node.mark.member.clone());
    headers.insert(X_REQUEST_ID, visit.request_id.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(visit.scheme));
    let peer = visit.viewer.peer.ip().to_canonical();
    let address = address_text(peer);
    // Values that share one buffer are copied, for another attempt, without copying any text.
    let mut text = BytesMut::with_capacity(WRITTEN);
    let mut value = |parts: &[&str]| {
        parts.iter().for_each(|part| text.extend_from_slice(part.as_bytes()));
        HeaderValue::from_maybe_shared(text.split().freeze())
    };
    if let Ok(address) = value(&[&address]) {
        append_member(headers, X_FORWARDED_FOR, address);
    }
    if let Ok(host) = value(&[&visit.authority]) {
        headers.insert(X_FORWARDED_HOST, host);
    }
    // RFC 7239 §4, and §6 about IPv6.
    let (before, after) = if peer.is_ipv6() { ("for=\"[", "]\"") } else { ("for=", "") };
    let parts = [before, &address, after, ";host=\"", &visit.authority, "\";proto=", visit.scheme];
    if let Ok(element) = value(&parts) {
        append_member(headers, FORWARDED, element);
    }
    match headers.entry(TRACEPARENT) {
        header::Entry::Vacant(place) => {
            place.insert(begin_trace());
        }
        header::Entry::Occupied(mut trace) if !is_traceparent(trace.get()) => {
            trace.insert(begin_trace());
        }
        header::Entry::Occupied(_) => {}
    }
}

/// Gives a request of the node's own the trace of the one that it is made for: whom that one has passed, and for whom.
pub fn trace_on(headers: &mut HeaderMap, visit: &Visit) {
    let received = &visit.request.headers;
    let is_told = |name: &str| match name {
        "via" | "cdn-loop" | "traceparent" | "tracestate" => true,
        other => visit.asker.speaks_for_viewers() && speaks_as_proxy(other),
    };
    for (name, value) in received.iter().filter(|(name, _)| is_told(name.as_str())) {
        headers.append(name, value.clone());
    }
}

/// An address as text. That of most viewers without the machinery of formatting: it is written for every request that goes on.
fn address_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity(15);
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

/// A number as a value. `HeaderValue::from` allocates twice for it.
#[must_use]
pub fn number(number: u64) -> HeaderValue {
    // Digits are always a valid value.
    HeaderValue::from_str(itoa::Buffer::new().format(number)).unwrap_or(HeaderValue::from_static("0"))
}

/// W3C Trace Context §3.2: version, trace id, parent id, flags. A viewer's own trace goes on; what is malformed begins anew.
fn is_traceparent(value: &HeaderValue) -> bool {
    let parts: Vec<&[u8]> = value.as_bytes().split(|byte| *byte == b'-').collect();
    let hexadecimal = |part: &&[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    lengths == [2, 32, 16, 2]
        && parts.iter().all(hexadecimal)
        && parts[0] != b"ff"
        && !zero(parts[1])
        && !zero(parts[2])
}

/// A trace of our own: not sampled, for nobody has asked for it.
fn begin_trace() -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hexadecimal(&mut text[3..35], &fastrand::u128(1..).to_be_bytes());
    hexadecimal(&mut text[36..52], &fastrand::u64(1..).to_be_bytes());
    // Digits and dashes are always a valid value.
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
}

/// Writes `bytes` in digits, two for each.
pub fn hexadecimal(digits: &mut [u8], bytes: &[u8]) {
    let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Adds a member to a list field, on one line with all those before it: the last of several lines is the one that the nearest
/// proxy wrote, so none may be lost (RFC 9110 §5.3).
fn append_member(headers: &mut HeaderMap, name: HeaderName, member: HeaderValue) {
    match headers.entry(name) {
        header::Entry::Vacant(place) => {
            place.insert(member);
        }
        header::Entry::Occupied(mut said) => {
            let lines = said.iter().chain([&member]).filter_map(|line| line.to_str().ok());
            let joined = lines.collect::<Vec<_>>().join(", ");
            if let Ok(value) = HeaderValue::from_str(&joined) {
                said.insert(value);
            }
        }
    }
}

/// Says that others may get another content coding, unless the origin has said so already.
pub fn vary_by_coding(headers: &mut HeaderMap) {
    let by_coding = HeaderValue::from_static("Accept-Encoding");
    match headers.entry(VARY) {
        header::Entry::Vacant(place) => {
            place.insert(by_coding);
        }
        header::Entry::Occupied(mut said) => {
            let lines = said.iter().filter_map(|line| line.to_str().ok());
            let mut names = lines.flat_map(|line| line.split(','));
            if !names.any(|name| name.trim().eq_ignore_ascii_case(ACCEPT_ENCODING.as_str())) {
                said.append(by_coding);
            }
        }
    }
}

/// What speaks of a body's coding, where the edge has taken it off.
pub fn uncode(headers: &mut HeaderMap) {
    for name in [CONTENT_ENCODING, CONTENT_LENGTH, ACCEPT_RANGES] {
        headers.remove(name);
    }
    for digest in ["content-digest", "content-md5"] {
        headers.remove(digest);
    }
    weaken_etag(headers);
}

/// The entity tag of a body that the edge has encoded or decoded: no longer byte for byte the origin's, so weak (RFC 9110 §8.8.1).
pub fn weaken_etag(headers: &mut HeaderMap) {
    let Some(etag) = headers.get(ETAG) else { return };
    if etag.as_bytes().starts_with(b"W/") {
        return;
    }
    match HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat()) {
        Ok(weak) => headers.insert(ETAG, weak),
        Err(_) => headers.remove(ETAG),
    };
}

/// The path and query of a request, `/` where there is none.
#[must_use]
pub fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
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
    fn connection_removes_extras_but_not_what_the_edge_relies_on() {
        let mut map = headers(&[
            ("connection", "X-Extra, Cookie, host, keep-alive"),
            ("x-extra", "1"),
            ("cookie", "a=b"),
            ("host", "h"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
        ]);
        end_hop(&mut map);
        let mut left: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cookie", "host"]);
    }

    #[test]
    fn under_a_policy_only_the_key_goes_on() {
        let key = cache::KeySettings {
            headers: vec!["X-Device".into()],
            cookies: vec!["theme".into()],
            ..cache::KeySettings::default()
        };
        let mut map = headers(&[
            ("x-device", "phone"),
            ("x-host", "evil"),
            ("cookie", "session=1; theme=dark"),
            ("authorization", "Basic x"),
            ("user-agent", "x"),
        ]);
        keep_keyed(&mut map, &key);
        let mut left: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "cookie", "x-device"]);
        assert_eq!(map["cookie"], "theme=dark");
    }

    #[test]
    fn what_forbids_cdns_to_store_is_told_to_the_next_one() {
        for (control, kept) in
            [("private", true), ("no-store", true), ("no-cache", true), ("max-age=60", false), ("foo", false)]
        {
            let mut map = headers(&[("cdn-cache-control", control), ("cache-control", "max-age=9")]);
            map.insert("surrogate-key", HeaderValue::from_static("a"));
            keep_from_viewers(&mut map);
            assert_eq!(map.contains_key(CDN_CACHE_CONTROL), kept, "{control}");
            assert!(!map.contains_key("surrogate-key"));
        }
    }

    #[test]
    fn what_several_proxies_wrote_on_several_lines_stays_in_order() {
        let mut headers = HeaderMap::new();
        append_member(&mut headers, X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
        assert_eq!(headers[X_FORWARDED_FOR], "192.0.2.1");
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("203.0.113.9"));
        headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(b"\xe9").unwrap());
        append_member(&mut headers, X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        assert_eq!(lines, ["192.0.2.1, 203.0.113.9, 198.51.100.7"]);
    }

    #[test]
    fn strong_tags_become_weak_once() {
        let mut map = headers(&[("etag", "\"a\"")]);
        weaken_etag(&mut map);
        weaken_etag(&mut map);
        assert_eq!(map[ETAG], "W/\"a\"");
    }

    #[test]
    fn answers_vary_by_coding_once() {
        for (said, lines) in [
            (&[][..], 1),
            (&[("vary", "accept-encoding")], 1),
            (&[("vary", "Accept, Accept-Encoding")], 1),
            (&[("vary", "Accept")], 2),
        ] {
            let mut map = headers(said);
            vary_by_coding(&mut map);
            assert_eq!(map.get_all(VARY).iter().count(), lines, "{said:?}");
        }
    }

    #[test]
    fn everybody_asks_for_the_same_codings() {
        let mut map = headers(&[("accept-encoding", "deflate"), ("range", "bytes=0-1"), ("accept", "*/*")]);
        ask_for_everybody(&mut map, &[Coding::Br, Coding::Gzip]);
        assert_eq!(map, headers(&[("accept-encoding", "br, gzip"), ("accept", "*/*")]));
        ask_for_everybody(&mut map, &[]);
        assert_eq!(map, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn traces_are_kept_when_well_formed() {
        let kept = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(&HeaderValue::from_static(kept)));
        assert!(is_traceparent(&begin_trace()));
        for broken in [
            "",
            "00",
            "00-0-0-00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(&broken.parse().unwrap()), "{broken}");
        }
    }

    #[test]
    fn members_join_what_was_there() {
        let mut map = headers(&[("x-forwarded-for", "192.0.2.1")]);
        append_member(&mut map, X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.2"));
        assert_eq!(map[X_FORWARDED_FOR], "192.0.2.1, 192.0.2.2");
    }
}
