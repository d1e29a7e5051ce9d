//! A number of things, of which there has to be one.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("0 would never do: give at least 1")),
        count => Ok(count),
    }
}

/// The same for a count that need not be said at all.
pub(super) mod option {
    use serde::{Deserialize, Deserializer, de::Error};

    pub(in crate::settings) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<usize>, D::Error> {
        match Option::deserialize(deserializer)? {
            Some(0) => {
                Err(D::Error::custom("0 would never do: give at least 1, or leave it out for no limit"))
            }
            count => Ok(count),
        }
    }
}
