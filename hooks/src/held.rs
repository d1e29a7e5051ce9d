//! What bodies hold of the memory that the node gives to hooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;

use crate::meter::Budget;
use crate::state::CallState;

/// Bytes of the node's memory for hooks that bodies hold; dropped, it gives all of them back.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    bytes: AtomicU64,
}

impl Held {
    pub(crate) fn nothing_of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: AtomicU64::new(0) }
    }

    /// Whether so many bytes more were to be had.
    #[must_use]
    pub fn take(&self, bytes: u64) -> bool {
        let is_there = bytes == 0 || self.budget.take(bytes);
        if is_there {
            self.bytes.fetch_add(bytes, Relaxed);
        }
        is_there
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        let before = self.bytes.fetch_update(Relaxed, Relaxed, |held| Some(held.saturating_sub(bytes)));
        self.budget.give_back(bytes.min(before.unwrap_or_default()));
    }

    /// Holds exactly so many from here on, if they are to be had.
    #[must_use]
    fn cover(&self, bytes: u64) -> bool {
        let held = self.bytes.load(Relaxed);
        self.give_back(held.saturating_sub(bytes));
        self.take(bytes.saturating_sub(held))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(*self.bytes.get_mut());
    }
}

/// A whole body in a guest's hands.
#[derive(Debug, Clone)]
pub(crate) struct WholeBody {
    pub(crate) bytes: Bytes,
    source: Source,
    /// Also of those who read it.
    _held: Arc<Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The guest itself, within `limits.output`.
    Made,
    /// An origin, within `limits.body`.
    Fetched,
}

impl WholeBody {
    /// What was fetched, with what it holds already; `None` where there is no memory for it.
    pub(crate) fn fetched(bytes: Bytes, held: Arc<Held>) -> Option<Self> {
        let fits = held.cover(bytes.len() as u64);
        fits.then_some(Self { bytes, source: Source::Fetched, _held: held })
    }

    /// Bytes that the guest has made of it.
    pub(crate) fn made_bytes(&self) -> usize {
        if self.source == Source::Made { self.bytes.len() } else { 0 }
    }
}

impl CallState {
    /// A body that the guest has made: `limits.output` holds for all that it has at once, and the memory of all hooks for
    /// those of all calls.
    pub(crate) fn made(&self, bytes: Bytes) -> Option<WholeBody> {
        let fits = bytes.len() <= self.bounds.output.saturating_sub(self.made_bytes());
        let held = self.memory.held();
        (fits && held.take(bytes.len() as u64)).then(|| WholeBody {
            bytes,
            source: Source::Made,
            _held: Arc::new(held),
        })
    }

    /// Gives a response a body that the guest has made; whether it fits. If not, the one before stays.
    pub(crate) fn replace_body(&mut self, handle: u32, bytes: Bytes) -> wasmtime::Result<bool> {
        let before = self.response(handle)?.body.take();
        let made = self.made(bytes);
        let fits = made.is_some();
        let response = self.response(handle)?;
        response.body = made.or(before);
        response.is_unread &= !fits;
        Ok(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_covered_and_given_back() {
        let budget = Arc::new(Budget::new(10));
        let held = Arc::new(Held::nothing_of(&budget));
        assert!(held.take(4) && !budget.take(7));
        let body = WholeBody::fetched(Bytes::from_static(b"sevenfold"), Arc::clone(&held)).unwrap();
        assert!(budget.take(1) && !budget.take(1));
        assert!(held.cover(2) && budget.take(7) && !held.cover(3));
        let read = body.clone();
        drop((held, body));
        assert!(!budget.take(1), "somebody reads it yet");
        drop(read);
        assert!(budget.take(2));
    }
}
