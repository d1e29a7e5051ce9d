//! The `[hook.<name>]` table.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::Event;
use crate::registry::{CanarySettings, VersionSettings};
use crate::secrets::Material;

/// A hook: a WebAssembly component and how it is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HookSettings {
    /// A component file, or `builtin:thumbnail`, which every node carries.
    pub wasm: WasmSource,
    /// The event or events that it answers: `viewer-request`, `origin-request`, `origin-response`, `viewer-response`.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(schema_with = "one_or_many_schema")]
    pub on: Vec<Event>,
    /// What one call may use.
    #[serde(default)]
    pub limits: LimitSettings,
    /// What the node does when a call fails.
    #[serde(default)]
    pub on_error: OnError,
    /// How each call has an instance that is as the component was built.
    #[serde(default)]
    pub fresh: Fresh,
    /// Answers many calls with one instance, which then remembers: only for hooks that keep nothing of one request for the next.
    /// `fresh` says nothing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<ReuseSettings>,
    /// The origin, a bucket best, that keeps what the hook makes under names that it gives: `derive-as` of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// How old what is kept there may be before it is made anew. Default: any age.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub store_for: Option<Duration>,
    /// Whether it may read the bodies of requests.
    #[serde(default)]
    pub reads_body: bool,
    /// The origins and origin groups that it may send requests of its own to: `fetch` of the contract.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetch: Vec<String>,
    /// Strings that the hook can read.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Values that the hook can read or sign with, and that the node never prints: `{ jwt = { env = "JWT_KEY" } }` or
    /// `{ jwt = { file = "jwt.key" } }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Material>,
    /// The key-value stores that it may open, each a `[kv.NAME]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kv: Vec<String>,
    /// A second version, on trial with some of the viewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanarySettings>,
    /// How versions that are deployed while the node runs are kept.
    #[serde(default)]
    pub versions: VersionSettings,
}

impl HookSettings {
    /// A hook with every default.
    #[must_use]
    pub fn new(wasm: WasmSource, on: Vec<Event>) -> Self {
        Self {
            wasm,
            on,
            limits: LimitSettings::default(),
            on_error: OnError::default(),
            fresh: Fresh::default(),
            reuse: None,
            store: None,
            store_for: None,
            reads_body: false,
            fetch: Vec::new(),
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            kv: Vec::new(),
            canary: None,
            versions: VersionSettings::default(),
        }
    }

    /// Makes a relative component path start at `base`.
    pub fn resolve_paths(&mut self, base: &Path) {
        if let WasmSource::File(path) = &mut self.wasm {
            *path = base.join(&*path);
        }
        self.secrets.values_mut().for_each(|secret| secret.resolve_path(base));
        if let Some(canary) = &mut self.canary {
            canary.resolve_paths(base);
        }
    }
}

/// What one call of a hook may use. A call that goes over is ended and its instance discarded; nobody else notices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Processor time of one call, from 2ms to 1h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub cpu: Duration,
    /// Wall-clock time of one call, waiting for the origin's body included.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub wall: Duration,
    /// Memory of one instance, at most 4GiB.
    #[schemars(with = "String")]
    pub memory: ByteSize,
    /// Calls at the same time; more wait.
    pub concurrency: u32,
    /// Calls that wait for their turn, within their `wall`; one more is refused as busy.
    pub queue: u32,
    /// Bodies that it rewrites at the same time as they pass, each in an instance; one more is refused as busy.
    pub transforms: u32,
    /// Body bytes that one call may read; as many again of what it fetches, over all fetches.
    #[schemars(with = "String")]
    pub body: ByteSize,
    /// Body bytes that one call may have made at a time, to answer or to go on with, or send in a request of its own.
    #[schemars(with = "String")]
    pub output: ByteSize,
    /// Requests of its own that one call may send.
    pub fetches: u32,
    /// Names of figures that the hook may keep at `/metrics`.
    pub metrics: u32,
    /// Bytes of one line that it logs, or writes to standard output; what is longer is cut.
    #[schemars(with = "String")]
    pub log_line: ByteSize,
    /// Lines of one call that are kept: the last ones.
    pub log_lines: u32,
    /// Responses that one call may make.
    pub responses: u32,
    /// Things of the node that the hook may hold at once: responses, bodies, stores; as many again of WASI.
    pub handles: u32,
    /// Header fields of a message that it adds to.
    pub header_count: u32,
    /// Names and values of the header fields of a message that it adds to, together.
    #[schemars(with = "String")]
    pub head: ByteSize,
    /// Elements of all tables of an instance: functions that are called through a pointer, most of them.
    pub table_elements: u32,
    /// Functions that are named in the report of a call that was stopped.
    pub trace: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(200),
            wall: Duration::from_secs(5),
            memory: ByteSize::mib(128),
            concurrency: 64,
            queue: 64,
            transforms: 256,
            body: ByteSize::mib(64),
            output: ByteSize::mib(16),
            fetches: 8,
            metrics: 64,
            log_line: ByteSize::b(512),
            log_lines: 32,
            responses: 64,
            handles: 1024,
            header_count: 128,
            head: ByteSize::kib(32),
            table_elements: 100_000,
            trace: 12,
        }
    }
}

/// How long an instance of a hook is used. One whose call traps or goes over a limit is dropped at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ReuseSettings {
    /// Calls that one instance answers.
    pub calls: u32,
    /// How old it becomes.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub age: Duration,
    /// With more memory than this it is not kept after a call.
    #[schemars(with = "String")]
    pub memory: ByteSize,
}

impl Default for ReuseSettings {
    fn default() -> Self {
        Self { calls: 10_000, age: Duration::from_secs(3600), memory: ByteSize::mib(64) }
    }
}

/// How an instance for a call comes to be as the component was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fresh {
    /// One that has answered is put back to what it was, where that can be; else one is made.
    #[default]
    Restored,
    /// One is made for each call.
    Made,
}

/// What the node does when a hook fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The viewer gets an error.
    #[default]
    Fail,
    /// As if the hook were not there.
    Pass,
    /// A stale stored answer if there is one, else an error.
    Stale,
}

/// Where a hook's component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WasmSource {
    /// A file.
    File(PathBuf),
    /// One that is part of the node, by name.
    Builtin(String),
}

const BUILTIN: &str = "builtin:";

impl fmt::Display for WasmSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WasmSource::File(path) => write!(formatter, "{}", path.display()),
            WasmSource::Builtin(name) => write!(formatter, "{BUILTIN}{name}"),
        }
    }
}

impl Serialize for WasmSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WasmSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.strip_prefix(BUILTIN) {
            Some(name) => WasmSource::Builtin(name.to_owned()),
            None => WasmSource::File(PathBuf::from(text)),
        })
    }
}

impl JsonSchema for WasmSource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WasmSource".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

fn one_or_many_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let one = generator.subschema_for::<Event>();
    let many = generator.subschema_for::<Vec<Event>>();
    schemars::json_schema!({ "anyOf": [one, many] })
}

/// `on = "origin-response"` or `on = ["origin-request", "origin-response"]`.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Event>, D::Error> {
    struct Events;

    impl<'de> Visitor<'de> for Events {
        type Value = Vec<Event>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an event such as \"origin-response\", or a list of events")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Event::deserialize(serde::de::value::StrDeserializer::new(text)).map(|event| vec![event])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            let events = Vec::<Event>::deserialize(SeqAccessDeserializer::new(list))?;
            if events.is_empty() {
                return Err(serde::de::Error::invalid_length(0, &"at least one event"));
            }
            Ok(events)
        }
    }

    deserializer.deserialize_any(Events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HookSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_smallest_hook_has_the_documented_defaults() {
        let hook = parse("wasm = \"builtin:thumbnail\"\non = \"origin-response\"").unwrap();
        assert_eq!(hook.wasm, WasmSource::Builtin("thumbnail".into()));
        assert_eq!(hook.on, [Event::OriginResponse]);
        assert_eq!(hook.on_error, OnError::Fail);
        assert_eq!(hook.limits.cpu, Duration::from_millis(200));
        assert_eq!((hook.limits.concurrency, hook.limits.queue), (64, 64));
        assert_eq!(hook.reuse, None, "an instance a call");
    }

    #[test]
    fn every_field_is_read_and_one_limit_leaves_the_others_alone() {
        let hook = parse(
            "wasm = \"x.wasm\"\non = [\"viewer-request\", \"viewer-response\"]\nlimits = { memory = \"64MiB\", cpu = \"20ms\" }\n\
             on-error = \"pass\"\nconfig = { sizes = \"64x64\" }",
        )
        .unwrap();
        assert_eq!(hook.on, [Event::ViewerRequest, Event::ViewerResponse]);
        assert_eq!(hook.limits.memory, ByteSize::mib(64));
        assert_eq!(hook.limits.cpu, Duration::from_millis(20));
        assert_eq!(hook.limits.wall, Duration::from_secs(5));
        assert_eq!(hook.config["sizes"], "64x64");
    }

    #[test]
    fn what_was_read_is_written_back_the_same() {
        let hook =
            parse("wasm = \"builtin:thumbnail\"\non = [\"origin-request\", \"origin-response\"]").unwrap();
        assert_eq!(parse(&toml::to_string(&hook).unwrap()).unwrap(), hook);
    }

    #[test]
    fn relative_components_start_at_the_config_file() {
        let mut hook = parse("wasm = \"hooks/x.wasm\"\non = \"origin-response\"").unwrap();
        hook.resolve_paths(Path::new("/etc/selvedge"));
        assert_eq!(hook.wasm, WasmSource::File("/etc/selvedge/hooks/x.wasm".into()));
        let mut builtin = parse("wasm = \"builtin:thumbnail\"\non = \"origin-response\"").unwrap();
        builtin.resolve_paths(Path::new("/etc/selvedge"));
        assert_eq!(builtin.wasm, WasmSource::Builtin("thumbnail".into()));
    }

    #[test]
    fn unknown_events_empty_lists_and_unknown_keys_are_refused() {
        for text in [
            "wasm = \"x\"\non = \"origin-answer\"",
            "wasm = \"x\"\non = []",
            "wasm = \"x\"\non = 3",
            "wasm = \"x\"\non = \"origin-response\"\nlimit = {}",
            "wasm = \"x\"\non = \"origin-response\"\nlimits = { fuel = 3 }",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let message = parse("wasm = \"x\"\non = \"origin-answer\"").unwrap_err().to_string();
        assert!(message.contains("viewer-request"), "{message}");
    }
}
