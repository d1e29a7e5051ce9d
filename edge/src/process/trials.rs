//! Canaries on trial: looked at while there are any, whoever asks for nothing.

use super::now;
use crate::node::Current;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often: a canary that is surely worse is gone so soon. How often one looks makes no difference to what is sure.
const EVERY: Duration = Duration::from_millis(500);

/// Ends ramps, and takes canaries back that are worse, for as long as the process runs.
pub(super) async fn watch(current: Arc<Current>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let node = current.load();
        if !node.hooks.is_on_trial() {
            continue;
        }
        // It writes files: not on the thread that answers DNS and admin requests.
        let looked = tokio::task::spawn_blocking(move || {
            node.hooks.tick(now()).into_iter().for_each(|words| node.observer.say(words));
        });
        // A look that panicked is one look.
        let _ = looked.await;
    }
}
