//! The clock on the wall.

use std::time::{Duration, SystemTime};

/// Time since 1970-01-01 00:00 UTC, as in the `exp` of a token: `time::since_epoch().as_secs()`.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "a hook is its own outermost shell")]
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
