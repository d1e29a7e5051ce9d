//! Purging: what is named becomes stale, or goes.
//!
//! A purge is remembered first, so that what was asked for before it and arrives after is judged when it is published; then it
//! goes over what is stored. URLs and tags lead straight to their objects, a prefix or a site means a look at all of them.

mod remembered;
mod selector;

pub(crate) use remembered::{About, Mark, Overtaken, Purges};
pub use selector::Selector;

use crate::entry::Entry;
use crate::key::Key;
use crate::object::Object;
use crate::store::{Inner, Store};
use crate::tag::Tag;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

/// What becomes of what is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is stale from now on: revalidated before it is used, or served while that happens where stale answers are allowed.
    Expire,
    /// It is gone.
    Remove,
    /// Nothing; it is only counted.
    Count,
}

/// What a purge found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Objects: what is stored under one URL.
    pub objects: u64,
    /// Variants of them.
    pub variants: u64,
    /// Bytes that they take in memory, their slices included where these go too.
    pub bytes: u64,
}

impl Store {
    /// Purges what any of the selectors takes. With a prefix or a site among them this looks at everything stored: not on a
    /// thread that answers.
    pub fn purge(&self, selectors: &[Selector], effect: Effect, now: SystemTime) -> Receipt {
        let inner = self.inner();
        if selectors.is_empty() {
            return Receipt::default();
        }
        if effect != Effect::Count {
            inner.overtake(selectors, effect, now);
        }
        let mut receipt = Receipt::default();
        match inner.places(selectors) {
            Places::These(places) => {
                for place in places {
                    if let Some(object) = inner.objects.get(&place) {
                        inner.apply(place, &object, selectors, effect, now, &mut receipt);
                    }
                }
            }
            Places::All => {
                for (place, object) in &inner.objects {
                    inner.apply(*place, &object, selectors, effect, now, &mut receipt);
                }
            }
        }
        receipt
    }
}

enum Places {
    These(HashSet<u64>),
    All,
}

impl Inner {
    /// Remembers the purge, and has nobody who comes from now on join a fill that began before.
    fn overtake(&self, selectors: &[Selector], effect: Effect, now: SystemTime) {
        let noting = self.purges.noting();
        // Before it is noted: whoever asks after that finds nothing on disk. And nothing is put there between the two.
        self.second_tier.iter().for_each(|tier| tier.purge(selectors, effect, now));
        noting.note(selectors, effect, now);
        self.fills().retain(|_, fill| {
            let tags = fill.tags();
            let about = About { key: &fill.key, tags: &tags };
            let is_meant = effect != Effect::Expire || !about.is_slice();
            !(is_meant && selectors.iter().any(|selector| about.is_taken_by(selector)))
        });
    }

    fn places(&self, selectors: &[Selector]) -> Places {
        let mut places = HashSet::new();
        for selector in selectors {
            match selector {
                Selector::Url(key) => {
                    places.insert(key.place());
                    places.extend(self.index.objects(key.tag_of_parts()));
                }
                Selector::Tag(tag) | Selector::Group { tag, .. } => places.extend(self.index.objects(*tag)),
                Selector::Prefix { .. } | Selector::Site(_) => return Places::All,
            }
        }
        Places::These(places)
    }

    fn apply(
        &self,
        place: u64,
        object: &Object,
        selectors: &[Selector],
        effect: Effect,
        now: SystemTime,
        receipt: &mut Receipt,
    ) {
        // A slice is good for as long as its record says so: only the record becomes stale.
        let is_meant = |entry: &&Arc<Entry>| effect != Effect::Expire || !entry.is_slice();
        let is_taken = |entry: &&Arc<Entry>| is_meant(entry) && self.is_taken(entry, selectors);
        let taken: Vec<&Arc<Entry>> = object.variants().iter().filter(is_taken).collect();
        if taken.is_empty() {
            return;
        }
        let variants = taken.iter().filter(|entry| !entry.is_slice()).count();
        receipt.objects += u64::from(variants > 0);
        receipt.variants += variants as u64;
        receipt.bytes += taken.iter().map(|entry| entry.weight() as u64).sum::<u64>();
        match effect {
            Effect::Count => {}
            Effect::Expire => taken.iter().for_each(|entry| entry.expire(now)),
            Effect::Remove => {
                // First: what the origin confirms of them from now on is not stored.
                taken.iter().for_each(|entry| entry.withdraw());
                // These very bodies: others that have taken their place meanwhile were asked for later.
                self.remove(place, |entry| {
                    let is_gone = taken.iter().any(|gone| gone.shares_body_with(entry));
                    is_gone.then(|| entry.withdraw()).is_some()
                });
            }
        }
    }

    fn is_taken(&self, entry: &Entry, selectors: &[Selector]) -> bool {
        let name = self.realms.name(entry.realm());
        let (realm, path) = match &name {
            Some(realm) => (&**realm, entry.path()),
            None => Key::split(entry.path()),
        };
        let bears = |wanted: Tag| entry.tags().any(|tag| tag == wanted);
        selectors.iter().any(|selector| selector.takes(realm, path, bears))
    }

    /// Counts the tags that an answer bears in vain.
    pub(crate) fn note_dropped_tags(&self, dropped: usize) {
        self.tags_dropped.fetch_add(dropped as u64, Relaxed);
    }
}

#[cfg(test)]
#[path = "purge_tests.rs"]
mod tests;
