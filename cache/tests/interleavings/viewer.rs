//! Viewers: where each of them is.

use crate::task::{Task, Woken};
use cache::{Entry, Outcome, Reader};
use std::sync::Arc;

pub(crate) struct Viewer {
    pub(crate) key: usize,
    pub(crate) variant: usize,
    /// The step in which its key was invalidated last when it came: what was fetched before is nothing for it.
    pub(crate) not_before: usize,
    /// The step in which its key was expired last when it came: what was fetched or confirmed before is not fresh.
    pub(crate) stale_before: usize,
    /// How often it asked.
    pub(crate) rounds: usize,
    pub(crate) doing: Doing,
}

pub(crate) enum Doing {
    Following(Task<Outcome>),
    /// It has an entry and has not begun to read.
    Holding(Arc<Entry>),
    Reading(Reading),
    /// Answered, refused, or cut off: it wants nothing more.
    Gone,
}

pub(crate) struct Reading {
    pub(crate) entry: Arc<Entry>,
    pub(crate) reader: Reader,
    pub(crate) woken: Arc<Woken>,
    /// Bytes read.
    pub(crate) read: usize,
}

impl Viewer {
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.doing, Doing::Gone)
    }
}

impl Reading {
    pub(crate) fn new(entry: Arc<Entry>, reader: Reader) -> Self {
        Self { entry, reader, woken: Woken::new(), read: 0 }
    }
}
