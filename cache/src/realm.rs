//! The part of a key that many objects share (site, group, scheme and authority), held once for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Realms held for good. A wildcard site answers for as many authorities as viewers can think of; objects of those beyond
/// this number are found by requests all the same, and carry their realm themselves.
const MOST: usize = 65_536;

/// The number of a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Realm(u32);

impl Realm {
    /// One that the object carries itself.
    pub(crate) const CARRIED: Self = Self(u32::MAX);
}

/// All realms of a store.
#[derive(Debug, Default)]
pub(crate) struct Realms(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Realms {
    /// The number of a realm, given now if it has none.
    pub(crate) fn number(&self, name: &str) -> Realm {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.numbers.get(name) {
            return Realm(*number);
        }
        let number = known.names.len();
        match u32::try_from(number) {
            Ok(new) if number < MOST => {
                let name: Arc<str> = name.into();
                known.numbers.insert(Arc::clone(&name), new);
                known.names.push(name);
                Realm(new)
            }
            _ => Realm::CARRIED,
        }
    }

    /// The realm of a number; `None` where the object carries it.
    pub(crate) fn name(&self, realm: Realm) -> Option<Arc<str>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.names.get(realm.0 as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_has_one_number_and_the_number_one_realm() {
        let realms = Realms::default();
        let (a, b) = (realms.number("a"), realms.number("b"));
        assert_ne!(a, b);
        assert_eq!(realms.number("a"), a);
        assert_eq!(realms.name(b).as_deref(), Some("b"));
        assert_eq!(realms.name(Realm::CARRIED), None);
    }

    #[test]
    fn their_number_is_bounded() {
        let realms = Realms::default();
        for number in 0..MOST {
            assert_ne!(realms.number(&number.to_string()), Realm::CARRIED);
        }
        assert_eq!(realms.number("one more"), Realm::CARRIED);
        assert_ne!(realms.number("7"), Realm::CARRIED);
    }
}
