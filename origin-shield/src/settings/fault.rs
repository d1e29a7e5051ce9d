//! What an operator says about a rehearsal of one origin's failure.

use std::fmt;
use std::time::{Duration, SystemTime};

use humantime_serde::re::humantime;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Faults that some requests to one origin meet on purpose, until a moment that has to be said. Off unless it is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FaultSettings {
    /// When it ends by itself, in UTC (RFC 3339): "2026-12-01T10:00:00Z".
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "utc")]
    #[schemars(with = "String")]
    pub until: SystemTime,
    /// Requests that wait before they reach the origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<DelaySettings>,
    /// Requests that fail instead of reaching it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<AbortSettings>,
    /// What ends it before its time.
    #[serde(default)]
    pub stop_if: StopSettings,
}

/// Requests that wait. A wait as long as the origin's `response-timeout` is one: the request fails when that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DelaySettings {
    /// For how long.
    #[serde(with = "super::duration::timeout")]
    #[schemars(with = "String")]
    pub by: Duration,
    /// How many of a hundred.
    #[serde(deserialize_with = "percent")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub percent: f64,
}

/// Requests that fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AbortSettings {
    /// How: a status from 400 to 599, or "reset" as if the connection ended.
    pub with: Abort,
    /// How many of a hundred.
    #[serde(deserialize_with = "percent")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub percent: f64,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// As if the origin had answered so.
    Status(u16),
    /// As if its connection had ended.
    Reset,
}

/// What ends a rehearsal before its time: too many requests to groups with this origin that got no good answer from any of their
/// origins, since it began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StopSettings {
    /// The share of them that is too many: 0 to 1; with 1 nothing ends it.
    #[serde(deserialize_with = "super::share::deserialize")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub error_rate: f64,
    /// How many requests there must have been to judge by.
    pub min_requests: u64,
}

impl Default for StopSettings {
    fn default() -> Self {
        Self { error_rate: 0.05, min_requests: 200 }
    }
}

fn utc<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_rfc3339(&text).map_err(|error| {
        D::Error::custom(format!(
            "{text:?} is no moment ({error}): write it in UTC, as in \"2026-12-01T10:00:00Z\""
        ))
    })
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let percent = f64::deserialize(deserializer)?;
    if (0.0..=100.0).contains(&percent) {
        return Ok(percent);
    }
    Err(D::Error::custom(format!("{percent} is no percentage: give one from 0 to 100")))
}

impl fmt::Display for Abort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(formatter, "status {status}"),
            Self::Reset => formatter.write_str("reset"),
        }
    }
}

impl Serialize for Abort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Status(status) => serializer.serialize_u16(*status),
            Self::Reset => serializer.serialize_str("reset"),
        }
    }
}

impl<'de> Deserialize<'de> for Abort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StatusOrReset;
        impl Visitor<'_> for StatusOrReset {
            type Value = Abort;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a status from 400 to 599, or \"reset\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Abort, E> {
                if text == "reset" { Ok(Abort::Reset) } else { Err(E::custom(wrong(&text))) }
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Abort, E> {
                let status = u16::try_from(number).ok().filter(|status| (400..=599).contains(status));
                status.map(Abort::Status).ok_or_else(|| E::custom(wrong(&number)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Abort, E> {
                self.visit_u64(u64::try_from(number).map_err(|_| E::custom(wrong(&number)))?)
            }
        }
        deserializer.deserialize_any(StatusOrReset)
    }
}

fn wrong(what: &dyn fmt::Debug) -> String {
    format!("{what:?} is no way to fail: give a status from 400 to 599, or \"reset\"")
}

impl JsonSchema for Abort {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Abort".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status from 400 to 599, or \"reset\".",
            "oneOf": [{ "type": "integer", "minimum": 400, "maximum": 599 }, { "const": "reset" }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FaultSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rehearsal_needs_an_end_and_has_a_stop_condition() {
        assert!(parse("abort = { with = 503, percent = 5 }").unwrap_err().contains("missing field `until`"));
        let text = "until = \"2026-12-01T10:00:00Z\"\ndelay = { by = \"200ms\", percent = 10 }\nabort = { with = \"reset\", percent = 0.5 }";
        let settings = parse(text).unwrap();
        assert_eq!(settings.stop_if, StopSettings { error_rate: 0.05, min_requests: 200 });
        assert_eq!(settings.abort.as_ref().map(|abort| abort.with), Some(Abort::Reset));
        assert_eq!(parse(&toml::to_string(&settings).unwrap()).unwrap(), settings);
    }

    #[test]
    fn what_is_no_fault_is_refused_at_its_place() {
        for (line, reason) in [
            ("abort = { with = 200, percent = 5 }", "no way to fail"),
            ("abort = { with = \"hang\", percent = 5 }", "no way to fail"),
            ("abort = { with = 503, percent = 101 }", "no percentage"),
            ("abort = { with = 503 }", "missing field `percent`"),
            ("delay = { by = \"0s\", percent = 5 }", "timeout of zero"),
            ("stop-if = { error-rate = 5 }", "from 0 to 1"),
        ] {
            let error = parse(&format!("until = \"2026-12-01T10:00:00Z\"\n{line}")).unwrap_err();
            assert!(error.contains(reason) && error.contains("line 2"), "{line}: {error}");
        }
        for until in ["tomorrow", "2026-12-01", "2026-12-01 10:00:00"] {
            assert!(parse(&format!("until = \"{until}\"")).unwrap_err().contains("no moment"), "{until}");
        }
    }
}
