//! Which objects bear which tag, so that a purge touches only those.
//!
//! A posting is a pair of hashes, tag and object; no text is kept. The pairs lie in ordered maps, all those of a tag side by
//! side: every posting costs about the same however the tags are spread, and nothing is ever rebuilt under a lock.

use crate::object::Object;
use crate::tag::Tag;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What one posting costs in bytes: 20 of its own in B-tree nodes that hold eleven and are filled to two thirds, and its share of
/// the nodes above.
pub(crate) const POSTING: usize = 40;

/// Locks; tags are spread over them.
const SHARDS: usize = 64;

/// How many objects of a tag are read under one lock: those who store meanwhile wait no longer than that.
const AT_ONCE: usize = 4096;

/// The postings of a store.
///
/// An object is counted as often as it was added: while it is being replaced it is there twice, and whichever of its two
/// lives ends first, the other's postings stay.
#[derive(Debug)]
pub(crate) struct TagIndex {
    shards: Box<[Mutex<Shard>]>,
    postings: AtomicU64,
}

type Shard = BTreeMap<(Tag, u64), u32>;

impl Default for TagIndex {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), postings: AtomicU64::new(0) }
    }
}

impl TagIndex {
    /// Notes what an object bears that is about to be stored.
    pub(crate) fn add_all(&self, place: u64, object: &Object) {
        for entry in object.variants() {
            entry.tags().for_each(|tag| self.add(tag, place));
        }
    }

    /// Takes one [`TagIndex::add_all`] back: the object is stored no longer.
    pub(crate) fn remove_all(&self, place: u64, object: &Object) {
        for entry in object.variants() {
            entry.tags().for_each(|tag| self.remove(tag, place));
        }
    }

    /// Notes that an object bears a tag.
    fn add(&self, tag: Tag, object: u64) {
        let mut shard = self.shard(tag);
        let count = shard.entry((tag, object)).or_insert(0);
        if *count == 0 {
            self.postings.fetch_add(1, Relaxed);
        }
        *count += 1;
    }

    /// Takes one [`TagIndex::add`] back.
    fn remove(&self, tag: Tag, object: u64) {
        let mut shard = self.shard(tag);
        let Some(count) = shard.get_mut(&(tag, object)) else { return };
        *count -= 1;
        if *count == 0 {
            shard.remove(&(tag, object));
            self.postings.fetch_sub(1, Relaxed);
        }
    }

    /// The objects that bear a tag.
    pub(crate) fn objects(&self, tag: Tag) -> Vec<u64> {
        let mut objects = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            let before = objects.len();
            let shard = self.shard(tag);
            let range = shard.range((tag, from)..=(tag, u64::MAX)).take(AT_ONCE);
            objects.extend(range.map(|((_, object), _)| *object));
            let is_full = objects.len() - before == AT_ONCE;
            next = objects.last().filter(|_| is_full).and_then(|last| last.checked_add(1));
        }
        objects
    }

    /// The number of postings.
    pub(crate) fn postings(&self) -> u64 {
        self.postings.load(Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn all(&self) -> BTreeMap<(Tag, u64), u32> {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap());
        shards
            .flat_map(|shard| shard.iter().map(|(pair, count)| (*pair, *count)).collect::<Vec<_>>())
            .collect()
    }

    fn shard(&self, tag: Tag) -> MutexGuard<'_, Shard> {
        let at = tag.spread(SHARDS);
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn tag(number: u64) -> Tag {
        Tag::of(format!("tag {number}").as_bytes())
    }

    #[test]
    fn a_tag_leads_to_its_objects_and_to_no_others() {
        let index = TagIndex::default();
        for object in 0..10_000 {
            index.add(tag(object % 7), object);
        }
        let mut expected: Vec<u64> = (0..10_000).filter(|object| object % 7 == 3).collect();
        let mut found = index.objects(tag(3));
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert!(index.objects(tag(7)).is_empty());
        assert_eq!(index.postings(), 10_000);
    }

    #[test]
    fn tags_of_more_objects_than_are_read_at_once_are_read_whole() {
        let index = TagIndex::default();
        let most = u64::MAX - 3 * AT_ONCE as u64 + 1..=u64::MAX;
        most.clone().for_each(|object| index.add(tag(1), object));
        assert_eq!(index.objects(tag(1)), most.collect::<Vec<_>>());
    }

    #[test]
    fn an_object_being_replaced_stays_whichever_life_ends_first() {
        let index = TagIndex::default();
        index.add(tag(1), 5);
        index.add(tag(1), 5);
        index.remove(tag(1), 5);
        assert_eq!(index.objects(tag(1)), [5]);
        index.remove(tag(1), 5);
        index.remove(tag(1), 5);
        assert!(index.objects(tag(1)).is_empty());
        assert_eq!(index.postings(), 0);
    }

    #[test]
    fn the_index_equals_a_plain_set_after_any_changes() {
        let mut random = fastrand::Rng::with_seed(11);
        let index = TagIndex::default();
        let mut plain: BTreeSet<(u64, u64)> = BTreeSet::new();
        for _ in 0..50_000 {
            let (number, object) = (random.u64(..20), random.u64(..200));
            match plain.contains(&(number, object)) {
                true => {
                    plain.remove(&(number, object));
                    index.remove(tag(number), object);
                }
                false => {
                    plain.insert((number, object));
                    index.add(tag(number), object);
                }
            }
        }
        for number in 0..20 {
            let expected: Vec<u64> =
                plain.range((number, 0)..=(number, u64::MAX)).map(|pair| pair.1).collect();
            assert_eq!(index.objects(tag(number)), expected);
        }
        assert_eq!(index.postings(), plain.len() as u64);
    }
}
