//! Interim responses on a viewer's connection. hyper answers each request once and knows none; they are written below it, where all
//! that it has said before has gone out and it has not begun the answer.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many bytes may wait to be written; what comes beyond that is left out.
const MOST: usize = 16 * 1024;

/// Heads that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    heads: Mutex<Vec<u8>>,
    is_any: AtomicBool,
}

impl Waiting {
    /// Adds a head, if there is room.
    pub(super) fn push(&self, head: &[u8]) {
        let mut heads = self.heads();
        if heads.len() + head.len() <= MOST {
            heads.extend_from_slice(head);
            self.is_any.store(true, Relaxed);
        }
    }

    /// Takes all that wait; `None` nearly always. The task that adds is the one that takes.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        if !self.is_any.load(Relaxed) {
            return None;
        }
        self.is_any.store(false, Relaxed);
        Some(std::mem::take(&mut *self.heads()))
    }

    fn heads(&self) -> MutexGuard<'_, Vec<u8>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection is with writing them.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The requests there were when all had been written last.
    written: u64,
    /// What is being written.
    pub(super) head: Vec<u8>,
}

impl Turn {
    /// All that came before is written, of so many requests.
    pub(super) fn is_clear(&mut self, requests: u64) {
        self.written = requests;
    }

    /// What is to be written now: nothing while bytes of an earlier answer may be on their way.
    pub(super) fn next(&mut self, waiting: &Waiting, requests: u64) -> &mut Vec<u8> {
        if self.head.is_empty()
            && let Some(heads) = waiting.take()
            && self.written == requests
        {
            self.head = heads;
        }
        &mut self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_wait_for_what_was_said_before() {
        let (waiting, mut turn) = (Waiting::default(), Turn::default());
        waiting.push(b"103");
        assert!(turn.next(&waiting, 1).is_empty(), "an earlier answer may be on its way");
        waiting.push(b"104");
        turn.is_clear(1);
        assert_eq!(turn.next(&waiting, 1), b"104", "what came too early is left out");
        waiting.push(b"105");
        assert_eq!(turn.next(&waiting, 1), b"104", "one after the other");
    }

    #[test]
    fn who_says_too_much_is_not_heard() {
        let waiting = Waiting::default();
        waiting.push(&[b'a'; MOST]);
        waiting.push(b"b");
        assert_eq!(waiting.take().map(|heads| heads.len()), Some(MOST));
        assert_eq!(waiting.take(), None);
    }
}
