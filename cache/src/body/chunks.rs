//! The bytes of a body that is still arriving, in the order of their coming.

use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes below which a piece is copied rather than shared: small pieces are gathered into chunks of at least this size, so
/// that neither their bookkeeping nor the read buffers they are slices of outweigh them.
pub(super) const GATHERED: usize = 16 * 1024;

/// What has arrived and is still held.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    shared: VecDeque<Bytes>,
    /// Chunks let go, which came before the first of `shared`.
    gone: usize,
    /// Bytes of the chunks let go.
    start: u64,
    /// Small pieces after the last of `shared`: fewer than [`GATHERED`] bytes.
    tail: Vec<u8>,
    /// Bytes that have ever arrived.
    arrived: u64,
}

/// How far somebody has read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    /// Bytes read.
    pub(super) offset: u64,
    /// The chunk to read on in, counted from the first that ever arrived. The tail is the chunk that it will become.
    chunk: usize,
    /// Bytes read of that chunk.
    within: usize,
}

impl Cursor {
    /// What is unread of a body that has all arrived; the cursor moves to its end.
    pub(super) fn rest_of(&mut self, whole: &Bytes) -> Option<Bytes> {
        let unread = whole.slice((self.offset as usize).min(whole.len())..);
        self.offset = whole.len() as u64;
        (!unread.is_empty()).then_some(unread)
    }
}

impl Chunks {
    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Whether the first byte is still held.
    pub(super) fn holds_beginning(&self) -> bool {
        self.gone == 0
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.arrived += piece.len() as u64;
        if piece.len() >= GATHERED {
            self.share_tail();
            self.shared.push_back(piece);
            return;
        }
        self.tail.extend_from_slice(&piece);
        if self.tail.len() >= GATHERED {
            self.share_tail();
        }
    }

    fn share_tail(&mut self) {
        if !self.tail.is_empty() {
            self.shared.push_back(Bytes::from(std::mem::take(&mut self.tail)));
        }
    }

    /// The next bytes for a cursor, which moves past them; `None` when it has read all that arrived.
    pub(super) fn read(&self, cursor: &mut Cursor) -> Option<Bytes> {
        // It is through with its chunk: that was let go, or became whole right where it had read to.
        if cursor.chunk < self.gone
            || self.shared_chunk(cursor).is_some_and(|chunk| chunk.len() == cursor.within)
        {
            (cursor.chunk, cursor.within) = (cursor.chunk + 1, 0);
        }
        let unread = match self.shared_chunk(cursor) {
            Some(chunk) => chunk.slice(cursor.within..),
            // Copied, because the tail still grows.
            None => Bytes::copy_from_slice(self.tail.get(cursor.within..)?),
        };
        cursor.within += unread.len();
        cursor.offset += unread.len() as u64;
        (!unread.is_empty()).then_some(unread)
    }

    fn shared_chunk(&self, cursor: &Cursor) -> Option<&Bytes> {
        self.shared.get(cursor.chunk.checked_sub(self.gone)?)
    }

    /// Drops the chunks that end at or before this offset, in bytes.
    pub(super) fn let_go(&mut self, offset: u64) {
        while let Some(first) = self.shared.front() {
            let after = self.start + first.len() as u64;
            if after > offset {
                break;
            }
            self.shared.pop_front();
            self.gone += 1;
            self.start = after;
        }
    }

    /// All that is held, in one piece of its own.
    pub(super) fn joined(&self) -> Vec<u8> {
        let mut whole = Vec::with_capacity((self.arrived - self.start) as usize);
        self.shared.iter().for_each(|chunk| whole.extend_from_slice(chunk));
        whole.extend_from_slice(&self.tail);
        whole
    }
}
