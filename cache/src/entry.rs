//! A stored response.

use crate::body::{Reader, SharedBody};
use crate::coding::Coding;
use crate::control::Directives;
use crate::draft::Draft;
use crate::key::Key;
use crate::packed::Packed;
use crate::policy::Freshness;
use crate::realm::Realm;
use crate::tag::{Tag, Tags};
use crate::tags::POSTING;
use crate::times::{Spans, Times};
use crate::vary::Selection;
use crate::warm::{DRAFTS, ROOM, Warm};
use bytes::Bytes;
use http::header::{CONTENT_LANGUAGE, CONTENT_LENGTH, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use once_cell::race::OnceBox;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use tokio::sync::OnceCell;

/// What an entry costs beside its bytes: itself, and the headers of its allocations. Measured, rounded up.
const OVERHEAD: usize = 128;

/// Fields that speak to the edge alone: RFC 9213 §2, and what purge tags are known by. Stored, never sent on.
pub static EDGE_ONLY: [HeaderName; 6] = [
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("cache-groups"),
    HeaderName::from_static("cache-group-invalidation"),
];

/// Status and header fields of a response that is to be stored: hop-by-hop fields removed.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The header fields for viewers.
    pub headers: HeaderMap,
    /// Those of [`EDGE_ONLY`].
    edge_only: HeaderMap,
    tags: Tags,
}

impl Head {
    /// A head as it came from the origin.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Self { status, headers, edge_only: HeaderMap::new(), tags: Tags::default() }.sorted()
    }

    /// The same, bearing purge tags.
    #[must_use]
    pub fn tagged(self, tags: Tags) -> Self {
        Self { tags, ..self }
    }

    pub(crate) fn tags(&self) -> &Tags {
        &self.tags
    }

    fn sorted(mut self) -> Self {
        for name in &EDGE_ONLY {
            for value in self.headers.get_all(name) {
                self.edge_only.append(name, value.clone());
            }
            self.headers.remove(name);
        }
        // RFC 9111 §3: trailers are not stored, so nothing announces them.
        self.headers.remove(TRAILER);
        self
    }

    /// All fields, as the origin said them.
    pub(crate) fn all_headers(mut self) -> HeaderMap {
        for (name, value) in &self.edge_only {
            self.headers.append(name.clone(), value.clone());
        }
        self.headers
    }

    /// The declared length of the body in bytes.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        declared_length(self.headers.get(CONTENT_LENGTH)?)
    }
}

fn declared_length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// A stored response: one variant under one key. Its head never changes; its body may still be arriving.
///
/// A node holds millions of these: what is here is weighed byte by byte, and made into what answers need on each use.
#[derive(Debug)]
pub struct Entry {
    times: Times,
    spans: Spans,
    check: u32,
    realm: Realm,
    status: StatusCode,
    compressible: AtomicU8,
    /// Hits so far, up to [`WARM`]; [`WITHDRAWN`] when a purge or an invalidation has taken it.
    hits: AtomicU8,
    head: Packed,
    content: Content,
    warm: OnceBox<Warm>,
}

/// Two words: what is stored is whole.
#[derive(Debug)]
enum Content {
    Whole(Box<[u8]>),
    Elsewhere(Box<Elsewhere>),
}

#[derive(Debug)]
enum Elsewhere {
    /// With the entry that was confirmed, which is [`Content::Whole`].
    With(Arc<Entry>),
    /// Still arriving.
    Filling(Filling),
}

impl Elsewhere {
    /// Bytes of the entry that was confirmed, which lives as long as its body is used.
    fn weight_beside_body(&self) -> usize {
        match self {
            Self::With(entry) => entry.head.len() + entry.warm.get().map_or(0, Warm::weight_of_heads),
            Self::Filling(_) => 0,
        }
    }
}

#[derive(Debug)]
struct Filling {
    body: Arc<SharedBody>,
    /// The entry that is stored in place of this one when all has arrived.
    settled: OnceLock<Arc<Entry>>,
}

/// Bytes of an entry, which lives as long as they are used.
struct Held(Arc<Entry>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        match &self.0.content {
            Content::Whole(whole) => whole,
            Content::Elsewhere(_) => &[],
        }
    }
}

/// What an entry is stored under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) key: &'a Key,
    pub(crate) realm: Realm,
}

impl Address<'_> {
    /// The part of the key's text that the entry carries.
    fn carried(&self) -> &str {
        if self.realm == Realm::CARRIED { self.key.text() } else { self.key.path() }
    }
}

impl Entry {
    /// An entry whose body is still to come.
    pub(crate) fn begun(
        address: Address<'_>,
        head: Head,
        freshness: &Freshness,
        selection: &Selection,
        body: Arc<SharedBody>,
    ) -> Self {
        let status = head.status;
        let tags = head.tags.clone().with(address.key.part_of());
        let packed = Packed::new(selection, address.carried(), tags.as_slice(), &head.all_headers());
        Self {
            times: Times::new(freshness),
            spans: Spans::new(freshness),
            check: address.key.check(),
            realm: address.realm,
            status,
            compressible: AtomicU8::new(UNJUDGED),
            hits: AtomicU8::new(0),
            head: packed,
            content: Content::Elsewhere(Box::new(Elsewhere::Filling(Filling {
                body,
                settled: OnceLock::new(),
            }))),
            warm: OnceBox::new(),
        }
    }

    /// An entry that was stored before, in the form that [`Self::packed`] gave.
    pub(crate) fn revived(
        address: Address<'_>,
        status: StatusCode,
        stored: &Packed,
        freshness: &Freshness,
        body: &[u8],
    ) -> Self {
        let tags: Vec<Tag> = stored.tags().collect();
        let head = Packed::new(&stored.selection(), address.carried(), &tags, &stored.all_headers());
        Self {
            times: Times::new(freshness),
            spans: Spans::new(freshness),
            check: address.key.check(),
            realm: address.realm,
            status,
            compressible: AtomicU8::new(UNJUDGED),
            hits: AtomicU8::new(0),
            head,
            content: Content::Whole(body.into()),
            warm: OnceBox::new(),
        }
    }

    /// RFC 9111 §4.3.4: the same body under header fields that the origin has just confirmed. `None` for what is still arriving.
    pub(crate) fn refreshed(
        self: &Arc<Self>,
        headers: &HeaderMap,
        tags: &[Tag],
        freshness: &Freshness,
    ) -> Option<Self> {
        let whole = Arc::clone(self.whole()?);
        let content = Content::Elsewhere(Box::new(Elsewhere::With(whole)));
        let (times, spans) = (Times::new(freshness), Spans::new(freshness));
        Some(self.with(self.head.with_headers(tags, headers), times, spans, content))
    }

    fn with(&self, head: Packed, times: Times, spans: Spans, content: Content) -> Self {
        let warm = OnceBox::new();
        if let Some(known) = self.warm.get() {
            let _ = warm.set(Box::new(known.with_other_head()));
        }
        Self {
            times,
            spans,
            check: self.check,
            realm: self.realm,
            status: self.status,
            compressible: AtomicU8::new(UNJUDGED),
            hits: AtomicU8::new(0),
            head,
            content,
            warm,
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The header fields for viewers: those kept at hand when it is in use, made with room for those that the edge adds otherwise.
    #[must_use]
    pub fn headers(&self) -> Cow<'_, HeaderMap> {
        let unpacked = self.warm.get().and_then(Warm::headers);
        unpacked.map_or_else(|| Cow::Owned(self.head.viewer_headers(ROOM)), Cow::Borrowed)
    }

    /// The heads of answers that are made from it whole, of the kinds that the edge tells apart: kept when it is in use.
    #[must_use]
    pub fn drafts(&self) -> Option<&[OnceBox<Draft>; DRAFTS]> {
        self.warm.get().filter(|warm| warm.headers().is_some()).map(Warm::drafts)
    }

    /// The first header field of a name.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<HeaderValue> {
        self.head.header(name)
    }

    /// Those of [`EDGE_ONLY`].
    #[must_use]
    pub fn edge_only(&self) -> HeaderMap {
        self.head.edge_only()
    }

    /// All fields, as the origin said them.
    pub(crate) fn all_headers(&self) -> HeaderMap {
        self.head.all_headers()
    }

    /// How long it may be used.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        self.times.freshness(self.spans)
    }

    /// Whether it is fresh.
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        self.times.is_fresh(self.spans, now)
    }

    /// Ends the freshness now; what it may still be used for while it is stale counts from here.
    pub fn expire(&self, now: SystemTime) {
        self.times.end(now);
    }

    /// The whole body, once it has arrived.
    #[must_use]
    pub fn complete(self: &Arc<Self>) -> Option<Bytes> {
        match self.filling() {
            Some(filling) => filling.body.complete().cloned(),
            None => self.whole().map(|entry| Bytes::from_owner(Held(Arc::clone(entry)))),
        }
    }

    /// A hard purge has taken this: it must not come back under header fields that the origin confirms.
    pub(crate) fn withdraw(&self) {
        self.hits.store(WITHDRAWN, Relaxed);
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.hits.load(Relaxed) == WITHDRAWN
    }

    /// Whether both have the very same body: one is the other, or what became of it when the origin confirmed it.
    pub(crate) fn shares_body_with(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        match (self.whole(), other.whole()) {
            (Some(body), Some(others)) => Arc::ptr_eq(body, others),
            _ => Arc::ptr_eq(self, other),
        }
    }

    /// The entry that holds the whole body of this one.
    fn whole(self: &Arc<Self>) -> Option<&Arc<Self>> {
        let Content::Elsewhere(elsewhere) = &self.content else { return Some(self) };
        match &**elsewhere {
            Elsewhere::With(entry) => Some(entry),
            Elsewhere::Filling(filling) => filling.settled.get(),
        }
    }

    /// Whether it has the body of an earlier entry, which the origin has confirmed.
    pub(crate) fn is_confirmed(&self) -> bool {
        matches!(&self.content, Content::Elsewhere(elsewhere) if matches!(**elsewhere, Elsewhere::With(_)))
    }

    /// The head in its stored form.
    pub(crate) fn packed(&self) -> &Packed {
        &self.head
    }

    fn filling(&self) -> Option<&Filling> {
        let Content::Elsewhere(elsewhere) = &self.content else { return None };
        match &**elsewhere {
            Elsewhere::With(_) => None,
            Elsewhere::Filling(filling) => Some(filling),
        }
    }

    fn whole_length(&self) -> Option<usize> {
        let Content::Elsewhere(elsewhere) = &self.content else { return Some(self.held()) };
        match &**elsewhere {
            Elsewhere::With(entry) => Some(entry.held()),
            Elsewhere::Filling(filling) => filling.body.complete().map(Bytes::len),
        }
    }

    fn held(&self) -> usize {
        match &self.content {
            Content::Whole(whole) => whole.len(),
            Content::Elsewhere(_) => 0,
        }
    }

    /// The length of the body in bytes, where it is known already.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self.whole_length() {
            Some(length) => Some(length as u64),
            None => declared_length(&self.header(&CONTENT_LENGTH)?),
        }
    }

    /// Whether it has no bytes, or not all of them yet: no other entry is the record of a large object.
    #[must_use]
    pub fn may_be_record(&self) -> bool {
        self.whole_length().unwrap_or_default() == 0
    }

    /// A reader from the first byte. `None` when the body turned out too large to keep and its beginning is gone.
    #[must_use]
    pub fn read(self: &Arc<Self>) -> Option<Reader> {
        match self.filling() {
            Some(filling) => filling.body.read(),
            None => self.complete().map(Reader::of),
        }
    }

    /// The kept encoded body for a coding: filled once by whoever comes first, then free for everybody.
    #[must_use]
    pub fn encoded(&self, coding: Coding) -> &OnceCell<Bytes> {
        // What is encoded when all has arrived belongs to the entry that is stored.
        let settled = self.filling().and_then(|filling| filling.settled.get());
        let entry = settled.map_or(self, |settled| &**settled);
        entry.warm.get_or_init(Box::default).encoding(coding)
    }

    /// Whether a response of this head is worth compressing: judged once by the edge, then remembered.
    #[must_use]
    pub fn compressible(&self, judge: impl FnOnce(StatusCode, &HeaderMap) -> bool) -> bool {
        match self.compressible.load(Relaxed) {
            UNJUDGED => {
                let worth = judge(self.status, &self.head.viewer_headers(0));
                self.compressible.store(if worth { WORTH } else { NOT_WORTH }, Relaxed);
                worth
            }
            judged => judged == WORTH,
        }
    }

    /// Whether this variant answers a request with these header fields (RFC 9111 §4.1).
    #[must_use]
    pub fn matches(&self, request: &HeaderMap) -> bool {
        if self.head.selects_all() {
            return true;
        }
        let selection = self.head.selection();
        selection.matches(request)
            || selection.asks_for_language() && self.is_in_the_language_of(&selection, request)
    }

    /// Whether it is in the one language that the viewer wants most: the origin's choice could be no better.
    fn is_in_the_language_of(&self, selection: &Selection, request: &HeaderMap) -> bool {
        let language = self.header(&CONTENT_LANGUAGE);
        let language = language.as_ref().and_then(|value| value.to_str().ok());
        language.is_some_and(|language| selection.matches_in(language, request))
    }

    /// Whether reloading brings nothing new while it is fresh (RFC 8246).
    pub(crate) fn is_immutable(&self) -> bool {
        Directives::of_response(&self.headers()).immutable
    }

    /// Counts a hit. At the one that shows that it is in use its head is unpacked: then it weighs more, and this is true.
    pub(crate) fn is_warmed(&self) -> bool {
        let hits = self.hits.load(Relaxed);
        if hits >= WARM {
            return false;
        }
        // Of two at a time one counts, and what is withdrawn stays so.
        let is_counted = self.hits.compare_exchange(hits, hits + 1, Relaxed, Relaxed).is_ok();
        if !is_counted || hits + 1 < WARM {
            return false;
        }
        self.warm.get_or_init(Box::default).unpack(&self.head);
        true
    }

    /// Whether it is stored under this key.
    pub(crate) fn is_under(&self, key: &Key) -> bool {
        self.check == key.check()
    }

    /// Whether it takes the place of another one under the same primary key.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        self.check == other.check && self.selection() == other.selection()
    }

    pub(crate) fn selection(&self) -> Selection {
        self.head.selection()
    }

    pub(crate) fn realm(&self) -> Realm {
        self.realm
    }

    /// Whether it is a slice: nothing else is stored with this status.
    pub(crate) fn is_slice(&self) -> bool {
        self.status == StatusCode::PARTIAL_CONTENT
    }

    /// The purge tags.
    pub(crate) fn tags(&self) -> impl ExactSizeIterator<Item = Tag> {
        self.head.tags()
    }

    /// The text of its key, without the realm unless it carries that itself.
    pub(crate) fn path(&self) -> &str {
        self.head.path()
    }

    /// Ends the arriving of the body: the entry to be stored, unless the body was not kept.
    pub(crate) fn settle(&self) -> Option<Arc<Self>> {
        let filling = self.filling()?;
        let Some(whole) = filling.body.joined() else {
            filling.body.finish(None);
            return None;
        };
        let settled =
            self.with(self.head.clone(), self.times.clone(), self.spans, Content::Whole(whole.into()));
        let settled = Arc::clone(filling.settled.get_or_init(|| Arc::new(settled)));
        filling.body.finish(settled.complete());
        Some(settled)
    }

    pub(crate) fn weight(&self) -> usize {
        let body = self.whole_length().unwrap_or_default();
        let index = POSTING * self.tags().len();
        let confirmed = match &self.content {
            Content::Elsewhere(elsewhere) => elsewhere.weight_beside_body(),
            Content::Whole(_) => 0,
        };
        let warm = self.warm.get().map_or(0, Warm::weight);
        OVERHEAD + self.head.len() + index + body + confirmed + warm
    }
}

/// Hits after which an entry is taken to be in use.
const WARM: u8 = 8;

const WITHDRAWN: u8 = u8::MAX;

const UNJUDGED: u8 = 0;
const WORTH: u8 = 1;
const NOT_WORTH: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_entry_takes_few_bytes() {
        assert!(size_of::<Entry>() <= 80, "{}", size_of::<Entry>());
    }
}
