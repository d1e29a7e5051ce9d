//! Is the canary worse than the live version? Pure: counts and `now` in, a verdict out.
//!
//! Both are compared over the same time, event by event, because calls at one event say nothing about calls at another. The
//! canary is worse once the *least* that its rate of failures can be is above the *most* that the live version's can be by
//! more than is allowed; and likewise for the 99th percentile of call times. Both bounds hold at every look (`evidence`), and
//! the chance that any of them is ever wrong is at most [`ERROR`] for the whole trial, however long it is.
//!
//! What lies far back must not hide what a canary does now. So the comparison begins anew every half window, at each event for
//! itself, beside the beginning before: the two overlap, and at least half a window of calls is always looked at. The n-th
//! beginning of an event spends 6/(πn)² of its chance of error, so that all of them together spend it once.
//!
//! While the share of viewers grows, a bad hour of the origin would be more the canary's than the live version's: what is pooled
//! over a changing share says nothing. So what was counted is left behind once the share has moved by more than a fifth.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::evidence::{bounds, is_above, is_below};
use super::figures::{Arm, BUCKETS, EVENTS, Tally, begin_of, place};
use super::settings::{RollbackSettings, WHOLE};
use crate::event::Event;

/// The chance that a canary which is as good as the live version is ever taken back for being worse.
const ERROR: f64 = 0.01;
/// The share of calls that may take longer than the percentile that is compared.
const SLOWEST: f64 = 0.01;
/// What is looked at: the newest beginning and the one before.
const OVERLAPPING: usize = 2;

/// By how much a share may move, either version's, before what was counted is left behind.
const STEADY: f64 = 1.2;
/// In percent: below, a share may move by that much.
const SMALL_SHARE: f64 = 1.0;

/// The comparison of a canary with the live version.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    of_events: [OfEvent; EVENTS.len()],
}

/// The comparison at one event. Some events are rare, and wait longer for calls to judge by.
#[derive(Debug, Default)]
struct OfEvent {
    /// Beginnings so far.
    spent: u32,
    /// Oldest first.
    beginnings: Vec<Beginning>,
}

#[derive(Debug)]
struct Beginning {
    number: u32,
    at: SystemTime,
    /// The canary's, in percent.
    share: f64,
    live: Tally,
    canary: Tally,
}

/// The counts of both versions now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arms<'a> {
    pub(crate) live: &'a Arm,
    pub(crate) canary: &'a Arm,
}

/// What else a look takes into account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looking<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) rule: &'a RollbackSettings,
    /// The canary's share of viewers, in percent.
    pub(crate) share: f64,
    pub(crate) now: SystemTime,
}

/// Why a canary is worse.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Worse {
    Failures { event: Event, canary: Rate, live: Rate, allowed: f64 },
    Slower { event: Event, canary: Slowness, live: Slowness, allowed: Duration },
}

/// How often something happened, and what is sure about it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Calls.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// The least that the rate can be.
    pub at_least: f64,
    /// The most that it can be.
    pub at_most: f64,
}

/// How long the slowest hundredth of calls takes at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Slowness {
    /// The 99th percentile is surely not below.
    #[serde(rename = "at_least_us", serialize_with = "as_microseconds")]
    pub at_least: Duration,
    /// The 99th percentile is surely not above; `None` while nothing is sure.
    #[serde(rename = "at_most_us", serialize_with = "as_maybe_microseconds")]
    pub at_most: Option<Duration>,
}

/// How both do at one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The event.
    pub event: Event,
    /// Failures of the live version.
    pub live: Rate,
    /// Failures of the canary.
    pub canary: Rate,
    /// The 99th percentile of the live version's call times.
    pub live_p99: Slowness,
    /// The 99th percentile of the canary's.
    pub canary_p99: Slowness,
}

impl Trial {
    /// Goes on where the node ended: what was spent stays spent, what was counted is gone.
    pub(crate) fn resumed(spent: u32) -> Self {
        Self { of_events: std::array::from_fn(|_| OfEvent { spent, beginnings: Vec::new() }) }
    }

    /// The most beginnings of an event so far: to be kept over a restart.
    pub(crate) fn spent(&self) -> u32 {
        self.of_events.iter().map(|of_event| of_event.spent).max().unwrap_or(0)
    }

    /// Looks at the counts. How often, and when, makes no difference to what it may get wrong.
    pub(crate) fn look(&mut self, arms: Arms<'_>, looking: Looking<'_>) -> Option<Worse> {
        looking.events.iter().find_map(|event| self.of_events[place(*event)].look(*event, arms, looking))
    }

    /// How both do since the older beginning, with the bounds that decide.
    pub(crate) fn compare(
        &self,
        arms: Arms<'_>,
        events: &[Event],
        rule: &RollbackSettings,
    ) -> Vec<Comparison> {
        let compare = |event: &Event| {
            let begin = self.of_events[place(*event)].beginnings.first()?;
            let error = share_of_error(begin.number, events, rule);
            let (live, canary) = begin.since(*event, arms);
            Some(Comparison {
                event: *event,
                live: rate(&live, error),
                canary: rate(&canary, error),
                live_p99: slowness(&live, error),
                canary_p99: slowness(&canary, error),
            })
        };
        events.iter().filter_map(compare).collect()
    }
}

impl OfEvent {
    fn look(&mut self, event: Event, arms: Arms<'_>, looking: Looking<'_>) -> Option<Worse> {
        let rule = looking.rule;
        let worse = self.beginnings.iter().find_map(|begin| {
            let error = share_of_error(begin.number, looking.events, rule);
            let (live, canary) = begin.since(event, arms);
            if canary.calls() < rule.min_requests.max(1) {
                return None;
            }
            more_failures(event, &live, &canary, rule, error)
                .or_else(|| slower(event, &live, &canary, rule, error))
        });
        if worse.is_none() {
            self.begin_anew(event, arms, looking);
        }
        worse
    }

    /// A new beginning once the last one has seen calls enough to judge by, and half a window or another share.
    fn begin_anew(&mut self, event: Event, arms: Arms<'_>, looking: Looking<'_>) {
        let Looking { rule, share, now, .. } = looking;
        if let Some(last) = self.beginnings.last() {
            let is_old = now.duration_since(last.at).is_ok_and(|age| age >= rule.window / 2);
            let is_moved = is_moved(last.share, share);
            if !(is_old || is_moved) || last.since(event, arms).1.calls() < rule.min_requests {
                return;
            }
            if is_moved {
                self.beginnings.clear();
            }
        }
        if self.beginnings.len() == OVERLAPPING {
            self.beginnings.remove(0);
        }
        self.spent += 1;
        let (live, canary) = (arms.live.of(event).clone(), arms.canary.of(event).clone());
        self.beginnings.push(Beginning { number: self.spent, at: now, share, live, canary });
    }
}

impl Beginning {
    fn since(&self, event: Event, arms: Arms<'_>) -> (Tally, Tally) {
        (arms.live.of(event).since(&self.live), arms.canary.of(event).since(&self.canary))
    }
}

/// Whether the share of either version has moved too far for what was counted before to be pooled with what comes.
fn is_moved(before: f64, now: f64) -> bool {
    [(before, now), (WHOLE - before, WHOLE - now)].into_iter().any(|(before, now)| {
        let (less, more) = (before.min(now), before.max(now));
        more - less > SMALL_SHARE && more > less * STEADY
    })
}

/// What each bound of a beginning may be wrong: 6/(πn)² sums up to one, and is shared by two versions, the events, and the
/// one or two questions asked at each.
fn share_of_error(number: u32, events: &[Event], rule: &RollbackSettings) -> f64 {
    let of_beginning = ERROR * 6.0 / (std::f64::consts::PI * f64::from(number)).powi(2);
    let questions = if rule.p99.is_some() { 2.0 } else { 1.0 };
    let events = u32::try_from(events.len()).unwrap_or(1).max(1);
    of_beginning / (2.0 * questions * f64::from(events))
}

fn rate(tally: &Tally, error: f64) -> Rate {
    let calls = tally.calls();
    // Counters are read one after the other, while calls go on.
    let failures = tally.failures.min(calls);
    let (at_least, at_most) = bounds(failures, calls, error);
    Rate { calls, failures, at_least, at_most }
}

fn more_failures(
    event: Event,
    live: &Tally,
    canary: &Tally,
    rule: &RollbackSettings,
    error: f64,
) -> Option<Worse> {
    let (live, canary, allowed) = (rate(live, error), rate(canary, error), rule.error_rate);
    (canary.at_least > live.at_most + allowed).then_some(Worse::Failures { event, canary, live, allowed })
}

/// The 99th percentile, between two order statistics: it is above a time once surely more than a hundredth of the calls
/// took longer, and below one once surely less did. Nothing is assumed of how call times are distributed.
fn slowness(tally: &Tally, error: f64) -> Slowness {
    let (calls, mut longer) = (tally.calls(), 0);
    let (mut at_least, mut at_most) = (Duration::ZERO, None);
    for bucket in (0..BUCKETS).rev() {
        longer += tally.times[bucket];
        if is_below(SLOWEST, longer, calls, error) {
            at_most = Some(begin_of(bucket));
        }
        if is_above(SLOWEST, longer, calls, error) {
            at_least = begin_of(bucket);
            break;
        }
    }
    Slowness { at_least, at_most }
}

fn slower(event: Event, live: &Tally, canary: &Tally, rule: &RollbackSettings, error: f64) -> Option<Worse> {
    let allowed = rule.p99?;
    let (live, canary) = (slowness(live, error), slowness(canary, error));
    let is_slower = canary.at_least > live.at_most?.saturating_add(allowed);
    is_slower.then_some(Worse::Slower { event, canary, live, allowed })
}

impl fmt::Display for Worse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        match self {
            Self::Failures { event, canary, live, allowed } => write!(
                formatter,
                "at {event} {} of its {} calls failed, at least {}; of the live version's {} of {}, at most {}; {} more are allowed",
                canary.failures,
                canary.calls,
                percent(canary.at_least),
                live.failures,
                live.calls,
                percent(live.at_most),
                percent(*allowed),
            ),
            Self::Slower { event, canary, live, allowed } => write!(
                formatter,
                "at {event} the slowest hundredth of its calls takes at least {:?}, the live version's at most {:?}; {allowed:?} more are allowed",
                canary.at_least,
                live.at_most.unwrap_or_default(),
            ),
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn as_microseconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(microseconds(*time))
}

fn as_maybe_microseconds<S: serde::Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(microseconds).serialize(serializer)
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
