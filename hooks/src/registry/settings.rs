//! `canary` and `versions` of `[hook.<name>]`: who gets a version that is on trial, and when it is taken back.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::settings::WasmSource;

/// A version on trial beside the live one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CanarySettings {
    /// Its component: a file, or one that every node carries.
    pub wasm: WasmSource,
    /// The share of viewers that get it, from 0 to 100. A viewer who is in stays in when it grows.
    #[serde(default)]
    pub percent: f64,
    /// Who sends this header field gets it too: `x-canary: 1`, or `x-canary` for any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderMatch>,
    /// What makes two requests the same viewer's: `address`, or `cookie:NAME` (the address where there is no such cookie).
    #[serde(default)]
    pub sticky: Sticky,
    /// A share that grows by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<RampSettings>,
    /// When it is taken back by itself.
    #[serde(default)]
    pub rollback_if: RollbackSettings,
}

impl CanarySettings {
    /// Makes a relative component path start at `base`.
    pub fn resolve_paths(&mut self, base: &Path) {
        if let WasmSource::File(path) = &mut self.wasm {
            *path = base.join(&*path);
        }
    }

    /// What it says of viewers and of the trial.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            percent: self.percent,
            header: self.header.clone(),
            sticky: self.sticky.clone(),
            ramp: self.ramp.clone(),
            rollback_if: self.rollback_if.clone(),
        }
    }
}

/// Who gets a canary, and when it is taken back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Terms {
    /// The share of viewers at the beginning, from 0 to 100.
    pub percent: f64,
    /// The header field whose senders get it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderMatch>,
    /// What makes two requests the same viewer's.
    pub sticky: Sticky,
    /// How the share grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<RampSettings>,
    /// When it is taken back.
    pub rollback_if: RollbackSettings,
}

impl Terms {
    /// What is wrong with them: a share that is none, or nobody who would ever get the canary.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let is_share = |percent: f64| (0.0..=100.0).contains(&percent);
        if !is_share(self.percent) || !self.ramp.as_ref().is_none_or(|ramp| is_share(ramp.to)) {
            return Some("a share of viewers is from 0 to 100 percent");
        }
        if self.ramp.as_ref().is_some_and(|ramp| ramp.over.is_zero()) {
            return Some("a ramp takes some time: over = \"30m\"");
        }
        if self.percent == 0.0 && self.header.is_none() && self.ramp.is_none() {
            return Some("nobody would get it: say percent, header or ramp");
        }
        let rule = &self.rollback_if;
        if !(0.0..=1.0).contains(&rule.error_rate) {
            return Some("error-rate is a share of calls, from 0 to 1: 0.01 is one of a hundred");
        }
        if rule.window.is_zero() {
            return Some("window is some time: \"10m\"");
        }
        None
    }
}

/// A share that grows evenly. One that reaches 100 makes the canary live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RampSettings {
    /// The share in the end, in percent.
    #[serde(default = "whole")]
    pub to: f64,
    /// How long it takes from `percent` until then.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub over: Duration,
}

/// The share of everybody, in percent.
pub(crate) const WHOLE: f64 = 100.0;

fn whole() -> f64 {
    WHOLE
}

/// When a canary is taken back by itself: once it is sure, at 99 % over the whole trial, to be worse than the live version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RollbackSettings {
    /// By how much its share of failed calls may be above the live version's, at each event: 0.01 is one more of a hundred
    /// calls. 1 never takes it back for failures.
    pub error_rate: f64,
    /// By how much its 99th percentile of call times may be above the live version's, at each event. Default: not compared.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub p99: Option<Duration>,
    /// Requests on which the canary was called at an event before it is judged there.
    pub min_requests: u64,
    /// How far back is looked, longer where there are fewer than `min-requests`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub window: Duration,
}

impl Default for RollbackSettings {
    fn default() -> Self {
        Self { error_rate: 0.01, p99: None, min_requests: 500, window: Duration::from_secs(600) }
    }
}

/// How versions that are deployed while the node runs are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct VersionSettings {
    /// Versions that are kept beside the live one, the one before it, the canary and the config's own.
    pub keep: usize,
    /// The largest component that can be deployed.
    #[schemars(with = "String")]
    pub max_size: ByteSize,
}

impl Default for VersionSettings {
    fn default() -> Self {
        Self { keep: 5, max_size: ByteSize::mib(64) }
    }
}

/// A header field that chooses the canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    name: HeaderName,
    /// `None` is any.
    value: Option<HeaderValue>,
}

impl HeaderMatch {
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        match &self.value {
            None => headers.contains_key(&self.name),
            Some(value) => headers.get_all(&self.name).iter().any(|sent| sent == value),
        }
    }
}

impl FromStr for HeaderMatch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value.trim())),
            None => (text, None),
        };
        let wrong =
            || format!("{text:?} is no header field: write \"x-canary: 1\", or \"x-canary\" for any value");
        let name = name.trim().parse().map_err(|_| wrong())?;
        let value = value.map(HeaderValue::from_str).transpose().map_err(|_| wrong())?;
        Ok(Self { name, value })
    }
}

impl fmt::Display for HeaderMatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.as_ref().map(|value| value.to_str().unwrap_or_default()) {
            None => write!(formatter, "{}", self.name),
            Some(value) => write!(formatter, "{}: {value}", self.name),
        }
    }
}

/// What makes two requests the same viewer's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sticky {
    /// The address; of IPv6 the network, since the rest of an address changes every day.
    #[default]
    Address,
    /// The value of this cookie.
    Cookie(String),
}

const COOKIE: &str = "cookie:";

impl FromStr for Sticky {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(COOKIE) {
            Some(name) if !name.is_empty() => Ok(Self::Cookie(name.to_owned())),
            None if text == "address" => Ok(Self::Address),
            _ => Err(format!("{text:?} is neither \"address\" nor \"cookie:NAME\"")),
        }
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => formatter.write_str("address"),
            Self::Cookie(name) => write!(formatter, "{COOKIE}{name}"),
        }
    }
}

/// Settings that are texts of a form of their own.
macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                String::json_schema(generator)
            }
        }
    };
}

as_text!(HeaderMatch);
as_text!(Sticky);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CanarySettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_canary_is_read_as_it_is_documented() {
        let canary = parse(
            "wasm = \"next.wasm\"\npercent = 5\nheader = \"X-Canary: 1\"\nsticky = \"cookie:id\"\nramp = { over = \"30m\" }\n\
             rollback-if = { error-rate = 0.02, min-requests = 100, p99 = \"20ms\", window = \"1m\" }",
        )
        .unwrap();
        assert_eq!((canary.percent, canary.sticky.to_string().as_str()), (5.0, "cookie:id"));
        assert_eq!(canary.header.as_ref().unwrap().to_string(), "x-canary: 1");
        assert_eq!(canary.ramp, Some(RampSettings { to: 100.0, over: Duration::from_secs(1800) }));
        assert_eq!(canary.rollback_if.p99, Some(Duration::from_millis(20)));
        assert_eq!(parse(&toml::to_string(&canary).unwrap()).unwrap(), canary);
        assert_eq!(canary.terms().fault(), None);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for text in [
            "header = \"x y: 1\"",
            "sticky = \"cookie:\"",
            "sticky = \"ip\"",
            "ramp = { to = 5 }",
            "share = 5",
        ] {
            assert!(parse(&format!("wasm = \"x\"\n{text}")).is_err(), "{text}");
        }
        for text in [
            "",
            "percent = 101",
            "percent = -1",
            "percent = nan",
            "percent = 5\nramp = { to = 200, over = \"1m\" }",
            "ramp = { over = \"0s\" }",
            "percent = 5\nrollback-if = { error-rate = 5.0 }",
            "percent = 5\nrollback-if = { window = \"0s\" }",
        ] {
            assert!(parse(&format!("wasm = \"x\"\n{text}")).unwrap().terms().fault().is_some(), "{text}");
        }
    }

    #[test]
    fn a_header_chooses_by_name_or_by_value() {
        let headers = |value| {
            HeaderMap::from_iter([(HeaderName::from_static("x-canary"), HeaderValue::from_static(value))])
        };
        let matches = |text: &str, value| text.parse::<HeaderMatch>().unwrap().is_in(&headers(value));
        assert!(matches("x-canary: 1", "1") && matches("X-Canary", "anything"));
        assert!(!matches("x-canary: 1", "2") && !matches("x-other", "1"));
    }
}
