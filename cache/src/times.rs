//! When a stored response was made and until when it is fresh, in 28 bytes.

use crate::policy::Freshness;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The points in time of a [`Freshness`]: milliseconds since 1970.
#[derive(Debug)]
pub(crate) struct Times {
    /// When the response had no age.
    born: i64,
    /// When its freshness ends. A purge moves this.
    fresh_until: AtomicI64,
}

/// The spans of a [`Freshness`], apart from its points so that neither leaves a gap in an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    /// Milliseconds.
    initial_age: u32,
    /// Seconds.
    while_revalidate: u32,
    /// Seconds.
    if_error: u32,
}

impl Spans {
    pub(crate) fn new(freshness: &Freshness) -> Self {
        Self {
            initial_age: u32::try_from(freshness.initial_age.as_millis()).unwrap_or(u32::MAX),
            while_revalidate: whole_seconds(freshness.while_revalidate),
            if_error: whole_seconds(freshness.if_error),
        }
    }
}

impl Times {
    pub(crate) fn new(freshness: &Freshness) -> Self {
        let born = since_epoch(freshness.stored_at).saturating_sub(milliseconds(freshness.initial_age));
        let fresh_until = born.saturating_add(milliseconds(freshness.lifetime));
        Self { born, fresh_until: AtomicI64::new(fresh_until) }
    }

    pub(crate) fn freshness(&self, spans: Spans) -> Freshness {
        let lifetime = self.fresh_until.load(Relaxed).saturating_sub(self.born);
        Freshness {
            lifetime: Duration::from_millis(u64::try_from(lifetime).unwrap_or(0)),
            initial_age: Duration::from_millis(spans.initial_age.into()),
            stored_at: at(self.born.saturating_add(spans.initial_age.into())),
            while_revalidate: Duration::from_secs(spans.while_revalidate.into()),
            if_error: Duration::from_secs(spans.if_error.into()),
        }
    }

    /// Whether it is fresh, as [`Freshness::remaining`] would say it.
    pub(crate) fn is_fresh(&self, spans: Spans, now: SystemTime) -> bool {
        let stored_at = self.born.saturating_add(spans.initial_age.into());
        since_epoch(now).max(stored_at) < self.fresh_until.load(Relaxed)
    }

    /// Ends the freshness now, if it has not ended yet.
    pub(crate) fn end(&self, now: SystemTime) {
        self.fresh_until.fetch_min(since_epoch(now), Relaxed);
    }
}

impl Clone for Times {
    fn clone(&self) -> Self {
        Self { fresh_until: AtomicI64::new(self.fresh_until.load(Relaxed)), ..*self }
    }
}

fn since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => milliseconds(since),
        Err(before) => -milliseconds(before.duration()),
    }
}

/// What was old already when it came may have been born before 1970.
fn at(milliseconds: i64) -> SystemTime {
    let distance = Duration::from_millis(milliseconds.unsigned_abs());
    if milliseconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Rounded up: a window of half a second is one.
fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freshness() -> Freshness {
        Freshness {
            lifetime: Duration::from_millis(60_500),
            initial_age: Duration::from_secs(7),
            stored_at: at(1_700_000_000_123),
            while_revalidate: Duration::from_secs(5),
            if_error: Duration::from_secs(60),
        }
    }

    fn stored(freshness: &Freshness) -> Freshness {
        Times::new(freshness).freshness(Spans::new(freshness))
    }

    #[test]
    fn what_is_stored_comes_back() {
        assert_eq!(stored(&freshness()), freshness());
        let long = Freshness { lifetime: Duration::from_secs(1 << 31), ..freshness() };
        assert_eq!(stored(&long), long);
    }

    #[test]
    fn what_is_fresh_has_time_left() {
        let early = Freshness { initial_age: Duration::from_secs(90), ..freshness() };
        for freshness in [freshness(), early, Freshness { lifetime: Duration::from_secs(7), ..freshness() }] {
            let (times, spans) = (Times::new(&freshness), Spans::new(&freshness));
            for now in [-1, 0, 1, 53_499, 53_500, 53_501, 60_500].map(|after| at(1_700_000_000_123 + after)) {
                let now = now + Duration::from_nanos(999);
                let has_time_left = times.freshness(spans).remaining(now).is_some();
                assert_eq!(times.is_fresh(spans, now), has_time_left, "{freshness:?} {now:?}");
            }
        }
    }

    #[test]
    fn ages_beyond_what_is_held_stay_right() {
        let now = at(1_700_000_010_000);
        let aged = Freshness { initial_age: Duration::from_secs(1 << 31), ..freshness() };
        let stored = stored(&aged);
        assert_eq!(stored.age(now), aged.age(now));
        assert_eq!(stored.remaining(now), None);
    }

    #[test]
    fn an_ended_freshness_has_its_windows_after_the_end() {
        let times = Times::new(&freshness());
        let end = at(1_700_000_010_123);
        times.end(end);
        times.end(end + Duration::from_secs(9));
        let ended = times.clone().freshness(Spans::new(&freshness()));
        assert_eq!(ended.remaining(end), None);
        assert!(ended.serves_while_revalidating(end + Duration::from_secs(4)));
        assert!(!ended.serves_while_revalidating(end + Duration::from_secs(5)));
        assert!(ended.serves_if_error(end + Duration::from_secs(59)));
    }
}
