//! What is on disk and where, in memory: about 40 bytes a record.
//!
//! A B-tree of twelve-byte keys and twelve-byte values. A hash table would take 29 to 57 bytes, stop everybody while it grows,
//! and not find the variants of a key; measured figures are in `bench/README.md`.

use super::format::Place;
use std::collections::BTreeMap;

/// Records under one key; the oldest leaves.
const MAX_VARIANTS: usize = 64;

/// The highest bit of a length says that the record was read since it was written.
const WAS_READ: u32 = 1 << 31;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    /// The number of the segment.
    pub(super) segment: u32,
    /// From its first byte, in bytes.
    pub(super) offset: u32,
    length: u32,
}

impl Location {
    /// Where `place` is in a segment.
    pub(super) fn new(segment: u32, place: &Place) -> Self {
        Self { segment, offset: place.offset, length: place.length & !WAS_READ }
    }

    /// Header and payload, in bytes.
    pub(super) fn length(self) -> u32 {
        self.length & !WAS_READ
    }

    /// Whether it was read since it was written.
    pub(super) fn was_read(self) -> bool {
        self.length & WAS_READ != 0
    }

    fn is_at(self, other: Self) -> bool {
        (self.segment, self.offset) == (other.segment, other.offset)
    }
}

/// Records by the name of their key, then by variant.
#[derive(Debug, Default)]
pub(super) struct Index {
    records: BTreeMap<[u32; 3], Location>,
}

fn key(name: u64, variant: u32) -> [u32; 3] {
    [(name >> 32) as u32, name as u32, variant]
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Lists a record in the place of the one before it.
    pub(super) fn insert(&mut self, name: u64, variant: u32, location: Location) {
        if self.records.insert(key(name, variant), location).is_some() {
            return;
        }
        let variants = self.variants(name);
        if variants.clone().count() > MAX_VARIANTS
            && let Some(oldest) = variants.min_by_key(|(_, at)| (at.segment, at.offset)).map(|(key, _)| *key)
        {
            self.records.remove(&oldest);
        }
    }

    fn variants(&self, name: u64) -> impl Iterator<Item = (&[u32; 3], &Location)> + Clone {
        self.records.range(key(name, 0)..=key(name, u32::MAX))
    }

    /// Whether there is anything under a key.
    pub(super) fn has(&self, name: u64) -> bool {
        self.variants(name).next().is_some()
    }

    /// The record that was written last under a key, and its variant.
    pub(super) fn newest(&mut self, name: u64) -> Option<(u32, Location)> {
        let newest = self.variants(name).max_by_key(|(_, at)| (at.segment, at.offset));
        let variant = newest.map(|([.., variant], _)| *variant)?;
        Some((variant, self.read(name, variant)?))
    }

    /// One variant under a key, which counts as read from now on.
    pub(super) fn read(&mut self, name: u64, variant: u32) -> Option<Location> {
        let location = self.records.get_mut(&key(name, variant))?;
        location.length |= WAS_READ;
        Some(*location)
    }

    /// Whether a record is the current one of its key and variant, and where.
    pub(super) fn current(&self, name: u64, variant: u32, location: Location) -> Option<Location> {
        self.records.get(&key(name, variant)).copied().filter(|current| current.is_at(location))
    }

    /// Forgets a record unless another has taken its place.
    pub(super) fn remove(&mut self, name: u64, variant: u32, location: Location) {
        if self.current(name, variant, location).is_some() {
            self.records.remove(&key(name, variant));
        }
    }

    /// Forgets all variants under a key; says how many there were.
    pub(super) fn remove_all(&mut self, name: u64) -> usize {
        let keys: Vec<_> = self.variants(name).map(|(key, _)| *key).collect();
        keys.iter().filter(|key| self.records.remove(*key).is_some()).count()
    }

    /// Forgets whatever is in a segment, without knowing what that is: looks at every record.
    pub(super) fn remove_segment(&mut self, segment: u32) {
        self.records.retain(|_, location| location.segment != segment);
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Kind;
    use super::*;

    fn at(segment: u32, offset: u32) -> Location {
        let place = Place { name: 0, sequence: 0, variant: 0, offset, length: 100, kind: Kind::Record };
        Location::new(segment, &place)
    }

    #[test]
    fn variants_of_a_key_stay_together() {
        let mut index = Index::default();
        for (name, variant, location) in
            [(1, 0, at(0, 0)), (2, 5, at(0, 100)), (2, 9, at(0, 200)), (3, 0, at(1, 0))]
        {
            index.insert(name, variant, location);
        }
        assert_eq!(index.newest(2).map(|(variant, at)| (variant, at.offset)), Some((9, 200)));
        index.insert(2, 5, at(1, 100));
        assert_eq!(index.newest(2).map(|(variant, at)| (variant, at.segment)), Some((5, 1)));
        assert_eq!(index.remove_all(2), 2);
        assert_eq!((index.newest(2), index.len()), (None, 2));
    }

    #[test]
    fn a_key_of_endless_variants_keeps_the_latest() {
        let mut index = Index::default();
        for number in 0..100 {
            index.insert(1, number, at(number, 0));
        }
        assert_eq!(index.len(), MAX_VARIANTS);
        assert!(index.read(1, 35).is_none());
        assert!(index.read(1, 36).is_some());
    }

    #[test]
    fn what_was_replaced_is_not_removed() {
        let mut index = Index::default();
        index.insert(1, 0, at(0, 0));
        index.insert(1, 0, at(1, 0));
        index.remove(1, 0, at(0, 0));
        assert_eq!(index.len(), 1);
        index.remove(1, 0, at(1, 0));
        assert_eq!(index.len(), 0);
    }

    #[test]
    fn reading_is_remembered_until_it_is_written_again() {
        let mut index = Index::default();
        index.insert(1, 0, at(0, 0));
        assert!(!index.current(1, 0, at(0, 0)).unwrap().was_read());
        assert_eq!(index.read(1, 0).unwrap().length(), 100);
        assert!(index.current(1, 0, at(0, 0)).unwrap().was_read());
        index.insert(1, 0, at(1, 0));
        assert!(!index.current(1, 0, at(1, 0)).unwrap().was_read());
    }

    #[test]
    fn a_lost_segment_takes_its_records_along() {
        let mut index = Index::default();
        for number in 0..10 {
            index.insert(number, 0, at((number % 2) as u32, 0));
        }
        index.remove_segment(1);
        assert_eq!(index.len(), 5);
    }
}
