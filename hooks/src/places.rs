//! How many calls of a hook run at once, how many wait for their turn, and how many bodies it rewrites.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::settings::LimitSettings;

/// The places of one hook.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    queue: Semaphore,
    transforms: Arc<Semaphore>,
}

/// As many bodies are being rewritten as may be.
#[derive(Debug, thiserror::Error)]
#[error("too many bodies are being rewritten")]
pub(crate) struct NoTransform;

impl Places {
    pub(crate) fn new(limits: &LimitSettings) -> Self {
        Self {
            free: Arc::new(Semaphore::new(limits.concurrency as usize)),
            queue: Semaphore::new(limits.queue as usize),
            transforms: Arc::new(Semaphore::new(limits.transforms as usize)),
        }
    }

    /// A place for one call, held until it is dropped. When all are taken the call waits, whoever came first is first, until
    /// `deadline`; `None` when as many wait as may, or none became free in time.
    pub(crate) async fn take(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = self.queue.try_acquire().ok()?;
        self.wait(deadline).await
    }

    /// The same for the next piece of a body: its beginning has gone out, so it waits though the queue is full.
    pub(crate) async fn wait(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        timeout_at(deadline, Arc::clone(&self.free).acquire_owned()).await.ok()?.ok()
    }

    /// The right to rewrite a body, held until it has ended: viewers may take their time, and a place is for those that run.
    pub(crate) fn transform(&self) -> Result<OwnedSemaphorePermit, NoTransform> {
        Arc::clone(&self.transforms).try_acquire_owned().map_err(|_| NoTransform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn places(concurrency: u32, queue: u32) -> Places {
        Places::new(&LimitSettings { concurrency, queue, ..LimitSettings::default() })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_if_the_queue_has_room() {
        let places = places(1, 1);
        let first = places.take(soon()).await.unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        let (waited, refused, ()) = tokio::join!(places.take(far), places.take(far), async { drop(first) });
        assert!(waited.is_some() && refused.is_none());
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_until_the_deadline() {
        let places = places(1, 1);
        let _first = places.take(soon()).await.unwrap();
        assert!(places.take(soon()).await.is_none());
        assert!(places.take(soon()).await.is_none(), "whoever gave up has left the queue");
    }
}
