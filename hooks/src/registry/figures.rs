//! What the calls of one version came to, counted as they end.

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::error::HookError;
use crate::event::Event;

/// Call times are kept by their first three binary digits, from 128 ns to an hour: two that differ by an eighth are told
/// apart, and counting costs one addition.
pub(crate) const BUCKETS: usize = 264;
const UNIT_BITS: u32 = 7;
const DIGITS: u32 = 3;

pub(crate) const EVENTS: [Event; 4] =
    [Event::ViewerRequest, Event::OriginRequest, Event::OriginResponse, Event::ViewerResponse];

/// What a call says about its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did what it was called for.
    Well,
    /// It failed, or what it made is an error of its own: 5xx.
    Failed,
    /// Nothing: the node had no place for it, or is ending.
    Uncounted,
}

impl Ended {
    /// What a failed call says. That all places or all memory are taken tells of the load and of other hooks, not of this
    /// version.
    #[must_use]
    pub fn of(error: &HookError) -> Self {
        match error {
            HookError::Busy { .. }
            | HookError::Transforms { .. }
            | HookError::Instances { .. }
            | HookError::Crowded { .. }
            | HookError::Lost { .. }
            | HookError::Engine { .. } => Self::Uncounted,
            _ => Self::Failed,
        }
    }
}

/// Counters of one version, by event.
#[derive(Debug, Default)]
pub(crate) struct Figures([OfEvent; EVENTS.len()]);

#[derive(Debug)]
struct OfEvent {
    failures: AtomicU64,
    nanoseconds: AtomicU64,
    times: Box<[AtomicU64; BUCKETS]>,
}

impl Default for OfEvent {
    fn default() -> Self {
        let times = Box::new(array::from_fn(|_| AtomicU64::new(0)));
        Self { failures: AtomicU64::new(0), nanoseconds: AtomicU64::new(0), times }
    }
}

impl Figures {
    pub(crate) fn note(&self, event: Event, took: Duration, ended: Ended) {
        let of_event = &self.0[place(event)];
        match ended {
            Ended::Uncounted => return,
            Ended::Failed => drop(of_event.failures.fetch_add(1, Relaxed)),
            Ended::Well => {}
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        of_event.nanoseconds.fetch_add(nanoseconds, Relaxed);
        of_event.times[bucket(nanoseconds)].fetch_add(1, Relaxed);
    }

    /// A call that was counted as good has failed after all.
    pub(crate) fn note_failure(&self, event: Event) {
        self.0[place(event)].failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn tally(&self) -> Arm {
        let tally = |of_event: &OfEvent| {
            let failures = of_event.failures.load(Relaxed);
            let times = Box::new(array::from_fn(|at| of_event.times[at].load(Relaxed)));
            Tally { failures, nanoseconds: of_event.nanoseconds.load(Relaxed), times }
        };
        Arm(self.0.each_ref().map(tally))
    }
}

/// A call that has not ended yet.
#[derive(Debug)]
pub struct Underway {
    /// None once it is counted.
    figures: Option<Arc<Figures>>,
    event: Event,
    begun: Instant,
    wall: Duration,
}

impl Underway {
    pub(crate) fn begin(figures: &Arc<Figures>, event: Event, wall: Duration) -> Self {
        Self { figures: Some(Arc::clone(figures)), event, begun: Instant::now(), wall }
    }

    /// It has ended.
    pub fn end(mut self, ended: Ended) {
        self.count(ended);
    }

    fn count(&mut self, ended: Ended) {
        if let Some(figures) = self.figures.take() {
            figures.note(self.event, self.begun.elapsed(), ended);
        }
    }
}

impl Drop for Underway {
    /// The viewer has gone away. Of a hook that hangs, viewers would tire before its time is up, and nothing would be known of it.
    fn drop(&mut self) {
        let is_long = self.begun.elapsed() >= self.wall / 2;
        self.count(if is_long { Ended::Failed } else { Ended::Well });
    }
}

/// The counts of one version at a moment, or between two.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arm([Tally; EVENTS.len()]);

/// The counts of one event.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) failures: u64,
    pub(crate) nanoseconds: u64,
    pub(crate) times: Box<[u64; BUCKETS]>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { failures: 0, nanoseconds: 0, times: Box::new([0; BUCKETS]) }
    }
}

impl Arm {
    pub(crate) fn of(&self, event: Event) -> &Tally {
        &self.0[place(event)]
    }
}

impl Tally {
    /// What has been counted since `then`.
    pub(crate) fn since(&self, then: &Tally) -> Tally {
        Tally {
            failures: self.failures.saturating_sub(then.failures),
            nanoseconds: self.nanoseconds.saturating_sub(then.nanoseconds),
            times: Box::new(array::from_fn(|at| self.times[at].saturating_sub(then.times[at]))),
        }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.times.iter().sum()
    }
}

pub(crate) fn place(event: Event) -> usize {
    match event {
        Event::ViewerRequest => 0,
        Event::OriginRequest => 1,
        Event::OriginResponse => 2,
        Event::ViewerResponse => 3,
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let units = nanoseconds >> UNIT_BITS;
    let length = u64::BITS - units.leading_zeros();
    let shift = length.saturating_sub(DIGITS + 1);
    // With its leading digit: 8 to 15 once it is long enough.
    let digits = units >> shift;
    let bucket = u64::from(shift << DIGITS) + digits;
    usize::try_from(bucket).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The shortest time of a bucket.
pub(crate) fn begin_of(bucket: usize) -> Duration {
    const FIRST: usize = 1 << DIGITS;
    let units = match bucket {
        0..FIRST => bucket as u64,
        _ => ((bucket % FIRST + FIRST) as u64) << (bucket / FIRST - 1),
    };
    Duration::from_nanos(units << UNIT_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_its_bucket_and_buckets_are_narrow() {
        for bucket in 0..BUCKETS - 1 {
            let (begin, end) = (begin_of(bucket), begin_of(bucket + 1));
            assert!(begin < end, "{bucket}");
            for time in [begin, end - Duration::from_nanos(1)] {
                assert_eq!(super::bucket(time.as_nanos() as u64), bucket, "{time:?}");
            }
            assert!(bucket < 8 || (end - begin) * 8 <= begin, "{bucket}: {begin:?} to {end:?}");
        }
        assert!(begin_of(BUCKETS - 1) > Duration::from_secs(3600));
        assert_eq!(super::bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_call_that_nobody_waits_for_is_counted_too() {
        let figures = Arc::new(Figures::default());
        let event = Event::ViewerRequest;
        drop(Underway::begin(&figures, event, Duration::from_secs(3600)));
        Underway::begin(&figures, event, Duration::ZERO).end(Ended::Well);
        Underway::begin(&figures, event, Duration::ZERO).end(Ended::Uncounted);
        let counted =
            |figures: &Figures| (figures.tally().of(event).calls(), figures.tally().of(event).failures);
        assert_eq!(counted(&figures), (2, 0));
        drop(Underway::begin(&figures, event, Duration::ZERO));
        assert_eq!(counted(&figures), (3, 1));
    }

    #[test]
    fn that_others_hold_all_memory_says_nothing_of_a_version() {
        let call = crate::error::CallReport {
            called: crate::error::Called::Hook("guest".into(), Event::ViewerRequest),
            trace: Vec::new(),
            log: Vec::new(),
        };
        let crowded = HookError::Crowded { call: Box::new(call), limit: bytesize::ByteSize::mib(1) };
        assert_eq!(Ended::of(&crowded), Ended::Uncounted);
    }

    #[test]
    fn calls_are_counted_by_event_and_what_says_nothing_is_not() {
        let figures = Figures::default();
        figures.note(Event::ViewerRequest, Duration::from_micros(10), Ended::Well);
        let before = figures.tally();
        figures.note(Event::ViewerRequest, Duration::from_micros(20), Ended::Failed);
        figures.note(Event::OriginResponse, Duration::from_micros(20), Ended::Uncounted);
        figures.note_failure(Event::ViewerRequest);
        let all = figures.tally();
        let since = all.of(Event::ViewerRequest).since(before.of(Event::ViewerRequest));
        assert_eq!((all.of(Event::ViewerRequest).calls(), all.of(Event::ViewerRequest).failures), (2, 2));
        assert_eq!((since.calls(), since.nanoseconds), (1, 20_000));
        assert_eq!(all.of(Event::OriginResponse).calls(), 0);
    }
}
