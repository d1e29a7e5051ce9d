//! Parts of small objects, kept as they came (RFC 9111 §3.3): for parts of them only, since nothing ties them to the rest.
//!
//! Large objects are another matter: they are stored in slices.

use crate::body::Body;
use crate::headers;
use crate::observe::{CacheStatus, Record};
use crate::range::{self, Ranges, Span, Wanted};
use crate::visit::Visit;
use cache::slice::content_range;
use cache::{Demand, Entry, Key, Lookup, Permit, Storing};
use http::header::{
    AGE, CONTENT_LENGTH, CONTENT_RANGE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};
use http::response::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// Where a part is kept beside the whole.
const PART: &str = "206";

/// Whether an answer may be stored and by which right: one that holds the part that its viewer asked for is judged as the whole
/// would be, and kept beside it.
pub fn beside(
    visit: &Visit,
    head: &Parts,
    permit: Permit,
    judge: impl Fn(&HeaderMap, StatusCode) -> Storing,
) -> (Storing, Permit) {
    let as_whole = || judge(&head.headers, StatusCode::OK);
    match right(visit, head).map(|right| (as_whole(), right)) {
        Some((storing @ Storing::Store(_), right)) => (storing, right),
        _ => (judge(&head.headers, head.status), permit),
    }
}

/// The right to keep an answer that holds the one part that this viewer asked for; `None` for any other answer.
fn right(visit: &Visit, head: &Parts) -> Option<Permit> {
    if head.status != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let length: u64 = head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    let is_small = length <= visit.node.config.cache.slice.size.as_u64();
    content_range(&head.headers).filter(|_| is_small)?;
    asked_for(visit)?;
    visit.key().map(|key| visit.node.store.alone(&key.beside(PART)))
}

/// The answer from a kept part, where that holds all that this viewer asks for.
#[must_use]
pub fn respond(visit: &Visit, key: &Key, now: SystemTime, record: &mut Record) -> Option<Response<Body>> {
    let ranges = asked_for(visit)?;
    let key = key.beside(PART);
    let found = visit.node.store.begin(&key, &visit.request.headers, &Demand::default(), now);
    let Lookup::Fresh(entry) = found else { return None };
    let response = cut(visit, &entry, &ranges, now)?;
    record.cache = Some(CacheStatus::of_stored(&entry.freshness(), now));
    Some(response)
}

/// The one range that a viewer asks for, under no condition.
fn asked_for(visit: &Visit) -> Option<Ranges> {
    let conditions = [IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_MATCH, IF_UNMODIFIED_SINCE];
    let has_condition = conditions.iter().any(|name| visit.request.headers.contains_key(name));
    let is_plain = visit.request.method == Method::GET && !has_condition;
    Ranges::of(&visit.request.headers, 1).filter(|_| is_plain)
}

fn cut(visit: &Visit, entry: &Arc<Entry>, ranges: &Ranges, now: SystemTime) -> Option<Response<Body>> {
    let mut headers = visit.fields_of(entry).into_owned();
    let (held, total) = content_range(&headers)?;
    let body = entry.complete()?;
    let (part, within) = place(ranges, &held, total, body.len() as u64)?;
    headers.insert(AGE, headers::number(entry.freshness().age(now).as_secs()));
    headers.insert(CONTENT_RANGE, range::content_range(&part, total)?);
    headers.insert(CONTENT_LENGTH, (within.end - within.start).into());
    let within = usize::try_from(within.start).ok()?..usize::try_from(within.end).ok()?;
    let mut response = Response::new(Body::Whole(body.slice(within)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = headers;
    Some(response)
}

/// Which bytes of the object are answered with, and where they are in the kept body. Positions count from the beginning of the
/// body and what is asked for from the end counts from its end: should an origin have said one number wrong, the other side of
/// its answer is still right.
fn place(ranges: &Ranges, held: &Range<u64>, total: u64, length: u64) -> Option<(Range<u64>, Range<u64>)> {
    let Wanted::Part(wanted) = ranges.within(total) else { return None };
    if wanted.start < held.start || wanted.end > held.end {
        return None;
    }
    let count = wanted.end - wanted.start;
    let (part, within) = match ranges.spans() {
        [Span::Last(_)] => {
            let count = count.min(length);
            (total - count..total, length - count..length)
        }
        _ => {
            let begin = wanted.start - held.start;
            let count = count.min(length.checked_sub(begin)?);
            (wanted.start..wanted.start + count, begin..begin + count)
        }
    };
    (!part.is_empty()).then_some((part, within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_answers_for_what_it_holds() {
        // Bytes 4 to 9 of 10.
        for (field, part, within) in [
            ("bytes=4-9", 4..10, 0..6),
            ("bytes=6-8", 6..9, 2..5),
            ("bytes=6-", 6..10, 2..6),
            ("bytes=-6", 4..10, 0..6),
            ("bytes=-1", 9..10, 5..6),
            ("bytes=5-99", 5..10, 1..6),
        ] {
            let ranges = Ranges::read(field, 1).unwrap();
            assert_eq!(place(&ranges, &(4..10), 10, 6), Some((part, within)), "{field}");
        }
        for field in ["bytes=3-5", "bytes=0-", "bytes=-7", "bytes=10-"] {
            let ranges = Ranges::read(field, 1).unwrap();
            assert_eq!(place(&ranges, &(4..10), 10, 6), None, "{field}");
        }
        let ranges = |field| Ranges::read(field, 1).unwrap();
        assert_eq!(place(&ranges("bytes=0-3"), &(0..5), 10, 5), Some((0..4, 0..4)));
        assert_eq!(place(&ranges("bytes=-1"), &(0..5), 10, 5), None);
        // Less came than was said.
        assert_eq!(place(&ranges("bytes=6-"), &(4..10), 10, 5), Some((6..9, 2..5)));
        assert_eq!(place(&ranges("bytes=-1"), &(4..10), 10, 5), Some((9..10, 4..5)));
        assert_eq!(place(&ranges("bytes=9-"), &(4..10), 10, 5), None);
    }
}
