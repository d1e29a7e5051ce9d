//! What an operator says about origins and origin groups.

mod bucket;
mod congestion;
mod count;
mod duration;
mod fault;
mod group;
mod health;
mod outlier;
mod program;
mod share;
mod target;
mod url;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub use bucket::{BucketSettings, BucketStyle, ProfileSettings, WebIdentitySettings};
pub use congestion::{Algorithm, Congestion, NoAlgorithm, OtherEnd, Refused};
pub use fault::{Abort, AbortSettings, DelaySettings, FaultSettings, StopSettings};
pub use group::{Condition, GroupSettings};
pub use health::{HealthSettings, Statuses};
pub use outlier::{EjectSettings, RetryBudget};
pub use program::{ProgramLimits, Variable};
pub use target::{Target, TargetError};
pub use url::{OriginUrl, OriginUrlError};

/// One origin: where a miss is fetched from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OriginSettings {
    /// `http://` or `https://`, host, optional port and path prefix: `https://app.internal:8443/site`; or a private
    /// bucket, with or without a prefix: `s3://media/site`. Either this, or `shield`, or `wasm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OriginUrl")]
    pub url: Option<OriginUrl>,
    /// Other Selvedge nodes that are asked instead of an origin of one's own: `["https://shield-a:443", "https://shield-b:443"]`.
    /// Every object belongs to one of them, the same for all edges; while that one is down, to the next.
    #[serde(default, deserialize_with = "target::shields", skip_serializing_if = "Vec::is_empty")]
    pub shield: Vec<OriginUrl>,
    /// The secret by which these shields know this node as one of their edges; 32 characters at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Material>,
    /// A component file (`wasi:http/proxy` 0.2) that answers requests in this node itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasm: Option<PathBuf>,
    /// What one request of the component may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ProgramLimits>,
    /// The component's environment variables: `{ MODE = "fast", API_KEY = { env = "API_KEY" } }`. What comes from a variable or file
    /// of the node's is never printed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Variable>,
    /// The origins and origin groups that the component may send requests to, by their names here as the host of a URL, or by
    /// their address. Without any it may ask nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetch: Vec<String>,
    /// How long a shield that failed is passed over; an origin with a `url` has no use for it.
    #[serde(default = "remember", with = "duration::span")]
    #[schemars(with = "String")]
    pub remember: Duration,
    /// How many of the shields are asked for one request, at most. At least 1.
    #[serde(default = "tries", deserialize_with = "at_least_one")]
    #[schemars(range(min = 1))]
    pub tries: u32,
    /// How the bucket of an `s3://` origin is reached and opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<BucketSettings>,
    /// The name of a DNS service record (RFC 2782) that says which machines to connect to and at which ports, by priority and
    /// weight: `_http._tcp.app.internal`. `Host` and the name asked for in TLS stay those of `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srv: Option<String>,
    /// How long one connection attempt may take: name, TCP and TLS together.
    #[serde(default = "connect_timeout", with = "duration::timeout")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
    /// How long the origin may be silent: before the head of its answer is complete, and between two pieces of the body.
    #[serde(default = "response_timeout", with = "duration::timeout")]
    #[schemars(with = "String")]
    pub response_timeout: Duration,
    /// How long the body of a request with `Expect: 100-continue` waits for the origin to ask for it, before it is sent unasked.
    #[serde(default = "continue_timeout", with = "duration::timeout")]
    #[schemars(with = "String")]
    pub continue_timeout: Duration,
    /// How often a connection is attempted before this origin counts as failed. At least 1.
    #[serde(default = "attempts", deserialize_with = "at_least_one")]
    #[schemars(range(min = 1))]
    pub attempts: u32,
    /// Which HTTP it is spoken to: "auto", "http1" or "http2".
    #[serde(default)]
    pub protocol: Protocol,
    /// Connections that are kept open between requests.
    #[serde(default)]
    pub pool: PoolSettings,
    /// Who decides how fast requests' bodies are sent to it: `"auto"` (to shields BBR where the kernel allows it), `"system"`, or an
    /// algorithm's name. How fast answers come is the origin's to decide.
    #[serde(default)]
    pub congestion: Congestion,
    /// A rehearsal of its failure: faults that some requests meet on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultSettings>,
    /// TLS towards an `https://` origin, where it differs from the machine's own trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<OriginTls>,
    /// Active checks. While they fail, the origin is asked only when nobody else in its group answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSettings>,
}

impl OriginSettings {
    /// The defaults for an origin of which only the address is known.
    pub fn new(url: OriginUrl) -> Self {
        Self {
            url: Some(url),
            shield: Vec::new(),
            key: None,
            wasm: None,
            limits: None,
            env: BTreeMap::new(),
            fetch: Vec::new(),
            remember: remember(),
            tries: tries(),
            s3: None,
            srv: None,
            connect_timeout: connect_timeout(),
            response_timeout: response_timeout(),
            continue_timeout: continue_timeout(),
            attempts: attempts(),
            protocol: Protocol::default(),
            pool: PoolSettings::default(),
            congestion: Congestion::default(),
            fault: None,
            tls: None,
            health: None,
        }
    }

    /// What `congestion` comes to here.
    ///
    /// # Errors
    /// The algorithm named is not there, or not for this process.
    pub fn algorithm(&self) -> Result<Algorithm, Refused> {
        let other_end = if self.shield.is_empty() { OtherEnd::Anybody } else { OtherEnd::Node };
        self.congestion.resolve(other_end)
    }

    /// Makes relative paths start at `base`, the folder of the config file.
    pub fn resolve_paths(&mut self, base: &Path) {
        if let Some(Material::File(path)) = &mut self.key {
            *path = base.join(&*path);
        }
        if let Some(wasm) = &mut self.wasm {
            *wasm = base.join(&*wasm);
        }
        self.env.values_mut().for_each(|variable| variable.resolve_path(base));
        if let Some(bucket) = &mut self.s3 {
            bucket.resolve_paths(base);
        }
        let Some(tls) = &mut self.tls else { return };
        let key = match &mut tls.client_key {
            Some(Material::File(path)) => Some(path),
            _ => None,
        };
        for path in [tls.ca.as_mut(), tls.client_cert.as_mut(), key].into_iter().flatten() {
            *path = base.join(&*path);
        }
    }
}

/// Which HTTP an origin is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/2 where an `https://` origin offers it in TLS, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone; to an `http://` origin with prior knowledge (RFC 9113 section 3.3), as gRPC services without TLS want it.
    Http2,
}

/// Connections kept open between requests, per core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PoolSettings {
    /// How long an unused connection is kept. Best a little shorter than the origin's own keep-alive timeout.
    #[serde(with = "duration::span")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// How many unused connections are kept per core; 0 closes every connection after its answer.
    pub max_idle: usize,
    /// How many connections per core are opened before anybody needs them and kept open, at work or not, unused or not; no more
    /// than `max-idle`. Where HTTP/2 is spoken one is enough. For origins that are far away.
    pub warm: usize,
    /// How many bytes of one answer may be on the way, or wait to be read, over HTTP/2; sixteen times as many over one
    /// connection. What is on the way in one round trip is the most that an answer gets: 4 MiB each 250 ms are 134 Mbit/s.
    #[serde(deserialize_with = "window")]
    #[schemars(with = "String")]
    pub window: ByteSize,
    /// How old a connection may be and still get another request, less up to a tenth so that those of one moment do not all
    /// end in one. What is under way on it then is finished. An hour spreads load again over the machines behind one address,
    /// and is what nginx ends its own connections after.
    #[serde(with = "duration::span")]
    #[schemars(with = "String")]
    pub lifetime: Duration,
    /// Whether a connection gets no further request once its address is no longer among those of the origin's name. Turn it off
    /// for names that give other addresses at every turn, as those of large object stores do.
    pub follow_names: bool,
    /// How many connections the origin gets from all cores together, those included that are not in use; without it, as many as
    /// there are requests at a time. An origin that speaks HTTP/2 needs one for each core.
    #[serde(deserialize_with = "count::option::deserialize", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_connections: Option<usize>,
    /// How long a request waits for one of them before it fails with 503 (`connection_limit_reached`).
    #[serde(with = "duration::span")]
    #[schemars(with = "String")]
    pub queue_timeout: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            max_idle: 64,
            warm: 0,
            window: ByteSize::mib(4),
            lifetime: Duration::from_secs(60 * 60),
            follow_names: true,
            max_connections: None,
            queue_timeout: Duration::from_secs(1),
        }
    }
}

impl PoolSettings {
    pub(crate) fn kept_warm(&self) -> usize {
        self.warm.min(self.max_idle)
    }
}

/// TLS towards one origin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OriginTls {
    /// PEM file of the authorities to trust for this origin, instead of the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate chain that this node shows to the origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// The private key of `client-cert`, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<Material>,
    /// The name asked for in TLS and checked in the certificate; default: the host of `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
}

/// Where a secret is read from: `{ file = "edge.key" }` or `{ env = "EDGE_KEY" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Material {
    /// The name of an environment variable that holds it.
    Env(String),
    /// The path of a file that holds it.
    File(PathBuf),
}

fn connect_timeout() -> Duration {
    Duration::from_secs(3)
}

fn response_timeout() -> Duration {
    Duration::from_secs(30)
}

/// As long as a group remembers.
fn remember() -> Duration {
    Duration::from_secs(30)
}

fn continue_timeout() -> Duration {
    Duration::from_secs(1)
}

/// An object's own shield, the next one, and one more: a long list of dead shields costs no viewer minutes.
fn tries() -> u32 {
    3
}

fn attempts() -> u32 {
    2
}

/// RFC 9113 section 6.9.2: what a stream has until something else is said; section 6.9.1: the most.
fn window<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    if (ByteSize::kib(64)..ByteSize::gib(2)).contains(&size) {
        return Ok(size);
    }
    Err(serde::de::Error::custom("a window must be at least 64KiB and less than 2GiB"))
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("0 attempts would never reach the origin: give at least 1")),
        attempts => Ok(attempts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<OriginSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_is_enough_and_the_defaults_are_documented_ones() {
        let settings = parse("url = \"http://127.0.0.1:9000\"").unwrap();
        assert_eq!(settings, OriginSettings::new("http://127.0.0.1:9000".parse().unwrap()));
        assert_eq!(settings.connect_timeout, Duration::from_secs(3));
        assert_eq!(settings.response_timeout, Duration::from_secs(30));
        assert_eq!(settings.attempts, 2);
        assert_eq!(settings.protocol, Protocol::Auto);
        assert_eq!((settings.pool.idle, settings.pool.max_idle), (Duration::from_secs(60), 64));
    }

    #[test]
    fn the_whole_table_of_the_interface_parses_and_prints_back() {
        let settings = parse(
            r#"
            url = "https://app.internal:8443"
            connect-timeout = "2s"
            response-timeout = "10s"
            attempts = 3
            protocol = "http2"
            pool = { idle = "30s", max-idle = 8, lifetime = "10m" }
            health = { path = "/healthz", every = "10s", fails = 3, passes = 2 }
            tls = { ca = "ca.pem", client-cert = "edge.pem", client-key = { file = "edge.key" }, sni = "app.example.com" }
            "#,
        )
        .unwrap();
        assert_eq!(settings.pool.max_idle, 8);
        assert_eq!(settings.pool.idle, Duration::from_secs(30));
        assert_eq!(settings.pool.lifetime, Duration::from_secs(600));
        let printed = toml::to_string(&settings).unwrap();
        assert_eq!(parse(&printed).unwrap(), settings, "{printed}");
    }

    #[test]
    fn unknown_keys_zero_timeouts_and_zero_attempts_are_refused() {
        for (line, reason) in [
            ("conect-timeout = \"3s\"", "unknown field"),
            ("connect-timeout = \"0s\"", "timeout of zero"),
            ("response-timeout = 5", "expected a duration"),
            ("response-timeout = \"9000000000000s\"", "longer than a day"),
            ("pool = { idle = \"9000000000000s\" }", "longer than a year"),
            ("attempts = 0", "at least 1"),
            ("pool = { window = \"63KiB\" }", "at least 64KiB"),
            ("pool = { window = \"2GiB\" }", "less than 2GiB"),
            ("protocol = \"h2c\"", "unknown variant"),
            ("pool = { max = 3 }", "unknown field"),
            ("pool = { max-connections = 0 }", "at least 1"),
            ("tls = { cert = \"x\" }", "unknown field"),
        ] {
            let error = parse(&format!("url = \"http://a\"\n{line}")).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
            assert!(error.contains("line 2"), "{line}: {error}");
        }
    }

    #[test]
    fn relative_paths_start_at_the_config_file() {
        let mut settings = parse(
            "url = \"https://a\"\ntls = { ca = \"ca.pem\", client-cert = \"/etc/edge.pem\", client-key = { file = \"k\" } }",
        )
        .unwrap();
        settings.resolve_paths(Path::new("/conf"));
        let tls = settings.tls.unwrap();
        assert_eq!(tls.ca, Some(PathBuf::from("/conf/ca.pem")));
        assert_eq!(tls.client_cert, Some(PathBuf::from("/etc/edge.pem")));
        assert_eq!(tls.client_key, Some(Material::File(PathBuf::from("/conf/k"))));
    }

    #[test]
    fn the_schema_speaks_of_strings_where_people_write_strings() {
        let schema = serde_json::to_value(schemars::schema_for!(OriginSettings)).unwrap();
        assert_eq!(schema["properties"]["url"]["type"], "string");
        assert_eq!(schema["properties"]["connect-timeout"]["type"], "string");
        assert_eq!(schema["properties"]["connect-timeout"]["default"], "3s");
        assert_eq!(schema["properties"]["shield"]["items"]["type"], "string");
    }
}
