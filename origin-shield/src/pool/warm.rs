//! Connections that are open before anybody needs them: over a long distance, opening one costs more than asking.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{PING_PATIENCE, Pool, Protocol};
use crate::failure::Cause;

/// How long nothing is opened after something was, and how long at most while it fails.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How many connections a pool has open, at work or not, and word of each that ends.
#[derive(Debug, Default)]
pub(super) struct Census {
    open: AtomicUsize,
    /// One more word is for the end of the pool itself.
    pub(super) ended: Notify,
    is_kept: AtomicBool,
}

/// An open connection; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<Census>);

impl Census {
    pub(super) fn count(self: &Arc<Self>) -> Counted {
        self.open.fetch_add(1, Relaxed);
        Counted(Arc::clone(self))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
        self.0.ended.notify_one();
    }
}

impl Pool {
    /// Keeps `pool.warm` connections open from now on for as long as there is the pool, those included that are at work; fewer
    /// where the origin's limit has no room for them.
    pub(crate) fn keep_warm(self: &Arc<Self>) {
        if self.settings.kept_warm() > 0 && !self.census.is_kept.swap(true, Relaxed) {
            self.runtime.spawn(keep(Arc::downgrade(self), Arc::clone(&self.census)));
        }
    }

    /// How many are to be opened now. As long as nobody knows what the origin speaks, one: it may be one that all can share.
    fn missing(&self) -> usize {
        let wanted = match self.state().protocol {
            Protocol::Http1 => self.settings.kept_warm(),
            Protocol::Unknown | Protocol::Http2 => 1,
        };
        wanted.saturating_sub(self.census.open.load(Relaxed))
    }

    /// Opens what is missing: one to learn what is spoken, then the others at the same time.
    async fn warm(self: &Arc<Self>) -> Result<(), Cause> {
        for _ in 0..2 {
            let mut opening = JoinSet::new();
            for _ in 0..self.missing() {
                let pool = Arc::clone(self);
                opening.spawn(async move {
                    let lease = pool.fresh_if_free().await?;
                    lease.into_iter().for_each(|lease| lease.hand_back(PING_PATIENCE));
                    Ok(())
                });
            }
            while let Some(opened) = opening.join_next().await {
                opened.unwrap_or(Ok(()))?;
            }
        }
        Ok(())
    }
}

async fn keep(pool: Weak<Pool>, census: Arc<Census>) {
    let mut pause = PAUSE;
    while let Some(held) = pool.upgrade() {
        if held.missing() == 0 {
            drop(held);
            census.ended.notified().await;
            continue;
        }
        pause = match held.warm().await {
            Ok(()) => PAUSE,
            Err(_) => (pause * 2).min(LONGEST_PAUSE),
        };
        drop(held);
        // An origin that ends what was just opened, or a whole fleet that comes back at once, is not to be pressed.
        sleep(pause.mul_f64(1.0 + fastrand::f64() / 4.0)).await;
    }
}
