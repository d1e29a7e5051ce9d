//! The shelf of instances that wait for their next call, of all hooks: nothing on it is in anybody's way.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Instances on the shelf until something else is said: the others of the pool are for calls.
const MOST: usize = 400;
/// How often the shelf is searched for what is too old.
const SWEEP: Duration = Duration::from_secs(1);

/// What waits, whoever was used last at the end.
pub(crate) struct Shelf<T> {
    waiting: Mutex<Waitings<T>>,
    numbers: AtomicU64,
    most: AtomicUsize,
}

struct Waitings<T> {
    all: VecDeque<Waiting<T>>,
    swept: Option<Instant>,
}

/// An instance that waits.
pub(crate) struct Waiting<T> {
    /// Whose it is.
    pub(crate) hook: u64,
    pub(crate) born: Instant,
    /// How old it may become.
    pub(crate) age: Duration,
    pub(crate) what: T,
}

impl<T> Waiting<T> {
    fn is_young(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.born) < self.age
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        let waiting = Mutex::new(Waitings { all: VecDeque::new(), swept: None });
        Self { waiting, numbers: AtomicU64::new(0), most: AtomicUsize::new(MOST) }
    }
}

impl<T> Shelf<T> {
    /// Keeps so many from now on.
    pub(crate) fn keep(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
        let surplus = self.lock().all.len().saturating_sub(most);
        for _ in 0..surplus {
            self.drop_oldest();
        }
    }

    /// A number that no other hook has.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The one of this hook that was used last.
    pub(crate) fn take(&self, hook: u64, now: Instant) -> Option<T> {
        let mut waiting = self.lock();
        let all = &mut waiting.all;
        let found = all.iter().rposition(|one| one.hook == hook && one.is_young(now));
        let taken = found.and_then(|place| all.remove(place));
        let old = waiting.sweep(now);
        // What goes is dropped when others can go on: giving an instance back to the pool takes its time.
        drop(waiting);
        drop(old);
        taken.map(|taken| taken.what)
    }

    /// Puts one on the shelf; when it is full, the one that was used longest ago goes.
    pub(crate) fn put(&self, one: Waiting<T>, now: Instant) {
        let mut waiting = self.lock();
        let old = waiting.sweep(now);
        waiting.all.push_back(one);
        let is_full = waiting.all.len() > self.most.load(Ordering::Relaxed);
        let oldest = if is_full { waiting.all.pop_front() } else { None };
        drop(waiting);
        drop((old, oldest));
    }

    /// Makes room by the one that was used longest ago, whichever hook's; `false` if there is none.
    pub(crate) fn drop_oldest(&self) -> bool {
        let oldest = self.lock().all.pop_front();
        oldest.is_some()
    }

    /// The sum over those that wait.
    pub(crate) fn sum(&self, of: impl Fn(&T) -> u64) -> u64 {
        self.lock().all.iter().map(|one| of(&one.what)).sum()
    }

    /// Drops those of a hook that is gone.
    pub(crate) fn forget(&self, hook: u64) {
        let gone = self.lock().split(|one| one.hook == hook);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Waitings<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Waitings<T> {
    /// Takes out what is too old, of all hooks: some are not called any more.
    fn sweep(&mut self, now: Instant) -> VecDeque<Waiting<T>> {
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP) {
            return VecDeque::new();
        }
        self.swept = Some(now);
        self.split(|one| !one.is_young(now))
    }

    fn split(&mut self, goes: impl Fn(&Waiting<T>) -> bool) -> VecDeque<Waiting<T>> {
        let (gone, stays) = mem::take(&mut self.all).into_iter().partition(goes);
        self.all = stays;
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn put(shelf: &Shelf<Arc<()>>, hook: u64, age: Duration, now: Instant) -> std::sync::Weak<()> {
        let what = Arc::new(());
        let seen = Arc::downgrade(&what);
        shelf.put(Waiting { hook, born: now, age, what }, now);
        seen
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_hook_gets_only_its_own() {
        let (shelf, now) = (Shelf::default(), Instant::now());
        put(&shelf, 1, HOUR, now);
        assert!(shelf.take(2, now).is_none());
        assert!(shelf.take(1, now + HOUR).is_none(), "it is too old");
        put(&shelf, 1, HOUR, now);
        assert!(shelf.take(1, now).is_some());
    }

    #[test]
    fn what_is_too_old_goes_though_its_hook_is_not_called() {
        let (shelf, now) = (Shelf::default(), Instant::now());
        let old = put(&shelf, 1, HOUR, now);
        assert!(shelf.take(2, now + HOUR / 2).is_none() && old.strong_count() == 1);
        assert!(shelf.take(2, now + HOUR).is_none());
        assert_eq!(old.strong_count(), 0);
    }

    #[test]
    fn a_shelf_that_becomes_smaller_drops_what_was_used_longest_ago() {
        let (shelf, now) = (Shelf::default(), Instant::now());
        let [first, second] = [(); 2].map(|()| put(&shelf, 1, HOUR, now));
        shelf.keep(1);
        assert_eq!((first.strong_count(), second.strong_count()), (0, 1));
        shelf.keep(0);
        let third = put(&shelf, 1, HOUR, now);
        assert_eq!((second.strong_count(), third.strong_count()), (0, 0));
    }

    #[test]
    fn a_full_shelf_makes_room_for_what_was_used_last() {
        let (shelf, now) = (Shelf::default(), Instant::now());
        let first = put(&shelf, 1, HOUR, now);
        let second = put(&shelf, 1, HOUR, now);
        for _ in 2..MOST {
            put(&shelf, 1, HOUR, now);
        }
        assert_eq!(first.strong_count(), 1);
        put(&shelf, 2, HOUR, now);
        assert_eq!((first.strong_count(), second.strong_count()), (0, 1));
        assert!(shelf.take(2, now).is_some());
        shelf.forget(1);
        assert!(second.strong_count() == 0 && !shelf.drop_oldest());
    }
}
