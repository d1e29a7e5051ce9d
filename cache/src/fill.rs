//! Collapsing: one request fills an entry, the others follow it.
//!
//! A [`Permit`] is an obligation. It ends in [`Permit::store`], [`Permit::refresh`], [`Permit::refuse`] or [`Permit::decline`];
//! dropping it, for whatever reason, frees everybody who waits.

use crate::body::{SharedBody, Truncated};
use crate::entry::{Entry, Head};
use crate::key::Key;
use crate::policy::{Freshness, Skip, update_headers};
use crate::purge::{About, Mark, Overtaken};
use crate::store::{Inner, Source};
use crate::tag::{Tag, Tags};
use crate::underway::Fetch;
use crate::vary::Selection;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// A fill in flight, as the store lists it.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) state: watch::Sender<State>,
    /// What it fills.
    pub(crate) key: Key,
}

#[derive(Debug, Clone)]
pub(crate) enum State {
    /// The head has not come yet.
    Waiting,
    /// The head is here, the body is arriving or has arrived.
    Filling(Arc<Entry>),
    /// The answer was for the leader only: everybody goes on alone, in parallel.
    Alone,
    /// The leader gave up: whoever is first asks anew.
    Abandoned,
    /// The origin failed; asking again for each follower would multiply the load on it.
    Refused(Refusal),
}

/// Why a fill failed, shared with its followers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status that the leader's viewer gets.
    pub status: StatusCode,
    /// The reason token (RFC 9209 §2.3 where one fits).
    pub token: &'static str,
}

impl Fill {
    pub(crate) fn new(key: Key) -> Self {
        Self { state: watch::Sender::new(State::Waiting), key }
    }

    /// The purge tags, once the head has come.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        match &*self.state.borrow() {
            State::Filling(entry) => entry.tags().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it has been arriving for longer than it is fresh: only those who waited for its head may share it.
    pub(crate) fn is_stale(&self, now: SystemTime) -> bool {
        matches!(&*self.state.borrow(), State::Filling(entry) if entry.freshness().remaining(now).is_none())
    }
}

/// A place among those who wait for somebody else's fill.
#[derive(Debug)]
pub struct Follower {
    pub(crate) state: watch::Receiver<State>,
}

/// What a follower gets.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The entry, whose body may still be arriving. It may be another variant: check with [`Entry::matches`].
    Entry(Arc<Entry>),
    /// The answer was for the leader only: go alone.
    Alone,
    /// The leader gave up: ask the store again.
    Abandoned,
    /// The leader's request failed, and so does this one.
    Refused(Refusal),
}

impl Follower {
    /// Waits until the leader knows. The caller bounds the wait.
    pub async fn wait(mut self) -> Outcome {
        match self.state.wait_for(|state| !matches!(state, State::Waiting)).await.as_deref() {
            Ok(State::Filling(entry)) => Outcome::Entry(Arc::clone(entry)),
            Ok(State::Refused(refusal)) => Outcome::Refused(*refusal),
            Ok(State::Alone) => Outcome::Alone,
            Ok(State::Abandoned | State::Waiting) | Err(_) => Outcome::Abandoned,
        }
    }
}

/// A place in the store's list of fills. Leaving it frees the followers.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) store: Arc<Inner>,
    pub(crate) fill_key: Arc<str>,
    pub(crate) fill: Arc<Fill>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.store.leave(&self.fill_key, &self.fill);
        self.fill.state.send_if_modified(|state| {
            let waiting = matches!(state, State::Waiting);
            if waiting {
                *state = State::Abandoned;
            }
            waiting
        });
    }
}

/// The obligation to fill an entry.
#[derive(Debug)]
pub struct Permit {
    pub(crate) store: Arc<Inner>,
    pub(crate) key: Key,
    /// `None` for a request that goes alone: it may store, but nobody follows it.
    pub(crate) place: Option<Place>,
    pub(crate) stale: Option<Arc<Entry>>,
    /// Purges after it overtake what this brings.
    pub(crate) since: Mark,
    /// Invalidations after it began overtake it too.
    pub(crate) fetch: Fetch,
}

impl Permit {
    /// The stale copy to be validated, or to be served if the origin fails.
    #[must_use]
    pub fn stale(&self) -> Option<&Arc<Entry>> {
        self.stale.as_ref()
    }

    fn tell(&self, state: State) {
        if let Some(place) = &self.place {
            place.fill.state.send_replace(state);
        }
    }

    /// Stores an entry, unless it was overtaken; says whether it did.
    pub(crate) fn publish(&self, entry: &Arc<Entry>, source: Source<'_>) -> bool {
        self.store.publish(&self.key, entry, self.since, &self.fetch, source)
    }

    /// Lets followers share what they may reuse (§4). An answer without any lifetime is the leader's: it has to be asked for each
    /// time, and may be another for each viewer. One that a purge has made of yesterday is the leader's too: some who wait may have
    /// come after that, and ask anew.
    pub(crate) fn share(&self, entry: &Arc<Entry>) {
        let tags: Vec<Tag> = entry.tags().collect();
        // Held until they are told: a purge comes before and is seen here, or after and finds out what is shared.
        let purges = self.store.purges.publishing();
        match purges.overtaken(self.since, &About { key: &self.key, tags: &tags }) {
            Overtaken::No if entry.freshness().lifetime.is_zero() => self.tell(State::Alone),
            Overtaken::No => self.tell(State::Filling(Arc::clone(entry))),
            Overtaken::Stale(_) | Overtaken::Gone => {
                if let Some(place) = &self.place {
                    self.store.leave(&place.fill_key, &place.fill);
                }
                self.tell(State::Abandoned);
            }
        }
    }

    /// Whether nobody follows this request: it asks for itself, and stores only what everybody may have.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.place.is_none()
    }

    /// Whether a body of this declared length is kept at all.
    #[must_use]
    pub fn accepts(&self, length: Option<u64>) -> bool {
        length.is_none_or(|length| length <= self.store.limits.max_object)
    }

    /// Begins the entry: followers may read from now on. `request` is what the answer was selected by.
    #[must_use]
    pub fn store(self, request: &HeaderMap, head: Head, freshness: Freshness) -> Writer {
        let selection = Selection::of(request, &head.headers);
        self.store.note_dropped_tags(head.tags().dropped());
        let address = self.store.address(&self.key);
        let body = Arc::<SharedBody>::default();
        let entry = Entry::begun(address, head, &freshness, &selection, Arc::clone(&body));
        let entry = Arc::new(entry);
        self.share(&entry);
        Writer { permit: self, entry, body, reserved: 0, windowed: false, finished: false }
    }

    /// RFC 9111 §4.3.4: the origin confirmed the stale copy with a 304. `None` when there was none to confirm. What the new
    /// headers forbid to share is the answer to this request alone: nothing is stored, and followers go their own ways.
    #[must_use]
    pub fn refresh(
        self,
        confirmed: &HeaderMap,
        renew: impl FnOnce(&HeaderMap) -> Option<(Freshness, Tags)>,
    ) -> Option<Arc<Entry>> {
        let stale = self.stale.as_ref()?;
        let mut headers = stale.all_headers();
        update_headers(&mut headers, confirmed);
        let Some((freshness, tags)) = renew(&headers) else {
            self.tell(State::Alone);
            return Some(Arc::new(stale.refreshed(&headers, &[], &stale.freshness())?));
        };
        let tags = tags.with(self.key.part_of());
        let entry = Arc::new(stale.refreshed(&headers, tags.as_slice(), &freshness)?);
        if self.publish(&entry, Source::Confirmation(stale)) {
            self.share(&entry);
        }
        Some(entry)
    }

    /// The answer is not to be stored: followers go on alone. Unless it is of the moment, those who come next do not wait for one
    /// another either; a request that went alone itself says nothing about others.
    pub fn decline(self, skip: Skip, now: SystemTime) {
        if !self.is_alone() && !skip.is_of_the_moment() {
            self.store.mark_uncacheable(&self.key, now + self.store.limits.uncacheable);
        }
        self.tell(State::Alone);
    }

    /// The origin failed and a stale copy may stand in (RFC 5861 §4): followers get it too.
    #[must_use]
    pub fn reuse_stale(&self, now: SystemTime) -> Option<Arc<Entry>> {
        let stale = self.stale.as_ref().filter(|entry| entry.freshness().serves_if_error(now))?;
        if !stale.is_withdrawn() {
            self.share(stale);
        }
        Some(Arc::clone(stale))
    }

    /// The origin failed: followers fail with it.
    pub fn refuse(self, refusal: Refusal) {
        self.tell(State::Refused(refusal));
    }
}

/// Fills the body of a new entry. Dropped before [`Writer::finish`], it breaks the body off and nothing is published.
#[derive(Debug)]
pub struct Writer {
    permit: Permit,
    entry: Arc<Entry>,
    body: Arc<SharedBody>,
    reserved: u64,
    windowed: bool,
    finished: bool,
}

impl Writer {
    /// The entry being filled. Take a [`Reader`](crate::Reader) from it before the first [`Writer::push`].
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Adds bytes. Waits only when the body has become too large to keep and its slowest reader is behind.
    ///
    /// # Errors
    /// [`Truncated`] when the body is not kept and nobody reads it any more: stop fetching.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), Truncated> {
        if !self.windowed && !self.keep(chunk.len() as u64) {
            self.become_window();
        }
        std::future::poll_fn(|context| self.body.poll_writable(context)).await?;
        self.body.push(chunk);
        Ok(())
    }

    /// All bytes have come: the entry is published.
    pub fn finish(mut self) {
        self.finished = true;
        if let Some(settled) = self.entry.settle() {
            self.permit.publish(&settled, Source::Origin);
        }
    }

    fn keep(&mut self, more: u64) -> bool {
        let within = self.reserved + more <= self.permit.store.limits.max_object;
        let kept = within && self.permit.store.reserve(more);
        if kept {
            self.reserved += more;
        }
        kept
    }

    fn become_window(&mut self) {
        self.windowed = true;
        self.permit.place = None;
        self.release();
        self.body.make_window();
    }

    fn release(&mut self) {
        self.permit.store.release(std::mem::take(&mut self.reserved));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            self.body.fail();
        }
        self.release();
    }
}
