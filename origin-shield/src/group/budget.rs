//! How many failovers a group may afford, so that an outage never multiplies the load.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::recent::{Counted, Recent};
use crate::settings::RetryBudget;

/// Failovers may be a share of the requests of the last while, and a few a second beside.
#[derive(Debug)]
pub(super) struct Budget {
    share: f64,
    /// Failovers that may happen within the span without any traffic.
    floor: f64,
    recent: Recent,
    refused: AtomicU64,
}

/// What is left of a group's retry budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetState {
    /// Requests of the last while.
    pub requests: u64,
    /// Failovers of the last while.
    pub spent: u64,
    /// Failovers that may still be made now.
    pub left: u64,
    /// Failovers that were not made since the start of the node because nothing was left.
    pub refused: u64,
}

impl Budget {
    pub(super) fn new(settings: &RetryBudget) -> Self {
        Self {
            share: settings.share,
            floor: f64::from(settings.min_per_second) * settings.over.as_secs_f64(),
            recent: Recent::over(settings.over),
            refused: AtomicU64::new(0),
        }
    }

    /// A request came at `now`, in microseconds.
    pub(super) fn earn(&self, now: u64) {
        self.recent.add(now, Counted { all: 1, marked: 0 });
    }

    /// Takes one failover from the budget, if one is left. Several who ask at the same moment may overdraw it by their number.
    pub(super) fn spend(&self, now: u64) -> Result<(), Spent> {
        if self.left(self.recent.counted(now)) == 0 {
            self.refused.fetch_add(1, Relaxed);
            return Err(Spent);
        }
        self.recent.add(now, Counted { all: 0, marked: 1 });
        Ok(())
    }

    pub(super) fn state(&self, now: u64) -> BudgetState {
        let counted = self.recent.counted(now);
        BudgetState {
            requests: counted.all,
            spent: counted.marked,
            left: self.left(counted),
            refused: self.refused.load(Relaxed),
        }
    }

    fn left(&self, counted: Counted) -> u64 {
        let allowed = self.share * counted.all as f64 + self.floor;
        (allowed as u64).saturating_sub(counted.marked)
    }
}

/// Nothing is left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spent;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000;
    const START: u64 = 100 * SECOND;

    fn budget(share: f64, min_per_second: u32) -> Budget {
        Budget::new(&RetryBudget { share, min_per_second, over: Duration::from_secs(10) })
    }

    fn affordable(budget: &Budget, now: u64) -> usize {
        (0..100_000).take_while(|_| budget.spend(now).is_ok()).count()
    }

    #[test]
    fn failovers_are_a_share_of_the_traffic_and_a_floor() {
        let budget = budget(0.2, 1);
        assert_eq!(affordable(&budget, START), 10, "the floor of ten seconds");
        (0..1000).for_each(|_| budget.earn(START));
        assert_eq!(affordable(&budget, START), 200);
        assert_eq!(budget.state(START), BudgetState { requests: 1000, spent: 210, left: 0, refused: 2 });
    }

    #[test]
    fn a_lasting_outage_adds_no_more_than_the_share() {
        let budget = budget(0.2, 0);
        let mut failovers = 0;
        for tick in 0..60_000 {
            let now = START + tick * SECOND / 1000;
            budget.earn(now);
            failovers += usize::from(budget.spend(now).is_ok());
        }
        assert!((11_000..=13_000).contains(&failovers), "{failovers} of 60,000");
    }

    #[test]
    fn old_traffic_pays_for_nothing() {
        let budget = budget(1.0, 0);
        (0..100).for_each(|_| budget.earn(START));
        assert_eq!(affordable(&budget, START + 11 * SECOND), 0);
        assert_eq!(budget.spend(START + 11 * SECOND), Err(Spent));
    }
}
