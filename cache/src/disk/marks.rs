//! Purges that are in force. A mark covers what was written before it; it is forgotten when all of that is gone.

use super::format::{Mark, Reach, Record, Strength, name_of};
use bytes::Bytes;
use std::collections::HashMap;
use std::time::SystemTime;

/// Prefixes that are compared with every record read. One more, and everything written before it is forgotten instead.
const MAX_PREFIXES: usize = 1_000;

/// Labels that are remembered (about 60 bytes each). One more, and everything written before it is forgotten instead.
const MAX_LABELS: usize = 250_000;

/// Until which sequence records are stale, and since when; and until which they are gone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Until {
    stale: Option<(u64, SystemTime)>,
    gone: Option<u64>,
}

impl Until {
    fn of(strength: Strength, sequence: u64) -> Self {
        let mut until = Self::default();
        until.raise(strength, sequence);
        until
    }

    fn raise(&mut self, strength: Strength, sequence: u64) {
        match strength {
            Strength::Stale(since) => self.stale = self.stale.max(Some((sequence, since))),
            Strength::Gone => self.gone = self.gone.max(Some(sequence)),
        }
    }

    /// Takes back a mark unless a later one has taken its place.
    fn lower(&mut self, sequence: u64) {
        self.stale = self.stale.filter(|(stale, _)| *stale != sequence);
        self.gone = self.gone.filter(|gone| *gone != sequence);
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn verdict(self, sequence: u64) -> Option<Strength> {
        if self.gone.is_some_and(|gone| sequence < gone) {
            return Some(Strength::Gone);
        }
        self.stale.filter(|(stale, _)| sequence < *stale).map(|(_, since)| Strength::Stale(since))
    }
}

#[derive(Debug, Default)]
pub(super) struct Marks {
    everything: Until,
    labels: HashMap<u64, Until>,
    prefixes: Vec<(Bytes, Until)>,
}

impl Marks {
    /// Puts a mark in force.
    pub(super) fn add(&mut self, sequence: u64, mark: &Mark) {
        let strength = mark.strength;
        match &mark.reach {
            Reach::Prefix(prefix) if prefix.is_empty() => self.everything.raise(strength, sequence),
            Reach::Prefix(prefix) => {
                let is_full = self.prefixes.len() >= MAX_PREFIXES;
                match self.prefixes.iter_mut().find(|(known, _)| known == prefix) {
                    Some((_, until)) => until.raise(strength, sequence),
                    None if is_full => self.everything.raise(Strength::Gone, sequence),
                    None => self.prefixes.push((prefix.clone(), Until::of(strength, sequence))),
                }
            }
            Reach::Label(label) => {
                if self.labels.len() >= MAX_LABELS && !self.labels.contains_key(label) {
                    return self.everything.raise(Strength::Gone, sequence);
                }
                self.labels.entry(*label).or_default().raise(strength, sequence);
            }
        }
    }

    /// Forgets a mark after everything that it covered is gone.
    pub(super) fn forget_label(&mut self, label: u64, sequence: u64) {
        if let Some(until) = self.labels.get_mut(&label) {
            until.lower(sequence);
            if until.is_empty() {
                self.labels.remove(&label);
            }
        }
    }

    /// Forgets a prefix mark after everything that it covered is gone.
    pub(super) fn forget_prefix(&mut self, sequence: u64) {
        self.everything.lower(sequence);
        self.prefixes.iter_mut().for_each(|(_, until)| until.lower(sequence));
        self.prefixes.retain(|(_, until)| !until.is_empty());
    }

    /// What has become of a record that was written at `sequence`.
    pub(super) fn verdict(&self, sequence: u64, record: &Record) -> Option<Strength> {
        let of_label = |label: &u64| self.labels.get(label).and_then(|until| until.verdict(sequence));
        let name = name_of(&record.key);
        let labels = record.labels.iter().chain([&name]).map(of_label);
        let covering = self.prefixes.iter().filter(|(prefix, _)| record.key.starts_with(prefix));
        let prefixes = covering.map(|(_, until)| until.verdict(sequence));
        let all = labels.chain(prefixes).chain([self.everything.verdict(sequence)]).flatten();
        // The strongest; of those that make it stale the latest, as if each had been carried out when it came.
        all.reduce(|one, other| match (one, other) {
            (Strength::Stale(one), Strength::Stale(other)) => Strength::Stale(one.max(other)),
            _ => Strength::Gone,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn record(key: &'static str, labels: &[u64]) -> Record {
        let (meta, body) = (Bytes::new(), Bytes::new());
        Record { key: Bytes::from_static(key.as_bytes()), variant: 0, labels: labels.to_vec(), meta, body }
    }

    fn stale(second: u64) -> Strength {
        Strength::Stale(SystemTime::UNIX_EPOCH + Duration::from_secs(second))
    }

    fn prefix(prefix: &'static str, strength: Strength) -> Mark {
        Mark { reach: Reach::Prefix(Bytes::from_static(prefix.as_bytes())), strength }
    }

    fn label(label: u64, strength: Strength) -> Mark {
        Mark { reach: Reach::Label(label), strength }
    }

    #[test]
    fn marks_cover_what_came_before_and_is_within_reach() {
        use Strength::Gone;
        let name = name_of(b"/a");
        for (mark, sequence, expected) in [
            (label(1, Gone), 9, Some(Gone)),
            (label(1, stale(3)), 9, Some(stale(3))),
            (label(1, Gone), 10, None),
            (label(1, Gone), 11, None),
            (label(3, Gone), 9, None),
            (label(name, Gone), 9, Some(Gone)),
            (prefix("/", Gone), 9, Some(Gone)),
            (prefix("/a", stale(3)), 9, Some(stale(3))),
            (prefix("/ab", Gone), 9, None),
            (prefix("", Gone), 9, Some(Gone)),
            (prefix("", Gone), 10, None),
        ] {
            let mut marks = Marks::default();
            marks.add(10, &mark);
            assert_eq!(marks.verdict(sequence, &record("/a", &[1, 2])), expected, "{mark:?} at {sequence}");
        }
    }

    #[test]
    fn the_strongest_mark_counts() {
        let mut marks = Marks::default();
        marks.add(10, &label(1, Strength::Gone));
        marks.add(20, &label(1, stale(3)));
        marks.add(20, &label(2, stale(4)));
        assert_eq!(marks.verdict(5, &record("/a", &[1])), Some(Strength::Gone));
        assert_eq!(marks.verdict(15, &record("/a", &[1])), Some(stale(3)));
        assert_eq!(marks.verdict(15, &record("/a", &[1, 2])), Some(stale(4)));
        assert_eq!(marks.verdict(25, &record("/a", &[1])), None);
    }

    #[test]
    fn a_mark_is_forgotten_unless_a_later_one_took_its_place() {
        let mut marks = Marks::default();
        for sequence in [10, 20] {
            marks.add(sequence, &label(1, Strength::Gone));
            marks.add(sequence, &prefix("/a", Strength::Gone));
        }
        marks.forget_label(1, 10);
        marks.forget_prefix(10);
        assert_eq!(marks.verdict(15, &record("/b", &[1])), Some(Strength::Gone));
        assert_eq!(marks.verdict(15, &record("/a", &[])), Some(Strength::Gone));
        marks.forget_label(1, 20);
        marks.forget_prefix(20);
        assert_eq!(marks.verdict(15, &record("/a", &[1])), None);
        assert!(marks.labels.is_empty() && marks.prefixes.is_empty());
    }

    #[test]
    fn too_many_marks_forget_everything_rather_than_a_purge() {
        let mut marks = Marks::default();
        for number in 0..=MAX_PREFIXES as u64 {
            let prefix = Bytes::from(format!("/{number}/"));
            marks.add(number + 10, &Mark { reach: Reach::Prefix(prefix), strength: stale(3) });
        }
        assert_eq!(marks.verdict(5, &record("/other", &[])), Some(Strength::Gone));
        assert_eq!(marks.verdict(MAX_PREFIXES as u64 + 20, &record("/other", &[])), None);
    }
}
