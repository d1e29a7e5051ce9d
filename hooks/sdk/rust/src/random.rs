//! Random numbers, good enough for secrets; each costs a call to the node.

use crate::bindings::system::wasi::random::random as raw;

/// A number from all that 64 bits can hold.
#[must_use]
pub fn number() -> u64 {
    raw::get_random_u64()
}

/// A number from 0 to `end - 1`; 0 when `end` is 0. Off by less than `end` / 2^64 from even.
///
/// ```no_run
/// # use selvedge_hook::prelude::*;
/// let in_the_experiment = random::below(100) < 20;
/// ```
#[must_use]
pub fn below(end: u64) -> u64 {
    below_from(number(), end)
}

/// `count` random bytes.
#[must_use]
pub fn bytes(count: usize) -> Vec<u8> {
    raw::get_random_bytes(count as u64)
}

fn below_from(number: u64, end: u64) -> u64 {
    // The high half of the product: the number's place in 0..2^64, scaled to 0..end.
    ((u128::from(number) * u128::from(end)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_reaches_both_ends_and_no_further() {
        assert_eq!(below_from(0, 100), 0);
        assert_eq!(below_from(u64::MAX, 100), 99);
        assert_eq!(below_from(u64::MAX / 2, 100), 49);
        assert_eq!(below_from(u64::MAX, 0), 0);
    }
}
