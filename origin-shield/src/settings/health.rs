//! What an operator says about active checks of one origin.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, PathAndQuery};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whether an origin is up is asked of it regularly, beside the requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HealthSettings {
    /// What is asked for, by GET: a path below the one of `url`, perhaps with a query.
    #[serde(deserialize_with = "path")]
    pub path: String,
    /// From the end of one check to the beginning of the next.
    #[serde(default = "every", with = "super::duration::timeout")]
    #[schemars(with = "String")]
    pub every: Duration,
    /// By how much of `every` each pause is longer or shorter at random, so that nodes do not check in step: 0 to 1.
    #[serde(default = "jitter", deserialize_with = "super::share::deserialize")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jitter: f64,
    /// How long one check may take: name, connection, TLS and answer together.
    #[serde(default = "timeout", with = "super::duration::timeout")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Checks in a row that fail before the origin counts as down. At least 1.
    #[serde(default = "fails", deserialize_with = "super::count::deserialize")]
    #[schemars(range(min = 1))]
    pub fails: u32,
    /// Checks in a row that pass before it counts as up again. At least 1.
    #[serde(default = "passes", deserialize_with = "super::count::deserialize")]
    #[schemars(range(min = 1))]
    pub passes: u32,
    /// The statuses that pass: one, a range such as "200-399", or a list of both.
    #[serde(default)]
    pub status: Statuses,
    /// What the beginning of the answer's body has to contain, within its first 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The host that is asked for; default: the host of `url`.
    #[serde(default, deserialize_with = "host", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl HealthSettings {
    /// The defaults for this path.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            every: every(),
            jitter: jitter(),
            timeout: timeout(),
            fails: fails(),
            passes: passes(),
            status: Statuses::default(),
            body: None,
            host: None,
        }
    }
}

/// A set of statuses, as ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Whether it is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![200..=399])
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            write!(formatter, "{}{}", if index == 0 { "" } else { ", " }, Shown(range))?;
        }
        Ok(())
    }
}

struct Shown<'a>(&'a RangeInclusive<u16>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.0.start(), self.0.end());
        if start == end { write!(formatter, "{start}") } else { write!(formatter, "{start}-{end}") }
    }
}

const EXPECTED: &str = "a status, a range such as \"200-399\", or a list of both";

fn every() -> Duration {
    Duration::from_secs(10)
}

fn jitter() -> f64 {
    0.1
}

fn timeout() -> Duration {
    Duration::from_secs(3)
}

fn fails() -> u32 {
    3
}

fn passes() -> u32 {
    2
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    if path.starts_with('/') && PathAndQuery::from_str(&path).is_ok() && !path.contains('#') {
        return Ok(path);
    }
    Err(D::Error::custom(format!("{path:?} is not a path: write it as in \"/healthz\"")))
}

fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let host = String::deserialize(deserializer)?;
    let is_host = Authority::from_str(&host).is_ok_and(|authority| !authority.as_str().contains('@'));
    if is_host && HeaderValue::from_str(&host).is_ok() {
        return Ok(Some(host));
    }
    Err(D::Error::custom(format!("{host:?} is not a host: write it as in \"app.example.com\"")))
}

fn status(number: u64) -> Option<u16> {
    u16::try_from(number).ok().filter(|status| (100..=599).contains(status))
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (status(first.trim().parse().ok()?)?, status(last.trim().parse().ok()?)?);
    (first <= last).then_some(first..=last)
}

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for range in &self.0 {
            match range.start() == range.end() {
                true => list.serialize_element(range.start())?,
                false => list.serialize_element(&Shown(range).to_string())?,
            }
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Statuses;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Statuses, E> {
                let range = range(text);
                range.map(|range| Statuses(vec![range])).ok_or_else(|| E::custom(wrong(&text)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Statuses, E> {
                let status = status(number);
                status.map(|status| Statuses(vec![status..=status])).ok_or_else(|| E::custom(wrong(&number)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Statuses, E> {
                self.visit_u64(u64::try_from(number).map_err(|_| E::custom(wrong(&number)))?)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
                let mut ranges = Vec::new();
                while let Some(Statuses(more)) = list.next_element()? {
                    ranges.extend(more);
                }
                if ranges.is_empty() {
                    return Err(A::Error::custom("no status would ever pass: name one, as in 200"));
                }
                Ok(Statuses(ranges))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

fn wrong(what: &dyn fmt::Debug) -> String {
    format!("{what:?} is not {EXPECTED}; statuses go from 100 to 599")
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({
            "oneOf": [
                { "type": "integer", "minimum": 100, "maximum": 599 },
                { "type": "string", "pattern": "^[1-5][0-9]{2}-[1-5][0-9]{2}$" }
            ]
        });
        json_schema!({
            "description": "A status, a range such as \"200-399\", or a list of both.",
            "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HealthSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_is_enough_and_the_defaults_are_the_interface_ones() {
        let short = parse("path = \"/healthz\"").unwrap();
        assert_eq!(short, HealthSettings::new("/healthz"));
        let long = "path = \"/healthz\"\nevery = \"10s\"\nfails = 3\npasses = 2\nstatus = [\"200-399\"]";
        assert_eq!(parse(long).unwrap(), short);
        assert_eq!(parse(&toml::to_string(&short).unwrap()).unwrap(), short);
    }

    #[test]
    fn statuses_are_one_a_range_or_a_list() {
        let of = |text: &str| parse(&format!("path = \"/\"\nstatus = {text}")).map(|health| health.status);
        assert_eq!(of("204").unwrap(), Statuses(vec![204..=204]));
        assert_eq!(of("\"200-299\"").unwrap(), Statuses(vec![200..=299]));
        let list = of("[200, \"300-308\", 404]").unwrap();
        assert!(list.contains(200) && list.contains(304) && list.contains(404) && !list.contains(201));
        assert_eq!(list.to_string(), "200, 300-308, 404");
        for wrong in ["99", "\"300-200\"", "[]", "\"ok\"", "[200, 700]", "-1", "true"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_at_its_place() {
        for (line, reason) in [
            ("every = \"0s\"", "zero"),
            ("fails = 0", "at least 1"),
            ("jitter = 1.5", "from 0 to 1"),
            ("host = \"a b\"", "not a host"),
            ("host = \"me@a\"", "not a host"),
            ("interval = \"3s\"", "unknown field"),
        ] {
            let error = parse(&format!("path = \"/healthz\"\n{line}")).unwrap_err();
            assert!(error.contains(reason) && error.contains("line 2"), "{line}: {error}");
        }
        for path in ["", "healthz", "http://a/healthz", "/a b", "/a#b"] {
            assert!(parse(&format!("path = \"{path}\"")).unwrap_err().contains("is not a path"), "{path}");
        }
    }
}
