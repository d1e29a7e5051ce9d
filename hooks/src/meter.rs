//! Processor time and memory of one call.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use crate::held::Held;
use crate::idle::Shelf;
use crate::instance::Instance;
use crate::ticker::TICK;

/// Why the engine stopped a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("processor time used up")]
pub(crate) struct DeadlineReached;

/// With as much memory as this a guest can spend ticks in one instruction, so its time is counted from where it has it.
const LARGE: usize = 4 << 20;

/// Counts a call's processor time: the time of the thread, so that a busy machine does not eat a hook's allowance.
/// Reading that clock is a system call, so a light call (one that ends before its first tick) never does.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    used: AtomicU64,
    mark: AtomicU64,
    /// What of it was used before this piece of a body.
    before: AtomicU64,
    /// What of it was used on the workers.
    apart: AtomicU64,
    /// Whether the clock is looked at.
    counts: AtomicBool,
    heavy: AtomicBool,
    /// Whether the instance has [`LARGE`] memory.
    large: AtomicBool,
    /// Whether the call runs on the workers.
    is_apart: AtomicBool,
}

impl Meter {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit: nanoseconds(limit),
            used: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            before: AtomicU64::new(0),
            apart: AtomicU64::new(0),
            counts: AtomicBool::new(false),
            heavy: AtomicBool::new(false),
            large: AtomicBool::new(false),
            is_apart: AtomicBool::new(false),
        }
    }

    /// Counts another call of the same instance from nothing.
    pub(crate) fn begin(&self, memory: &MemoryLimit) {
        self.used.store(0, Ordering::Relaxed);
        self.before.store(0, Ordering::Relaxed);
        self.apart.store(0, Ordering::Relaxed);
        self.counts.store(memory.used >= LARGE, Ordering::Relaxed);
        self.heavy.store(false, Ordering::Relaxed);
    }

    /// Counts the next piece of a body on; whether that is heavy is another question.
    pub(crate) fn go_on(&self) {
        self.before.store(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
        self.heavy.store(false, Ordering::Relaxed);
        self.is_apart.store(false, Ordering::Relaxed);
    }

    /// The guest ran into an epoch deadline: it is heavy if it has used a tick. Where nothing was counted yet it has, since it did not
    /// wait for anybody; from then on the clock of the thread is looked at.
    pub(crate) fn tick(&self, clock: impl FnOnce() -> u64) -> Result<(), DeadlineReached> {
        if self.counts.swap(true, Ordering::Relaxed) {
            self.pause(clock());
        } else {
            self.used.fetch_add(nanoseconds(TICK), Ordering::Relaxed);
            self.resume(clock());
        }
        let used = self.used.load(Ordering::Relaxed).saturating_sub(self.before.load(Ordering::Relaxed));
        if used >= nanoseconds(TICK) {
            self.heavy.store(true, Ordering::Relaxed);
        }
        self.check()
    }

    /// Whether anything is left.
    pub(crate) fn check(&self) -> Result<(), DeadlineReached> {
        if self.used.load(Ordering::Relaxed) >= self.limit { Err(DeadlineReached) } else { Ok(()) }
    }

    /// Whether the clock is looked at.
    pub(crate) fn counts(&self) -> bool {
        self.counts.load(Ordering::Relaxed)
    }

    /// From the next [`Self::resume`] on time counts, though the call may come in pieces that are shorter than a tick.
    pub(crate) fn count_everything(&self) {
        self.counts.store(true, Ordering::Relaxed);
    }

    /// The call goes on on the workers, where all its time counts.
    pub(crate) fn move_apart(&self) {
        self.count_everything();
        self.is_apart.store(true, Ordering::Relaxed);
    }

    /// Whether it does, so that it keeps no request of others waiting.
    pub(crate) fn is_apart(&self) -> bool {
        self.is_apart.load(Ordering::Relaxed)
    }

    /// From here on, in the middle of a call on a thread whose time is this: the instance has large memory now.
    pub(crate) fn count_from(&self, clock: impl FnOnce() -> u64) {
        self.large.store(true, Ordering::Relaxed);
        if !self.counts.swap(true, Ordering::Relaxed) {
            self.resume(clock());
        }
    }

    /// The call goes on, on a thread whose time is this.
    pub(crate) fn resume(&self, now: u64) {
        self.mark.store(now, Ordering::Relaxed);
    }

    /// Counts what was used since [`Self::resume`] or the last pause, on the same thread.
    pub(crate) fn pause(&self, now: u64) {
        let before = self.mark.swap(now, Ordering::Relaxed);
        self.used.fetch_add(now.saturating_sub(before), Ordering::Relaxed);
    }

    /// Remembers that so much of what was used was on the workers.
    pub(crate) fn add_apart(&self, time: u64) {
        self.apart.fetch_add(time, Ordering::Relaxed);
    }

    /// What was used on the workers.
    pub(crate) fn used_apart(&self) -> Duration {
        Duration::from_nanos(self.apart.load(Ordering::Relaxed))
    }

    /// Whether the instance has so much memory that giving it back takes its time.
    pub(crate) fn is_large(&self) -> bool {
        self.large.load(Ordering::Relaxed)
    }

    /// Whether the call, or this piece of a body, was found to have used a tick.
    pub(crate) fn is_heavy(&self) -> bool {
        self.heavy.load(Ordering::Relaxed)
    }
}

/// Nanoseconds of processor time that this thread has used.
pub(crate) fn thread_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let rest = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Memory of all instances of the node together, with those that wait for their next call: they go when it is wanted.
pub(crate) struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
    idle: Shelf<Instance>,
}

impl fmt::Debug for Budget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Budget")
            .field("limit", &self.limit)
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0), idle: Shelf::default() }
    }

    /// The instances that wait for their next call.
    pub(crate) fn idle(&self) -> &Shelf<Instance> {
        &self.idle
    }

    pub(crate) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Whether the bytes were to be had. What only waits, whichever hook's, makes room for what is wanted now, if that helps.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        if self.try_take(bytes) {
            return true;
        }
        let waiting = self.idle.sum(|instance| instance.store.data().memory.used());
        let of_others = self.used.load(Ordering::Relaxed).saturating_sub(waiting);
        if of_others.saturating_add(bytes) > self.limit() {
            return false;
        }
        while self.idle.drop_oldest() {
            if self.try_take(bytes) {
                return true;
            }
        }
        false
    }

    fn try_take(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.limit() {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Holds an instance to its memory limit, and all instances to theirs, and remembers that it wanted more.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    limit: usize,
    used: usize,
    table_elements: usize,
    most_elements: usize,
    refused: Option<Refused>,
    budget: Arc<Budget>,
    /// Of the calls in the instance.
    meter: Option<Arc<Meter>>,
}

/// Whose limit a guest ran into when it wanted more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its own.
    Own,
    /// That of all hooks together.
    Everybody,
}

impl MemoryLimit {
    pub(crate) fn new(limit: u64, most_elements: usize, budget: Arc<Budget>) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, used: 0, table_elements: 0, most_elements, refused: None, budget, meter: None }
    }

    /// For a state whose instance is elsewhere: it remembers what that was refused.
    pub(crate) fn of_nothing(&self) -> Self {
        let mut nothing = Self::new(0, 0, Arc::clone(&self.budget));
        nothing.refused = self.refused;
        nothing
    }

    /// For bodies of the same call, which are beside its memories.
    pub(crate) fn held(&self) -> Held {
        Held::nothing_of(&self.budget)
    }

    /// Has the instance's calls counted by `meter`.
    pub(crate) fn counted(&mut self, meter: &Arc<Meter>) {
        self.meter = Some(Arc::clone(meter));
    }

    /// Whether an instance was dropped that waited for its next call.
    pub(crate) fn make_room(&self) -> bool {
        self.budget.idle().drop_oldest()
    }

    /// Bytes of all memories of the instance.
    pub(crate) fn used(&self) -> u64 {
        self.used as u64
    }

    /// What all instances may hold.
    pub(crate) fn budget_limit(&self) -> u64 {
        self.budget.limit()
    }

    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Takes over what another was refused.
    pub(crate) fn remember(&mut self, refused: Option<Refused>) {
        self.refused = refused;
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.budget.give_back(self.used as u64);
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // All memories of the component count together.
        let more = desired.saturating_sub(current);
        let used = self.used.saturating_add(more);
        if used > self.limit {
            self.refused = Some(Refused::Own);
            return Ok(false);
        }
        if !self.budget.take(more as u64) {
            self.refused = Some(Refused::Everybody);
            return Ok(false);
        }
        self.used = used;
        if let Some(meter) = self.meter.as_ref().filter(|_| used >= LARGE) {
            meter.count_from(thread_time);
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        let fits = elements <= self.most_elements;
        if fits {
            self.table_elements = elements;
        }
        Ok(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_the_thread_is_counted_and_the_limit_ends_it() {
        let meter = Meter::new(Duration::from_millis(20));
        assert!(!meter.is_heavy());
        assert!(!meter.counts(), "a light call costs no look at the clock");
        assert_eq!(meter.tick(thread_time), Ok(()));
        assert!(meter.is_heavy() && meter.counts());
        let begin = std::time::Instant::now();
        let mut ticks = 0_u64;
        while meter.tick(thread_time).is_ok() {
            ticks += 1;
            assert!(begin.elapsed() < Duration::from_secs(20), "the limit never came");
        }
        assert!(ticks > 1 && begin.elapsed() >= Duration::from_millis(18));
    }

    #[test]
    fn a_call_is_stopped_within_two_ticks_of_its_limit_and_never_before_it() {
        let tick = nanoseconds(TICK);
        for limit in (1..50 * tick).step_by(77_777) {
            // The first look is at the second tick, wherever between two ticks the call has begun.
            for begun in [0, tick / 3, tick - 1] {
                let meter = Meter::new(Duration::from_nanos(limit));
                let mut used = 2 * tick - begun;
                let mut stopped = meter.tick(|| used).is_err();
                while !stopped {
                    used += tick;
                    stopped = meter.tick(|| used).is_err();
                }
                assert!(used >= limit && used - limit <= 2 * tick, "{used} of {limit}");
            }
        }
    }

    #[test]
    fn a_call_that_only_waited_is_light_and_each_piece_of_a_body_is_by_itself() {
        let (meter, tick) = (Meter::new(Duration::from_secs(1)), nanoseconds(TICK));
        meter.count_everything();
        meter.resume(0);
        assert!(meter.tick(|| tick - 1).is_ok() && !meter.is_heavy());
        assert!(meter.tick(|| tick).is_ok() && meter.is_heavy());
        meter.go_on();
        assert!(meter.tick(|| 2 * tick - 1).is_ok() && !meter.is_heavy());
        assert!(meter.tick(|| 2 * tick).is_ok() && meter.is_heavy());
    }

    #[test]
    fn what_is_used_after_large_memory_was_had_counts_before_the_first_tick_too() {
        let meter = Arc::new(Meter::new(Duration::from_nanos(100)));
        let mut memory = MemoryLimit::new(u64::MAX, 0, Arc::new(Budget::new(u64::MAX)));
        memory.counted(&meter);
        assert!(memory.memory_growing(0, LARGE - 1, None).unwrap() && !meter.counts());
        assert!(memory.memory_growing(LARGE - 1, LARGE, None).unwrap() && meter.counts());
        meter.resume(1000);
        assert_eq!(meter.tick(|| 1099), Ok(()));
        assert_eq!(meter.tick(|| 1100), Err(DeadlineReached));
        meter.begin(&memory);
        assert!(meter.counts() && !meter.is_heavy() && meter.check().is_ok(), "so it is with its next call");
    }

    #[test]
    fn all_memories_together_stay_within_the_limit() {
        let mut memory = MemoryLimit::new(3 << 16, 0, Arc::new(Budget::new(u64::MAX)));
        assert!(memory.memory_growing(0, 1 << 16, None).unwrap());
        assert!(memory.memory_growing(0, 2 << 16, None).unwrap());
        assert_eq!(memory.refused(), None);
        assert!(!memory.memory_growing(1 << 16, 2 << 16, None).unwrap());
        assert_eq!(memory.refused(), Some(Refused::Own));
    }

    #[test]
    fn all_instances_together_stay_within_theirs_and_give_it_back() {
        let budget = Arc::new(Budget::new(3 << 16));
        let mut first = MemoryLimit::new(u64::MAX, 0, Arc::clone(&budget));
        assert!(first.memory_growing(0, 2 << 16, None).unwrap());
        let mut second = MemoryLimit::new(u64::MAX, 0, Arc::clone(&budget));
        assert!(!second.memory_growing(0, 2 << 16, None).unwrap());
        assert_eq!(second.refused(), Some(Refused::Everybody));
        drop(first);
        assert!(second.memory_growing(0, 3 << 16, None).unwrap());
    }

    #[test]
    fn all_tables_together_stay_within_the_limit() {
        let mut memory = MemoryLimit::new(0, 100, Arc::new(Budget::new(0)));
        assert!(memory.table_growing(0, 50, None).unwrap());
        assert!(memory.table_growing(0, 50, None).unwrap());
        assert!(!memory.table_growing(0, 1, None).unwrap());
    }
}
