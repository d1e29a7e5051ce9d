//! What was verified, so that a viewer's next request costs no public-key arithmetic.
//!
//! Only what a signature proved goes in; time, address and resource are not remembered but checked each time. It belongs to a
//! key group and ends with it, so no key that was taken out goes on opening doors.

use aws_lc_rs::digest::{Context, SHA256};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 16;

/// SHA-256 over everything that a signature was checked with: nobody finds two inputs for one name.
pub(crate) type Name = [u8; 32];

/// Bounded: each shard holds a young and an old generation, and forgets the old one whole when the young one is full. What is
/// asked for stays young.
pub(crate) struct Memory<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    generation: usize,
}

struct Shard<T> {
    young: HashMap<Name, T>,
    old: HashMap<Name, T>,
}

impl<T: Clone> Memory<T> {
    /// Remembers about `most` entries; none at all when it is 0.
    pub(crate) fn new(most: usize) -> Self {
        let shard = || Mutex::new(Shard { young: HashMap::new(), old: HashMap::new() });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), generation: most.div_ceil(2 * SHARDS) }
    }

    pub(crate) fn get(&self, name: &Name) -> Option<T> {
        let mut shard = self.shard(name).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shard.young.get(name) {
            return Some(known.clone());
        }
        let known = shard.old.remove(name)?;
        self.put(&mut shard, *name, known.clone());
        Some(known)
    }

    pub(crate) fn insert(&self, name: Name, value: T) {
        let mut shard = self.shard(&name).lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&mut shard, name, value);
    }

    /// Whether it was not there before; afterwards it is.
    pub(crate) fn insert_new(&self, name: Name) -> bool
    where
        T: Default,
    {
        let mut shard = self.shard(&name).lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !shard.young.contains_key(&name) && !shard.old.contains_key(&name);
        if is_new {
            self.put(&mut shard, name, T::default());
        }
        is_new
    }

    /// Whether it is there; it stays as it is.
    pub(crate) fn has(&self, name: &Name) -> bool {
        let shard = self.shard(name).lock().unwrap_or_else(PoisonError::into_inner);
        shard.young.contains_key(name) || shard.old.contains_key(name)
    }

    fn put(&self, shard: &mut Shard<T>, name: Name, value: T) {
        if self.generation == 0 {
            return;
        }
        if shard.young.len() >= self.generation {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(name, value);
    }

    fn shard(&self, name: &Name) -> &Mutex<Shard<T>> {
        &self.shards[usize::from(name[0]) % SHARDS]
    }
}

impl<T> fmt::Debug for Memory<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Memory({})", self.generation * 2 * SHARDS)
    }
}

/// The name of what consists of these parts, in this order; each counts with its length, so none runs into the next.
pub(crate) fn name(parts: &[&[u8]]) -> Name {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut name = [0; 32];
    name.copy_from_slice(context.finish().as_ref());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_it_was_told() {
        let memory = Memory::new(64);
        for number in 0..10_000_u32 {
            memory.insert(name(&[&number.to_le_bytes()]), number);
        }
        let held: usize = memory.shards.iter().map(|shard| count(&shard.lock().unwrap())).sum();
        assert!((32..=64).contains(&held), "{held}");
        assert_eq!(memory.get(&name(&[&9_999_u32.to_le_bytes()])), Some(9_999));
        assert_eq!(memory.get(&name(&[&0_u32.to_le_bytes()])), None);
    }

    fn count<T>(shard: &Shard<T>) -> usize {
        shard.young.len() + shard.old.len()
    }

    #[test]
    fn what_is_asked_for_again_and_again_stays() {
        let memory = Memory::new(64);
        let kept = name(&[b"kept"]);
        memory.insert(kept, 7_u32);
        for number in 0..10_000_u32 {
            memory.insert(name(&[&number.to_le_bytes()]), number);
            assert_eq!(memory.get(&kept), Some(7));
        }
    }

    #[test]
    fn a_memory_of_nothing_remembers_nothing() {
        let memory = Memory::new(0);
        memory.insert(name(&[b"a"]), ());
        assert_eq!(memory.get(&name(&[b"a"])), None);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(name(&[b"ab", b"c"]), name(&[b"a", b"bc"]));
        assert_ne!(name(&[b"ab"]), name(&[b"ab", b""]));
    }
}
