//! `[site.NAME.errors]`: what a site shows in place of errors.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::{StatusCode, Uri};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::word;
use crate::route::Path;

/// What is shown for which statuses; a status itself goes before its class.
pub type ErrorSettings = BTreeMap<Statuses, ErrorPageSettings>;

/// What a site shows for some statuses, as CloudFront's custom error responses: `"5xx" = { page = "/errors/oops.html" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ErrorPageSettings {
    /// The path of a page of this site, asked for by the route that it falls under, without signature, and kept as under a cache
    /// policy. Where it cannot be had, viewers get the node's own page. Without one the answer stays what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PagePath>,
    /// The status that the page is sent with, 200 to 599. Default: that of the error.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "sent_status")]
    #[schemars(with = "Option<u16>", range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// How long an origin's answer with such a status is kept where it says nothing itself, and where it may be kept at all.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub ttl: Option<Duration>,
}

/// `"403"`, or a class, `"4xx"` or `"5xx"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statuses {
    /// This status, 400 to 599.
    One(u16),
    /// All that begin with this digit, 4 or 5.
    Class(u16),
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "4xx" => return Ok(Self::Class(4)),
            "5xx" => return Ok(Self::Class(5)),
            _ => {}
        }
        let status = text.parse().ok().filter(|status| text.len() == 3 && (400..=599).contains(status));
        let hint = || {
            format!(
                "`{text}` is no status of an error: write one from \"400\" to \"599\", or \"4xx\" or \"5xx\""
            )
        };
        status.map(Self::One).ok_or_else(hint)
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(status) => write!(formatter, "{status}"),
            Self::Class(digit) => write!(formatter, "{digit}xx"),
        }
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A path in the one form that routes, keys and origins know it by, without a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagePath(String);

impl PagePath {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PagePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |cause: &str| Err(format!("`{text}` is no path of a page: {cause}"));
        if !text.starts_with('/') {
            return refuse("it starts with `/`; a page is one of the site's own");
        }
        if text.contains(['?', '#']) {
            return refuse("a page is named by its path alone");
        }
        // RFC 3986 section 2.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("write spaces, control and non-ASCII characters percent-encoded, as in a URL");
        }
        match Path::normalise(text) {
            Ok(path) if path.path_and_query == text => match text.parse::<Uri>() {
                Ok(_) => Ok(Self(text.to_owned())),
                Err(error) => refuse(&error.to_string()),
            },
            Ok(path) => refuse(&format!("write `{}`", path.path_and_query)),
            Err(fault) => refuse(&fault.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for PagePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

impl Serialize for PagePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for PagePath {
    fn schema_name() -> Cow<'static, str> {
        "PagePath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^/[^?#]*$" })
    }
}

fn sent_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let status = u16::deserialize(deserializer)?;
    match (200..=599).contains(&status) && StatusCode::from_u16(status).is_ok() {
        true => Ok(Some(status)),
        false => Err(D::Error::custom(format!("{status} is no status for a page: 200 to 599"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ErrorSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn statuses_are_one_or_a_class() {
        let errors =
            read("5xx = { page = \"/e/oops.html\", ttl = \"10s\" }\n404 = { page = \"/\", status = 200 }")
                .unwrap();
        assert_eq!(errors.keys().map(ToString::to_string).collect::<Vec<_>>(), ["404", "5xx"]);
        let again: ErrorSettings = toml::from_str(&toml::to_string(&errors).unwrap()).unwrap();
        assert_eq!(again, errors);
        for bad in ["200", "600", "xx", "3xx", "5XX", "0404", "+40", "50"] {
            assert!(read(&format!("\"{bad}\" = {{ page = \"/a\" }}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_is_a_path_of_the_site_in_its_one_form() {
        for good in ["/", "/errors/oops.html", "/a%20b", "/a//b"] {
            assert!(good.parse::<PagePath>().is_ok(), "{good}");
        }
        for (bad, words) in [
            ("oops.html", "starts with"),
            ("https://a/b", "starts with"),
            ("/a?b", "path alone"),
            ("/a b", "percent-encoded"),
            ("/a/../b", "write `/b`"),
            ("/%61", "write `/a`"),
            ("/../a", "above the root"),
            ("/a%", "%"),
        ] {
            let message = bad.parse::<PagePath>().unwrap_err();
            assert!(message.contains(words), "{message}");
        }
        assert!(read("404 = { page = \"/a\", status = 101 }").is_err());
    }
}
