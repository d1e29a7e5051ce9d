//! Which statuses may be kept, and whose doing they are.

use super::Policy;
use http::{HeaderMap, StatusCode};

/// A head beyond this many bytes, or a value beyond a quarter of it, may be what the origin complains about in a 400.
const ORDINARY: usize = 2048;

/// Whether an answer of this status is never kept, for whatever is said of its freshness (§3), `explicit` being whether the
/// origin gave one.
///
/// What a status says about the form of this one request (RFC 9110 §15.5: refused, too long, malformed …) must not be served to
/// others whose requests are well: an attacker would choose the form. Errors of the origin are the moment's, unless it says
/// how long they last and no policy knows better.
pub(super) fn is_refused(status: StatusCode, request: &HeaderMap, explicit: bool, policy: &Policy) -> bool {
    match status.as_u16() {
        ..200 | 304 => true,
        400 => !explicit || !policy.follows_the_origin() || !is_ordinary(request),
        401 | 403 | 405 | 407 | 408 | 411..=417 | 421 | 425 | 426 | 428 | 429 | 431 | 451 => true,
        500.. => !explicit || !policy.follows_the_origin(),
        _ => false,
    }
}

/// §5.2.2.3: whether this cache knows what the status means for storing.
pub(super) fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300..=303 | 307 | 308 | 404 | 410 | 500 | 501..=504)
}

/// Whether nothing in the form of a request is likely to have provoked a 400: no long values, no bytes beyond visible ASCII.
fn is_ordinary(request: &HeaderMap) -> bool {
    let is_plain = |value: &http::HeaderValue| value.len() <= ORDINARY / 4 && value.to_str().is_ok();
    let length: usize = request.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    length <= ORDINARY && request.values().all(is_plain)
}
