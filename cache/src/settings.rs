//! `[cache-policy.NAME]`: what a policy adds to the origin's own headers.

use crate::coding::Coding;
use crate::tag::{CACHE_GROUPS, CACHE_TAG, SURROGATE_KEY};
use bytesize::ByteSize;
use http::HeaderName;
use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// 365.25 days: what "1y" means in a config.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// A named cache policy, as `[cache-policy.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CachePolicySettings {
    /// How long responses stay fresh.
    pub ttl: TtlSettings,
    /// What tells two cached responses apart, beside scheme, host and path. What is not named here is not sent to the origin.
    pub key: KeySettings,
    /// How long after its freshness a response may still be served.
    pub stale: StaleSettings,
    /// Which responses are sent compressed.
    pub compress: CompressSettings,
    /// Whether viewers may ask for fresher answers than those stored.
    pub viewer_directives: ViewerDirectives,
    /// The response header fields that name an answer's purge tags. Viewers do not get them. `Cache-Groups` is a list of
    /// strings (RFC 9875), `Surrogate-Key` separates by spaces, every other by commas.
    pub tags: TagHeaders,
}

/// What becomes of `no-cache`, `max-age`, `min-fresh` and `max-stale` in requests (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ViewerDirectives {
    /// They are not heard: no viewer makes the edge ask the origin for what it has.
    #[default]
    Ignore,
    /// They are obeyed, as under `cache = "origin"`.
    Obey,
}

/// Freshness lifetimes. `default` is used where the origin says nothing; none of them beats `private` or `no-store`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TtlSettings {
    /// The shortest lifetime, even if the origin asks for less.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub min: Duration,
    /// The lifetime where the origin gives none.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub default: Duration,
    /// The longest lifetime, even if the origin asks for more.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max: Duration,
    /// The lifetime of 404 and 410 where the origin gives none: negative caching.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub not_found: Duration,
    /// Where the origin gives no lifetime but a `Last-Modified`: the share, between 0 and 1, of the time since then that counts as
    /// the lifetime, instead of `default` (RFC 9111 §4.2.2 knows 0.1 as typical). 0: not guessed.
    pub heuristic: f64,
}

impl Default for TtlSettings {
    /// CloudFront's: 0 s, a day, a year, 10 s.
    fn default() -> Self {
        Self {
            min: Duration::ZERO,
            default: DAY,
            max: YEAR,
            not_found: Duration::from_secs(10),
            heuristic: 0.0,
        }
    }
}

/// The parts of a request that belong to the cache key and are sent to the origin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KeySettings {
    /// Query parameters: a list of names, `"all"` or `"none"`.
    pub query: QuerySelection,
    /// Request header names.
    pub headers: Vec<String>,
    /// Cookie names.
    pub cookies: Vec<String>,
}

/// Which query parameters take part in the key.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum QuerySelection {
    /// The whole query, byte for byte.
    #[default]
    All,
    /// No query at all.
    None,
    /// The named parameters, sorted by name so that their order does not matter.
    Only(Vec<String>),
}

impl Serialize for QuerySelection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::None => serializer.serialize_str("none"),
            Self::Only(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for QuerySelection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Selection;
        impl<'de> Visitor<'de> for Selection {
            type Value = QuerySelection;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of parameter names, \"all\" or \"none\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "all" => Ok(QuerySelection::All),
                    "none" => Ok(QuerySelection::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
                let mut only = Vec::new();
                while let Some(name) = names.next_element()? {
                    only.push(name);
                }
                Ok(QuerySelection::Only(only))
            }
        }
        deserializer.deserialize_any(Selection)
    }
}

impl JsonSchema for QuerySelection {
    fn schema_name() -> Cow<'static, str> {
        "QuerySelection".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "oneOf": [
                { "enum": ["all", "none"] },
                { "type": "array", "items": { "type": "string" } }
            ]
        })
    }
}

/// Serving past freshness (RFC 5861). The origin's own `stale-while-revalidate` and `stale-if-error` win over these; `must-revalidate`,
/// `proxy-revalidate`, `no-cache` and `s-maxage` forbid both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StaleSettings {
    /// How long a stale response is served at once while it is revalidated in the background.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub while_revalidate: Duration,
    /// How long a stale response is served when the origin fails.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub if_error: Duration,
}

impl Default for StaleSettings {
    /// CloudFront's: nothing while the origin is well, a day while it fails (RFC 9111 §4.2.4).
    fn default() -> Self {
        Self { while_revalidate: Duration::ZERO, if_error: DAY }
    }
}

/// Content codings: which bodies the edge encodes for viewers, after CloudFront's rules, and what it does about those that
/// origins have encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CompressSettings {
    /// Content codings ("gzip", "br", "zstd") that the edge makes, in order of preference where a viewer has none. An empty list
    /// turns compression off.
    pub formats: Vec<Coding>,
    /// Smaller bodies are sent as they are.
    #[schemars(with = "String")]
    pub min: ByteSize,
    /// Larger bodies are sent as they are.
    #[schemars(with = "String")]
    pub max: ByteSize,
    /// Content codings that origins are asked for, in order of preference. What an origin has encoded is kept as it is, and decoded
    /// for viewers who cannot read it. Routes with an origin-response hook ask for none: hooks get plain bodies.
    pub from_origin: Vec<Coding>,
    /// How large an origin's encoded body may become when it is decoded; more is answered 502.
    #[schemars(with = "String")]
    pub decoded_max: ByteSize,
    /// How many bytes a byte of an origin's encoded body may become, from the second MiB on; more is answered 502. Text hardly
    /// reaches 100, what is made to exhaust its reader 1,000 and more.
    pub decoded_ratio: u32,
}

impl Default for CompressSettings {
    /// CloudFront's bounds: 1,000 to 10,000,000 bytes.
    fn default() -> Self {
        Self {
            formats: vec![Coding::Gzip],
            min: ByteSize::b(1_000),
            max: ByteSize::b(10_000_000),
            from_origin: Vec::new(),
            decoded_max: ByteSize::mib(64),
            decoded_ratio: 200,
        }
    }
}

/// The header fields that name purge tags.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct TagHeaders(#[schemars(with = "Vec<String>")] pub Vec<HeaderName>);

impl Default for TagHeaders {
    fn default() -> Self {
        Self(vec![CACHE_GROUPS, SURROGATE_KEY, CACHE_TAG])
    }
}

impl Serialize for TagHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(HeaderName::as_str))
    }
}

impl<'de> Deserialize<'de> for TagHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = |text: &String| {
            HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
                let words = "is no header name: letters, digits and hyphens make one";
                de::Error::custom(format!("`{text}` {words}"))
            })
        };
        Ok(Self(Vec::<String>::deserialize(deserializer)?.iter().map(name).collect::<Result<_, _>>()?))
    }
}
