//! What a store holds: pure, in memory, within its bound. Time is an argument.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::settings::KvSettings;

const MAX_KEY_BYTES: usize = 512;
/// What a pair takes beside its bytes: its places in both maps, measured roughly.
const PAIR_BYTES: usize = 160;
/// Pairs that are copied at once, so that nobody waits for a save.
const COPIED: usize = 256;
/// Pairs that are looked at for keys at once, for the same reason.
const LOOKED: usize = 1024;

/// Why a store does not take something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No store could hold it.
    #[error("a key has 1 to 512 bytes and no control characters")]
    InvalidKey,
    /// It is over the bounds of this store.
    #[error("the value is larger than this store takes; raise `value` or `size` of its [kv] table")]
    TooLarge,
    /// What is there cannot be counted up.
    #[error("what is stored is not a number, or the sum does not fit")]
    NotANumber,
}

/// A pair as it is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: Arc<str>,
    pub(crate) value: Bytes,
    pub(crate) expires: Option<SystemTime>,
}

pub(crate) struct Shelf {
    pairs: BTreeMap<Arc<str>, Kept>,
    /// By last use, the oldest first.
    uses: BTreeMap<u64, Arc<str>>,
    clock: u64,
    bytes: usize,
    bound: usize,
    largest: usize,
    ttl: Option<Duration>,
    pub(super) save: Duration,
}

struct Kept {
    value: Bytes,
    expires: Option<SystemTime>,
    used: u64,
}

impl Kept {
    fn is_over(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Shelf {
    pub(crate) fn new(settings: &KvSettings) -> Self {
        let mut shelf = Self {
            pairs: BTreeMap::new(),
            uses: BTreeMap::new(),
            clock: 0,
            bytes: 0,
            bound: 0,
            largest: 0,
            ttl: None,
            save: Duration::ZERO,
        };
        shelf.bound(settings);
        shelf
    }

    /// Other bounds from now on.
    pub(crate) fn bound(&mut self, settings: &KvSettings) {
        let bytes = |size: bytesize::ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        (self.bound, self.largest) = (bytes(settings.size), bytes(settings.value));
        (self.ttl, self.save) = (settings.ttl, settings.save);
        self.make_room();
    }

    pub(crate) fn get(&mut self, key: &str, now: SystemTime) -> Option<Bytes> {
        self.drop_if_over(key, now);
        self.clock += 1;
        let kept = self.pairs.get_mut(key)?;
        if let Some(key) = self.uses.remove(&kept.used) {
            kept.used = self.clock;
            self.uses.insert(self.clock, key);
        }
        Some(kept.value.clone())
    }

    /// The value and when its time is over, for whoever only looks: it counts as no use.
    pub(crate) fn look(&self, key: &str, now: SystemTime) -> Option<(Bytes, Option<SystemTime>)> {
        let kept = self.pairs.get(key).filter(|kept| !kept.is_over(now))?;
        Some((kept.value.clone(), kept.expires))
    }

    /// Pairs, those whose time is over among them, and what they take in bytes.
    pub(crate) fn measure(&self) -> (usize, usize) {
        (self.pairs.len(), self.bytes)
    }

    pub(crate) fn set(
        &mut self,
        key: &str,
        value: Bytes,
        ttl: Option<u32>,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let ttl = ttl.map(|seconds| Duration::from_secs(seconds.into())).or(self.ttl);
        let expires = ttl.and_then(|ttl| now.checked_add(ttl));
        self.put(key, value, expires)
    }

    /// Whether there was one.
    pub(crate) fn delete(&mut self, key: &str, now: SystemTime) -> bool {
        self.drop_if_over(key, now);
        self.take(key).is_some()
    }

    pub(crate) fn increment(
        &mut self,
        key: &str,
        by: i64,
        ttl: Option<u32>,
        now: SystemTime,
    ) -> Result<i64, Refusal> {
        self.drop_if_over(key, now);
        let Some(kept) = self.pairs.get(key) else {
            return self.set(key, by.to_string().into(), ttl, now).map(|()| by);
        };
        let number = std::str::from_utf8(&kept.value).ok().and_then(|text| text.parse::<i64>().ok());
        let sum = number.and_then(|number| number.checked_add(by)).ok_or(Refusal::NotANumber)?;
        let expires = kept.expires;
        self.put(key, sum.to_string().into(), expires).map(|()| sum)
    }

    /// Keys with this prefix among the next pairs, at most `limit`, and the last pair that was looked at if there may be more.
    /// Pairs that are over go, so that nobody looks at them twice.
    pub(crate) fn keys(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: SystemTime,
    ) -> (Vec<String>, Option<Arc<str>>) {
        let (mut found, mut over, mut last) = (Vec::new(), Vec::new(), None);
        let rest = self.pairs.range::<str, _>((after.map_or(Included(prefix), Excluded), Unbounded));
        for (key, kept) in rest.take_while(|(key, _)| key.starts_with(prefix)).take(LOOKED) {
            if found.len() == limit {
                break;
            }
            last = Some(Arc::clone(key));
            match kept.is_over(now) {
                true => over.push(Arc::clone(key)),
                false => found.push(key.to_string()),
            }
        }
        let is_end = found.len() + over.len() < LOOKED;
        over.iter().for_each(|key| drop(self.take(key)));
        (found, last.filter(|_| !is_end))
    }

    /// Takes a pair as it was saved.
    pub(crate) fn put(
        &mut self,
        key: &str,
        value: Bytes,
        expires: Option<SystemTime>,
    ) -> Result<(), Refusal> {
        if !is_key(key) {
            return Err(Refusal::InvalidKey);
        }
        if value.len() > self.largest || weight(key, &value) > self.bound {
            return Err(Refusal::TooLarge);
        }
        self.take(key);
        self.clock += 1;
        let key: Arc<str> = key.into();
        self.bytes += weight(&key, &value);
        self.uses.insert(self.clock, Arc::clone(&key));
        self.pairs.insert(key, Kept { value, expires, used: self.clock });
        self.make_room();
        Ok(())
    }

    /// The next pairs in order of their keys, over ones included.
    pub(crate) fn copy_after(&self, after: Option<&str>) -> Vec<Pair> {
        let rest = match after {
            Some(after) => self.pairs.range::<str, _>((Excluded(after), Unbounded)),
            None => self.pairs.range::<str, _>(..),
        };
        let pair = |(key, kept): (&Arc<str>, &Kept)| Pair {
            key: Arc::clone(key),
            value: kept.value.clone(),
            expires: kept.expires,
        };
        rest.take(COPIED).map(pair).collect()
    }

    fn drop_if_over(&mut self, key: &str, now: SystemTime) {
        if self.pairs.get(key).is_some_and(|kept| kept.is_over(now)) {
            self.take(key);
        }
    }

    fn take(&mut self, key: &str) -> Option<Kept> {
        let kept = self.pairs.remove(key)?;
        self.uses.remove(&kept.used);
        self.bytes -= weight(key, &kept.value);
        Some(kept)
    }

    fn make_room(&mut self) {
        while self.bytes > self.bound {
            let Some((_, oldest)) = self.uses.pop_first() else { return };
            if let Some(kept) = self.pairs.remove(&oldest) {
                self.bytes -= weight(&oldest, &kept.value);
            }
        }
    }
}

/// Whether a store can hold this key.
pub(crate) fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY_BYTES && !key.chars().any(char::is_control)
}

fn weight(key: &str, value: &Bytes) -> usize {
    key.len() + value.len() + PAIR_BYTES
}
