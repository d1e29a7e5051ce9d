//! Moments as numbers, so that they fit into atomics.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Before any moment that is ever asked for, and not at zero, which means never.
static BEGINNING: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(60 * 60)).unwrap_or(now)
});

/// Microseconds since a moment before everything; at least 1.
pub(crate) fn micros(at: Instant) -> u64 {
    length(at.saturating_duration_since(*BEGINNING)).max(1)
}

/// A duration in microseconds.
pub(crate) fn length(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The moment itself, on the clock that timeouts use.
pub(crate) fn now() -> u64 {
    micros(tokio::time::Instant::now().into_std())
}
