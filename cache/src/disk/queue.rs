//! What waits to be written. Whoever puts something in never waits: when there is too much, it is not kept.

use super::format::{Mark, Record, name_of};
use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How soon what could not be written is tried again when nothing else is to be done.
const AGAIN: Duration = Duration::from_secs(1);

/// Something for the writer.
#[derive(Debug)]
pub(super) enum Job {
    /// Write a record.
    Put(u64, Record),
    /// Write a mark.
    Mark(u64, Mark),
    /// Say whether everything before this is written and will survive.
    Settle(oneshot::Sender<bool>),
}

#[derive(Debug)]
pub(super) struct Queue {
    jobs: Mutex<Jobs>,
    arrived: Condvar,
    most: u64,
}

#[derive(Debug, Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Of records that are not written yet, those that the writer has at hand included.
    bytes: u64,
    /// The same records by name, and how many there are of each.
    names: HashMap<u64, u32>,
    sequence: u64,
    is_closed: bool,
}

/// A record that the writer has written, or given up.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) name: u64,
    pub(super) length: u64,
}

impl Queue {
    /// An empty queue for at most so many bytes. Sequences go on from `sequence`.
    pub(super) fn new(most: u64, sequence: u64) -> Self {
        Self { jobs: Mutex::new(Jobs { sequence, ..Jobs::default() }), arrived: Condvar::new(), most }
    }

    /// Adds a record; false when too much waits already.
    pub(super) fn put(&self, record: Record) -> bool {
        let mut jobs = self.lock();
        let bytes = jobs.bytes + record.length();
        if jobs.is_closed || bytes > self.most {
            return false;
        }
        jobs.bytes = bytes;
        *jobs.names.entry(name_of(&record.key)).or_default() += 1;
        let sequence = jobs.next_sequence();
        jobs.waiting.push_back(Job::Put(sequence, record));
        self.arrived.notify_one();
        true
    }

    /// Adds a mark; returns its sequence.
    pub(super) fn mark(&self, mark: Mark) -> u64 {
        let mut jobs = self.lock();
        let sequence = jobs.next_sequence();
        jobs.waiting.push_back(Job::Mark(sequence, mark));
        self.arrived.notify_one();
        sequence
    }

    /// Asks for word when everything up to here is written.
    pub(super) fn settle(&self) -> oneshot::Receiver<bool> {
        let (tell, told) = oneshot::channel();
        let mut jobs = self.lock();
        if !jobs.is_closed {
            jobs.waiting.push_back(Job::Settle(tell));
            self.arrived.notify_one();
        }
        told
    }

    /// Everything that waits; waits for something unless there is work left over. `None` when nothing will come any more.
    pub(super) fn take(&self, has_work: bool) -> Option<VecDeque<Job>> {
        let mut jobs = self.lock();
        while jobs.waiting.is_empty() {
            if jobs.is_closed {
                return None;
            }
            if has_work {
                let (again, timeout) =
                    self.arrived.wait_timeout(jobs, AGAIN).unwrap_or_else(PoisonError::into_inner);
                jobs = again;
                if timeout.timed_out() {
                    break;
                }
            } else {
                jobs = self.arrived.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        }
        Some(std::mem::take(&mut jobs.waiting))
    }

    /// The writer has done with some records.
    pub(super) fn done(&self, records: impl Iterator<Item = Done>) {
        let mut jobs = self.lock();
        for Done { name, length } in records {
            jobs.bytes -= length;
            if let Some(count) = jobs.names.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    jobs.names.remove(&name);
                }
            }
        }
    }

    /// Whether a record of this name waits.
    pub(super) fn holds(&self, name: u64) -> bool {
        self.lock().names.contains_key(&name)
    }

    /// Bytes of records that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Lets the writer end once it has written what waits.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}
