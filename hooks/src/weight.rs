//! Which calls are expected to be heavy, by what the last ones were.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::event::Event;
use crate::meter::Meter;

/// The whole of a share.
const ALL: u32 = 1 << 10;
/// With this share of heavy ones among its calls a hook's next one is expected to be heavy: one that was heavy is enough, until three
/// that were not.
const MANY: u32 = ALL / 8;

/// The share of heavy ones among the last calls of a kind: each call counts for a quarter, those before it for the rest. Calls that run
/// at the same time may overwrite each other's word; the next ones correct it.
#[derive(Debug, Default)]
pub(crate) struct Weight(AtomicU32);

/// The weights of a hook's calls.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    events: [Weight; Event::ALL.len()],
    /// Of bodies that it rewrites.
    pub(crate) pieces: Weight,
}

impl Weights {
    pub(crate) fn of(&self, event: Event) -> &Weight {
        &self.events[event as usize]
    }
}

impl Weight {
    /// Whether the next call is to begin among the heavy ones.
    pub(crate) fn is_heavy(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MANY
    }

    /// A call has shown what it is.
    pub(crate) fn note(&self, call: &Meter) {
        let share = self.0.load(Ordering::Relaxed);
        let noted = if call.is_heavy() { share + (ALL - share) / 4 } else { share - share.div_ceil(4) };
        // Light calls of a light hook leave the line to the other cores.
        if noted != share {
            self.0.store(noted, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn light() -> Meter {
        Meter::new(Duration::from_secs(1))
    }

    fn heavy() -> Meter {
        let meter = light();
        meter.tick(|| 0).unwrap();
        meter
    }

    #[test]
    fn after_a_heavy_call_the_next_is_expected_to_be_heavy_until_three_were_not() {
        let weight = Weight::default();
        weight.note(&light());
        assert!(!weight.is_heavy());
        weight.note(&heavy());
        for _ in 0..3 {
            assert!(weight.is_heavy());
            weight.note(&light());
        }
        assert!(!weight.is_heavy());
    }

    #[test]
    fn what_was_heavy_for_long_is_light_again_after_ten_light_calls() {
        let weight = Weight::default();
        (0..10_000).for_each(|_| weight.note(&heavy()));
        (0..10).for_each(|_| weight.note(&light()));
        assert!(!weight.is_heavy());
        (0..100).for_each(|_| weight.note(&light()));
        assert_eq!(weight.0.into_inner(), 0, "nothing of it is left, and nothing is written any more");
    }

    #[test]
    fn one_heavy_call_in_a_hundred_moves_few_others() {
        let weight = Weight::default();
        let begun_apart = (0..10_000).filter(|number| {
            let is_apart = weight.is_heavy();
            weight.note(&if number % 100 == 0 { heavy() } else { light() });
            is_apart
        });
        assert_eq!(begun_apart.count(), 300);
    }

    #[test]
    fn each_event_has_its_own_weight() {
        let weights = Weights::default();
        weights.of(Event::OriginResponse).note(&heavy());
        for event in Event::ALL {
            assert_eq!(weights.of(event).is_heavy(), event == Event::OriginResponse);
        }
        assert!(!weights.pieces.is_heavy());
    }
}
