//! How long readers of a window wait for the slowest of them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// How long others wait, in sum, until those who hold them back have caught up with what had arrived.
pub(super) const LAGGARD_PATIENCE: Duration = Duration::from_secs(1);

/// The patience that the readers of one window have left.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// The offset that the slowest reader has to reach for patience to be whole again, in bytes.
    goal: Option<u64>,
    /// Spent in waits that are over. A laggard that takes a little now and then does not win time by it.
    spent: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patience {
    /// Patience is whole again once the slowest reader has caught up.
    pub(super) fn renew(&mut self, slowest: u64) {
        if self.goal.is_some_and(|goal| slowest >= goal) {
            *self = Self::default();
        }
    }

    /// Nobody waits for the slowest reader at the moment.
    pub(super) fn pause(&mut self) {
        if let Some((since, _)) = self.waiting.take() {
            self.spent += since.elapsed();
        }
    }

    /// Somebody waits for the slowest reader, who is to catch up with `arrived`. Ready when patience is at its end.
    pub(super) fn poll_spent(&mut self, arrived: u64, context: &mut Context<'_>) -> Poll<()> {
        self.goal.get_or_insert(arrived);
        let left = LAGGARD_PATIENCE.saturating_sub(self.spent);
        let (_, timer) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        timer.as_mut().poll(context)
    }
}
