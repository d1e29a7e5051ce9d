//! The format of a file of cases.

use crate::config::{self, ConfigError};
use hooks::Event;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Larger files are no cases that somebody wrote.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A file of cases as it was read.
#[derive(Debug)]
pub struct CaseFile {
    /// The `[hook]` table: settings as in the node's `[hook.NAME]`; `wasm` and `on` may be left out.
    pub hook: Spanned<toml::Table>,
    /// The `[[case]]` tables in order.
    pub cases: Vec<Spanned<Case>>,
    path: PathBuf,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    hook: Option<Spanned<toml::Table>>,
    #[serde(default, rename = "case")]
    cases: Vec<Spanned<Case>>,
}

/// One call: what goes in, and what is expected to come out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Case {
    /// What it checks.
    pub name: String,
    /// May be left out where the component answers one event only.
    pub event: Option<Event>,
    /// Over the `config` of the `[hook]` table.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Values for cases only, over the `secrets` of the `[hook]` table.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// What is in the key-value stores that the `[hook]` table names; each case begins anew.
    #[serde(default)]
    pub kv: BTreeMap<String, BTreeMap<String, String>>,
    /// Seconds since 1970 that the node's clock shows; now by default.
    pub time: Option<u64>,
    /// The viewer's request.
    #[serde(default)]
    pub request: Request,
    /// What the origin answered, or what is about to leave, for the two events that see a response.
    #[serde(default)]
    pub response: Response,
    /// Who asks.
    #[serde(default)]
    pub viewer: Viewer,
    /// What origins answer to the hook's own requests; the first that fits.
    #[serde(default)]
    pub fetch: Vec<ScriptedAnswer>,
    /// What must hold of the outcome; nothing else is looked at.
    #[serde(default)]
    pub expect: Expect,
}

/// A request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Request {
    /// `GET` by default.
    pub method: String,
    /// Absolute: its scheme and host are what the viewer used.
    pub url: String,
    /// Each a value or a list of values.
    pub headers: BTreeMap<String, Values>,
    /// Text, or `{ file = "form.bin" }`; `content-length` is added.
    pub body: Option<Content>,
    /// What `viewer-request` hooks have added to the cache key, for the events after it.
    pub key_parts: BTreeMap<String, String>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            url: "http://localhost/".into(),
            headers: BTreeMap::new(),
            body: None,
            key_parts: BTreeMap::new(),
        }
    }
}

/// A response.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Response {
    /// 200 by default.
    pub status: u16,
    /// Each a value or a list of values; `content-length` is added.
    pub headers: BTreeMap<String, Values>,
    /// Text, or `{ file = "cat.jpg" }` beside the file of cases.
    pub body: Content,
}

impl Default for Response {
    fn default() -> Self {
        Self { status: ok(), headers: BTreeMap::new(), body: Content::default() }
    }
}

/// What an origin answers when the hook asks it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScriptedAnswer {
    /// The origin by its name in the config; the hook's settings must allow it: `fetch = ["api"]`.
    pub origin: String,
    /// Any by default.
    pub method: Option<String>,
    /// Path and query.
    pub path: String,
    /// 200 by default.
    #[serde(default = "ok")]
    pub status: u16,
    /// Each a value or a list of values.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Text, or `{ file = "user.json" }`.
    #[serde(default)]
    pub body: Content,
    /// No answer, but this.
    pub fails: Option<FetchFault>,
}

fn ok() -> u16 {
    200
}

/// Why an origin gives no answer.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FetchFault {
    /// No origin could be connected to.
    Unreachable,
    /// None answered in time.
    Timeout,
    /// What came is no complete answer.
    Protocol,
}

/// The viewer, and what the node says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Viewer {
    /// 192.0.2.1 by default (RFC 5737).
    pub address: IpAddr,
    /// Of the connection.
    pub port: Option<u16>,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: Option<String>,
    /// AF, AN, AS, EU, NA, OC, SA.
    pub continent: Option<Continent>,
    /// ISO 3166-2 without the country.
    pub region: Option<String>,
    /// In English.
    pub city: Option<String>,
    /// Latitude and longitude in degrees.
    pub position: Option<(f64, f64)>,
    /// Of the IANA database.
    pub time_zone: Option<String>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// What the URL's signature grants.
    pub grant: Option<Grant>,
    /// `TLSv1.2` or `TLSv1.3`; by default the newer one for https URLs.
    pub tls: Option<TlsVersion>,
    /// `HTTP/1.1` by default.
    pub http: HttpVersion,
    /// `X-Request-Id`.
    pub request_id: String,
    /// The node's name.
    pub node: String,
    /// The site's name.
    pub site: String,
    /// The route's path pattern.
    pub route: String,
}

impl Default for Viewer {
    fn default() -> Self {
        Self {
            address: IpAddr::from([192, 0, 2, 1]),
            port: None,
            country: None,
            continent: None,
            region: None,
            city: None,
            position: None,
            time_zone: None,
            asn: None,
            grant: None,
            tls: None,
            http: HttpVersion::default(),
            request_id: "test".into(),
            node: "test".into(),
            site: "test".into(),
            route: "/*".into(),
        }
    }
}

/// As geo databases abbreviate them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "they are the continents")]
pub enum Continent {
    Af,
    An,
    As,
    Eu,
    Na,
    Oc,
    Sa,
}

/// What the URL's signature grants.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Grant {
    /// The id of the key that signed it.
    pub key: String,
    /// Seconds since 1970.
    pub expires: u64,
    /// What it opens, where that is more than the URL.
    pub resource: Option<String>,
}

/// TLS between viewer and node.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

/// What the viewer speaks.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.0
    #[serde(rename = "HTTP/1.0")]
    Http10,
    /// HTTP/1.1
    #[default]
    #[serde(rename = "HTTP/1.1")]
    Http11,
    /// HTTP/2
    #[serde(rename = "HTTP/2")]
    Http2,
    /// HTTP/3
    #[serde(rename = "HTTP/3")]
    Http3,
}

/// What must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Expect {
    /// `next`, `respond`, `route-to`, `replace` or `fail`.
    pub outcome: Option<Spanned<String>>,
    /// Of the response.
    pub status: Option<Spanned<u16>>,
    /// Path and query of the request as edited.
    pub uri: Option<Spanned<String>>,
    /// Of the response that the hook made or edited; else of the request as edited.
    pub headers: BTreeMap<String, Spanned<HeaderRule>>,
    /// Of the response, else of the request as it goes on.
    pub body: Option<Spanned<Content>>,
    /// The lifetime that the hook set.
    pub ttl: Option<Spanned<Lifetime>>,
    /// How long past it the answer may be used while somebody asks the origin again.
    pub while_revalidate: Option<Spanned<Lifetime>>,
    /// How long past it the answer may be used when the origin fails.
    pub if_error: Option<Spanned<Lifetime>>,
    /// Whether the hook said not to keep the answer.
    pub no_store: Option<Spanned<bool>>,
    /// Parts that the hook added to the cache key.
    pub key_parts: BTreeMap<String, Spanned<HeaderRule>>,
    /// Whether the hook said to neither look up nor store.
    pub bypass: Option<Spanned<bool>>,
    /// Afterwards in the key-value stores.
    pub kv: BTreeMap<String, BTreeMap<String, Spanned<HeaderRule>>>,
    /// The purge tags that the hook added, in order.
    pub tags: Option<Spanned<Vec<String>>>,
    /// The origin or origin group that it chose.
    pub route_to: Option<Spanned<String>>,
    /// The name that it gave to what it makes.
    pub derived: Option<Spanned<String>>,
    /// Each must be in a line of the log, which has the form `info: text`.
    pub log: Option<Spanned<Vec<String>>>,
    /// The failure's token, such as `hook-failed` or `hook-deadline`.
    pub fails: Option<Spanned<String>>,
    /// Must be in the failure's message.
    pub error: Option<Spanned<String>>,
}

impl Expect {
    /// Whether the call is to fail.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        let fails = |outcome: &Spanned<String>| outcome.get_ref() == "fail";
        self.fails.is_some() || self.error.is_some() || self.outcome.as_ref().is_some_and(fails)
    }
}

/// A duration with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Lifetime(#[serde(with = "humantime_serde")] pub std::time::Duration);

/// One value or several of one header.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// One.
    One(String),
    /// Several lines.
    Many(Vec<String>),
}

impl Values {
    /// All of them, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Values::One(value) => std::slice::from_ref(value),
            Values::Many(values) => values,
        }
    }
}

/// What must hold of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderRule {
    /// Exactly these values: `"a"` or `["a", "b"]`.
    Are(Vec<String>),
    /// It is there: `true`.
    Present,
    /// It is not: `false`.
    Absent,
    /// One of its values contains this: `{ contains = "a" }`.
    Contains(String),
}

/// Bytes: `"text"`, `{ file = "a.bin" }`, and for expectations `{ contains = "text" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// This text.
    Text(String),
    /// All of a file, relative to the file of cases.
    File(PathBuf),
    /// Text somewhere in it.
    Contains(String),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl<'de> Deserialize<'de> for HeaderRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;
        impl<'de> Visitor<'de> for Rule {
            type Value = HeaderRule;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "a value, a list of values, true (there), false (not there) or { contains = \"…\" }",
                )
            }

            fn visit_bool<E: serde::de::Error>(self, is_there: bool) -> Result<HeaderRule, E> {
                Ok(if is_there { HeaderRule::Present } else { HeaderRule::Absent })
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<HeaderRule, E> {
                Ok(HeaderRule::Are(vec![value.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<HeaderRule, A::Error> {
                let mut all = Vec::new();
                while let Some(value) = values.next_element()? {
                    all.push(value);
                }
                Ok(HeaderRule::Are(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HeaderRule, A::Error> {
                match only_entry(map)? {
                    (key, value) if key == "contains" => Ok(HeaderRule::Contains(value)),
                    (key, _) => Err(A::Error::unknown_field(&key, &["contains"])),
                }
            }
        }
        deserializer.deserialize_any(Rule)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Content;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text, { file = \"…\" } or { contains = \"…\" }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
                match only_entry(map)? {
                    (key, value) if key == "file" => Ok(Content::File(value.into())),
                    (key, value) if key == "contains" => Ok(Content::Contains(value)),
                    (key, _) => Err(A::Error::unknown_field(&key, &["file", "contains"])),
                }
            }
        }
        deserializer.deserialize_any(Bytes)
    }
}

fn only_entry<'de, A: MapAccess<'de>>(mut map: A) -> Result<(String, String), A::Error> {
    let entry = map.next_entry()?.ok_or_else(|| A::Error::custom("an empty table says nothing"))?;
    match map.next_key::<String>()? {
        None => Ok(entry),
        Some(key) => Err(A::Error::custom(format!("{key} is one key too many"))),
    }
}

impl CaseFile {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// With the place: not to be read, no TOML, no cases of this form.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let nowhere = |message: String| ConfigError {
            file: path.display().to_string(),
            place: None,
            message,
            hint: None,
        };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| nowhere(error.to_string()))?;
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(|error| nowhere(error.to_string()))?;
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let mut file = Self {
            hook: Spanned::new(0..0, toml::Table::new()),
            cases: Vec::new(),
            path: path.to_owned(),
            text,
        };
        let tables: Tables = toml::from_str(&file.text).map_err(|error| {
            file.error(error.span().map_or(0, |span| span.start), error.message().to_owned())
        })?;
        if let Some(hook) = tables.hook {
            file.hook = hook;
        }
        file.cases = tables.cases;
        if file.cases.is_empty() {
            return Err(file.error(0, "there is no [[case]] in it".into()));
        }
        Ok(file)
    }

    /// The line of a byte, from 1.
    #[must_use]
    pub fn line(&self, offset: usize) -> usize {
        config::place(&self.text, offset).line
    }

    /// What is wrong at a byte.
    #[must_use]
    pub fn error(&self, offset: usize, message: String) -> ConfigError {
        let file = self.path.display().to_string();
        let place = config::place(&self.text, offset);
        ConfigError { file, place: Some(place), message, hint: None }
    }

    /// The folder that relative paths start at.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }
}
