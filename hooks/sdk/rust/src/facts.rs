//! What the node knows about the viewer and the event.
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

/// The viewer's address, IPv4 or IPv6, as text.
#[must_use]
pub fn viewer_address() -> String {
    raw::viewer_address()
}

/// The viewer's country, ISO 3166-1 alpha-2 in upper case, where the node has a geo database that knows it.
#[must_use]
pub fn viewer_country() -> Option<String> {
    raw::viewer_country()
}

/// `TLSv1.2` or `TLSv1.3`; none over plain HTTP.
#[must_use]
pub fn tls_version() -> Option<String> {
    raw::tls_version()
}

/// `HTTP/1.0`, `HTTP/1.1`, `HTTP/2` or `HTTP/3`.
#[must_use]
pub fn http_version() -> String {
    raw::http_version()
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

/// Wall clock that this call has left (`limits.wall`).
#[must_use]
pub fn time_left() -> Duration {
    Duration::from_millis(raw::time_left().into())
}
