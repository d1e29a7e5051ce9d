//! The thread that saves stores.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Inner, Store, Stores};

/// How often it looks what is due.
const LOOK: Duration = Duration::from_millis(500);

/// Ends its thread when dropped, after what it is writing.
pub(super) struct Saver {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    pub(super) fn start(stores: &Stores) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let stores = Arc::downgrade(&stores.inner);
        let thread = std::thread::Builder::new().name("selvedge-kv".into()).spawn(move || {
            let mut saved = Saved::default();
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let Some(stores) = upgraded(&stores) else { return };
                stores.open_stores().values().cloned().collect::<Vec<_>>().iter().for_each(|store| {
                    if saved.is_due(store) {
                        stores.save(store);
                    }
                });
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

fn upgraded(stores: &Weak<Inner>) -> Option<Stores> {
    stores.upgrade().map(|inner| Stores { inner })
}

impl Drop for Saver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) =
            self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id())
        {
            // A panic there has been told; what was not saved is saved by whoever closes.
            let _ = thread.join();
        }
    }
}

/// When each store was saved last.
#[derive(Default)]
struct Saved(Vec<(Weak<Store>, Instant)>);

impl Saved {
    fn is_due(&mut self, store: &Arc<Store>) -> bool {
        let (now, every) = (Instant::now(), store.shelf().save);
        self.0.retain(|(known, _)| known.strong_count() > 0);
        match self.0.iter_mut().find(|(known, _)| known.as_ptr() == Arc::as_ptr(store)) {
            Some((_, last)) if now.duration_since(*last) < every => false,
            Some((_, last)) => {
                *last = now;
                true
            }
            None => {
                self.0.push((Arc::downgrade(store), now));
                every < LOOK
            }
        }
    }
}
