//! A number of things, of which there has to be one.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("0 would never do: give at least 1")),
        count => Ok(count),
    }
}
