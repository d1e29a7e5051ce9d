//! What an operator says about a group of origins.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::outlier::{EjectSettings, RetryBudget};
use crate::group::MOST_MEMBERS;

/// Origins that stand in for one another, asked in order or by weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GroupSettings {
    /// The names of the origins, the preferred one first.
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(length(min = 1, max = 64))]
    pub members: Vec<String>,
    /// How much of the requests each member is the first to be asked for, such as `{ app = 80, spare = 20 }`. Who has no weight
    /// stands behind. Without weights, the order decides.
    #[serde(default, deserialize_with = "weights", skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
    /// How many members are asked for one request, at most. At least 1.
    #[serde(default = "attempts", deserialize_with = "super::count::deserialize")]
    #[schemars(range(min = 1))]
    pub attempts: u32,
    /// What makes the next member be asked: `"connect"`, `"timeout"`, or a status from 400 to 599.
    #[serde(default = "failover_on")]
    pub failover_on: Vec<Condition>,
    /// The request methods for which another member may be asked after one failed. Add others only if repeating them is harmless.
    #[serde(default = "methods", deserialize_with = "method_names")]
    pub methods: Vec<String>,
    /// How long a failed member is passed over before it is asked again.
    #[serde(default = "remember", with = "super::duration::span")]
    #[schemars(with = "String")]
    pub remember: Duration,
    /// How many requests may be made again elsewhere.
    #[serde(default)]
    pub retry_budget: RetryBudget,
    /// Passes a member over for statuses only when there are many; without it, one is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eject: Option<EjectSettings>,
    /// How long a member that came back takes to get its whole share of requests again.
    #[serde(default, with = "super::duration::span")]
    #[schemars(with = "String")]
    pub slow_start: Duration,
}

impl GroupSettings {
    /// The defaults for these members.
    pub fn new(members: Vec<String>) -> Self {
        Self {
            members,
            weights: BTreeMap::new(),
            attempts: attempts(),
            failover_on: failover_on(),
            methods: methods(),
            remember: remember(),
            retry_budget: RetryBudget::default(),
            eject: None,
            slow_start: Duration::ZERO,
        }
    }
}

/// One reason to ask the next member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// No answer because there was no connection, or it broke or turned to nonsense before an answer: name, TCP, TLS, HTTP.
    Connect,
    /// No answer in time.
    Timeout,
    /// An answer with this status, 400 to 599.
    Status(u16),
}

fn failover_on() -> Vec<Condition> {
    let statuses = [500, 502, 503, 504].map(Condition::Status);
    [Condition::Connect, Condition::Timeout].into_iter().chain(statuses).collect()
}

fn methods() -> Vec<String> {
    [Method::GET, Method::HEAD, Method::OPTIONS].map(|method| method.to_string()).to_vec()
}

fn remember() -> Duration {
    Duration::from_secs(30)
}

/// Enough for a few that die at the same moment, before anybody remembers it.
fn attempts() -> u32 {
    4
}

fn weights<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u32>, D::Error> {
    let weights = BTreeMap::<String, u32>::deserialize(deserializer)?;
    if !weights.is_empty() && weights.values().all(|weight| *weight == 0) {
        return Err(de::Error::custom("at least one member needs a weight above 0"));
    }
    Ok(weights)
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let members = Vec::<String>::deserialize(deserializer)?;
    if members.len() > MOST_MEMBERS {
        return Err(de::Error::custom(format!("an origin group has at most {MOST_MEMBERS} members")));
    }
    if members.is_empty() {
        return Err(de::Error::custom("an origin group needs at least one member: name an origin"));
    }
    Ok(members)
}

fn method_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let methods = Vec::<String>::deserialize(deserializer)?;
    for name in &methods {
        // RFC 9110 section 9.1: method names are case-sensitive, so "get" would silently never match.
        let upper = name.to_ascii_uppercase();
        if Method::from_bytes(name.as_bytes()).is_err() || *name != upper {
            return Err(de::Error::custom(format!(
                "{name:?} is not a request method: write it in capitals, as in \"GET\""
            )));
        }
    }
    Ok(methods)
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Connect => serializer.serialize_str("connect"),
            Self::Timeout => serializer.serialize_str("timeout"),
            Self::Status(status) => serializer.serialize_u16(*status),
        }
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrStatus;
        impl Visitor<'_> for WordOrStatus {
            type Value = Condition;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"connect\", \"timeout\" or a status from 400 to 599")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Condition, E> {
                match word {
                    "connect" => Ok(Condition::Connect),
                    "timeout" => Ok(Condition::Timeout),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<Condition, E> {
                match u16::try_from(status) {
                    Ok(status @ 400..=599) => Ok(Condition::Status(status)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(status), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, status: i64) -> Result<Condition, E> {
                match u64::try_from(status) {
                    Ok(status) => self.visit_u64(status),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(status), &self)),
                }
            }
        }
        deserializer.deserialize_any(WordOrStatus)
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One reason to ask the next member.",
            "oneOf": [
                { "type": "string", "enum": ["connect", "timeout"] },
                { "type": "integer", "minimum": 400, "maximum": 599 }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<GroupSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn members_are_enough_and_the_defaults_are_the_interface_ones() {
        let short = parse("members = [\"app\", \"bucket\"]").unwrap();
        let long = parse(
            r#"
            members     = ["app", "bucket"]
            failover-on = ["connect", "timeout", 500, 502, 503, 504]
            methods     = ["GET", "HEAD", "OPTIONS"]
            remember    = "30s"
            attempts    = 4
            slow-start  = "0s"
            retry-budget = { share = 0.2, min-per-second = 10, over = "10s" }
            "#,
        )
        .unwrap();
        assert_eq!(short, long);
        assert_eq!(short, GroupSettings::new(vec!["app".into(), "bucket".into()]));
        assert_eq!(parse(&toml::to_string(&long).unwrap()).unwrap(), long);
    }

    #[test]
    fn what_could_never_match_is_refused_at_its_place() {
        for (line, reason) in [
            ("failover-on = [\"conect\"]", "\"connect\", \"timeout\" or a status"),
            ("failover-on = [200]", "400 to 599"),
            ("failover-on = [-1]", "400 to 599"),
            ("failover-on = [70000]", "400 to 599"),
            ("methods = [\"get\"]", "capitals"),
            ("methods = [\"GET IT\"]", "not a request method"),
            ("remember = \"9000000000000s\"", "longer than a year"),
            ("remeber = \"3s\"", "unknown field"),
            ("attempts = 0", "at least 1"),
            ("weights = { a = 0 }", "above 0"),
            ("retry-budget = { share = 1.5 }", "from 0 to 1"),
            ("retry-budget = { over = \"0s\" }", "zero"),
            ("eject = { after = 0 }", "at least 1"),
            ("eject = { rate = 2.0 }", "from 0 to 1"),
        ] {
            let error = parse(&format!("members = [\"a\"]\n{line}")).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
            assert!(error.contains("line 2"), "{line}: {error}");
        }
        assert!(parse("members = []").unwrap_err().contains("at least one member"));
        let many = vec!["\"a\""; 65].join(",");
        assert!(parse(&format!("members = [{many}]")).unwrap_err().contains("at most 64"));
    }

    #[test]
    fn all_that_is_said_of_ejection_and_weights_prints_back() {
        let settings = parse(
            r#"
            members = ["app", "spare"]
            weights = { app = 80, spare = 20 }
            slow-start = "30s"
            eject = { after = 3, rate = 0.5, min-requests = 50, over = "1m", share = 0.2, max = "10m" }
            "#,
        )
        .unwrap();
        assert_eq!(settings.eject.as_ref().unwrap().rate, Some(0.5));
        assert_eq!(settings.weights["app"], 80);
        assert_eq!(parse(&toml::to_string(&settings).unwrap()).unwrap(), settings);
        let some = parse("members = [\"a\"]\neject = {}").unwrap();
        assert_eq!(some.eject, Some(EjectSettings::default()));
    }

    #[test]
    fn no_memory_at_all_may_be_asked_for() {
        assert_eq!(parse("members = [\"a\"]\nremember = \"0s\"").unwrap().remember, Duration::ZERO);
    }
}
