//! Addresses whose signatures were wrong a moment ago.
//!
//! A wrong signature of the right length costs as much arithmetic as a right one. So an address gets so many wrong ones in a minute;
//! after that its signatures are not computed any more until the minute is over, and only what is remembered as good opens to it.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

const SLOTS: usize = 4096;
const COUNT: u64 = 0xffff;

/// A slot holds one address: its hash in the upper half, then the minute, then the count. Who needs a slot that another has takes it:
/// a crowd of attackers makes the count forgetful, and never counts one address for another.
pub(crate) struct Suspects {
    slots: Box<[AtomicU64]>,
    seed: RandomState,
    /// So many wrong signatures in a minute; 0 for as many as come.
    most: u64,
}

impl Suspects {
    pub(crate) fn new(most: u16) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            seed: RandomState::new(),
            most: most.into(),
        }
    }

    /// Whether a signature from there may cost anything.
    pub(crate) fn may_try(&self, address: Option<IpAddr>, now: SystemTime) -> bool {
        let Some(address) = address.filter(|_| self.most > 0) else { return true };
        let (slot, mark) = self.place(address, now);
        let held = slot.load(Ordering::Relaxed);
        held & !COUNT != mark || held & COUNT < self.most
    }

    /// A signature from there was wrong. Two at once may count as one.
    pub(crate) fn failed(&self, address: Option<IpAddr>, now: SystemTime) {
        let Some(address) = address else { return };
        let (slot, mark) = self.place(address, now);
        let held = slot.load(Ordering::Relaxed);
        let count = if held & !COUNT == mark { held & COUNT } else { 0 };
        slot.store(mark | (count + 1).min(COUNT), Ordering::Relaxed);
    }

    fn place(&self, address: IpAddr, now: SystemTime) -> (&AtomicU64, u64) {
        // One customer has a whole /64 of IPv6.
        let address = address.to_canonical();
        let network = match address {
            IpAddr::V4(address) => u64::from(u32::from(address)),
            IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
        };
        let hash = self.seed.hash_one((address.is_ipv6(), network));
        let minute = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / 60;
        let slot = usize::try_from(hash).unwrap_or_default() % SLOTS;
        (&self.slots[slot], (hash & !0xffff_ffff) | (minute & 0xffff) << 16)
    }
}

impl fmt::Debug for Suspects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Suspects({} a minute)", self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_gets_so_many_wrong_ones_in_a_minute() {
        let suspects = Suspects::new(3);
        for wrong in 0..3 {
            assert!(suspects.may_try(address("192.0.2.1"), at(60)), "{wrong}");
            suspects.failed(address("192.0.2.1"), at(60));
        }
        assert!(!suspects.may_try(address("192.0.2.1"), at(119)));
        assert!(!suspects.may_try(address("::ffff:192.0.2.1"), at(119)));
        assert!(suspects.may_try(address("192.0.2.2"), at(119)));
        assert!(suspects.may_try(address("192.0.2.1"), at(120)));
        assert!(suspects.may_try(None, at(119)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_viewer() {
        let suspects = Suspects::new(1);
        suspects.failed(address("2001:db8::1"), at(0));
        assert!(!suspects.may_try(address("2001:db8::2"), at(0)));
        assert!(suspects.may_try(address("2001:db8:0:1::1"), at(0)));
    }

    #[test]
    fn nobody_is_counted_for_another() {
        let suspects = Suspects::new(1);
        for number in 0..20_000_u32 {
            suspects.failed(Some(IpAddr::from(number.to_be_bytes())), at(0));
        }
        let strangers = (0..1000_u32).map(|number| IpAddr::from((number | 0xc000_0000).to_be_bytes()));
        assert!(strangers.map(Some).all(|stranger| suspects.may_try(stranger, at(0))));
    }

    #[test]
    fn without_a_limit_everything_is_tried() {
        let suspects = Suspects::new(0);
        (0..10).for_each(|_| suspects.failed(address("192.0.2.1"), at(0)));
        assert!(suspects.may_try(address("192.0.2.1"), at(0)));
    }
}
