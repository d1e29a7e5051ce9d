//! What an operator says about a component that answers requests in the node itself.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Material;

/// What one request of a component may use. One that goes over is ended; nobody else notices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ProgramLimits {
    /// Processor time of one request, body and all.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub cpu: Duration,
    /// Wall-clock time from when a request comes to the component until its instance is gone, whoever is waited for: a place, bodies,
    /// viewers, other origins. How long it may be silent is `response-timeout`, as of any origin.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub wall: Duration,
    /// Memory of one instance, at most 4GiB.
    #[schemars(with = "String")]
    pub memory: ByteSize,
    /// Requests at the same time, until their bodies are read; more wait.
    pub concurrency: u32,
    /// Requests that wait for their turn; one more is refused as busy.
    pub queue: u32,
    /// Requests of its own that it may send for one request.
    pub fetches: u32,
    /// How long it may go on with a body that nobody gets: after HEAD, 204 and 304.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub after_head: Duration,
    /// Requests, answers, fields, bodies, streams and pollables that it may hold at once.
    pub handles: u32,
    /// Names and values of one set of header fields, together.
    #[schemars(with = "String")]
    pub head: ByteSize,
    /// Bytes of one line that it writes to standard output or error; what is longer is cut.
    #[schemars(with = "String")]
    pub log_line: ByteSize,
    /// Lines of one request that are kept: the last ones.
    pub log_lines: u32,
    /// Elements of all tables of an instance: functions that are called through a pointer, most of them.
    pub table_elements: u32,
    /// Functions that are named in the report of a request that was stopped.
    pub trace: u32,
}

impl Default for ProgramLimits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(5 * 60),
            memory: ByteSize::mib(128),
            concurrency: 256,
            queue: 256,
            fetches: 32,
            after_head: Duration::from_secs(1),
            handles: 512,
            head: ByteSize::kib(64),
            log_line: ByteSize::b(512),
            log_lines: 32,
            table_elements: 100_000,
            trace: 12,
        }
    }
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Variable {
    /// For everybody to see.
    Open(String),
    /// Kept elsewhere, and never printed.
    Secret(Material),
}

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrPlace;

        impl<'de> Visitor<'de> for TextOrPlace {
            type Value = Variable;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the value, or { env = \"NAME\" }, or { file = \"path\" }")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Variable, E> {
                Ok(Variable::Open(value.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variable, A::Error> {
                let unknown = |key: &str| de::Error::unknown_field(key, &["env", "file"]);
                let material = match map.next_key::<String>()?.as_deref() {
                    Some("env") => Material::Env(map.next_value()?),
                    Some("file") => Material::File(map.next_value()?),
                    Some(other) => return Err(unknown(other)),
                    None => return Err(de::Error::invalid_length(0, &self)),
                };
                match map.next_key::<String>()? {
                    Some(second) => Err(unknown(&second)),
                    None => Ok(Variable::Secret(material)),
                }
            }
        }
        deserializer.deserialize_any(TextOrPlace)
    }
}

impl Variable {
    /// Makes a relative path start at `base`.
    pub(super) fn resolve_path(&mut self, base: &Path) {
        if let Self::Secret(Material::File(path)) = self {
            *path = base.join(&*path);
        }
    }
}
