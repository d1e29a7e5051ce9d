//! What the node knows about the viewer, the request and this call. A fact that nobody asks for is not looked up.
//!
//! ```no_run
//! # use selvedge_hook::prelude::*;
//! # fn hook(request: &Request) -> Result {
//! if facts::viewer_country().as_deref() == Some("KR") {
//!     request.set_header("x-language", "ko")?;
//! }
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use crate::bindings::selvedge::edge::facts as raw;

/// The viewer's address, IPv4 or IPv6, without the port, after trusted peers were believed.
#[must_use]
pub fn viewer_address() -> String {
    raw::viewer_address()
}

/// The port of the viewer's connection; none where a trusted peer speaks for the viewer.
#[must_use]
pub fn viewer_port() -> Option<u16> {
    raw::viewer_port()
}

/// The viewer's country, ISO 3166-1 alpha-2 in upper case, where the node has a database that knows it.
#[must_use]
pub fn viewer_country() -> Option<String> {
    raw::viewer_country()
}

/// `AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`.
#[must_use]
pub fn viewer_continent() -> Option<String> {
    raw::viewer_continent()
}

/// ISO 3166-2 without the country and the hyphen: `11` of `KR-11`.
#[must_use]
pub fn viewer_region() -> Option<String> {
    raw::viewer_region()
}

/// In English.
#[must_use]
pub fn viewer_city() -> Option<String> {
    raw::viewer_city()
}

/// Latitude and longitude in degrees.
#[must_use]
pub fn viewer_location() -> Option<(f64, f64)> {
    raw::viewer_location()
}

/// Of the IANA database: `Asia/Seoul`.
#[must_use]
pub fn viewer_time_zone() -> Option<String> {
    raw::viewer_time_zone()
}

/// Number of the autonomous system that announces the address.
#[must_use]
pub fn viewer_asn() -> Option<u32> {
    raw::viewer_asn()
}

/// `TLSv1.2` or `TLSv1.3`; none over plain HTTP.
#[must_use]
pub fn tls_version() -> Option<String> {
    raw::tls_version()
}

/// The cipher suite, as the IANA registry spells it: `TLS_AES_128_GCM_SHA256`.
#[must_use]
pub fn tls_cipher() -> Option<String> {
    raw::tls_cipher()
}

/// The protocol that was agreed on in TLS (ALPN, RFC 7301): `h2`, `http/1.1`.
#[must_use]
pub fn tls_protocol() -> Option<String> {
    raw::tls_protocol()
}

/// The host that the viewer named in TLS (RFC 6066), lower case.
#[must_use]
pub fn tls_server_name() -> Option<String> {
    raw::tls_server_name()
}

/// `HTTP/1.0`, `HTTP/1.1`, `HTTP/2` or `HTTP/3`.
#[must_use]
pub fn http_version() -> String {
    raw::http_version()
}

/// The format of the URL's signature, such as `cloudfront`; none on routes that want no signature.
#[must_use]
pub fn grant_scheme() -> Option<String> {
    raw::grant_scheme()
}

/// The id of the key that signed the URL.
#[must_use]
pub fn grant_key() -> Option<String> {
    raw::grant_key()
}

/// When the grant ends, in seconds since 1970.
#[must_use]
pub fn grant_expires() -> Option<u64> {
    raw::grant_expires()
}

/// What the signature opens, as the signer wrote it, where that is more than the URL that was asked for.
#[must_use]
pub fn grant_resource() -> Option<String> {
    raw::grant_resource()
}

/// The request's id in the node's log.
#[must_use]
pub fn request_id() -> String {
    raw::request_id()
}

/// The node's name.
#[must_use]
pub fn node() -> String {
    raw::node()
}

/// The site's name in the node's configuration.
#[must_use]
pub fn site() -> String {
    raw::site()
}

/// The route's path pattern.
#[must_use]
pub fn route() -> String {
    raw::route()
}

/// `viewer-request`, `origin-request`, `origin-response` or `viewer-response`.
#[must_use]
pub fn event() -> String {
    raw::event()
}

/// The hook's name in the node's configuration.
#[must_use]
pub fn hook() -> String {
    raw::hook()
}

/// Which version of the hook this is: the first twelve hexadecimal digits of its component's SHA-256.
#[must_use]
pub fn hook_version() -> String {
    raw::hook_version()
}

/// Whether this call is the canary's: a version on trial.
#[must_use]
pub fn is_canary() -> bool {
    raw::is_canary()
}

/// Wall clock that this call has left (`limits.wall`).
#[must_use]
pub fn time_left() -> Duration {
    Duration::from_millis(raw::time_left().into())
}
