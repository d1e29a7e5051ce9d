//! Active checks of origins: one task for each that wants them, however many groups it is in.

use super::Node;
use crate::observe::Observer;
use crate::process::now;
use origin_shield::Origin;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// The checks of a node in force; dropping them ends them. What they found stays with the origins, so those that a reload does
/// not change go on where they were.
#[derive(Debug, Default)]
pub struct Checks(Vec<AbortHandle>);

impl Checks {
    /// Begins to check the origins of `node` on this runtime, and goes on until dropped.
    #[must_use]
    pub fn start(node: &Node, runtime: &Handle) -> Self {
        let checked = node.origins.values().filter(|origin| origin.next_check().is_some());
        let begin = |origin: &Arc<Origin>| {
            runtime.spawn(check(Arc::clone(origin), Arc::clone(&node.observer))).abort_handle()
        };
        Self(checked.map(begin).collect())
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

async fn check(origin: Arc<Origin>, observer: Arc<Observer>) {
    while let Some(pause) = origin.next_check() {
        for change in Box::pin(origin.check(now())).await {
            observer.origin_changed(&change);
        }
        tokio::time::sleep(pause).await;
    }
}
