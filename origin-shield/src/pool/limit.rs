//! How many connections an origin gets from all cores together, and who waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::{Lease, Pool};
use crate::failure::{Cause, Failure};
use crate::settings::PoolSettings;

/// How often the cores are asked again to give up a connection that nobody uses.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A bulkhead: what one origin takes, however slow it is, is bounded. One for all cores.
#[derive(Debug)]
pub(crate) struct Limit {
    most: usize,
    free: Arc<Semaphore>,
    patience: Duration,
    /// Tells a core that somebody waits.
    wanted: Notify,
}

/// The right to one connection, until it has ended; `None` where there is no limit.
pub(super) type Permit = Option<OwnedSemaphorePermit>;

impl Limit {
    /// `None` where the settings set none.
    pub(crate) fn new(settings: &PoolSettings) -> Option<Arc<Self>> {
        let most = settings.max_connections?.min(Semaphore::MAX_PERMITS);
        Some(Arc::new(Self {
            most,
            free: Arc::new(Semaphore::new(most)),
            patience: settings.queue_timeout,
            wanted: Notify::new(),
        }))
    }

    /// Ends when somebody waits for a connection. Each time one core is told, in turns: one connection is all that is wanted.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether no further connection may be opened now.
    pub(super) fn is_reached(&self) -> bool {
        self.free.available_permits() == 0
    }

    pub(super) fn permit(&self) -> Permit {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }
}

/// Somebody who waits; no longer once dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(pool: &'a Pool) -> Self {
        pool.queued.fetch_add(1, Relaxed);
        Self(&pool.queued)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What comes first to who waits.
pub(super) enum Admission {
    /// A connection may be opened.
    Open(Permit),
    /// One came back meanwhile.
    Used(Lease),
}

impl Pool {
    /// Waits until a connection may be opened, or one of this core comes back.
    ///
    /// # Errors
    /// `connection_limit_reached`: neither in time.
    pub(super) async fn admission(self: &Arc<Self>) -> Result<Admission, Cause> {
        let Some(limit) = &self.limit else { return Ok(Admission::Open(None)) };
        if let permit @ Some(_) = limit.permit() {
            return Ok(Admission::Open(permit));
        }
        let (_waiting, deadline) = (Waiting::begin(self), Instant::now() + limit.patience);
        loop {
            let returned = self.returned.notified();
            if let Some(lease) = self.parked() {
                return Ok(Admission::Used(lease));
            }
            limit.wanted.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let Limit { most, patience, .. } = **limit;
                let detail = format!("all {most} connections were in use for {patience:?}");
                return Err(Cause::new(Failure::ConnectionLimit, detail));
            }
            let permit = async {
                tokio::select! {
                    permit = Arc::clone(&limit.free).acquire_owned() => permit.ok(),
                    () = returned => None,
                }
            };
            if let Ok(permit @ Some(_)) = timeout(left.min(ASK_EVERY), permit).await {
                return Ok(Admission::Open(permit));
            }
        }
    }
}
