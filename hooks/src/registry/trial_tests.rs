//! Simulated canaries: how often a good one is taken back, and how soon a bad one is.

use super::super::figures::{Ended, Figures};
use super::*;

const EVENT: Event = Event::ViewerRequest;
const RARE: Event = Event::OriginRequest;

/// A canary and a live version whose calls are coin flips, looked at after every so many calls of the canary.
struct Simulation {
    every: u32,
    random: fastrand::Rng,
    live: Figures,
    canary: Figures,
    trial: Trial,
    rule: RollbackSettings,
    now: SystemTime,
    share: f64,
}

impl Simulation {
    fn new(seed: u64, rule: RollbackSettings) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let (live, canary) = (Figures::default(), Figures::default());
        let mut simulation = Self {
            every: 20,
            random,
            live,
            canary,
            trial: Trial::default(),
            rule,
            now: SystemTime::UNIX_EPOCH,
            share: 5.0,
        };
        assert_eq!(simulation.look(), None);
        simulation
    }

    fn call(&mut self, is_canary: bool, failing: f64, typical: f64) {
        self.call_at(EVENT, is_canary, failing, typical);
    }

    fn call_at(&mut self, event: Event, is_canary: bool, failing: f64, typical: f64) {
        // Call times with a long tail, as real ones have: exponential.
        let took = Duration::from_secs_f64(-typical * (1.0 - self.random.f64()).ln());
        let ended = if self.random.f64() < failing { Ended::Failed } else { Ended::Well };
        let figures = if is_canary { &self.canary } else { &self.live };
        figures.note(event, took, ended);
    }

    fn look(&mut self) -> Option<Worse> {
        let (live, canary) = (self.live.tally(), self.canary.tally());
        let events = &[EVENT, RARE];
        let looking = Looking { events, rule: &self.rule, share: self.share, now: self.now };
        self.trial.look(Arms { live: &live, canary: &canary }, looking)
    }

    /// How many calls of the canary it takes until it is taken back; it gets every `one_in`-th call, one each 100 ms.
    fn calls_until_taken_back(
        &mut self,
        one_in: u32,
        live: (f64, f64),
        canary: (f64, f64),
        most: u32,
    ) -> Option<u32> {
        for call in 1..=most {
            for _ in 1..one_in {
                self.call(false, live.0, live.1);
            }
            self.call(true, canary.0, canary.1);
            self.now += Duration::from_millis(100);
            if call % self.every == 0 && self.look().is_some() {
                return Some(call);
            }
        }
        None
    }
}

fn rule(min_requests: u64) -> RollbackSettings {
    RollbackSettings { min_requests, error_rate: 0.0, ..RollbackSettings::default() }
}

fn with_p99(min_requests: u64, allowed: Duration) -> RollbackSettings {
    RollbackSettings { p99: Some(allowed), error_rate: 1.0, ..rule(min_requests) }
}

#[test]
fn a_canary_as_good_as_live_is_hardly_ever_taken_back_however_often_one_looks() {
    // The worst case for honesty: nothing more is allowed, 166 looks, beginnings that overlap.
    let runs = 100;
    for rate in [0.002, 0.2] {
        let taken_back = (0..runs).filter(|seed| {
            let rule = RollbackSettings { window: Duration::from_secs(200), ..rule(50) };
            Simulation::new(*seed, rule)
                .calls_until_taken_back(3, (rate, 1e-3), (rate, 1e-3), 3_333)
                .is_some()
        });
        let taken_back = taken_back.count();
        assert!(taken_back <= 1, "{rate}: {taken_back} of {runs}");
    }
}

#[test]
fn a_canary_that_fails_at_a_rare_event_is_found_there() {
    // Of 100 calls, one reaches the origin: it takes several windows until there are enough to judge by.
    let rule = RollbackSettings { window: Duration::from_secs(60), ..rule(100) };
    let mut simulation = Simulation::new(1, rule);
    let found = (1..=20_000).find(|call| {
        simulation.call(false, 0.0, 1e-3);
        simulation.call(true, 0.0, 1e-3);
        if call % 100 == 0 {
            simulation.call_at(RARE, false, 0.0, 1e-3);
            simulation.call_at(RARE, true, 1.0, 1e-3);
        }
        simulation.now += Duration::from_millis(100);
        call % 20 == 0 && simulation.look().is_some()
    });
    assert_eq!(found, Some(10_000), "at the hundredth");
}

#[test]
fn an_hour_in_which_everything_fails_is_not_the_fault_of_a_canary_that_grows_meanwhile() {
    for seed in 0..10 {
        let mut simulation = Simulation::new(seed, RollbackSettings { min_requests: 100, ..rule(100) });
        // Six thousand calls of both at each share; half of all calls fail while it is large.
        for (share, failing) in [(10.0, 0.0), (30.0, 0.0), (50.0, 0.5), (70.0, 0.5), (90.0, 0.5)] {
            simulation.share = share;
            for call in 0..6_000 {
                let is_canary = simulation.random.f64() * 100.0 < share;
                simulation.call(is_canary, failing, 1e-3);
                simulation.now += Duration::from_millis(10);
                if call % 50 == 0 {
                    assert_eq!(simulation.look(), None, "seed {seed} at {share} percent");
                }
            }
        }
    }
}

#[test]
fn failures_of_the_live_version_are_not_the_canarys() {
    for seed in 0..10 {
        let mut simulation = Simulation::new(seed, rule(100));
        assert_eq!(simulation.calls_until_taken_back(4, (0.5, 1e-3), (0.45, 1e-3), 2_000), None);
    }
}

#[test]
fn a_canary_that_fails_five_percent_more_often_is_found_soon() {
    let mut found: Vec<_> = (0..20)
        .map(|seed| {
            let mut simulation = Simulation::new(seed, RollbackSettings::default());
            let found = simulation.calls_until_taken_back(20, (0.001, 1e-3), (0.051, 1e-3), 3_000);
            found.unwrap_or_else(|| panic!("seed {seed}: not found in 3,000 calls"))
        })
        .collect();
    found.sort_unstable();
    assert!(found[0] >= 500, "it was judged after {} calls", found[0]);
    assert!(
        found[10] <= 600 && found[19] <= 1_500,
        "half after {} calls, all after {}",
        found[10],
        found[19]
    );
}

#[test]
fn one_that_always_fails_is_found_at_the_first_look() {
    let mut simulation =
        Simulation::new(1, RollbackSettings { min_requests: 20, ..RollbackSettings::default() });
    assert_eq!(simulation.calls_until_taken_back(2, (0.0, 1e-3), (1.0, 1e-3), 100), Some(20));
}

#[test]
fn a_canary_that_becomes_bad_after_a_good_time_is_found_as_soon() {
    let rule = RollbackSettings { window: Duration::from_secs(120), ..RollbackSettings::default() };
    let mut simulation = Simulation::new(3, rule);
    assert_eq!(simulation.calls_until_taken_back(3, (0.001, 1e-3), (0.001, 1e-3), 10_000), None);
    let found = simulation.calls_until_taken_back(3, (0.001, 1e-3), (0.1, 1e-3), 3_000).unwrap();
    assert!(found <= 600, "{found}");
}

#[test]
fn slower_calls_are_found_and_equal_ones_are_not() {
    for seed in 0..10 {
        let mut equal = Simulation::new(seed, with_p99(500, Duration::ZERO));
        assert_eq!(equal.calls_until_taken_back(5, (0.0, 1e-3), (0.0, 1e-3), 3_000), None, "seed {seed}");
        // Three times as slow: the 99th percentile of 4.6 ms becomes one of 13.8 ms.
        let mut slow = Simulation::new(seed, with_p99(500, Duration::from_millis(1)));
        let found = slow.calls_until_taken_back(5, (0.0, 1e-3), (0.0, 3e-3), 5_000);
        assert!(found.is_some_and(|calls| calls <= 1_500), "seed {seed}: {found:?}");
        let mut allowed = Simulation::new(seed, with_p99(500, Duration::from_millis(20)));
        assert_eq!(allowed.calls_until_taken_back(5, (0.0, 1e-3), (0.0, 3e-3), 2_000), None, "seed {seed}");
    }
}

#[test]
fn the_percentile_lies_between_its_bounds() {
    let mut simulation = Simulation::new(5, rule(1));
    for _ in 0..20_000 {
        simulation.call(true, 0.0, 1e-3);
    }
    let slowness = slowness(simulation.canary.tally().of(EVENT), 0.01);
    let p99 = Duration::from_secs_f64(1e-3 * 100_f64.ln());
    let at_most = slowness.at_most.unwrap();
    assert!(slowness.at_least <= p99 && p99 <= at_most, "{slowness:?}");
    assert!(at_most - slowness.at_least < p99 / 2, "{slowness:?}");
}

#[test]
fn nothing_is_judged_without_calls_of_the_live_version() {
    let mut simulation = Simulation::new(1, rule(20));
    assert_eq!(simulation.calls_until_taken_back(1, (0.0, 1e-3), (1.0, 1e-3), 500), None);
}

#[test]
fn all_beginnings_together_spend_the_error_once() {
    let rule = with_p99(1, Duration::ZERO);
    let spent: f64 = (1..100_000).map(|number| 4.0 * 4.0 * share_of_error(number, &[EVENT; 4], &rule)).sum();
    assert!(spent <= ERROR && spent > 0.99 * ERROR, "{spent}");
}

#[test]
fn the_reason_names_what_was_seen_and_what_is_sure() {
    let mut simulation =
        Simulation::new(1, RollbackSettings { min_requests: 100, ..RollbackSettings::default() });
    simulation.calls_until_taken_back(10, (0.0, 1e-3), (1.0, 1e-3), 200);
    let words = simulation.look().unwrap().to_string();
    assert!(words.starts_with("at viewer-request 100 of its 100 calls failed, at least 9"), "{words}");
    assert!(words.contains("of the live version's 0 of 900, at most 1."), "{words}");
}
