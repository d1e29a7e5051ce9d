//! One body, one writer, many readers: everybody reads from the start while it still arrives.
//!
//! A body grows without waiting while it is to be stored. Once the node gives up storing it (too large, budget used up), it
//! becomes a window: the writer waits for its slowest reader, what all have read is let go, and nobody joins any more. A lone
//! slow reader has all the time it needs; one that keeps others waiting is cut off when their patience ends.

mod chunks;
mod patience;

use bytes::Bytes;
use chunks::{Chunks, Cursor};
use patience::Patience;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

/// How far a windowed body may run ahead of its slowest reader, in bytes.
const WINDOW: u64 = 256 * 1024;

/// The body ended before its end: what was read must not be taken for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body ended early: the origin broke it off, or this reader held others back for too long")]
pub struct Truncated;

/// The shared body of an entry.
#[derive(Debug, Default)]
pub(crate) struct SharedBody {
    /// Set once, when every byte has arrived: the hit path reads this without a lock.
    complete: OnceLock<Bytes>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    chunks: Chunks,
    end: Option<End>,
    windowed: bool,
    /// The readers in the order of how far they are, in bytes, and then of their numbers; each with whom to wake, if it waits.
    readers: BTreeMap<(u64, u64), Option<Waker>>,
    next_reader: u64,
    writer: Option<Waker>,
    patience: Patience,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

impl SharedBody {
    /// The whole body, if it has all arrived and was kept.
    pub(crate) fn complete(&self) -> Option<&Bytes> {
        self.complete.get()
    }

    pub(crate) fn push(&self, chunk: Bytes) {
        let mut progress = self.lock();
        progress.chunks.push(chunk);
        progress.let_go();
        wake_readers(progress);
    }

    /// Stops keeping what every reader has read. There is no way back.
    pub(crate) fn make_window(&self) {
        let mut progress = self.lock();
        progress.windowed = true;
        progress.let_go();
    }

    /// Ready when the writer may push more; an error when a window has no reader left to write for.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<Result<(), Truncated>> {
        let mut progress = self.lock();
        if !progress.windowed {
            return Poll::Ready(Ok(()));
        }
        let Some(slowest) = progress.slowest() else { return Poll::Ready(Err(Truncated)) };
        let arrived = progress.chunks.arrived();
        progress.patience.renew(slowest);
        if arrived - slowest < WINDOW {
            progress.patience.pause();
            return Poll::Ready(Ok(()));
        }
        if !progress.somebody_waits() {
            progress.patience.pause();
        } else if progress.patience.poll_spent(arrived, context).is_ready() {
            progress.cut_laggards();
            return Poll::Ready(Ok(()));
        }
        progress.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// What has arrived as one piece; `None` when it was not kept. A copy of its own: chunks are slices of larger read buffers,
    /// which must not stay alive with the entry.
    pub(crate) fn joined(&self) -> Option<Vec<u8>> {
        let progress = self.lock();
        (!progress.windowed).then(|| progress.chunks.joined())
    }

    /// Every byte has arrived; here they are in one piece, if they were kept.
    pub(crate) fn finish(&self, whole: Option<Bytes>) {
        let mut progress = self.lock();
        progress.end = Some(End::Whole);
        if let Some(whole) = whole {
            let _ = self.complete.set(whole);
            progress.chunks = Chunks::default();
        }
        wake_readers(progress);
    }

    /// The rest will not come. After [`Self::finish`] this changes nothing.
    pub(crate) fn fail(&self) {
        let mut progress = self.lock();
        if progress.end.is_none() {
            progress.end = Some(End::Broken);
        }
        wake_readers(progress);
    }

    /// A reader from the first byte; `None` when the beginning is no longer held.
    pub(crate) fn read(self: &Arc<Self>) -> Option<Reader> {
        if let Some(whole) = self.complete() {
            return Some(Reader::of(whole.clone()));
        }
        let mut progress = self.lock();
        if !progress.chunks.holds_beginning() {
            return None;
        }
        let id = progress.next_reader;
        progress.next_reader += 1;
        let cursor = Cursor::default();
        progress.readers.insert((cursor.offset, id), None);
        drop(progress);
        Some(Reader { source: Source::Shared { body: Arc::clone(self), id, cursor } })
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics while holding it; were it ever poisoned, the state would still be whole.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn slowest(&self) -> Option<u64> {
        self.readers.first_key_value().map(|((offset, _), _)| *offset)
    }

    /// Whether a reader has read all that arrived and wants more.
    fn somebody_waits(&self) -> bool {
        self.readers.range((self.chunks.arrived(), 0)..).any(|(_, waker)| waker.is_some())
    }

    /// In a window, drops the chunks that every reader is past.
    fn let_go(&mut self) {
        if self.windowed {
            let slowest = self.slowest().unwrap_or(self.chunks.arrived());
            self.chunks.let_go(slowest);
        }
    }

    /// Ends the readers that hold the writer back. They find out when they read on.
    fn cut_laggards(&mut self) {
        let within_window = self.chunks.arrived().saturating_sub(WINDOW) + 1;
        self.readers = self.readers.split_off(&(within_window, 0));
        self.patience = Patience::default();
        self.let_go();
    }
}

fn wake_readers(mut progress: MutexGuard<'_, Progress>) {
    let wakers: Vec<Waker> = progress.readers.values_mut().filter_map(Option::take).collect();
    // Woken outside the lock: a waker may run its task at once.
    drop(progress);
    wakers.into_iter().for_each(Waker::wake);
}

/// In a window, lets the writer look again at who is where.
fn wake_writer(mut progress: MutexGuard<'_, Progress>) {
    let writer = progress.writer.take();
    drop(progress);
    writer.into_iter().for_each(Waker::wake);
}

/// One reader's way through a body.
#[derive(Debug)]
pub struct Reader {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Whole(Option<Bytes>),
    Shared { body: Arc<SharedBody>, id: u64, cursor: Cursor },
}

impl Reader {
    pub(crate) fn of(whole: Bytes) -> Self {
        Self { source: Source::Whole(Some(whole)) }
    }

    /// The next chunk; `None` at the end, [`Truncated`] when the body broke off or this reader was too slow for the others.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Truncated>>> {
        let (body, id, cursor) = match &mut self.source {
            Source::Whole(whole) => return Poll::Ready(whole.take().map(Ok)),
            Source::Shared { body, id, cursor } => (body, *id, cursor),
        };
        let mut progress = body.lock();
        if progress.readers.remove(&(cursor.offset, id)).is_none() {
            return Poll::Ready(Some(Err(Truncated)));
        }
        let chunk = match body.complete() {
            Some(whole) => cursor.rest_of(whole),
            None => progress.chunks.read(cursor),
        };
        let (next, waker) = match (chunk, progress.end) {
            (Some(chunk), _) => (Poll::Ready(Some(Ok(chunk))), None),
            (None, Some(End::Whole)) => (Poll::Ready(None), None),
            (None, Some(End::Broken)) => (Poll::Ready(Some(Err(Truncated))), None),
            (None, None) => (Poll::Pending, Some(context.waker().clone())),
        };
        progress.readers.insert((cursor.offset, id), waker);
        progress.let_go();
        wake_writer(progress);
        next
    }

    /// The next chunk, awaited.
    pub async fn next(&mut self) -> Option<Result<Bytes, Truncated>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Source::Shared { body, id, cursor } = &self.source else { return };
        let mut progress = body.lock();
        progress.readers.remove(&(cursor.offset, *id));
        progress.let_go();
        wake_writer(progress);
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
