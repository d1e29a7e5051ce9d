//! How the versions of a hook stand, for operators: what admin answers and figures are made of.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::figures::Arm;
use super::state::{Canary, Change, State};
use super::trial::{Arms, Comparison, Trial};
use super::version::VersionId;
use crate::event::Event;
use crate::settings::HookSettings;

/// A hook and its versions.
#[derive(Debug, Clone, Serialize)]
pub struct SlotReport {
    /// The events that it answers.
    pub on: Vec<Event>,
    /// The version that serves.
    pub live: VersionId,
    /// The one that did before.
    pub previous: Option<VersionId>,
    /// The component that the config names.
    pub config: VersionId,
    /// The version on trial.
    pub canary: Option<CanaryReport>,
    /// Those whose components are kept, oldest first.
    pub versions: Vec<VersionReport>,
    /// Canaries that the node has taken back by itself since it began.
    pub automatic_rollbacks: u64,
    /// What was done, oldest first.
    pub history: Vec<Change>,
}

/// A version on trial.
#[derive(Debug, Clone, Serialize)]
pub struct CanaryReport {
    /// Its name.
    pub version: VersionId,
    /// The share of viewers who get it now, in percent.
    pub percent: f64,
    /// Where its ramp goes, in percent.
    pub ramp_to: Option<f64>,
    /// Seconds until it is there.
    pub ramp_left_s: Option<u64>,
    /// Who sends this gets it too.
    pub header: Option<String>,
    /// What makes two requests the same viewer's.
    pub sticky: String,
    /// When it was first called, in milliseconds since 1970.
    pub since_ms: u64,
    /// By how much its rate of failures may be above the live version's.
    pub allowed_error_rate: f64,
    /// By how much its 99th percentile may be above, in microseconds.
    pub allowed_p99_us: Option<u64>,
    /// Calls before it is judged.
    pub min_requests: u64,
    /// How both do, and what is sure about it.
    pub events: Vec<Comparison>,
}

/// A version whose component is kept.
#[derive(Debug, Clone, Serialize)]
pub struct VersionReport {
    /// Its name.
    pub version: VersionId,
    /// `live`, `canary`, `previous`, `config`.
    pub aliases: Vec<&'static str>,
    /// The size of its component.
    pub bytes: u64,
    /// When it came, in milliseconds since 1970.
    pub at_ms: u64,
    /// What whoever deployed it said about it.
    pub note: Option<String>,
    /// Its calls since the node began or since it serves; empty for those that do not.
    pub calls: Vec<CallsReport>,
}

/// The calls of a version at one event.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CallsReport {
    /// The event.
    pub event: Event,
    /// All of them.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// What they took together, in nanoseconds.
    pub nanoseconds: u64,
}

pub(super) fn of(
    settings: &HookSettings,
    state: &State,
    trial: Option<&Trial>,
    tally: impl Fn(&VersionId) -> Arm,
    automatic_rollbacks: u64,
    now: SystemTime,
) -> SlotReport {
    let canary = state.canary.as_ref().map(|canary| {
        let (live, tried) = (tally(&state.live), tally(&canary.version));
        let arms = Arms { live: &live, canary: &tried };
        let events = trial.map(|trial| trial.compare(arms, &settings.on, &canary.terms.rollback_if));
        canary_report(canary, events.unwrap_or_default(), now)
    });
    let serving = |version: &VersionId| {
        let is_canary = state.canary.as_ref().is_some_and(|canary| canary.version == *version);
        *version == state.live || is_canary || state.previous.as_ref() == Some(version)
    };
    let calls = |version: &VersionId| {
        let arm = tally(version);
        let of_event = |event: &Event| {
            let tally = arm.of(*event);
            CallsReport {
                event: *event,
                calls: tally.calls(),
                failures: tally.failures,
                nanoseconds: tally.nanoseconds,
            }
        };
        settings.on.iter().map(of_event).collect()
    };
    let version = |known: &super::state::Known| VersionReport {
        version: known.version.clone(),
        aliases: aliases(state, &known.version),
        bytes: known.bytes,
        at_ms: known.at_ms,
        note: known.note.clone(),
        calls: if serving(&known.version) { calls(&known.version) } else { Vec::new() },
    };
    SlotReport {
        on: settings.on.clone(),
        live: state.live.clone(),
        previous: state.previous.clone(),
        config: state.base.clone(),
        canary,
        versions: state.versions.iter().map(version).collect(),
        automatic_rollbacks,
        history: state.history.iter().cloned().collect(),
    }
}

fn canary_report(canary: &Canary, events: Vec<Comparison>, now: SystemTime) -> CanaryReport {
    let (terms, rule) = (&canary.terms, &canary.terms.rollback_if);
    let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    CanaryReport {
        version: canary.version.clone(),
        percent: canary.percent(now),
        ramp_to: terms.ramp.as_ref().map(|ramp| ramp.to),
        ramp_left_s: canary.ramp_left(now).map(|left| left.as_secs()),
        header: terms.header.as_ref().map(ToString::to_string),
        sticky: terms.sticky.to_string(),
        since_ms: canary.since_ms(),
        allowed_error_rate: rule.error_rate,
        allowed_p99_us: rule.p99.map(microseconds),
        min_requests: rule.min_requests,
        events,
    }
}

fn aliases(state: &State, version: &VersionId) -> Vec<&'static str> {
    let canary = state.canary.as_ref().map(|canary| &canary.version);
    let named = [
        ("live", Some(&state.live)),
        ("canary", canary),
        ("previous", state.previous.as_ref()),
        ("config", Some(&state.base)),
    ];
    named.into_iter().filter(|(_, named)| *named == Some(version)).map(|(alias, _)| alias).collect()
}
