//! The first contact with an object that may be large: a viewer who asks for a part does not make the edge fetch the whole.

use super::range_of;
use crate::body::Body;
use crate::compress;
use crate::error::Fault;
use crate::headers;
use crate::pipeline::{self, Reply};
use crate::range::{Ranges, Span};
use crate::visit::Visit;
use cache::Permit;
use cache::slice::{self, Sliced};
use hooks::Event;
use http::header::{ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use origin_shield::OutgoingBody;
use std::ops::Range;

/// What of an answer is to be stored in slices.
#[derive(Debug)]
pub struct Plan {
    /// The object.
    pub(super) sliced: Sliced,
    /// The bytes of the object that the answer holds.
    pub(super) came: Range<u64>,
    /// The header fields of the whole object.
    pub headers: HeaderMap,
}

impl Plan {
    /// How an answer may be stored in slices: where its length and a strong validator are known, its origin answers ranges, and
    /// nobody wants its body in one piece, neither a hook nor whoever encodes or decodes it.
    #[must_use]
    pub fn of(visit: &Visit, permit: &Permit, head: &Parts) -> Option<Self> {
        let settings = &visit.node.config.cache.slice;
        let size = settings.size.as_u64();
        if permit.is_alone() || !permit.accepts(Some(size)) || is_wanted_whole(visit) {
            return None;
        }
        let (came, total) = match head.status {
            StatusCode::OK if has_ranges(&head.headers) => {
                let total = head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
                (total > settings.over.as_u64()).then_some((0..total, total))?
            }
            StatusCode::PARTIAL_CONTENT => slice::content_range(&head.headers)?,
            _ => return None,
        };
        if compress::may_transform(&head.headers, total, &visit.route.compress) {
            return None;
        }
        let sliced = Sliced::new(fastrand::u128(..), size, total, &head.headers)?;
        let mut headers = head.headers.clone();
        sliced.mark(&mut headers);
        Some(Self { sliced, came, headers })
    }
}

/// Whether a hook gets the bodies of this route: it must get them whole.
fn is_wanted_whole(visit: &Visit) -> bool {
    visit.route.hooks.iter().any(|hook| hook.listens(Event::OriginResponse))
}

/// RFC 9110 §14.3.
fn has_ranges(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_RANGES).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|unit| unit.trim().eq_ignore_ascii_case("bytes"))
}

/// Marks an answer that holds a part which the edge asked for, not the viewer.
#[derive(Debug, Clone, Copy)]
struct Unasked;

/// Whether an answer holds a part that no viewer has asked for.
#[must_use]
pub fn is_unasked(response: &Response<Body>) -> bool {
    response.extensions().get::<Unasked>().is_some()
}

/// Asks for the slice that the viewer needs first, where it is a part that is wanted. `None`: ask for the whole.
///
/// # Errors
/// Those of [`pipeline::send`].
pub async fn contact(visit: &Visit, permit: &Permit) -> Result<Option<Reply>, Fault> {
    let size = visit.node.config.cache.slice.size.as_u64();
    let Some(needed) = first_needed(visit, permit, size) else { return Ok(None) };
    // What lies beyond the end of an object may still be of one in slices: its first slice tells.
    let beginning = range_of(&(0..size));
    let needed = Some(needed).filter(|needed| *needed != beginning);
    for part in needed.into_iter().chain([beginning]) {
        let edit = |headers: &mut HeaderMap| {
            if let Some(stale) = permit.stale() {
                headers::ask_whether_changed(headers, stale);
            }
            headers.insert(RANGE, part);
            // A part of an encoded body is of no use to whoever reads no coding.
            headers.remove(ACCEPT_ENCODING);
        };
        let (response, attempts) = pipeline::send(visit, OutgoingBody::Empty, Some(permit), edit).await?;
        match response.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => {}
            StatusCode::PARTIAL_CONTENT => {
                return Ok(understood(visit, permit, response, size).map(|response| (response, attempts)));
            }
            _ => return Ok(Some((response, attempts))),
        }
    }
    Ok(None)
}

/// The value of the `Range` to ask with: the slice that holds the first byte wanted, or at the end as many bytes as are wanted, up to
/// a slice. Where the end is nobody knows yet, so no slice can be named, and most of one would be for nobody.
fn first_needed(visit: &Visit, permit: &Permit, size: u64) -> Option<HeaderValue> {
    let is_for_parts =
        visit.request.method == Method::GET && !permit.is_alone() && permit.accepts(Some(size));
    // Of an object that is known in one piece, the whole is asked whether it has changed.
    let is_known_whole = permit.stale().is_some_and(|stale| Sliced::of(stale).is_none());
    if !is_for_parts || is_known_whole || is_wanted_whole(visit) {
        return None;
    }
    let ranges = Ranges::of(&visit.request.headers, visit.node.limits.ranges)?;
    match *ranges.spans().first()? {
        Span::From(first) | Span::Between(first, _) => {
            let start = first - first % size;
            Some(range_of(&(start..start.saturating_add(size))))
        }
        Span::Last(0) => Some(range_of(&(0..size))),
        Span::Last(count) => HeaderValue::from_str(&format!("bytes=-{}", count.min(size))).ok(),
    }
}

/// What a 206 is good for: a small object may have come whole, a large one can be stored in slices. `None`: it is of no use.
fn understood(visit: &Visit, permit: &Permit, response: Response<Body>, size: u64) -> Option<Response<Body>> {
    let (mut head, body) = response.into_parts();
    let (came, total) = slice::content_range(&head.headers)?;
    if came == (0..total) {
        head.status = StatusCode::OK;
        head.headers.remove(CONTENT_RANGE);
        return Some(Response::from_parts(head, body));
    }
    if Plan::of(visit, permit, &head).is_some() {
        head.extensions.insert(Unasked);
        return Some(Response::from_parts(head, body));
    }
    // An origin that gives less of a small object than was asked for knows why.
    (total <= size).then(|| Response::from_parts(head, body))
}
