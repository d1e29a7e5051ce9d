//! The whole of a stored answer as it is, which is what most viewers get: nothing on its way changes its head. That is drafted once, and
//! what differs from one answer to the next is filled in.

use super::{add_age, add_ranges, answer};
use crate::body::Body;
use crate::compress::Choice;
use crate::headers::{self, CACHE_STATUS, X_REQUEST_ID};
use crate::observe::Record;
use crate::visit::Visit;
use cache::{Draft, Entry};
use http::header::{AGE, VIA};
use http::{HeaderName, Method, Response, StatusCode};
use std::sync::Arc;
use std::time::SystemTime;

/// What differs.
const OPEN: [HeaderName; 4] = [AGE, CACHE_STATUS, VIA, X_REQUEST_ID];

/// The answer, stamps included, from an entry that is in use. `None` where it has to be made step by step.
pub(super) fn respond(
    visit: &Visit,
    entry: &Arc<Entry>,
    choice: Choice,
    now: SystemTime,
    record: &mut Record,
) -> Option<Response<Body>> {
    let is_whole = entry.status() == StatusCode::OK && visit.request.method == Method::GET;
    if !is_whole || !visit.leaves_heads_alone() || !record.is_of_hit() {
        return None;
    }
    let drafts = entry.drafts()?;
    let body = entry.complete()?;
    let draft = drafts[usize::from(choice.varies)].get_or_init(|| {
        let mut headers = entry.headers().into_owned();
        add_age(&mut headers, entry, now);
        if choice.varies {
            headers::vary_by_coding(&mut headers);
        }
        add_ranges(&mut headers);
        record.stamp(&visit.asked(), &mut headers);
        Box::new(Draft::of(&headers, &OPEN))
    });
    let age = headers::number(entry.freshness().age(now).as_secs());
    let [status, via, request_id] = record.stamps(&visit.asked());
    Some(answer(StatusCode::OK, draft.filled([age, status, via, request_id]), Body::Whole(body)))
}
