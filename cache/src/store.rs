//! Where entries live: the only Moka of the node, and the list of fills in flight.

use crate::disk::{Disk, DiskStatistics};
use crate::entry::{Address, Entry};
use crate::fill::{Fill, Follower, Permit, Place, State};
use crate::key::Key;
use crate::object::Object;
use crate::policy::Demand;
use crate::purge::{About, Mark, Overtaken, Purges};
use crate::realm::Realms;
use crate::second_tier::SecondTier;
use crate::tag::Tag;
use crate::tags::TagIndex;
use crate::underway::{Fetch, Underway};
use http::HeaderMap;
use moka::ops::compute::Op;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

/// The share of the budget that bodies in flight may take: one part in eight.
const IN_FLIGHT_SHARE: u64 = 8;

/// What the store may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One budget in bytes for stored entries and bodies in flight.
    pub memory: u64,
    /// The largest body that is stored, in bytes. Larger ones stream through.
    pub max_object: u64,
    /// How long a key whose answer could not be stored is not waited for (Varnish's hit-for-miss: two minutes).
    pub uncacheable: Duration,
}

/// Stored responses of a node. Cheap to clone; all clones are one store.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) objects: moka::sync::Cache<u64, Object, BuildHasherDefault<Hashed>>,
    pub(crate) realms: Realms,
    pub(crate) index: Arc<TagIndex>,
    pub(crate) purges: Purges,
    pub(crate) tags_dropped: AtomicU64,
    underway: Arc<Underway>,
    fills: Mutex<HashMap<Arc<str>, Arc<Fill>>>,
    in_flight: AtomicU64,
    pub(crate) limits: Limits,
    pub(crate) second_tier: Option<SecondTier>,
}

/// Where an entry that is published comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// From the origin: the second tier gets it too.
    Origin,
    /// From this stale copy, which the origin has confirmed.
    Confirmation(&'a Entry),
    /// From the second tier.
    Disk,
}

/// Keys of the table are hashes already.
#[derive(Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// What the store knows about a request.
#[derive(Debug)]
pub enum Lookup {
    /// A stored response that may be used as it is: fresh, or as stale as the viewer allows.
    Fresh(Arc<Entry>),
    /// The same from the second tier; see [`Lookup::on_disk`].
    Revived(Arc<Entry>),
    /// A stored response that may be used while it is revalidated; the permit is there unless somebody is at it already.
    Stale(Arc<Entry>, Option<Box<Permit>>),
    /// Somebody is fetching it.
    Follow(Follower),
    /// This request fetches it, for everybody.
    Lead(Box<Permit>),
    /// Answers under this key could not be shared lately: fetch alone. The permit allows storing if that has changed.
    Alone(Box<Permit>),
}

impl Lookup {
    /// Whether there is something to answer with at once.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Fresh(_) | Self::Revived(_) | Self::Stale(..))
    }
}

/// Figures for metrics and the admin page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Keys held.
    pub keys: u64,
    /// Bytes held by entries, structures included.
    pub stored_bytes: u64,
    /// Bytes of bodies that are arriving.
    pub in_flight_bytes: u64,
    /// Pairs of tag and object in the index of purge tags; their bytes are among those of the entries.
    pub tag_postings: u64,
    /// Tags that were too many, too long or not readable, since the start.
    pub tags_dropped: u64,
    /// Those of the second tier, where there is one.
    pub disk: Option<DiskStatistics>,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { inner: Arc::new(Inner::new(limits)) }
    }

    /// A store over a second tier, with what that holds.
    #[must_use]
    pub fn over(disk: Disk, limits: Limits) -> Self {
        let inner = Arc::new_cyclic(|this: &Weak<Inner>| {
            let this = this.clone();
            let in_memory = move |primary: &str| this.upgrade().is_some_and(|store| store.has(primary));
            Inner { second_tier: Some(SecondTier::new(disk, in_memory)), ..Inner::new(limits) }
        });
        Self { inner }
    }

    /// Writes what the second tier has still to write, and ends it.
    pub fn close(&self) {
        self.inner.second_tier.iter().for_each(SecondTier::close);
    }

    /// Waits until what was purged so far stays purged whatever happens; false when the disk of the second tier refuses, `None`
    /// where there is no such tier.
    pub async fn settled(&self) -> Option<bool> {
        let tier = self.inner.second_tier.as_ref()?;
        Some(tier.settled().await)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Looks a request up; where nothing usable is stored, or nothing good enough for the demand, assigns it its part in fetching.
    #[must_use]
    pub fn begin(&self, key: &Key, request: &HeaderMap, demand: &Demand, now: SystemTime) -> Lookup {
        let inner = &self.inner;
        if let Found::Fresh(entry) = inner.find(key, request, demand, now) {
            return Lookup::Fresh(entry);
        }
        let mut fills = inner.fills();
        // Before the look at what is stored: a purge between the two overtakes the stale copy as well.
        let since = inner.purges.mark();
        // Again, under the lock: a fill is published before it leaves the list, so nothing falls between the two.
        let stale = match inner.find(key, request, demand, now) {
            Found::Fresh(entry) => return Lookup::Fresh(entry),
            Found::Uncacheable(stale) => {
                return Lookup::Alone(Box::new(inner.permit(key.clone(), None, stale, since)));
            }
            Found::Stale(entry) => Some(entry),
            Found::Nothing => None,
        };
        let is_usable =
            |entry: &Arc<Entry>| !demand.insists() && entry.freshness().serves_while_revalidating(now);
        let usable = stale.clone().filter(is_usable);
        match inner.join(&mut fills, key, request, now) {
            Joined::Following(fill) => match usable {
                Some(entry) => Lookup::Stale(entry, None),
                None => Lookup::Follow(Follower { state: fill.state.subscribe() }),
            },
            Joined::Leading(fill_key, fill) => {
                let place = Place { store: Arc::clone(inner), fill_key, fill };
                let permit = Box::new(inner.permit(key.clone(), Some(place), stale, since));
                match usable {
                    Some(entry) => Lookup::Stale(entry, Some(permit)),
                    None => Lookup::Lead(permit),
                }
            }
        }
    }

    /// What is stored in memory for such a request, whatever its age; nothing is begun.
    #[must_use]
    pub fn peek(&self, key: &Key, request: &HeaderMap) -> Option<Arc<Entry>> {
        self.inner.objects.get(&key.place())?.variant(key, request).map(Arc::clone)
    }

    /// Whether the second tier has anything under a key, in whatever variant; `None` where there is no such tier. Nothing is read, and it
    /// counts as no use. What a purge by tag, prefix or site has taken may still be there, and is not served.
    #[must_use]
    pub fn is_on_disk(&self, key: &Key) -> Option<bool> {
        self.inner.second_tier.as_ref().map(|tier| tier.has(key))
    }

    /// A permit for a request that goes alone whatever is stored.
    #[must_use]
    pub fn alone(&self, key: &Key) -> Permit {
        self.inner.permit(key.clone(), None, None, self.inner.purges.mark())
    }

    /// Forgets everything under a key, what is arriving included: it was asked for before.
    pub fn invalidate(&self, key: &Key) {
        let parts = key.tag_of_parts();
        let mut fills = self.inner.fills();
        fills.retain(|_, fill| fill.key.primary_tag() != parts);
        self.inner.underway.invalidate(parts, || {
            self.inner.second_tier.iter().for_each(|tier| tier.forget(key));
            for place in self.inner.index.objects(parts).into_iter().chain([key.place()]) {
                // As a change like any other: Moka keeps changes of one key apart, not changes and its own removals.
                self.inner.replace(place, |_| None);
            }
        });
    }

    /// Weighs a key again after one of its entries got an encoded body.
    pub fn reweigh(&self, key: &Key) {
        self.inner.replace(key.place(), |known| Some(known.clone()));
    }

    /// The text of the key that an entry is stored under, as [`Key::text`] gives it.
    #[must_use]
    pub fn text_of(&self, entry: &Entry) -> String {
        let realm = self.inner.realms.name(entry.realm());
        format!("{}{}", realm.as_deref().unwrap_or_default(), entry.path())
    }

    /// Figures of this moment.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.inner.objects.run_pending_tasks();
        Statistics {
            keys: self.inner.objects.entry_count(),
            stored_bytes: self.inner.objects.weighted_size(),
            in_flight_bytes: self.inner.in_flight.load(Relaxed),
            tag_postings: self.inner.index.postings(),
            tags_dropped: self.inner.tags_dropped.load(Relaxed),
            disk: self.inner.second_tier.as_ref().map(SecondTier::statistics),
        }
    }
}

/// RFC 9111 §4: fresh and not asked for fresher, or no staler than the viewer allows.
pub(crate) fn is_good_enough(entry: &Entry, demand: &Demand, now: SystemTime) -> bool {
    match entry.is_fresh(now) {
        true if !demand.insists() => true,
        true => !demand.wants_better_than(&entry.freshness(), entry.is_immutable(), now),
        false => demand.accepts_stale(&entry.freshness(), now),
    }
}

enum Found {
    Fresh(Arc<Entry>),
    Stale(Arc<Entry>),
    Uncacheable(Option<Arc<Entry>>),
    Nothing,
}

enum Joined {
    Following(Arc<Fill>),
    Leading(Arc<str>, Arc<Fill>),
}

impl Inner {
    fn new(limits: Limits) -> Self {
        let kept = limits.memory - limits.memory / IN_FLIGHT_SHARE;
        let index = Arc::<TagIndex>::default();
        let postings = Arc::clone(&index);
        let objects = moka::sync::Cache::builder()
            .max_capacity(kept)
            .weigher(|_, object: &Object| u32::try_from(object.weight()).unwrap_or(u32::MAX))
            .eviction_listener(move |place, object, _| postings.remove_all(*place, &object))
            .build_with_hasher(BuildHasherDefault::default());
        Self {
            objects,
            realms: Realms::default(),
            index,
            purges: Purges::default(),
            tags_dropped: AtomicU64::new(0),
            underway: Arc::default(),
            fills: Mutex::default(),
            in_flight: AtomicU64::new(0),
            limits,
            second_tier: None,
        }
    }

    fn find(&self, key: &Key, request: &HeaderMap, demand: &Demand, now: SystemTime) -> Found {
        let Some(object) = self.objects.get(&key.place()) else { return Found::Nothing };
        let variant = object.variant(key, request).map(Arc::clone);
        let is_marked = object.is_marked(key, now);
        match variant {
            Some(entry) if is_good_enough(&entry, demand, now) => {
                if entry.is_warmed() {
                    self.replace(key.place(), |known| Some(known.clone()));
                }
                Found::Fresh(entry)
            }
            variant if is_marked => Found::Uncacheable(variant),
            Some(entry) => Found::Stale(entry),
            None => Found::Nothing,
        }
    }

    /// Joins the fill that this request can share, or begins one.
    fn join(
        &self,
        fills: &mut HashMap<Arc<str>, Arc<Fill>>,
        key: &Key,
        request: &HeaderMap,
        now: SystemTime,
    ) -> Joined {
        let mut fill_key = format!("{}{}", key.text(), self.variant_suffix(key, request));
        if let Some(fill) = fills.get(fill_key.as_str()) {
            match &*fill.state.borrow() {
                // Its head is known and it is another variant: lead one's own.
                State::Filling(entry) if !entry.matches(request) => {
                    fill_key = format!("{}{}", key.text(), entry.selection().suffix(request));
                }
                _ => {}
            }
        }
        match fills.get(fill_key.as_str()) {
            Some(fill) if !fill.is_stale(now) => return Joined::Following(Arc::clone(fill)),
            _ => {}
        }
        let fill_key: Arc<str> = fill_key.into();
        let fill = Arc::new(Fill::new(key.clone()));
        fills.insert(Arc::clone(&fill_key), Arc::clone(&fill));
        Joined::Leading(fill_key, fill)
    }

    fn variant_suffix(&self, key: &Key, request: &HeaderMap) -> String {
        let known = self.objects.get(&key.place());
        let latest = known.as_ref().and_then(|object| object.latest(key));
        latest.map(|entry| entry.selection().suffix(request)).unwrap_or_default()
    }

    fn permit(
        self: &Arc<Self>,
        key: Key,
        place: Option<Place>,
        stale: Option<Arc<Entry>>,
        since: Mark,
    ) -> Permit {
        let fetch = self.underway.begin(key.primary_tag());
        Permit { store: Arc::clone(self), key, place, stale, since, fetch }
    }

    /// Puts a complete entry under its key, in the place of the variant that it replaces, unless the fetch that brought it
    /// was overtaken by an invalidation or a purge; says whether it did.
    pub(crate) fn publish(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        since: Mark,
        fetch: &Fetch,
        source: Source<'_>,
    ) -> bool {
        let tags: Vec<Tag> = entry.tags().collect();
        // Held until it is stored: a purge comes before and is seen here, or after and finds it there.
        let purges = self.purges.publishing();
        match purges.overtaken(since, &About { key, tags: &tags }) {
            Overtaken::No => {}
            Overtaken::Stale(at) => entry.expire(at),
            Overtaken::Gone => return false,
        }
        fetch.publish(|| {
            // A purge that came between this request and its look at the store may have taken the stale copy.
            let is_withdrawn = || matches!(source, Source::Confirmation(stale) if stale.is_withdrawn());
            let is_put = self
                .change(key, |known| (!is_withdrawn()).then(|| Object::with(known, Arc::clone(entry), key)));
            if is_put && !matches!(source, Source::Disk) {
                self.second_tier.iter().for_each(|tier| tier.put(key, entry));
            }
            is_put
        })
    }

    /// Whether anything is in memory under a primary key.
    fn has(&self, primary: &str) -> bool {
        self.objects.contains_key(&Key::place_of(primary))
    }

    /// Remembers that an answer under this key could not be shared.
    pub(crate) fn mark_uncacheable(&self, key: &Key, until: SystemTime) {
        self.change(key, |known| Some(Object::marked(known, key, until)));
    }

    /// Where entries under this key say that they are stored.
    pub(crate) fn address<'a>(&self, key: &'a Key) -> Address<'a> {
        Address { key, realm: self.realms.number(key.realm()) }
    }

    /// Changes what is known under a key in one step, or leaves it; says which.
    fn change(&self, key: &Key, change: impl FnOnce(Option<&Object>) -> Option<Object>) -> bool {
        let mut is_changed = false;
        self.objects.entry(key.place()).and_compute_with(|known| {
            let Some(object) = change(known.as_ref().map(moka::Entry::value)) else { return Op::Nop };
            is_changed = true;
            self.index.add_all(key.place(), &object);
            Op::Put(object)
        });
        is_changed
    }

    /// Replaces what is known at a place in one step: what was removed meanwhile does not come back.
    fn replace(&self, place: u64, change: impl FnOnce(&Object) -> Option<Object>) {
        self.objects.entry(place).and_compute_with(|known| {
            let Some(known) = known else { return Op::Nop };
            let Some(object) = change(known.value()) else { return Op::Remove };
            self.index.add_all(place, &object);
            Op::Put(object)
        });
    }

    /// Removes entries at a place.
    pub(crate) fn remove(&self, place: u64, gone: impl Fn(&Arc<Entry>) -> bool) {
        self.replace(place, |known| known.without(gone));
    }

    pub(crate) fn leave(&self, fill_key: &Arc<str>, fill: &Arc<Fill>) {
        let mut fills = self.fills();
        if fills.get(fill_key).is_some_and(|listed| Arc::ptr_eq(listed, fill)) {
            fills.remove(fill_key);
        }
    }

    /// Takes bytes of the budget for a body in flight; false when its share is used up.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        let most = self.limits.memory / IN_FLIGHT_SHARE;
        let add = |now: u64| now.checked_add(bytes).filter(|sum| *sum <= most);
        self.in_flight.fetch_update(Relaxed, Relaxed, add).is_ok()
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.in_flight.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn fills(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Fill>>> {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
