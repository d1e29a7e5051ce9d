//! One body, one writer, many readers: everybody reads from the start while it still arrives.
//!
//! A body grows without waiting while it is to be stored. Once the node gives up storing it (too large, budget used up), it
//! becomes a window: the writer waits for its slowest reader, what all have read is let go, and nobody joins any more.

use bytes::{Bytes, BytesMut};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

/// How far a windowed body may run ahead of its slowest reader, in bytes.
const WINDOW: u64 = 256 * 1024;

/// The body ended before its end: what was read must not be taken for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the origin's body ended early")]
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
    chunks: VecDeque<Bytes>,
    /// Bytes before the first chunk held.
    start: u64,
    /// Bytes that have arrived.
    arrived: u64,
    end: Option<End>,
    windowed: bool,
    readers: HashMap<u64, ReaderPlace>,
    next_reader: u64,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

#[derive(Debug, Default)]
struct ReaderPlace {
    offset: u64,
    waker: Option<Waker>,
}

impl SharedBody {
    /// The whole body, if it has all arrived and was kept.
    pub(crate) fn complete(&self) -> Option<&Bytes> {
        self.complete.get()
    }

    pub(crate) fn push(&self, chunk: Bytes) {
        let mut progress = self.lock();
        progress.arrived += chunk.len() as u64;
        progress.chunks.push_back(chunk);
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
        if progress.arrived - slowest < WINDOW {
            return Poll::Ready(Ok(()));
        }
        progress.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Every byte has arrived.
    pub(crate) fn finish(&self) {
        let mut progress = self.lock();
        progress.end = Some(End::Whole);
        if !progress.windowed {
            // A copy of its own: chunks are slices of larger read buffers, which must not stay alive with the entry.
            let mut whole = BytesMut::with_capacity(progress.arrived as usize);
            progress.chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
            let whole = whole.freeze();
            progress.chunks = VecDeque::from([whole.clone()]);
            progress.start = 0;
            let _ = self.complete.set(whole);
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
            return Some(Reader { source: Source::Whole(Some(whole.clone())) });
        }
        let mut progress = self.lock();
        if progress.windowed && progress.start > 0 {
            return None;
        }
        let id = progress.next_reader;
        progress.next_reader += 1;
        progress.readers.insert(id, ReaderPlace::default());
        drop(progress);
        Some(Reader { source: Source::Shared { body: Arc::clone(self), id } })
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics while holding it; were it ever poisoned, the state would still be whole.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn slowest(&self) -> Option<u64> {
        self.readers.values().map(|place| place.offset).min()
    }

    /// In a window, drops the chunks that every reader is past.
    fn let_go(&mut self) {
        if !self.windowed {
            return;
        }
        let slowest = self.slowest().unwrap_or(self.arrived);
        while let Some(first) = self.chunks.front() {
            let after = self.start + first.len() as u64;
            if after > slowest {
                break;
            }
            self.start = after;
            self.chunks.pop_front();
        }
    }

    /// The next unread bytes at `offset`.
    fn chunk_at(&self, offset: u64) -> Option<Bytes> {
        let mut start = self.start;
        for chunk in &self.chunks {
            let after = start + chunk.len() as u64;
            if offset < after {
                return Some(chunk.slice((offset.saturating_sub(start)) as usize..));
            }
            start = after;
        }
        None
    }
}

fn wake_readers(mut progress: MutexGuard<'_, Progress>) {
    let wakers: Vec<Waker> = progress.readers.values_mut().filter_map(|place| place.waker.take()).collect();
    // Woken outside the lock: a waker may run its task at once.
    drop(progress);
    wakers.into_iter().for_each(Waker::wake);
}

/// One reader's way through a body.
#[derive(Debug)]
pub struct Reader {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Whole(Option<Bytes>),
    Shared { body: Arc<SharedBody>, id: u64 },
}

impl Reader {
    /// The next chunk; `None` at the end, [`Truncated`] when the body broke off.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Truncated>>> {
        let (body, id) = match &mut self.source {
            Source::Whole(whole) => return Poll::Ready(whole.take().map(Ok)),
            Source::Shared { body, id } => (body, *id),
        };
        let mut progress = body.lock();
        let Some(offset) = progress.readers.get(&id).map(|place| place.offset) else {
            return Poll::Ready(None);
        };
        let chunk = progress.chunk_at(offset);
        let (ended, windowed) = (progress.end, progress.windowed);
        let Some(place) = progress.readers.get_mut(&id) else { return Poll::Ready(None) };
        match (chunk, ended) {
            (Some(chunk), _) => {
                place.offset += chunk.len() as u64;
                if windowed {
                    progress.let_go();
                    let writer = progress.writer.take();
                    drop(progress);
                    writer.into_iter().for_each(Waker::wake);
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            (None, Some(End::Whole)) => Poll::Ready(None),
            (None, Some(End::Broken)) => Poll::Ready(Some(Err(Truncated))),
            (None, None) => {
                place.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next chunk, awaited.
    pub async fn next(&mut self) -> Option<Result<Bytes, Truncated>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Source::Shared { body, id } = &self.source else { return };
        let mut progress = body.lock();
        progress.readers.remove(id);
        progress.let_go();
        let writer = progress.writer.take();
        drop(progress);
        writer.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
