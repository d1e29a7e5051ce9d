//! Active checks of origins: one task for each that wants them, however many groups it is in. Likewise rehearsals of their failure.

use super::Node;
use crate::observe::Observer;
use crate::process::now;
use origin_shield::{Fault, Origin};
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
        let rehearse = |fault: &Arc<Fault>| {
            if fault.begin(now()) {
                node.observer.say(format!("fault {fault} begins: requests to this origin fail on purpose"));
            }
            let is_over = fault.state().end.is_some();
            let tell = || runtime.spawn(tell_end(Arc::clone(fault), Arc::clone(&node.observer)));
            (!is_over).then(|| tell().abort_handle())
        };
        Self(checked.map(begin).chain(node.faults().filter_map(rehearse)).collect())
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

/// Says when a rehearsal is over. One that a reload takes away ends with the config that had it.
async fn tell_end(fault: Arc<Fault>, observer: Arc<Observer>) {
    let end = fault.ended().await;
    observer.say(format!("fault origin={} ended reason={:?}", fault.origin(), end.to_string()));
}
