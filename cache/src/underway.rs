//! Fetches under way: what was asked for before an invalidation is not stored after it.
//!
//! Purges are remembered by what they name; invalidations come with every unsafe request, as many as viewers like, and name one
//! primary key. So it is the fetches that are counted here, whoever follows them or not: memory is bounded by them.

use crate::tag::Tag;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All fetches of a store, by the tag of their primary key.
#[derive(Debug, Default)]
pub(crate) struct Underway {
    keys: Mutex<HashMap<Tag, Fetches>>,
}

#[derive(Debug, Default)]
struct Fetches {
    count: usize,
    /// Invalidations since the first of these fetches began.
    invalidations: u64,
}

/// One fetch, until this is dropped.
#[derive(Debug)]
pub(crate) struct Fetch {
    underway: Arc<Underway>,
    key: Tag,
    /// Invalidations before it.
    since: u64,
}

impl Underway {
    /// A fetch for this key begins.
    pub(crate) fn begin(self: &Arc<Self>, key: Tag) -> Fetch {
        let mut keys = self.lock();
        let fetches = keys.entry(key).or_default();
        fetches.count += 1;
        Fetch { underway: Arc::clone(self), key, since: fetches.invalidations }
    }

    /// Overtakes all fetches for this key. Nothing of them is published while `forget` runs, nor afterwards.
    pub(crate) fn invalidate(&self, key: Tag, forget: impl FnOnce()) {
        let mut keys = self.lock();
        if let Some(fetches) = keys.get_mut(&key) {
            fetches.invalidations += 1;
        }
        forget();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Tag, Fetches>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetch {
    /// Runs `publish`, unless the key was invalidated since this began; says whether that published.
    pub(crate) fn publish(&self, publish: impl FnOnce() -> bool) -> bool {
        let keys = self.underway.lock();
        let is_overtaken = keys.get(&self.key).is_none_or(|fetches| fetches.invalidations != self.since);
        !is_overtaken && publish()
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        let mut keys = self.underway.lock();
        let Some(fetches) = keys.get_mut(&self.key) else { return };
        fetches.count -= 1;
        if fetches.count == 0 {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publishes(fetch: &Fetch) -> bool {
        fetch.publish(|| true)
    }

    #[test]
    fn only_fetches_that_began_before_are_overtaken() {
        let (underway, one, other) = (Arc::<Underway>::default(), Tag::of(b"one"), Tag::of(b"other"));
        let (early, apart) = (underway.begin(one), underway.begin(other));
        underway.invalidate(one, || {});
        let late = underway.begin(one);
        assert_eq!([&early, &apart, &late].map(publishes), [false, true, true]);
        drop(early);
        assert!(publishes(&late), "who ends takes nothing from the others");
        underway.invalidate(one, || {});
        assert!(!publishes(&late));
    }

    #[test]
    fn nothing_is_kept_of_fetches_that_have_ended() {
        let (underway, key) = (Arc::<Underway>::default(), Tag::of(b"key"));
        let fetches = [underway.begin(key), underway.begin(key)];
        underway.invalidate(key, || {});
        drop(fetches);
        assert!(underway.lock().is_empty());
        underway.invalidate(key, || {});
        assert!(underway.lock().is_empty());
    }
}
