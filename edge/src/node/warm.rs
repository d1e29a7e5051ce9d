//! Connections to origins that are open before anybody needs them.

use super::Current;
use origin_shield::Origin;
use std::sync::Arc;

/// Has every thread's own connections to the origins of the node in force opened and kept (`pool.warm`): on the runtime that this
/// runs on, for as long as it does.
pub async fn keep_warm(current: Arc<Current>) {
    let mut replaced = current.replaced.subscribe();
    loop {
        current.load().origins.values().for_each(|origin| Origin::keep_warm(origin));
        if replaced.changed().await.is_err() {
            return;
        }
    }
}
