//! The one thread that writes: appends in batches, completes segments, and makes room by forgetting the oldest.

use super::Shared;
use super::format::{self, Item, Kind, Mark, Place, name_of};
use super::queue::{Done, Job};
use super::segment::{Segment, index_length};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;

/// How much is written at once, in bytes.
const BATCH: usize = 1 << 20;

/// How many records are looked up before others may look something up.
const TURN: usize = 512;

pub(super) struct Writer {
    shared: Arc<Shared>,
    next_number: u32,
    active: Option<Active>,
    /// Marks that are not on disk yet. They are never given up: what was purged must not come back.
    due: Vec<(u64, Mark)>,
    /// Records that are in the batch, or given up: they wait until they can be found.
    done: Vec<Done>,
    /// Marks were written, but the disk itself was not waited for.
    is_unsynced: bool,
}

/// The segment that is being written.
struct Active {
    segment: Arc<Segment>,
    /// Of the items in it, and of those in the batch.
    places: Vec<Place>,
    /// How many of the places are written.
    written: usize,
    batch: Vec<u8>,
}

impl Active {
    /// Where the next item would begin.
    fn end(&self) -> u64 {
        self.segment.length() + self.batch.len() as u64
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, next_number: u32) -> Self {
        Self { shared, next_number, active: None, due: Vec::new(), done: Vec::new(), is_unsynced: false }
    }

    /// Writes what comes until the queue is closed.
    pub(super) fn run(mut self) {
        while let Some(jobs) = self.shared.queue.take(!self.due.is_empty()) {
            let mut settling = Vec::new();
            for job in jobs {
                match job {
                    Job::Put(sequence, record) => {
                        let done = Done { name: name_of(&record.key), length: record.length() };
                        let outcome = self.append(sequence, &Item::Record(record), done.length);
                        self.done.push(done);
                        self.note(outcome);
                    }
                    Job::Mark(sequence, mark) => self.due.push((sequence, mark)),
                    Job::Settle(tell) => settling.push(tell),
                }
            }
            let outcome = self.end_round();
            self.settle(settling, outcome.is_ok());
            self.note(outcome);
        }
        let outcome = self.seal();
        self.note(outcome);
    }

    /// Everything so far is written. Marks come after what they cover, so they leave the disk after it.
    fn end_round(&mut self) -> io::Result<()> {
        let due = std::mem::take(&mut self.due);
        let written = due.iter().try_for_each(|(sequence, mark)| {
            self.append(*sequence, &Item::Mark(mark.clone()), mark.length())
        });
        match written.and_then(|()| self.flush()) {
            Ok(()) => self.is_unsynced |= !due.is_empty(),
            Err(error) => {
                self.due.extend(due);
                return Err(error);
            }
        }
        Ok(())
    }

    fn settle(&mut self, settling: Vec<oneshot::Sender<bool>>, mut is_written: bool) {
        if settling.is_empty() {
            return;
        }
        if let Some(active) = self.active.as_ref().filter(|_| is_written && self.is_unsynced) {
            is_written = active.segment.sync().is_ok();
            self.is_unsynced = !is_written;
        }
        for tell in settling {
            // Whoever asked may have gone away.
            let _ = tell.send(is_written);
        }
    }

    /// Counts and tells an error; room is made where there is none.
    fn note(&mut self, outcome: io::Result<()>) {
        let Err(error) = outcome else { return };
        self.shared.trouble("write", &error);
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            && let Some(oldest) = self.oldest()
        {
            self.evict(&oldest);
        }
    }

    /// Adds an item of `length` bytes to the batch.
    fn append(&mut self, sequence: u64, item: &Item, length: u64) -> io::Result<()> {
        let active = self.room_for(length)?;
        let offset = u32::try_from(active.end()).map_err(io::Error::other)?;
        let place = format::encode(&mut active.batch, sequence, item);
        active.places.extend(place.map(|place| Place { offset, ..place }));
        self.flush_large_batch()
    }

    /// The segment in which so many bytes have room.
    fn room_for(&mut self, length: u64) -> io::Result<&mut Active> {
        let most = self.shared.limits.segment;
        let is_full = |active: &Active| active.end() + length + index_length(active.places.len() + 1) > most;
        if self.active.as_ref().is_some_and(is_full) {
            self.seal()?;
        }
        if self.active.is_none() {
            self.begin()?;
        }
        self.active.as_mut().ok_or_else(|| io::Error::other("there is no segment to write to"))
    }

    fn begin(&mut self) -> io::Result<()> {
        let segment = Arc::new(Segment::create(&self.shared.folder.path, self.next_number)?);
        self.next_number += 1;
        self.shared.state().segments.insert(segment.number, Arc::clone(&segment));
        self.active = Some(Active { segment, places: Vec::new(), written: 0, batch: Vec::new() });
        let Limits { size, segment } = self.shared.limits;
        // One more than the segment that begins here, for what is written again before its file is deleted.
        while self.shared.state().bytes() + 2 * segment > size
            && let Some(oldest) = self.oldest()
        {
            self.evict(&oldest);
        }
        Ok(())
    }

    /// Completes the segment; another begins when there is something to write.
    fn seal(&mut self) -> io::Result<()> {
        let flushed = self.flush();
        let Some(active) = self.active.take() else { return flushed };
        if active.places.is_empty() {
            self.shared.state().segments.remove(&active.segment.number);
            return active.segment.delete();
        }
        active.segment.seal(active.places)?;
        self.is_unsynced = false;
        flushed
    }

    fn flush_large_batch(&mut self) -> io::Result<()> {
        match &self.active {
            Some(active) if active.batch.len() >= BATCH => self.flush(),
            _ => Ok(()),
        }
    }

    /// Writes the batch. From then on its records are found.
    fn flush(&mut self) -> io::Result<()> {
        let written = self.write_batch();
        self.shared.queue.done(self.done.drain(..));
        written
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let Some(active) = self.active.as_mut().filter(|active| !active.batch.is_empty()) else {
            return Ok(());
        };
        let (end, counters) = (active.segment.length(), &self.shared.counters);
        let written = active.segment.write(&active.batch, end);
        if written.is_ok() {
            let places = &active.places[active.written..];
            counters.written.fetch_add(records(places), Relaxed);
            counters.written_bytes.fetch_add(active.batch.len() as u64, Relaxed);
            // A turn at a time: nobody who looks something up waits long.
            for places in places.chunks(TURN) {
                self.shared.state().list(active.segment.number, places);
            }
        } else {
            let lost = active.places.split_off(active.written);
            counters.dropped.fetch_add(records(&lost), Relaxed);
            self.due.extend(self.shared.state().give_up(&lost));
        }
        active.written = active.places.len();
        active.batch.clear();
        active.batch.shrink_to(2 * BATCH);
        // What was written in part must not stay behind what comes next.
        if written.is_err() && active.segment.truncate(end).is_err() {
            self.active = None;
        }
        written
    }

    /// The oldest segment, unless it is the one that is being written.
    fn oldest(&self) -> Option<Arc<Segment>> {
        let active = self.active.as_ref().map(|active| active.segment.number);
        let state = self.shared.state();
        let (number, segment) = state.segments.first_key_value()?;
        (Some(*number) != active).then(|| Arc::clone(segment))
    }

    /// Forgets a segment. What was read since it was written, and what is wanted, is written again.
    fn evict(&mut self, segment: &Segment) {
        match segment.places() {
            Ok(places) => {
                places.chunks(TURN).for_each(|places| self.let_go(segment, places));
                self.shared.state().forget_marks(&places);
            }
            Err(_) => self.shared.state().index.remove_segment(segment.number),
        }
        // What is written again is found before it is gone from here.
        if let Err(error) = self.flush() {
            self.shared.trouble("write", &error);
        }
        self.shared.state().segments.remove(&segment.number);
        if let Err(error) = segment.delete() {
            self.shared.trouble("delete", &error);
        }
    }

    fn let_go(&mut self, segment: &Segment, places: &[Place]) {
        let listed = self.shared.state().listed(segment.number, places);
        for (place, location) in listed {
            let is_kept = (location.was_read() || self.shared.is_wanted(segment, &place))
                && self.write_again(segment, &place).is_some();
            if !is_kept {
                self.shared.state().index.remove(place.name, place.variant, location);
            }
        }
    }

    /// As it is, with the sequence that it had, so that later marks go on covering it. At most half a segment: what is new has
    /// a right to the rest.
    fn write_again(&mut self, segment: &Segment, place: &Place) -> Option<()> {
        let active = self.active.as_ref()?;
        if active.end() + u64::from(place.length) > self.shared.limits.segment / 2 {
            return None;
        }
        let bytes: Bytes = segment.read(place.offset, place.length).ok()?;
        let (sequence, Item::Record(record)) = format::decode(&bytes).ok()? else { return None };
        if self.shared.state().marks.verdict(sequence, &record).is_some() {
            return None;
        }
        let active = self.active.as_mut()?;
        let offset = u32::try_from(active.end()).ok()?;
        active.batch.extend_from_slice(&bytes);
        active.places.push(Place { offset, ..*place });
        self.flush_large_batch().ok()
    }
}

fn records(places: &[Place]) -> u64 {
    places.iter().filter(|place| place.kind == Kind::Record).count() as u64
}

/// What the tier may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// On disk, in bytes.
    pub(super) size: u64,
    /// One segment, in bytes.
    pub(super) segment: u64,
}

impl Limits {
    /// Segments of one part in 64: what is forgotten at once, and the largest object.
    pub(super) fn new(size: u64) -> Self {
        Self { size, segment: (size / 64).clamp(16 << 10, 512 << 20) }
    }
}
