//! What happened lately, counted without locks: a ring of slots, each as long as a tenth of the time that is remembered.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock;

const SLOTS: usize = 10;
/// A slot in one word: its number, how much it counts in all, and how much of a kind.
const NUMBER_BITS: u32 = 24;
const COUNT_BITS: u32 = 20;
const NUMBERS: u64 = (1 << NUMBER_BITS) - 1;
const MOST: u64 = (1 << COUNT_BITS) - 1;
/// Who counts so many slots late still comes from long ago; what seems later is a slot that was idle nearly round the circle.
const LATE: u64 = 1 << 16;

/// Two counters over the last while, the second for a part of what the first counts or for something beside it.
#[derive(Debug)]
pub(super) struct Recent {
    slots: [AtomicU64; SLOTS],
    /// In microseconds.
    slot_length: u64,
}

/// How much there was lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) all: u64,
    pub(super) marked: u64,
}

impl Recent {
    pub(super) fn over(span: Duration) -> Self {
        Self { slots: Default::default(), slot_length: (clock::length(span) / SLOTS as u64).max(1) }
    }

    /// Counts at `now`, in microseconds of [`clock`].
    pub(super) fn add(&self, now: u64, more: Counted) {
        let number = now / self.slot_length;
        let slot = &self.slots[(number % SLOTS as u64) as usize];
        let add = |packed| {
            let (of, counted) = unpack(packed);
            let held = match age(number, of) {
                0 => counted,
                // Somebody who comes from long ago changes nothing of what is newer.
                age if age > NUMBERS - LATE && packed != 0 => return None,
                _ => Counted::default(),
            };
            Some(pack(number, held.and(more)))
        };
        // An error is the stranger from long ago.
        let _ = slot.fetch_update(Relaxed, Relaxed, add);
    }

    /// What was counted in the time before `now`, in microseconds of [`clock`].
    pub(super) fn counted(&self, now: u64) -> Counted {
        let number = now / self.slot_length;
        let mut sum = Counted::default();
        for slot in &self.slots {
            let (of, counted) = unpack(slot.load(Relaxed));
            if age(number, of) < SLOTS as u64 {
                sum.all += counted.all;
                sum.marked += counted.marked;
            }
        }
        sum
    }
}

impl Counted {
    /// Both, halved until they fit: what matters of so many is how they relate.
    fn and(self, more: Self) -> Self {
        let (mut all, mut marked) = (self.all + more.all, self.marked + more.marked);
        while all.max(marked) > MOST {
            (all, marked) = (all / 2, marked / 2);
        }
        Self { all, marked }
    }
}

/// How many slots ago, in a circle of numbers.
fn age(now: u64, then: u64) -> u64 {
    now.wrapping_sub(then) & NUMBERS
}

fn pack(number: u64, counted: Counted) -> u64 {
    (number & NUMBERS) << (2 * COUNT_BITS) | counted.all << COUNT_BITS | counted.marked
}

fn unpack(packed: u64) -> (u64, Counted) {
    let counted = Counted { all: packed >> COUNT_BITS & MOST, marked: packed & MOST };
    (packed >> (2 * COUNT_BITS), counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const ONE: Counted = Counted { all: 1, marked: 0 };
    const MARKED: Counted = Counted { all: 1, marked: 1 };

    #[test]
    fn what_is_older_than_the_span_is_forgotten_slot_by_slot() {
        let recent = Recent::over(Duration::from_secs(10));
        let start = 5_000 * SECOND;
        recent.add(start, ONE);
        recent.add(start + SECOND, MARKED);
        recent.add(start + SECOND, MARKED);
        for (later, all, marked) in [(1, 3, 2), (9, 3, 2), (10, 2, 2), (11, 0, 0), (10_000, 0, 0)] {
            let counted = recent.counted(start + later * SECOND);
            assert_eq!(counted, Counted { all, marked }, "{later} s later");
        }
    }

    #[test]
    fn a_slot_is_used_again_for_its_next_time() {
        let recent = Recent::over(Duration::from_secs(10));
        let start = 5_000 * SECOND;
        recent.add(start, MARKED);
        recent.add(start + 10 * SECOND, ONE);
        assert_eq!(recent.counted(start + 10 * SECOND), ONE);
        recent.add(start, MARKED);
        assert_eq!(recent.counted(start + 10 * SECOND), ONE, "somebody slow brings nothing back");
    }

    #[test]
    fn a_slot_that_was_idle_for_long_counts_again() {
        let (start, day) = (5_000 * SECOND, 24 * 3600 * SECOND);
        for days in [1, 90, 98, 120, 190] {
            let recent = Recent::over(Duration::from_secs(10));
            recent.add(start, MARKED);
            let later = start + days * day;
            recent.add(later, ONE);
            assert_eq!(recent.counted(later), ONE, "{days} days later");
        }
    }

    #[test]
    fn a_full_slot_keeps_what_part_is_marked() {
        let recent = Recent::over(Duration::from_secs(10));
        for _ in 0..100 {
            recent.add(SECOND, Counted { all: MOST / 4, marked: MOST / 40 });
        }
        let Counted { all, marked } = recent.counted(SECOND);
        assert!(all > MOST / 4, "{all}");
        let share = marked as f64 / all as f64;
        assert!((share - 0.1).abs() < 0.001, "{share}");
    }
}
