//! The answer in another form than the stored one: encoded by the edge, decoded, or both.

use super::answer;
use crate::body::{Body, EntryBody};
use crate::compress::{Bounds, Form, Uncoded};
use crate::error::Fault;
use crate::headers;
use crate::visit::Visit;
use bytes::Bytes;
use cache::{Coding, Entry, Key, Reader};
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, HeaderValue, Response};
use std::sync::Arc;
use std::time::Duration;

/// Bodies up to this length are encoded once for everybody, when they have come, and not for each of those who wait; decoded ones
/// have a length then. It is how far a body that is not kept may run ahead of its slowest reader: whoever waits here cannot hold such a body up.
const AWAITED: u64 = 256 * 1024;

/// How long a viewer waits for that, and for the beginning of what is decoded.
const AWAITED_FOR: Duration = Duration::from_secs(1);

/// Digests of the origin's bytes: RFC 9530 §2 and §3, RFC 3230, RFC 2616 §14.15.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// The head of a body in another form: what describes the bytes as the origin sent them no longer holds.
pub(super) fn describe(headers: &mut HeaderMap, form: Form) {
    if form == Form::STORED {
        return;
    }
    headers.remove(CONTENT_LENGTH);
    headers.remove(CONTENT_ENCODING);
    headers.remove(ACCEPT_RANGES);
    for name in &DIGESTS {
        headers.remove(name);
    }
    if let Some(coding) = form.encode {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    }
    headers::weaken_etag(headers);
}

/// The whole answer in this form. `None` when the entry turned out too large to keep and its beginning is gone already.
///
/// # Errors
/// [`Fault::Unreadable`] and [`Fault::DecodersBusy`] where the stored form has to be decoded.
pub(super) async fn respond(
    visit: &Visit,
    key: Option<&Key>,
    entry: &Arc<Entry>,
    form: Form,
    mut headers: HeaderMap,
) -> Result<Option<Response<Body>>, Fault> {
    let bounds = Bounds::of(&visit.route.compress);
    await_small(entry).await;
    let body = match (form.encode, entry.complete()) {
        (Some(coding), Some(whole)) => {
            let convert = || visit.node.coders.convert(whole, form, bounds);
            match kept(visit, key, entry, coding, convert).await {
                Err(Uncoded::Busy) if form.decode.is_none() => None,
                kept => Some(Body::Whole(kept?)),
            }
        }
        _ => {
            let Some(reader) = entry.read() else { return Ok(None) };
            match form.decode {
                Some(_) => Some(decoded(visit, reader, form, bounds).await?),
                None => visit.node.coders.encoding(reader, form, bounds).map(Box::new).map(Body::Coded),
            }
        }
    };
    let Some(body) = body else {
        // All encoders are taken, and the stored form can be read.
        return Ok(whole(entry).map(|body| answer(entry.status(), headers, body)));
    };
    describe(&mut headers, form);
    Ok(Some(answer(entry.status(), headers, body)))
}

/// The body as it is stored, as far as it has come and then as it comes.
pub(super) fn whole(entry: &Arc<Entry>) -> Option<Body> {
    match entry.complete() {
        Some(complete) => Some(Body::Whole(complete)),
        None => Some(Body::Entry(EntryBody::new(entry.read()?, 0, entry.length()))),
    }
}

/// The encoded form of a complete entry: made once, kept with the entry, weighed in the budget.
async fn kept<Made, Error>(
    visit: &Visit,
    key: Option<&Key>,
    entry: &Arc<Entry>,
    coding: Coding,
    make: impl FnOnce() -> Made,
) -> Result<Bytes, Error>
where
    Made: Future<Output = Result<Bytes, Error>>,
{
    let slot = entry.encoded(coding);
    if let Some(encoded) = slot.get() {
        return Ok(encoded.clone());
    }
    let encoded = slot.get_or_try_init(make).await?.clone();
    if let Some(key) = key {
        visit.node.store.reweigh(key);
    }
    Ok(encoded)
}

/// Decoded for this viewer, the beginning before the head is sent.
async fn decoded(visit: &Visit, reader: Reader, form: Form, bounds: Bounds) -> Result<Body, Fault> {
    let mut flow = Box::new(visit.node.coders.decoding(reader, form, bounds).await?);
    match tokio::time::timeout(AWAITED_FOR, flow.prime()).await {
        Ok(primed) => Ok(primed?.map_or(Body::Coded(flow), Body::Whole)),
        Err(_late) => Ok(Body::Coded(flow)),
    }
}

/// Waits for a body to be there as a whole that will be soon. Late or broken off, it is encoded or decoded as it comes.
async fn await_small(entry: &Arc<Entry>) {
    let is_small = entry.length().is_some_and(|length| length <= AWAITED);
    if entry.complete().is_none()
        && is_small
        && let Some(reader) = entry.read()
    {
        let _ = tokio::time::timeout(AWAITED_FOR, arrival(reader)).await;
    }
}

async fn arrival(mut reader: Reader) {
    while let Some(Ok(_)) = reader.next().await {}
}
