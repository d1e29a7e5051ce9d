//! Processor time and memory of one call.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use crate::engine::TICK;

/// Why the engine stopped a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("processor time used up")]
pub(crate) struct DeadlineReached;

/// Counts a call's processor time: the time of the thread, so that a busy machine does not eat a hook's allowance.
/// Reading that clock is a system call, so a light call (one that ends before its first tick) never does.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    used: AtomicU64,
    mark: AtomicU64,
    heavy: AtomicBool,
}

impl Meter {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit: nanoseconds(limit),
            used: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            heavy: AtomicBool::new(false),
        }
    }

    /// The guest ran into an epoch deadline. The first time it has used a tick at least; from then on it is heavy.
    pub(crate) fn tick(&self) -> Result<(), DeadlineReached> {
        if self.heavy.swap(true, Ordering::Relaxed) {
            self.pause();
        } else {
            self.used.fetch_add(nanoseconds(TICK), Ordering::Relaxed);
        }
        self.check()
    }

    /// Whether anything is left.
    pub(crate) fn check(&self) -> Result<(), DeadlineReached> {
        if self.used.load(Ordering::Relaxed) >= self.limit { Err(DeadlineReached) } else { Ok(()) }
    }

    /// From here on, time counts though the call may come in pieces that are shorter than a tick.
    pub(crate) fn count_everything(&self) {
        self.heavy.store(true, Ordering::Relaxed);
    }

    /// A heavy call goes on, on this thread.
    pub(crate) fn resume(&self) {
        self.mark.store(thread_time(), Ordering::Relaxed);
    }

    /// Counts what was used since [`Self::resume`] or the last pause.
    pub(crate) fn pause(&self) {
        let now = thread_time();
        let before = self.mark.swap(now, Ordering::Relaxed);
        self.used.fetch_add(now.saturating_sub(before), Ordering::Relaxed);
    }

    /// What was used after the first tick; before it nothing is measured.
    pub(crate) fn used_when_heavy(&self) -> Duration {
        let used = Duration::from_nanos(self.used.load(Ordering::Relaxed));
        used.saturating_sub(if self.is_heavy() { TICK } else { Duration::ZERO })
    }

    /// Whether the call has outlived its first tick.
    pub(crate) fn is_heavy(&self) -> bool {
        self.heavy.load(Ordering::Relaxed)
    }
}

pub(crate) fn thread_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let rest = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Holds an instance to its memory limit and remembers that it wanted more.
#[derive(Debug, Clone)]
pub(crate) struct MemoryLimit {
    limit: usize,
    used: usize,
    refused: bool,
}

impl MemoryLimit {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: 0, refused: false }
    }

    /// Bytes of all memories of the instance.
    pub(crate) fn used(&self) -> u64 {
        self.used as u64
    }

    pub(crate) fn was_refused(&self) -> bool {
        self.refused
    }
}

/// Table elements of all tables of a call.
const TABLE_ELEMENTS: usize = 100_000;

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // All memories of the component count together.
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_the_thread_is_counted_and_the_limit_ends_it() {
        let meter = Meter::new(Duration::from_millis(20));
        assert!(!meter.is_heavy());
        assert_eq!(meter.tick(), Ok(()));
        assert!(meter.is_heavy());
        meter.resume();
        let begin = std::time::Instant::now();
        let mut ticks = 0_u64;
        while meter.tick().is_ok() {
            ticks += 1;
            assert!(begin.elapsed() < Duration::from_secs(20), "the limit never came");
        }
        assert!(ticks > 1 && begin.elapsed() >= Duration::from_millis(18));
    }

    #[test]
    fn all_memories_together_stay_within_the_limit() {
        let mut memory = MemoryLimit::new(3 << 16);
        assert!(memory.memory_growing(0, 1 << 16, None).unwrap());
        assert!(memory.memory_growing(0, 2 << 16, None).unwrap());
        assert!(!memory.was_refused());
        assert!(!memory.memory_growing(1 << 16, 2 << 16, None).unwrap());
        assert!(memory.was_refused());
    }
}
