//! What a group remembers of one member: whether it failed, until when it is passed over, and since when it is back.
//!
//! Read by every request, so all that a request needs to know lies in a few atomics; moments are microseconds of [`clock`].

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::recent::{Counted, Recent};
use crate::clock;
use crate::failure::Failure;
use crate::settings::{EjectSettings, GroupSettings};

/// How long one request that tries out a member whose time is over keeps others from doing so, at most.
const TRIAL: Duration = Duration::from_secs(10);
/// The share of its requests that a member begins with after it came back.
const FIRST_SHARE: f64 = 0.1;

#[derive(Debug)]
pub(super) struct Memory {
    /// Until when it is passed over; 0 while it is trusted.
    until: AtomicU64,
    /// When it failed last.
    failed: AtomicU64,
    /// When it came back; 0 if it was never away.
    back: AtomicU64,
    /// How often it was passed over since the start.
    times: AtomicU64,
    last: Mutex<Option<Failure>>,
    /// Whether there is one: so much a good answer has to know.
    is_noted: AtomicBool,
    tally: Option<Tally>,
}

/// What passive ejection counts.
#[derive(Debug)]
struct Tally {
    settings: EjectSettings,
    in_a_row: AtomicU32,
    recent: Recent,
    /// How often it was ejected without being well for long enough in between.
    ejections: AtomicU32,
}

/// What a member may be asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Standing {
    /// Everything.
    Well,
    /// A share of its requests, since it has just come back.
    Warming(f64),
    /// One request, to see whether it is back.
    Due,
    /// What nobody else answers.
    Out,
    /// The same, but active checks say so: nobody is asked later.
    Down,
}

impl Memory {
    pub(super) fn new(settings: &GroupSettings) -> Self {
        let tally = settings.eject.as_ref().map(|settings| Tally {
            settings: settings.clone(),
            in_a_row: AtomicU32::new(0),
            recent: Recent::over(settings.over),
            ejections: AtomicU32::new(0),
        });
        Self {
            until: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            back: AtomicU64::new(0),
            times: AtomicU64::new(0),
            last: Mutex::new(None),
            is_noted: AtomicBool::new(false),
            tally,
        }
    }

    /// How it stands at `now`, when active checks saw it come back at `healed` (0: never).
    pub(super) fn standing(&self, now: u64, healed: u64, slow_start: Duration) -> Standing {
        let until = self.until.load(Relaxed);
        // Checks that saw it come back have tried it out.
        if until != 0 && healed <= self.failed.load(Relaxed) {
            return if now >= until { Standing::Due } else { Standing::Out };
        }
        let back = self.back.load(Relaxed).max(healed);
        if slow_start.is_zero() || back == 0 {
            return Standing::Well;
        }
        match now.saturating_sub(back) as f64 / clock::length(slow_start) as f64 {
            share if share >= 1.0 => Standing::Well,
            share => Standing::Warming(share.max(FIRST_SHARE)),
        }
    }

    /// Whether this request is the one that tries it out: whoever comes next waits for the outcome, though not for long.
    pub(super) fn claim_trial(&self, now: u64, remember: Duration) -> bool {
        let until = self.until.load(Relaxed);
        let again = now + clock::length(remember.min(TRIAL));
        until != 0 && self.until.compare_exchange(until, again.max(until), Relaxed, Relaxed).is_ok()
    }

    /// Whether it could have been tried out for as long as it was passed over, and nobody did.
    pub(super) fn is_long_due(&self, now: u64, remember: Duration) -> bool {
        now >= self.until.load(Relaxed).saturating_add(clock::length(remember))
    }

    /// It failed at `at`: for `span` it is not asked. Whether that is news.
    pub(super) fn pass_over(&self, failure: Failure, at: u64, span: Duration) -> bool {
        self.note(failure);
        self.failed.store(at, Relaxed);
        let before = self.until.fetch_max(at + clock::length(span), Relaxed);
        let is_news = before == 0;
        self.times.fetch_add(u64::from(is_news), Relaxed);
        is_news
    }

    /// A failure that takes nobody out, for whoever looks.
    pub(super) fn note(&self, failure: Failure) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        self.is_noted.store(true, Relaxed);
    }

    /// Whether it was passed over after `moment`, and is still not trusted.
    pub(super) fn was_passed_over_since(&self, moment: u64) -> bool {
        !self.is_trusted() && self.failed.load(Relaxed) >= moment
    }

    /// A status that another member answered better, at `at`. Whether it is to be passed over now: at once if it was being tried out.
    pub(super) fn count(&self, failure: Failure, at: u64) -> bool {
        let Some(tally) = &self.tally else { return true };
        self.note(failure);
        tally.recent.add(at, Counted { all: 1, marked: 1 });
        let in_a_row = tally.in_a_row.fetch_add(1, Relaxed).saturating_add(1);
        !self.is_trusted() || in_a_row >= tally.settings.after || tally.is_above_rate(at)
    }

    /// For how long it is to be passed over for a status: for the first time, or with ejection for twice as long as the last time,
    /// unless it was well for long in between; never longer than the ceiling.
    pub(super) fn next_span(&self, at: u64, first: Duration) -> Duration {
        let Some(tally) = &self.tally else { return first };
        let max = tally.settings.max.max(first);
        let was_well_for = at.saturating_sub(self.back.load(Relaxed));
        if self.is_trusted() && was_well_for > clock::length(max) {
            tally.ejections.store(0, Relaxed);
        }
        let before = tally.ejections.fetch_add(1, Relaxed);
        first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(max)
    }

    /// It answered well at `now`, as it was trusted to.
    pub(super) fn succeed(&self, now: u64) {
        if let Some(tally) = &self.tally {
            tally.recent.add(now, Counted { all: 1, marked: 0 });
            if tally.in_a_row.load(Relaxed) != 0 {
                tally.in_a_row.store(0, Relaxed);
            }
        }
        if self.is_noted.load(Relaxed) && self.is_trusted() {
            self.forget();
        }
    }

    /// It answered well though it had failed. Whether that is news.
    pub(super) fn recover(&self, at: u64) -> bool {
        self.forget();
        if let Some(tally) = &self.tally {
            tally.in_a_row.store(0, Relaxed);
        }
        let was_out = self.until.swap(0, Relaxed) != 0;
        if was_out {
            self.back.store(at, Relaxed);
        }
        was_out
    }

    fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.is_noted.store(false, Relaxed);
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.until.load(Relaxed) == 0
    }

    pub(super) fn is_out(&self, now: u64) -> bool {
        now < self.until.load(Relaxed)
    }

    pub(super) fn skipped_for(&self, now: u64) -> Duration {
        Duration::from_micros(self.until.load(Relaxed).saturating_sub(now))
    }

    pub(super) fn last_failure(&self) -> Option<Failure> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn times(&self) -> u64 {
        self.times.load(Relaxed)
    }
}

impl Tally {
    fn is_above_rate(&self, now: u64) -> bool {
        let Some(rate) = self.settings.rate else { return false };
        let Counted { all, marked } = self.recent.counted(now);
        all >= u64::from(self.settings.min_requests) && marked as f64 >= rate * all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const NOW: u64 = 1000 * SECOND;
    const STATUS: Failure = Failure::Status(503);
    const REMEMBER: Duration = Duration::from_secs(30);

    fn memory(change: impl FnOnce(&mut GroupSettings)) -> Memory {
        let mut settings = GroupSettings::new(vec!["a".into()]);
        change(&mut settings);
        Memory::new(&settings)
    }

    fn ejecting(change: impl FnOnce(&mut EjectSettings)) -> Memory {
        let mut eject = EjectSettings::default();
        change(&mut eject);
        memory(|settings| settings.eject = Some(eject))
    }

    fn standing(memory: &Memory, at: u64) -> Standing {
        memory.standing(at, 0, Duration::ZERO)
    }

    #[test]
    fn who_failed_is_out_then_tried_by_one_request_and_back_when_it_answers() {
        let memory = memory(|_| {});
        assert_eq!(standing(&memory, NOW), Standing::Well);
        assert!(memory.pass_over(Failure::ConnectionRefused, NOW, REMEMBER));
        assert!(!memory.pass_over(Failure::ConnectionRefused, NOW, REMEMBER), "no news twice");
        assert_eq!(standing(&memory, NOW + 29 * SECOND), Standing::Out);
        let due = NOW + 30 * SECOND;
        assert_eq!(standing(&memory, due), Standing::Due);
        assert!(!memory.is_long_due(due + 29 * SECOND, REMEMBER));
        assert!(memory.is_long_due(due + 30 * SECOND, REMEMBER));
        assert!(memory.claim_trial(due, REMEMBER));
        assert_eq!(standing(&memory, due), Standing::Out, "others wait for the outcome");
        assert_eq!(standing(&memory, due + 10 * SECOND), Standing::Due, "but not for ever");
        assert!(memory.recover(due + SECOND));
        assert!(!memory.recover(due + SECOND));
        assert_eq!(standing(&memory, due + SECOND), Standing::Well);
        assert_eq!((memory.last_failure(), memory.times()), (None, 1));
    }

    #[test]
    fn a_check_that_saw_it_come_back_ends_the_memory_of_what_was_before() {
        let memory = memory(|_| {});
        memory.pass_over(Failure::ConnectionRefused, NOW, REMEMBER);
        assert_eq!(memory.standing(NOW + SECOND, NOW - SECOND, Duration::ZERO), Standing::Out);
        assert_eq!(memory.standing(NOW + SECOND, NOW + 1, Duration::ZERO), Standing::Well);
        let slow_start = Duration::from_secs(20);
        let healed = NOW + 5 * SECOND;
        for (seconds, standing) in
            [(0, Standing::Warming(0.1)), (10, Standing::Warming(0.5)), (30, Standing::Well)]
        {
            let found = memory.standing(healed + seconds * SECOND, healed, slow_start);
            assert_eq!(found, standing, "{seconds} s after it came up");
        }
    }

    #[test]
    fn who_is_back_gets_a_growing_share() {
        let (memory, slow_start) = (memory(|_| {}), Duration::from_secs(20));
        assert_eq!(memory.standing(NOW, 0, slow_start), Standing::Well, "never away");
        memory.pass_over(STATUS, NOW, Duration::ZERO);
        memory.recover(NOW);
        for (seconds, standing) in [
            (0, Standing::Warming(0.1)),
            (1, Standing::Warming(0.1)),
            (5, Standing::Warming(0.25)),
            (15, Standing::Warming(0.75)),
            (20, Standing::Well),
        ] {
            assert_eq!(memory.standing(NOW + seconds * SECOND, 0, slow_start), standing, "{seconds} s");
        }
        let healed = NOW + 60 * SECOND;
        assert_eq!(memory.standing(healed, healed, slow_start), Standing::Warming(0.1), "seen by a check");
    }

    #[test]
    fn without_ejection_one_status_is_enough() {
        let memory = memory(|_| {});
        assert!(memory.count(STATUS, NOW));
        assert_eq!(memory.next_span(NOW, REMEMBER), REMEMBER);
        assert_eq!(memory.next_span(NOW, REMEMBER), REMEMBER);
    }

    #[test]
    fn ejection_after_so_many_in_a_row() {
        let memory = ejecting(|eject| eject.after = 3);
        assert!(!memory.count(STATUS, NOW) && !memory.count(STATUS, NOW));
        memory.succeed(NOW);
        assert!(
            !memory.count(STATUS, NOW) && !memory.count(STATUS, NOW),
            "a good answer begins the row anew"
        );
        assert!(memory.count(STATUS, NOW));
        assert_eq!((memory.last_failure(), memory.is_trusted()), (Some(STATUS), true));
        memory.succeed(NOW);
        assert_eq!(memory.last_failure(), None);
    }

    #[test]
    fn ejection_above_a_rate_of_enough_requests() {
        let eject = |eject: &mut EjectSettings| {
            (eject.after, eject.rate, eject.min_requests) = (u32::MAX, Some(0.5), 20);
        };
        let few = ejecting(eject);
        assert!((0..19).all(|_| !few.count(STATUS, NOW)), "too few to judge");
        assert!(few.count(STATUS, NOW));
        let mixed = ejecting(eject);
        (0..30).for_each(|_| mixed.succeed(NOW));
        assert!((0..29).all(|_| !mixed.count(STATUS, NOW)));
        assert!(mixed.count(STATUS, NOW), "30 of 60");
        let old = ejecting(eject);
        assert!((0..19).all(|_| !old.count(STATUS, NOW)));
        assert!(!old.count(STATUS, NOW + 3600 * SECOND), "long ago is long ago");
    }

    #[test]
    fn ejections_grow_while_every_trial_fails() {
        let memory = ejecting(|eject| (eject.after, eject.max) = (3, Duration::from_secs(100)));
        assert!(!memory.count(STATUS, NOW) && !memory.count(STATUS, NOW) && memory.count(STATUS, NOW));
        let mut now = NOW;
        for seconds in [30, 60, 100, 100] {
            let span = memory.next_span(now, REMEMBER);
            assert_eq!(span, Duration::from_secs(seconds));
            memory.pass_over(STATUS, now, span);
            assert!(memory.was_passed_over_since(now) && !memory.was_passed_over_since(now + 1));
            now += seconds * SECOND;
            assert!(memory.claim_trial(now, REMEMBER));
            now += SECOND;
            assert!(memory.count(STATUS, now));
        }
    }

    #[test]
    fn a_trial_that_fails_is_enough_and_one_that_does_not_begins_the_row_anew() {
        let memory = ejecting(|eject| eject.after = 3);
        memory.pass_over(Failure::ConnectionRefused, NOW, REMEMBER);
        assert!(memory.count(STATUS, NOW + 30 * SECOND), "it was being tried out");
        assert!(memory.count(STATUS, NOW + 60 * SECOND) && memory.count(STATUS, NOW + 90 * SECOND));
        memory.recover(NOW + 120 * SECOND);
        assert!(!memory.count(STATUS, NOW + 121 * SECOND));
    }

    #[test]
    fn ejections_grow_up_to_a_ceiling_and_begin_anew_after_a_good_while() {
        let memory = ejecting(|eject| eject.max = Duration::from_secs(100));
        let mut now = NOW;
        for seconds in [30, 60, 100, 100] {
            let span = memory.next_span(now, REMEMBER);
            assert_eq!(span, Duration::from_secs(seconds));
            memory.pass_over(STATUS, now, span);
            now += seconds * SECOND;
            memory.recover(now);
            now += SECOND;
        }
        assert_eq!(memory.next_span(now + 200 * SECOND, REMEMBER), REMEMBER);
    }
}
