//! What is on disk: the index, the marks in force, the segments; and how they are found again by the next process.

use super::folder::Folder;
use super::format::{self, Item, Kind, Mark, Place, Reach, Strength};
use super::index::{Index, Location};
use super::marks::Marks;
use super::segment::{Segment, Sought};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What is on disk.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) index: Index,
    pub(super) marks: Marks,
    pub(super) segments: BTreeMap<u32, Arc<Segment>>,
}

/// A record that is listed, and what to read it from.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) variant: u32,
    pub(super) location: Location,
    pub(super) segment: Arc<Segment>,
}

/// What an earlier process left behind.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) state: State,
    /// The highest number of a segment.
    pub(super) segment: u32,
    /// The highest sequence of an item.
    pub(super) sequence: u64,
}

impl State {
    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.length()).sum()
    }

    /// The record that was written last under a name.
    pub(super) fn newest(&mut self, name: u64) -> Option<Located> {
        let (variant, location) = self.index.newest(name)?;
        self.located(variant, location)
    }

    /// One variant under a name.
    pub(super) fn variant(&mut self, name: u64, variant: u32) -> Option<Located> {
        let location = self.index.read(name, variant)?;
        self.located(variant, location)
    }

    fn located(&self, variant: u32, location: Location) -> Option<Located> {
        let segment = Arc::clone(self.segments.get(&location.segment)?);
        Some(Located { variant, location, segment })
    }

    /// Makes written records findable.
    pub(super) fn list(&mut self, segment: u32, places: &[Place]) {
        for place in places.iter().filter(|place| place.kind == Kind::Record) {
            self.index.insert(place.name, place.variant, Location::new(segment, place));
        }
    }

    /// Which of these places are those of records that can be found.
    pub(super) fn listed(&self, segment: u32, places: &[Place]) -> Vec<(Place, Location)> {
        let records = places.iter().filter(|place| place.kind == Kind::Record);
        let current =
            |place: &Place| self.index.current(place.name, place.variant, Location::new(segment, place));
        records.filter_map(|place| Some((*place, current(place)?))).collect()
    }

    /// Forgets what was to be replaced by records that could not be written. Returns the marks that keep it away for good.
    pub(super) fn give_up(&mut self, lost: &[Place]) -> Vec<(u64, Mark)> {
        let lost = lost.iter().filter(|place| place.kind == Kind::Record);
        let replaced = lost.filter(|place| self.index.remove_all(place.name) > 0);
        let mark = |name| Mark { reach: Reach::Label(name), strength: Strength::Gone };
        replaced.map(|place| (place.sequence, mark(place.name))).collect()
    }

    /// Forgets marks whose segment is going: what they covered has gone before, or with it.
    pub(super) fn forget_marks(&mut self, places: &[Place]) {
        for place in places {
            match place.kind {
                Kind::Label => self.marks.forget_label(place.name, place.sequence),
                Kind::Prefix => self.marks.forget_prefix(place.sequence),
                Kind::Record | Kind::Index => {}
            }
        }
    }

    /// Reads what is in a folder. What a crash cut off is removed.
    pub(super) fn recover(folder: &Folder) -> io::Result<Recovered> {
        let mut recovered = Recovered::default();
        let numbers = folder.segments()?;
        for number in &numbers {
            let segment = Segment::open(&folder.path, *number)?;
            let sought = segment.places().map(Sought::Whole).or_else(|_| segment.recover())?;
            let position = if numbers.last() == Some(number) { Position::Last } else { Position::Earlier };
            recovered.take_in(segment, sought, position)?;
        }
        Ok(recovered)
    }
}

/// Which segment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// The one that was being written when the process ended: its end may be missing.
    Last,
    /// One that was completed.
    Earlier,
}

impl Recovered {
    fn take_in(&mut self, segment: Segment, sought: Sought, position: Position) -> io::Result<()> {
        self.segment = segment.number;
        let (places, is_damaged) = match sought {
            Sought::Whole(places) => (places, false),
            Sought::CutOff(places) => (places, position == Position::Earlier),
        };
        self.sequence = places.iter().map(|place| place.sequence).fold(self.sequence, u64::max);
        if is_damaged {
            return self.forget(&segment);
        }
        if places.is_empty() {
            return segment.delete();
        }
        self.state.list(segment.number, &places);
        for place in places.iter().filter(|place| place.kind != Kind::Record) {
            let mark = read_mark(&segment, place)?;
            self.state.marks.add(place.sequence, &mark);
        }
        self.state.segments.insert(segment.number, Arc::new(segment));
        Ok(())
    }

    /// A disk lost part of a segment. A purge may have been in it, so nothing that came before is trusted.
    fn forget(&mut self, damaged: &Segment) -> io::Result<()> {
        let before = std::mem::take(&mut self.state);
        before.segments.values().try_for_each(|segment| segment.delete())?;
        damaged.delete()
    }
}

fn read_mark(segment: &Segment, place: &Place) -> io::Result<Mark> {
    match format::decode(&segment.read(place.offset, place.length)?) {
        Ok((_, Item::Mark(mark))) => Ok(mark),
        // Nobody knows what it covered: everything before it, then.
        _ => Ok(Mark { reach: Reach::Prefix(Bytes::new()), strength: Strength::Gone }),
    }
}
