//! Fetches, readers, invalidations and evictions in any order, against a model of what each reader may see.
//!
//! Nothing runs by itself: every future is polled by hand, and only after it was woken, so the order of events is exactly
//! the list of steps, a lost wake-up is a reader who waits for ever, and a list that breaks a rule shrinks to the few steps
//! that matter. Another test lets threads run free for a moment.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken rule must end its case at once, with its reason"
)]

mod fetch;
mod room;
mod steps;
mod stress;
mod task;
mod viewer;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;
use steps::{Ending, Step, crowd, ending, memory, step};
use world::World;

fn settings() -> ProptestConfig {
    // PROPTEST_CASES and PROPTEST_MAX_SHRINK_ITERS set how long it looks for a broken rule, and for a shorter case.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// In a time that stands still but for [`Step::Pause`].
fn play(memory: u64, steps: Vec<Step>, ending: Ending) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
        let mut world = World::new(memory);
        for step in steps {
            if let Step::Pause = step {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            world.take(step);
        }
        world.end(ending);
    });
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn no_order_of_events_breaks_a_rule(
        memory in memory(),
        steps in vec(step(), 1..200),
        ending in ending(),
    ) {
        play(memory, steps, ending);
    }

    #[test]
    fn nobody_takes_a_part_of_a_window_for_the_whole(steps in crowd(), ending in ending()) {
        play(8_000_000, steps, ending);
    }
}

#[test]
fn threads_that_run_free_break_no_rule() {
    stress::run(Duration::from_secs(2));
}
