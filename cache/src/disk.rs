//! The second tier: stored responses on disk, under those in memory. It survives a restart, and a crash loses nothing that
//! was written whole.
//!
//! A log of segments: records are appended, never changed, and the oldest segment is deleted when there is no more room
//! (what was read meanwhile is written again). A purge is a [`Mark`] in the same log: it covers what was written before it.
//! Every record is checked before it is served, so what a crash or a bad disk left behind is a miss. Why not one file an object,
//! or a library: `bench/README.md` has the figures.

mod folder;
pub mod format;
mod index;
mod marks;
mod queue;
mod segment;
mod settings;
mod state;
mod writer;

pub use folder::{DiskError, check};
pub use format::{Mark, Reach, Record, Strength, name_of};
pub use settings::DiskSettings;

use bytes::Bytes;
use folder::Folder;
use format::{Item, Place};
use index::Location;
use queue::Queue;
use segment::Segment;
use state::State;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;
use tokio::sync::Semaphore;
use writer::{Limits, Writer};

/// How many bytes may be on their way from the disk at once, in units of 4 KiB: 64 MiB. More wait for these.
const READING: u32 = 16 * 1024;

/// The least that a read counts, in the same units: 256 may wait for the disk at once.
const LEAST_READ: u32 = 64;

/// Is told when something goes wrong: what was being done, and what the operating system said. It may be told often.
pub type Complain = Box<dyn Fn(&str, &io::Error) + Send + Sync>;

/// Says of a key whether it is in use, so that it is kept when its time has come.
pub type Wanted = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The second tier of a node.
#[derive(Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    reads: Semaphore,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A record that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was stored.
    pub record: Record,
    /// It was purged softly then: it has not been fresh since, whatever it says of itself.
    pub stale_since: Option<SystemTime>,
}

/// Figures for metrics and the admin page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskStatistics {
    /// Records that can be found.
    pub records: u64,
    /// Bytes on disk, of what was replaced or purged meanwhile included.
    pub bytes: u64,
    /// Bytes that wait to be written.
    pub queued_bytes: u64,
    /// Lookups that found something.
    pub hits: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Records written.
    pub written: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Records that were not kept: too large, too many waiting, or an error.
    pub dropped: u64,
    /// Records that were not what had been written.
    pub damaged: u64,
    /// What the operating system refused.
    pub errors: u64,
}

struct Shared {
    folder: Folder,
    limits: Limits,
    queue: Queue,
    state: Mutex<State>,
    counters: Counters,
    complain: Complain,
    wanted: OnceLock<Wanted>,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    written: AtomicU64,
    written_bytes: AtomicU64,
    dropped: AtomicU64,
    damaged: AtomicU64,
    errors: AtomicU64,
}

impl Disk {
    /// Opens the tier: reads what is there, which takes about a second for every million records, and starts to write.
    ///
    /// # Errors
    /// [`DiskError`] when the folder cannot be used. Damaged files in it are no error: what they held is forgotten.
    pub fn open(settings: &DiskSettings, complain: Complain) -> Result<Self, DiskError> {
        let size = settings.size.as_u64();
        if size < settings::LEAST {
            return Err(DiskError::TooSmall(size));
        }
        let folder = Folder::claim(&settings.path)?;
        let failed = |source| DiskError::Folder { path: settings.path.clone(), source };
        let recovered = State::recover(&folder).map_err(failed)?;
        let (limits, queue) = (Limits::new(size), Queue::new(settings.queue.as_u64(), recovered.sequence));
        let (state, counters) = (Mutex::new(recovered.state), Counters::default());
        let shared =
            Arc::new(Shared { folder, limits, queue, state, counters, complain, wanted: OnceLock::new() });
        let writer = Writer::new(Arc::clone(&shared), recovered.segment + 1);
        let thread =
            thread::Builder::new().name("disk".to_owned()).spawn(move || writer.run()).map_err(failed)?;
        Ok(Self { shared, reads: Semaphore::new(READING as usize), writer: Mutex::new(Some(thread)) })
    }

    /// Keeps a record, in the place of the one with the same key and variant. Never waits; says whether it will be written. What
    /// it would have replaced is gone either way.
    pub fn put(&self, record: Record) -> bool {
        let key = record.key.clone();
        let is_small = record.length() + segment::index_length(1) <= self.shared.limits.segment;
        let is_taken = is_small && self.shared.queue.put(record);
        if !is_taken {
            self.shared.counters.dropped.fetch_add(1, Relaxed);
            self.forget(&key, Strength::Gone);
        }
        is_taken
    }

    /// Purges what was put before. In force at once; it is on disk when [`Disk::settled`] says so.
    pub fn mark(&self, mark: &Mark) {
        let sequence = self.shared.queue.mark(mark.clone());
        self.shared.state().marks.add(sequence, mark);
    }

    /// Purges all variants under a key. Costs nothing where there are none.
    pub fn forget(&self, key: &[u8], strength: Strength) {
        let name = name_of(key);
        if self.has(key) {
            self.mark(&Mark { reach: Reach::Label(name), strength });
            if strength == Strength::Gone {
                self.shared.state().index.remove_all(name);
            }
        }
    }

    /// Whether there is anything under a key, or on its way there. Reads nothing and counts as no use; a purge by label or prefix
    /// takes what is there when it is read.
    #[must_use]
    pub fn has(&self, key: &[u8]) -> bool {
        let name = name_of(key);
        // In this order: what leaves the queue is listed before.
        self.shared.queue.holds(name) || self.shared.state().index.has(name)
    }

    /// From now on, what is `wanted` is kept when its time has come, as is what was read.
    pub fn keep(&self, wanted: Wanted) {
        // Whoever came first stays.
        let _ = self.shared.wanted.set(wanted);
    }

    /// Waits until everything put and marked so far is written, and the marks are on the disk itself. False when the disk
    /// refuses: then purges hold only until the process ends.
    pub async fn settled(&self) -> bool {
        self.shared.queue.settle().await.unwrap_or(false)
    }

    /// The record that was written last under a key, whatever its variant.
    pub async fn newest(&self, key: &[u8]) -> Option<Found> {
        self.load(key, State::newest).await
    }

    /// One variant of what is stored under a key.
    pub async fn variant(&self, key: &[u8], variant: u32) -> Option<Found> {
        self.load(key, |state, name| state.variant(name, variant)).await
    }

    async fn load(
        &self,
        key: &[u8],
        find: impl FnOnce(&mut State, u64) -> Option<state::Located>,
    ) -> Option<Found> {
        let (counters, name) = (&self.shared.counters, name_of(key));
        // While another is waiting to take its place, what is on disk is not what was put last.
        let located =
            (!self.shared.queue.holds(name)).then(|| find(&mut self.shared.state(), name)).flatten();
        let found = match located {
            Some(state::Located { variant, location, segment }) => {
                let bytes = self.read(location, segment).await;
                bytes.and_then(|bytes| self.shared.judge(key, variant, location, &bytes))
            }
            None => None,
        };
        if found.is_some() { &counters.hits } else { &counters.misses }.fetch_add(1, Relaxed);
        found
    }

    /// Of the page cache at once, of the disk on a thread that may wait.
    async fn read(&self, location: Location, segment: Arc<Segment>) -> Option<Bytes> {
        if let Some(bytes) = segment.read_cached(location.offset, location.length()) {
            return Some(bytes);
        }
        let units = (location.length() / 4096 + 1).clamp(LEAST_READ, READING);
        let _turn = self.reads.acquire_many(units).await.ok()?;
        let read = tokio::task::spawn_blocking(move || segment.read(location.offset, location.length()));
        // An error here means that the process is ending.
        match read.await.ok()? {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.shared.trouble("read", &error);
                None
            }
        }
    }

    /// Figures of this moment.
    #[must_use]
    pub fn statistics(&self) -> DiskStatistics {
        let Shared { counters, queue, .. } = &*self.shared;
        let (records, bytes) = {
            let state = self.shared.state();
            (state.index.len() as u64, state.bytes())
        };
        DiskStatistics {
            records,
            bytes,
            queued_bytes: queue.bytes(),
            hits: counters.hits.load(Relaxed),
            misses: counters.misses.load(Relaxed),
            written: counters.written.load(Relaxed),
            written_bytes: counters.written_bytes.load(Relaxed),
            dropped: counters.dropped.load(Relaxed),
            damaged: counters.damaged.load(Relaxed),
            errors: counters.errors.load(Relaxed),
        }
    }

    /// Writes what waits and ends. Nothing is kept from then on; what is there is still found.
    pub fn close(&self) {
        self.shared.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The writer itself may be the last one who holds the store that this belongs to.
        let is_own = |writer: &JoinHandle<()>| writer.thread().id() == thread::current().id();
        if let Some(writer) = writer.filter(|writer| !is_own(writer)) {
            // A writer that panicked has nothing more to write.
            let _ = writer.join();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, what: &str, error: &io::Error) {
        self.counters.errors.fetch_add(1, Relaxed);
        (self.complain)(what, error);
    }

    fn is_wanted(&self, segment: &Segment, place: &Place) -> bool {
        let Some(wanted) = self.wanted.get() else { return false };
        segment.key(place.offset).is_some_and(|key| wanted(&key))
    }

    /// Serves nothing that is not exactly what was put under this key and is still in force.
    fn judge(&self, key: &[u8], variant: u32, location: Location, bytes: &Bytes) -> Option<Found> {
        let name = name_of(key);
        let Ok((sequence, Item::Record(record))) = format::decode(bytes) else {
            self.counters.damaged.fetch_add(1, Relaxed);
            self.state().index.remove(name, variant, location);
            return None;
        };
        // Two keys of one name: possible, and no reason to serve the other.
        if record.key != key {
            return None;
        }
        let mut state = self.state();
        match state.marks.verdict(sequence, &record) {
            None => Some(Found { record, stale_since: None }),
            Some(Strength::Stale(since)) => Some(Found { record, stale_since: Some(since) }),
            Some(Strength::Gone) => {
                state.index.remove(name, variant, location);
                None
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "disk/tests.rs"]
mod tests;
