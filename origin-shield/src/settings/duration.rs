//! Durations with units, within bounds that can be added to any clock.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How long something is waited for: longer than nothing, and at most a day.
pub(super) mod timeout {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    pub(in crate::settings) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        humantime_serde::serialize(value, serializer)
    }

    pub(in crate::settings) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let value: Duration = humantime_serde::deserialize(deserializer)?;
        if value.is_zero() {
            return Err(D::Error::custom(
                "a timeout of zero fails every request: give it a length, as in \"3s\"",
            ));
        }
        if value > super::DAY {
            return Err(D::Error::custom(
                "a timeout longer than a day is none: give a shorter one, as in \"30s\"",
            ));
        }
        Ok(value)
    }
}

/// How long something is kept: at most a year, and perhaps not at all.
pub(super) mod span {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    pub(in crate::settings) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        humantime_serde::serialize(value, serializer)
    }

    pub(in crate::settings) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let value: Duration = humantime_serde::deserialize(deserializer)?;
        if value > super::YEAR {
            return Err(D::Error::custom("this is longer than a year: give a shorter time, as in \"60s\""));
        }
        Ok(value)
    }
}
