//! What active checks say about one origin.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::change::Event;
use crate::failure::Cause;
use crate::settings::HealthSettings;

/// Whether an origin may be asked, by its active checks. Without any, it always may.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_down: AtomicBool,
    /// When it came up, in microseconds; 0 if it was never down.
    healed: AtomicU64,
    checked: Mutex<Checked>,
}

#[derive(Debug, Default)]
struct Checked {
    passed: u64,
    failed: u64,
    /// Of one kind in a row, at the end.
    in_a_row: u32,
    last: Option<Found>,
}

/// What one check found wrong, or nothing.
pub(crate) type Found = Result<(), Ailment>;

/// What one check found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ailment {
    /// A type of RFC 9209, `status` or `body`.
    pub(crate) token: &'static str,
    pub(crate) detail: String,
}

/// What active checks say about one origin, for whoever looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthState {
    /// Whether it may be asked. So it is before anything was checked.
    pub is_up: bool,
    /// Checks that passed since the origin is known.
    pub passed: u64,
    /// Checks that failed since.
    pub failed: u64,
    /// What the last check found wrong, if it did not pass.
    pub last_failure: Option<String>,
}

impl Health {
    pub(crate) fn is_down(&self) -> bool {
        self.is_down.load(Relaxed)
    }

    /// When it was seen to come up again, in microseconds of [`clock`]; 0 if it was never down.
    pub(crate) fn healed(&self) -> u64 {
        self.healed.load(Relaxed)
    }

    /// Notes what a check at `now` found. What changed by it.
    pub(crate) fn note(&self, found: Found, settings: &HealthSettings, now: u64) -> Option<Event> {
        let mut checked = self.checked();
        let is_same = checked.last.as_ref().is_some_and(|last| last.is_ok() == found.is_ok());
        checked.in_a_row = if is_same { checked.in_a_row.saturating_add(1) } else { 1 };
        match found {
            Ok(()) => checked.passed += 1,
            Err(_) => checked.failed += 1,
        }
        let event = match &found {
            Ok(()) if self.is_down() && checked.in_a_row >= settings.passes => {
                self.healed.store(now, Relaxed);
                Some(Event::Up)
            }
            Err(ailment) if !self.is_down() && checked.in_a_row >= settings.fails => {
                Some(Event::Down { token: ailment.token, detail: ailment.detail.clone() })
            }
            _ => None,
        };
        checked.last = Some(found);
        if let Some(event) = &event {
            self.is_down.store(!matches!(event, Event::Up), Relaxed);
        }
        event
    }

    pub(crate) fn state(&self) -> HealthState {
        let checked = self.checked();
        let last_failure = match &checked.last {
            Some(Err(Ailment { token, detail })) => Some(format!("{token} ({detail})")),
            _ => None,
        };
        HealthState { is_up: !self.is_down(), passed: checked.passed, failed: checked.failed, last_failure }
    }

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Cause> for Ailment {
    fn from(cause: Cause) -> Self {
        Self { token: cause.failure.token(), detail: cause.detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> HealthSettings {
        HealthSettings { fails: 3, passes: 2, ..HealthSettings::new("/healthz") }
    }

    fn bad() -> Found {
        Err(Ailment { token: "status", detail: "503".into() })
    }

    /// What each of these checks changed: `d`own, `u`p or nothing.
    fn changes(health: &Health, checks: impl IntoIterator<Item = Found>) -> String {
        let word = |(second, found)| match health.note(found, &settings(), second) {
            Some(Event::Down { .. }) => 'd',
            Some(_) => 'u',
            None => '-',
        };
        (1_u64..).zip(checks).map(word).collect()
    }

    #[test]
    fn down_after_fails_in_a_row_and_up_after_passes_in_a_row() {
        let health = Health::default();
        assert!(!health.is_down(), "nothing is known yet");
        let checks =
            [bad(), bad(), Ok(()), bad(), bad(), bad(), bad(), Ok(()), bad(), Ok(()), Ok(()), Ok(())];
        assert_eq!(changes(&health, checks), "-----d----u-");
        assert_eq!((health.is_down(), health.healed()), (false, 11));
    }

    #[test]
    fn the_state_says_what_the_last_check_found() {
        let health = Health::default();
        changes(&health, [Ok(()), bad(), bad(), bad()]);
        let state = health.state();
        assert_eq!((state.is_up, state.passed, state.failed), (false, 1, 3));
        assert_eq!(state.last_failure.as_deref(), Some("status (503)"));
        changes(&health, [Ok(())]);
        assert_eq!((health.state().is_up, health.state().last_failure), (false, None));
    }
}
