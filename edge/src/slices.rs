//! Large objects in slices: asking for them, cutting them out of what arrives, walking along them.
//!
//! Which slices there are and what ties them together is the cache's to say (`cache::slice`). Here they are fetched, each by a
//! request of its own that everybody shares, and put together for a viewer.

mod contact;
mod cut;
mod walk;

use crate::body::Body;
use crate::error::Fault;
use crate::fetched::Answer;
use crate::headers;
use crate::pipeline;
use crate::visit::Visit;
use cache::policy::Demand;
use cache::slice::{Match, Slice, Sliced, slice_freshness};
use cache::{Freshness, Head, Key, Lookup, Outcome, Permit, Reader, Refusal, Writer};
use cut::Pieces;
use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use origin_shield::OutgoingBody;
use std::ops::Range;
use std::sync::Arc;

pub use contact::{Plan, contact, is_unasked};
pub use cut::Cut;
pub use walk::Walk;

/// How often a follower whose leader came to nothing asks the store again before it goes alone.
const ROUNDS: usize = 3;

/// What followers of a slice hear when it is of another version than its record.
const CHANGED: Refusal = Refusal { status: StatusCode::BAD_GATEWAY, token: "slice-changed" };

/// What they hear when the origin answered with an error.
const FAILED: Refusal = Refusal { status: StatusCode::BAD_GATEWAY, token: "slice-failed" };

/// Why a slice cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The object is no longer what its record says; the record has been forgotten.
    #[error("the object has changed at its origin")]
    Changed,
    /// The origin answered with an error.
    #[error("the origin failed to give a slice")]
    Failed,
    /// No origin answered, or something of the node's own.
    #[error("{}", .0.story())]
    Fault(Fault),
}

/// A sliced object, as one viewer wants it.
#[derive(Debug)]
pub struct Object {
    visit: Arc<Visit>,
    key: Key,
    sliced: Sliced,
}

/// A slice that may be read, though it may not have come yet.
#[derive(Debug)]
pub struct Opened {
    reader: Reader,
    /// Whether it was fetched for this viewer.
    is_fetched: bool,
}

impl Object {
    /// The object that a record under this key stands for.
    #[must_use]
    pub fn new(visit: &Arc<Visit>, key: &Key, sliced: Sliced) -> Self {
        Self { visit: Arc::clone(visit), key: key.clone(), sliced }
    }

    /// The length of the object in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sliced.total()
    }

    fn key_of(&self, slice: &Slice) -> Key {
        self.key.part(&self.sliced.name(slice))
    }

    /// A slice from the store, from somebody else's fetch, or from the origin.
    async fn open(self: &Arc<Self>, slice: &Slice) -> Result<Opened, Broken> {
        let (store, key) = (&self.visit.node.store, self.key_of(slice));
        for _ in 0..ROUNDS {
            let (nothing, anything, now) = (HeaderMap::new(), Demand::default(), self.visit.later());
            let lookup = store.begin(&key, &nothing, &anything, now);
            let entry = match lookup.on_disk(&nothing, &anything, now).await {
                Lookup::Fresh(entry) | Lookup::Revived(entry) | Lookup::Stale(entry, _) => entry,
                Lookup::Lead(permit) | Lookup::Alone(permit) => return self.fetch(slice, *permit).await,
                Lookup::Follow(follower) => {
                    match tokio::time::timeout(self.visit.node.limits.collapse_wait, follower.wait()).await {
                        Ok(Outcome::Entry(entry)) => entry,
                        Ok(Outcome::Refused(CHANGED)) => return Err(Broken::Changed),
                        Ok(Outcome::Refused(FAILED)) => return Err(Broken::Failed),
                        Ok(Outcome::Refused(refusal)) => return Err(Broken::Fault(Fault::Shared(refusal))),
                        Ok(Outcome::Abandoned) => continue,
                        Ok(Outcome::Alone) | Err(_) => break,
                    }
                }
            };
            match entry.read() {
                Some(reader) => return Ok(Opened { reader, is_fetched: false }),
                None => break,
            }
        }
        self.fetch(slice, store.alone(&key)).await
    }

    fn is_only_if_cached(&self) -> bool {
        let policy = self.visit.route.policy.as_ref();
        policy.is_some_and(|policy| policy.demand(&self.visit.request.headers).only_if_cached)
    }

    async fn fetch(self: &Arc<Self>, slice: &Slice, permit: Permit) -> Result<Opened, Broken> {
        // RFC 9111 §5.2.1.7.
        if self.is_only_if_cached() {
            return Err(Broken::Fault(Fault::NotStored));
        }
        // On a task of its own: a viewer that goes away harms nobody who follows.
        let fetch = tokio::spawn(Arc::clone(self).ask(slice.clone(), permit)).await;
        let reader = fetch.map_err(|error| Broken::Fault(Fault::Internal(error.to_string())))??;
        Ok(Opened { reader, is_fetched: true })
    }

    /// Asks the origin for a slice, of the version that the record is of and no other.
    async fn ask(self: Arc<Self>, slice: Slice, permit: Permit) -> Result<Reader, Broken> {
        let condition = self.sliced.validator().clone();
        let edit = |headers: &mut HeaderMap| {
            headers::ask_for_everybody(headers, &[]);
            headers.insert(RANGE, range_of(&slice.bytes));
            headers.insert(IF_RANGE, condition);
        };
        let response = match pipeline::send(&self.visit, OutgoingBody::Empty, Some(&permit), edit).await {
            Ok((response, _)) => response,
            Err(fault) => {
                fault.refuse(permit);
                return Err(Broken::Fault(fault));
            }
        };
        match self.sliced.check(&slice, response.status(), response.headers()) {
            Match::Same => {}
            Match::Changed => {
                self.visit.node.store.invalidate(&self.key);
                permit.refuse(CHANGED);
                return Err(Broken::Changed);
            }
            Match::Failed => {
                permit.refuse(FAILED);
                return Err(Broken::Failed);
            }
        }
        let writer = self.begin(permit);
        let gone = || Broken::Fault(Fault::Internal("a slice was let go before its first reader".to_owned()));
        let reader = writer.entry().read().ok_or_else(gone)?;
        let mut pieces = Pieces::new(response.into_body());
        tokio::spawn(async move {
            let length = slice.bytes.end - slice.bytes.start;
            if let Err(story) = pieces.fill(writer, length).await {
                self.visit.node.observer.body_broke(&self.visit, &story);
            }
        });
        Ok(reader)
    }

    /// The right to fill a slice; `None` when it is there or somebody is at it.
    fn lead(&self, slice: &Slice) -> Option<Permit> {
        let now = self.visit.later();
        match self.visit.node.store.begin(&self.key_of(slice), &HeaderMap::new(), &Demand::default(), now) {
            Lookup::Lead(permit) | Lookup::Alone(permit) => Some(*permit),
            Lookup::Fresh(_) | Lookup::Revived(_) | Lookup::Stale(..) | Lookup::Follow(_) => None,
        }
    }

    fn begin(&self, permit: Permit) -> Writer {
        let head = Head::new(StatusCode::PARTIAL_CONTENT, HeaderMap::new());
        permit.store(&HeaderMap::new(), head, slice_freshness(self.visit.later()))
    }
}

/// Stores the record of an object, and its slices while they come.
#[must_use]
pub fn store(
    visit: Arc<Visit>,
    key: Key,
    plan: Plan,
    permit: Permit,
    freshness: Freshness,
    body: Body,
) -> Answer {
    let object = Arc::new(Object { visit, key, sliced: plan.sliced });
    // Before anybody knows of the object: the first slice is on its way, and nobody is to ask for it.
    let cut = Cut::begin(Arc::clone(&object), body, plan.came);
    let policy = object.visit.route.policy.as_ref();
    let tags = policy.map(|policy| policy.tags(&plan.headers)).unwrap_or_default();
    let head = Head::new(StatusCode::OK, plan.headers).tagged(tags);
    let writer = permit.store(&object.visit.request.headers, head, freshness);
    let entry = Arc::clone(writer.entry());
    // A record has no body.
    writer.finish();
    Answer::Sliced(entry, cut)
}

/// The value of a `Range` field, for bytes of which there is at least one.
fn range_of(bytes: &Range<u64>) -> HeaderValue {
    let text = format!("bytes={}-{}", bytes.start, bytes.end.saturating_sub(1));
    // Digits are always a valid value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("bytes=0-0"))
}
