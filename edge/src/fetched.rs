//! What the origin's side of the pipeline brings back to the viewer's.

use crate::body::Body;
use crate::error::Fault;
use crate::headers;
use crate::observe::{CacheStatus, Record};
use crate::respond;
use crate::visit::Visit;
use cache::{Entry, Key, Reader};
use http::header::{AGE, RANGE};
use http::{HeaderMap, Method, Response, StatusCode};
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
    /// A response that is not stored.
    Stream(Response<Body>),
}

impl Fetched {
    /// An answer of which nothing more is known.
    #[must_use]
    pub fn new(answer: Answer, attempts: Vec<Attempt>) -> Self {
        Self { answer, cache: None, stored: None, attempts, own: HeaderMap::new() }
    }

    /// A stale entry in place of a failed origin.
    #[must_use]
    pub fn stale(entry: Arc<Entry>, attempts: Vec<Attempt>) -> Self {
        let cache = Some(CacheStatus::StaleIfError(Duration::ZERO));
        Self { cache, ..Self::new(Answer::Entry(entry, None), attempts) }
    }

    /// Whether the viewer asked for a part and the whole came, which is not kept either: better ask for the part alone.
    #[must_use]
    pub fn is_more_than_asked(&self, visit: &Visit) -> bool {
        let is_whole =
            matches!(&self.answer, Answer::Stream(response) if response.status() == StatusCode::OK);
        is_whole && visit.request.method == Method::GET && visit.request.headers.contains_key(RANGE)
    }

    /// The answer for this viewer; what is known goes into its record.
    ///
    /// # Errors
    /// [`Fault::Internal`] when an entry's beginning is gone, which the reader held until then prevents, and those of
    /// [`respond::from_entry`].
    pub async fn respond(
        self,
        visit: &Visit,
        key: Option<&Key>,
        record: &mut Record,
    ) -> Result<Response<Body>, Fault> {
        record.cache = self.cache.or(record.cache);
        record.stored = self.stored;
        record.attempts = self.attempts;
        match self.answer {
            Answer::Stream(mut response) => {
                headers::keep_from_viewers(response.headers_mut());
                Ok(response)
            }
            Answer::Entry(entry, _beginning) => {
                if let Some(CacheStatus::StaleIfError(past)) = &mut record.cache {
                    let freshness = entry.freshness();
                    *past = freshness.age(visit.later()).saturating_sub(freshness.lifetime);
                }
                let mut response =
                    respond::from_entry(visit, key, &entry, visit.later()).await?.ok_or_else(|| {
                        Fault::Internal("the entry was let go before its first reader".to_owned())
                    })?;
                // RFC 9111 §5.1: Age says that the answer was not made for this request.
                if matches!(record.stored, Some(Ok(()))) && entry.freshness().initial_age.is_zero() {
                    response.headers_mut().remove(AGE);
                }
                response.headers_mut().extend(self.own);
                Ok(response)
            }
        }
    }
}
