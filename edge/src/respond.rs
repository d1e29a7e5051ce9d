//! From a stored entry to the answer that this viewer asked for: 304, 206, 416, HEAD, a content coding, or all of it.

mod coded;
mod plain;

use crate::body::{Body, EntryBody};
use crate::compress::{self, Form};
use crate::error::Fault;
use crate::headers;
use crate::observe::{CacheStatus, Record};
use crate::range::{self, Ranges, Wanted};
use crate::slices::{Broken, Cut, Object, Walk};
use crate::visit::Visit;
use cache::slice::{SLICES, Sliced};
use cache::{Entry, Key};
use http::header::{
    ACCEPT_RANGES, AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body as HttpBody;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// What can be answered from an entry.
#[derive(Debug)]
pub enum Served {
    /// The answer, with the body that a GET would get: HEAD loses it at the end.
    Answer(Box<Response<Body>>),
    /// Nothing: the large object has changed at its origin, and its record is forgotten. Ask the store again.
    Changed,
    /// Nothing: the beginning of a body too large to keep is gone already, or the origin failed to give a slice.
    Gone,
}

impl Served {
    /// For a request that goes alone, and has nobody else to ask.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn only(self) -> Result<Box<Response<Body>>, Fault> {
        match self {
            Self::Answer(response) => Ok(response),
            Self::Changed => Err(Fault::Changed),
            Self::Gone => Err(Fault::Internal("the entry was let go before its first reader".to_owned())),
        }
    }
}

impl From<Response<Body>> for Served {
    fn from(response: Response<Body>) -> Self {
        Self::Answer(Box::new(response))
    }
}

impl From<Option<Response<Body>>> for Served {
    fn from(response: Option<Response<Body>>) -> Self {
        response.map_or(Self::Gone, Self::from)
    }
}

/// The answer from an entry; `cut` are slices that arrive for this viewer, where the entry is the record of a large object.
///
/// # Errors
/// Those of an origin's coding that this viewer cannot read, [`Fault::Unreadable`] and [`Fault::DecodersBusy`], and of fetching a
/// slice, which only records have.
pub async fn from_entry(
    visit: &Arc<Visit>,
    key: Option<&Key>,
    entry: &Arc<Entry>,
    cut: Option<Cut>,
    now: SystemTime,
    record: &mut Record,
) -> Result<Served, Fault> {
    let request = &visit.request.headers;
    let is_ok = entry.status() == StatusCode::OK;
    let stored = visit.fields_of(entry);
    if entry.may_be_record() && stored.contains_key(SLICES) {
        let mut headers = stored.into_owned();
        add_age(&mut headers, entry, now);
        return Box::pin(from_record(visit, key, headers, cut, record)).await;
    }
    let choice = compress::choose(request, entry, &stored, &visit.route.compress);
    let is_known = is_ok && visit.request.method.is_safe() && is_not_modified(request, &stored);
    let wanted = match wanted(visit, entry.length().filter(|_| is_ok), &stored) {
        // RFC 9110 §14.2: ranges are of the stored body, whose strong entity tag ties parts together. Who would get it encoded
        // gets parts of it plain; who would get it decoded gets the whole, since nobody knows where its parts begin.
        _ if choice.form.decode.is_some() => Wanted::Whole,
        // §8.8.2.2: a date does not tell the plain body from the encoded one that this viewer may have the beginning of.
        _ if choice.form != Form::STORED && is_tied_by_date(request) => Wanted::Whole,
        // Readers that wait for their turn would hold the others back.
        Wanted::Parts(_) if entry.complete().is_none() => Wanted::Whole,
        wanted => wanted,
    };
    if !is_known
        && wanted == Wanted::Whole
        && choice.form == Form::STORED
        && let Some(response) = plain::respond(visit, entry, choice, now, record)
    {
        return Ok(response.into());
    }
    let mut headers = stored.into_owned();
    add_age(&mut headers, entry, now);
    if choice.varies {
        headers::vary_by_coding(&mut headers);
    }
    if is_known {
        return Ok(not_modified(headers, choice.form).into());
    }
    if wanted == Wanted::Whole && choice.form != Form::STORED {
        return Box::pin(coded::respond(visit, key, entry, choice.form, headers)).await.map(Into::into);
    }
    if is_ok && entry.length().is_some() {
        add_ranges(&mut headers);
    }
    let total = entry.length().unwrap_or_default();
    let response = match wanted {
        Wanted::Part(range) => cut_out(entry, &range).and_then(|body| part(headers, body, &range, total)),
        Wanted::Parts(ranges) => parts(headers, &ranges, total, |range| cut_out(entry, range)),
        Wanted::Unsatisfiable => Some(unsatisfiable(total)),
        Wanted::Whole => coded::whole(entry).map(|body| answer(entry.status(), headers, body)),
    };
    Ok(response.into())
}

/// The answer from the record of a large object: what can be said without its bytes is said without asking the origin.
async fn from_record(
    visit: &Arc<Visit>,
    key: Option<&Key>,
    mut headers: HeaderMap,
    cut: Option<Cut>,
    record: &mut Record,
) -> Result<Served, Fault> {
    let sliced = headers.remove(SLICES).as_ref().and_then(Sliced::read);
    let Some((key, sliced)) = key.zip(sliced) else { return Ok(Served::Gone) };
    let object = Arc::new(Object::new(visit, key, sliced));
    let total = object.total();
    if is_not_modified(&visit.request.headers, &headers) {
        return Ok(not_modified(headers, Form::STORED).into());
    }
    add_ranges(&mut headers);
    if visit.request.method != Method::GET {
        return Ok(answer(StatusCode::OK, headers, Body::empty()).into());
    }
    let wanted = wanted(visit, Some(total), &headers);
    let first = match &wanted {
        Wanted::Unsatisfiable => return Ok(unsatisfiable(total).into()),
        Wanted::Whole => 0..total,
        Wanted::Part(range) => range.clone(),
        Wanted::Parts(ranges) => ranges.first().cloned().unwrap_or_default(),
    };
    let mut first = Walk::new(Arc::clone(&object), first, cut);
    match first.begin().await {
        Ok(true) if record.stored.is_none() => record.cache = Some(CacheStatus::Partial),
        Ok(_) => {}
        Err(Broken::Changed) => return Ok(Served::Changed),
        Err(Broken::Failed) => return Ok(Served::Gone),
        Err(Broken::Fault(fault)) => return Err(fault),
    }
    let mut first = Some(Body::Slices(Box::new(first)));
    let mut walk = |range: &Range<u64>| {
        let next = || Body::Slices(Box::new(Walk::new(Arc::clone(&object), range.clone(), None)));
        Some(first.take().unwrap_or_else(next))
    };
    let response = match wanted {
        Wanted::Parts(ranges) => parts(headers, &ranges, total, walk),
        Wanted::Part(range) => walk(&range).and_then(|body| part(headers, body, &range, total)),
        _ => walk(&(0..total)).map(|body| answer(StatusCode::OK, headers, body)),
    };
    Ok(response.into())
}

/// RFC 9111 §5.1.
fn add_age(headers: &mut HeaderMap, entry: &Entry, now: SystemTime) {
    headers.insert(AGE, headers::number(entry.freshness().age(now).as_secs()));
}

fn add_ranges(headers: &mut HeaderMap) {
    headers.entry(ACCEPT_RANGES).or_insert(HeaderValue::from_static("bytes"));
}

fn part(mut headers: HeaderMap, body: Body, range: &Range<u64>, total: u64) -> Option<Response<Body>> {
    headers.insert(CONTENT_RANGE, range::content_range(range, total)?);
    headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
    Some(answer(StatusCode::PARTIAL_CONTENT, headers, body))
}

/// RFC 9110 §15.3.7.2: `Content-Range` and the content type of the object go into each part.
fn parts(
    mut headers: HeaderMap,
    ranges: &[Range<u64>],
    total: u64,
    body_of: impl FnMut(&Range<u64>) -> Option<Body>,
) -> Option<Response<Body>> {
    let content_type = headers.remove(CONTENT_TYPE);
    let (content_type, body) = range::multipart(ranges, total, content_type.as_ref(), body_of)?;
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONTENT_LENGTH, HttpBody::size_hint(&body).exact()?.into());
    Some(answer(StatusCode::PARTIAL_CONTENT, headers, body))
}

fn cut_out(entry: &Arc<Entry>, range: &Range<u64>) -> Option<Body> {
    let Some(complete) = entry.complete() else {
        let length = Some(range.end - range.start);
        return Some(Body::Entry(EntryBody::new(entry.read()?, range.start, length)));
    };
    let (from, to) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (to <= complete.len()).then(|| Body::Whole(complete.slice(from..to)))
}

/// RFC 9110 §15.5.17.
fn unsatisfiable(total: u64) -> Response<Body> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{total}")) {
        headers.insert(CONTENT_RANGE, value);
    }
    answer(StatusCode::RANGE_NOT_SATISFIABLE, headers, Body::empty())
}

/// RFC 9110 §15.4.5: what the 200 would say, and nothing about a body that it does not have.
fn not_modified(mut headers: HeaderMap, form: Form) -> Response<Body> {
    coded::describe(&mut headers, form);
    for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING] {
        headers.remove(name);
    }
    answer(StatusCode::NOT_MODIFIED, headers, Body::empty())
}

fn answer(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// RFC 9110 §13.1.2, §13.1.3: `If-None-Match` alone decides where it is present.
fn is_not_modified(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if headers::has(request, &IF_NONE_MATCH) {
        let Some(etag) = stored.get(ETAG).map(|etag| opaque(etag.as_bytes())) else {
            return request.get_all(IF_NONE_MATCH).iter().any(|line| line.as_bytes().trim_ascii() == b"*");
        };
        let tags = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        return tags.map(<[u8]>::trim_ascii).any(|tag| tag == b"*" || opaque(tag) == etag);
    }
    if !headers::has(request, &IF_MODIFIED_SINCE) {
        return false;
    }
    let Some(since) = date(request.get(IF_MODIFIED_SINCE)) else { return false };
    date(stored.get(LAST_MODIFIED)).is_some_and(|modified| modified <= since)
}

/// Weak comparison (RFC 9110 §8.8.3.2) looks at this part only.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

fn date(value: Option<&HeaderValue>) -> Option<SystemTime> {
    cache::policy::http_date(value?.to_str().ok()?)
}

/// RFC 9110 §14.2: ranges are of a GET, of a body whose length in bytes is known, and of the version that `If-Range` names.
fn wanted(visit: &Visit, total: Option<u64>, stored: &HeaderMap) -> Wanted {
    let request = &visit.request;
    let Some(total) = total.filter(|_| request.method == Method::GET) else { return Wanted::Whole };
    match Ranges::of(&request.headers, visit.node.limits.ranges) {
        Some(ranges) if if_range_holds(&request.headers, stored) => ranges.within(total),
        _ => Wanted::Whole,
    }
}

/// Whether `If-Range` is a date.
fn is_tied_by_date(request: &HeaderMap) -> bool {
    request.get(IF_RANGE).is_some_and(|condition| !condition.as_bytes().ends_with(b"\""))
}

/// RFC 9110 §13.1.5: strong comparison, or the very same date.
fn if_range_holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(condition) = request.get(IF_RANGE) else { return true };
    if condition.as_bytes().ends_with(b"\"") {
        let strong = !condition.as_bytes().starts_with(b"W/");
        return strong && stored.get(ETAG) == Some(condition);
    }
    date(Some(condition)).is_some() && stored.get(LAST_MODIFIED) == Some(condition)
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
    fn tags_decide_before_dates() {
        let stored = headers(&[("etag", "\"a\""), ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT")]);
        let later = ("if-modified-since", "Wed, 15 Nov 2023 22:13:20 GMT");
        for (request, expected) in [
            (vec![("if-none-match", "\"a\"")], true),
            (vec![("if-none-match", "\"x\", W/\"a\"")], true),
            (vec![("if-none-match", "*")], true),
            (vec![("if-none-match", "\"x\""), later], false),
            (vec![later], true),
            (vec![("if-modified-since", "Mon, 13 Nov 2023 22:13:20 GMT")], false),
            (vec![("if-modified-since", "garbage")], false),
            (vec![], false),
        ] {
            assert_eq!(is_not_modified(&headers(&request), &stored), expected, "{request:?}");
        }
    }

    #[test]
    fn if_range_wants_strong_equality() {
        let stored = headers(&[("etag", "\"a\""), ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT")]);
        for (condition, expected) in [
            ("\"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            ("Tue, 14 Nov 2023 22:13:20 GMT", true),
            ("Tue, 14 Nov 2023 22:13:21 GMT", false),
            ("garbage", false),
        ] {
            assert_eq!(
                if_range_holds(&headers(&[("if-range", condition)]), &stored),
                expected,
                "{condition}"
            );
        }
    }
}
