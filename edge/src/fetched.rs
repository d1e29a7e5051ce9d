//! What the origin's side of the pipeline brings back to the viewer's.

use crate::body::Body;
use crate::compress;
use crate::error::Fault;
use crate::observe::{CacheStatus, Record};
use crate::respond::{self, Served};
use crate::slices::{self, Cut};
use crate::turn;
use crate::visit::Visit;
use cache::{Entry, Freshness, Key, Permit, Reader, Skip, Storing, Writer};
use http::header::{AGE, RANGE};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;
use origin_shield::Attempt;
use std::sync::Arc;
use std::time::Duration;

/// What the origin's side brings back.
pub struct Fetched {
    /// The answer.
    pub answer: Answer,
    /// What the cache had to do with it, if that differs from what the viewer's side expected.
    pub cache: Option<CacheStatus>,
    /// Whether it was stored, or the reason why not.
    pub stored: Option<Result<(), &'static str>>,
    /// Attempts at origins that failed before.
    pub attempts: Vec<Attempt>,
    /// Fields that are not stored, for the viewer who brought the answer about (RFC 9111 §5.2.2.4, §5.2.2.7).
    pub own: HeaderMap,
}

/// An answer from the origin's side.
pub enum Answer {
    /// An entry, and where it still fills a reader that holds its beginning until the answer has its own.
    Entry(Arc<Entry>, Option<Reader>),
    /// The record of an object in slices, and those that are arriving.
    Sliced(Arc<Entry>, Cut),
    /// A response that is not stored.
    Stream(Response<Body>),
}

impl Fetched {
    /// An answer of which nothing more is known.
    #[must_use]
    pub fn new(answer: Answer, attempts: Vec<Attempt>) -> Self {
        Self { answer, cache: None, stored: None, attempts, own: HeaderMap::new() }
    }

    /// An answer that is being stored; `own` fields are not.
    #[must_use]
    pub fn stored(answer: Answer, own: HeaderMap, attempts: Vec<Attempt>) -> Self {
        Self { stored: Some(Ok(())), own, ..Self::new(answer, attempts) }
    }

    /// An entry that the origin has confirmed.
    #[must_use]
    pub fn revalidated(entry: Arc<Entry>, own: HeaderMap, attempts: Vec<Attempt>) -> Self {
        Self { cache: Some(CacheStatus::Revalidated), own, ..Self::new(Answer::Entry(entry, None), attempts) }
    }

    /// An answer that is not stored.
    #[must_use]
    pub fn declined(response: Response<Body>, skip: Skip, attempts: Vec<Attempt>) -> Self {
        Self { stored: Some(Err(skip.token())), ..Self::new(Answer::Stream(response), attempts) }
    }

    /// A stale entry in place of a failed origin.
    #[must_use]
    pub fn stale(entry: Arc<Entry>, attempts: Vec<Attempt>) -> Self {
        let cache = Some(CacheStatus::StaleIfError(Duration::ZERO));
        Self { cache, ..Self::new(Answer::Entry(entry, None), attempts) }
    }

    /// Whether what came is not kept, and more than the viewer asked for or another part: better ask for that alone.
    #[must_use]
    pub fn is_more_than_asked(&self, visit: &Visit) -> bool {
        let Answer::Stream(response) = &self.answer else { return false };
        let is_part_wanted = visit.request.method == Method::GET && visit.request.headers.contains_key(RANGE);
        is_part_wanted && (response.status() == StatusCode::OK || slices::is_unasked(response))
    }

    /// The answer for this viewer; what is known goes into its record.
    ///
    /// # Errors
    /// Those of [`respond::from_entry`].
    pub async fn respond(
        self,
        visit: &Arc<Visit>,
        key: Option<&Key>,
        record: &mut Record,
    ) -> Result<Served, Fault> {
        if !visit.route.hooks.is_empty() {
            turn::give_way().await;
        }
        record.cache = self.cache.or(record.cache);
        record.stored = self.stored;
        record.attempts = self.attempts;
        let (entry, cut, _beginning) = match self.answer {
            Answer::Stream(mut response) => {
                visit.keep_back(response.headers_mut());
                return Ok(response.into());
            }
            Answer::Entry(entry, beginning) => (entry, None, beginning),
            Answer::Sliced(entry, cut) => (entry, Some(cut), None),
        };
        if let Some(CacheStatus::StaleIfError(past)) = &mut record.cache {
            let freshness = entry.freshness();
            *past = freshness.age(visit.later()).saturating_sub(freshness.lifetime);
        }
        let mut served = respond::from_entry(visit, key, &entry, cut, visit.later(), record).await?;
        // RFC 9111 §5.1: Age says that the answer was not made for this request.
        if let Served::Answer(response) = &mut served {
            if matches!(record.stored, Some(Ok(()))) && entry.freshness().initial_age.is_zero() {
                response.headers_mut().remove(AGE);
            }
            response.headers_mut().extend(self.own);
        }
        Ok(served)
    }
}

/// Whether an answer that may be stored is one that this node keeps.
///
/// # Errors
/// Why it is not.
pub fn keeps(
    visit: &Visit,
    judged: &Storing,
    permit: &Permit,
    headers: &HeaderMap,
    body: &Body,
) -> Result<Freshness, Skip> {
    match *judged {
        Storing::Store(_) if !permit.accepts(body.length(headers)) => Err(Skip::Size),
        // Asked for in one viewer's own codings.
        Storing::Store(_)
            if permit.is_alone() && compress::is_for_one_viewer(headers, &visit.route.compress) =>
        {
            Err(Skip::Encoded)
        }
        Storing::Store(freshness) => Ok(freshness),
        Storing::Skip(skip) => Err(skip),
    }
}

/// Brings the body into the entry. Goes on when every viewer has left; breaks off, publishing nothing, when the origin does.
pub async fn fill(visit: Arc<Visit>, mut body: Body, mut writer: Writer) {
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(chunk)) => {
                if writer.push(chunk).await.is_err() {
                    return;
                }
            }
            // Trailers are not stored (RFC 9111 §3).
            Ok(Err(_)) => {}
            Err(error) => return visit.node.observer.body_broke(&visit, &error.to_string()),
        }
    }
    writer.finish();
}
