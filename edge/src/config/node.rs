//! `[node]`: what this machine is and what it allows.

use std::env::VarError;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use origin_shield::{Algorithm, Congestion, OtherEnd, Refused};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::edges::EdgesSettings;
use super::listen::{AdminListen, Listen};
use super::word;

/// This node: its name, its listeners, its budgets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NodeSettings {
    /// The name in Cache-Status, Via and Proxy-Status. Default: the machine's host name.
    #[serde(deserialize_with = "token")]
    pub name: String,
    /// Where viewers connect. Default: ports 80 and 443 where they may be bound, else 8080 and 8443.
    pub listen: Vec<Listen>,
    /// Where the admin API answers, or "off".
    pub admin: AdminListen,
    /// What admin requests carry as `Authorization: Bearer …`; an admin API off loopback needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token: Option<Material>,
    /// Peers whose Forwarded and X-Forwarded-For (and PROXY protocol) name the viewer.
    #[serde(deserialize_with = "networks")]
    #[schemars(with = "Vec<String>")]
    pub trust: Vec<IpNet>,
    /// Who decides how fast answers are sent to viewers, or by a shield to its edges: "auto" (BBR on a node with `edges`, where the
    /// kernel allows it), "system", or an algorithm's name.
    pub congestion: Congestion,
    /// By what other nodes prove that they are edges and this one is their shield; what they say of the viewer is believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edges: Option<EdgesSettings>,
    /// Whether nobody but edges is answered, on any site; others get 403.
    pub edges_only: bool,
    /// The name servers that know where origins are, with port where it is not 53: "10.0.0.2", "127.0.0.1:5353". Default: the
    /// machine's (/etc/resolv.conf).
    #[serde(deserialize_with = "name_servers", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub resolvers: Vec<SocketAddr>,
    /// Threads that serve; 0 is one per core.
    pub threads: usize,
    /// One budget for cached bytes, bodies in flight and hooks.
    #[schemars(with = "String")]
    pub memory: ByteSize,
    /// The folder of certificates and other state that outlives the process.
    pub state: PathBuf,
    /// What is spent on pictures that the node makes for hooks.
    pub images: hooks::ImageSettings,
    /// How much a viewer may ask for, and how long it may take.
    pub limits: LimitSettings,
    /// Which requests are written to standard error.
    pub log: LogLevel,
}

impl Default for NodeSettings {
    fn default() -> Self {
        NodeSettings {
            name: host_name(),
            listen: Vec::new(),
            admin: AdminListen::default(),
            admin_token: None,
            trust: Vec::new(),
            congestion: Congestion::default(),
            edges: None,
            edges_only: false,
            resolvers: Vec::new(),
            threads: 0,
            memory: ByteSize::gib(2),
            state: ".selvedge".into(),
            images: hooks::ImageSettings::default(),
            limits: LimitSettings::default(),
            log: LogLevel::default(),
        }
    }
}

impl NodeSettings {
    /// What `congestion` comes to here. Errors: the algorithm named is not there, or not for this process.
    pub fn algorithm(&self) -> Result<Algorithm, Refused> {
        self.congestion.resolve(if self.edges.is_some() { OtherEnd::Node } else { OtherEnd::Anybody })
    }

    /// Makes relative paths start at `base`.
    pub fn resolve_paths(&mut self, base: &Path) {
        self.state = base.join(&self.state);
        if let Some(edges) = &mut self.edges {
            edges.resolve_paths(base);
        }
        if let Some(Material::File(path)) = &mut self.admin_token {
            *path = base.join(&path);
        }
    }
}

/// What is refused, cut or given up, after how much or how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LimitSettings {
    /// From the first byte of a connection or request to the end of the request's head.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub header_timeout: Duration,
    /// How long a connection may stay open between requests.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle_timeout: Duration,
    /// How long a request's body may pause, and how long a viewer may take nothing of an answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub body_timeout: Duration,
    /// How long requests in flight may go on after the node was told to stop.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub drain: Duration,
    /// How long a request waits for another's answer to the same miss before it asks the origin itself.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub collapse_wait: Duration,
    /// How long a viewer waits for the site's page of an error before it gets the node's own.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub error_page: Duration,
    /// The largest page of a site that stands in for an error; it is in memory whole before it goes out. Viewers get the node's own
    /// instead of a larger one.
    #[schemars(with = "String")]
    pub error_page_size: ByteSize,
    /// How long after its time the last address of an origin's name is used while no name server gives another (RFC 8767).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub stale_names: Duration,
    /// How long a key whose answer could not be stored is not waited for.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub uncacheable: Duration,
    /// The bytes of a request's head, at least 8KiB; more is answered 431.
    #[serde(deserialize_with = "head_size")]
    #[schemars(with = "String")]
    pub head: ByteSize,
    /// The bytes of a request's target; more is answered 414.
    #[serde(deserialize_with = "url_size")]
    #[schemars(with = "String")]
    pub url: ByteSize,
    /// The number of header fields of a request, 1 to 10000; more is answered 431.
    #[serde(deserialize_with = "header_count")]
    pub header_count: usize,
    /// The ranges of one request, 1 to 1000; a request for more gets the whole body.
    #[serde(deserialize_with = "range_count")]
    pub ranges: usize,
    /// Concurrent HTTP/2 streams per connection.
    pub h2_streams: u32,
    /// HTTP/2 streams that may be reset per connection in a minute; more ends the connection.
    pub h2_resets: u32,
    /// HTTP/2 SETTINGS, PING and PRIORITY frames that a connection may send in a minute; more ends it.
    pub h2_control: u32,
    /// The bytes of a request's body that may be on the way, or wait for their origin, over HTTP/2, 64KiB to 1GiB; twice as many over
    /// one connection.
    #[serde(deserialize_with = "window")]
    #[schemars(with = "String")]
    pub h2_window: ByteSize,
    /// Bodies that are encoded or decoded for single viewers at the same time, each in up to a few MiB of memory. Beyond it viewers get
    /// bodies as they are stored, or 503 where they could not read them.
    pub codings: usize,
    /// Objects that hooks have made and that are being put into their stores at once; more are not kept, and made again.
    pub derived_writes: usize,
    /// Memory of all instances of hooks together, and of what they read, fetch and make of bodies; a hook that wants more is answered 429.
    #[schemars(with = "String")]
    pub hook_memory: ByteSize,
    /// Instances of hooks at the same time: those that run and those that wait for their next call.
    #[serde(deserialize_with = "instance_count")]
    pub hook_instances: u32,
    /// Instances that wait for their next call, where hooks use them again: more make room, those used longest ago first.
    pub hook_idle: usize,
    /// Compiled components in the state folder; what was used longest ago goes first.
    #[schemars(with = "String")]
    pub hook_compiled: ByteSize,
    /// Log lines of each hook that the node keeps for `selvedge hook logs`: the last ones.
    #[serde(deserialize_with = "line_count")]
    pub hook_log: usize,
    /// Tunnels (WebSocket and the like) that are open at the same time; one more is answered 503.
    pub tunnels: u64,
    /// How long a tunnel may be silent in both directions.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub tunnel_idle: Duration,
    /// The largest body that is stored; larger ones stream through.
    #[schemars(with = "String")]
    pub max_object: ByteSize,
    /// Purge tags of one stored answer; the surplus is dropped.
    pub tags: usize,
    /// Bytes of one purge tag; longer ones are dropped.
    pub tag_length: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            collapse_wait: Duration::from_secs(5),
            error_page: Duration::from_secs(3),
            error_page_size: ByteSize::mib(1),
            stale_names: Duration::from_secs(24 * 60 * 60),
            uncacheable: Duration::from_secs(120),
            head: ByteSize::kib(32),
            url: ByteSize::kib(8),
            header_count: 100,
            ranges: 16,
            h2_streams: 100,
            h2_resets: 100,
            h2_control: 1000,
            h2_window: ByteSize::mib(1),
            codings: 128,
            derived_writes: 16,
            hook_memory: ByteSize::gib(1),
            hook_instances: 1000,
            hook_idle: 400,
            hook_compiled: ByteSize::gib(1),
            hook_log: 1000,
            tunnels: 4096,
            tunnel_idle: Duration::from_secs(600),
            max_object: ByteSize::mib(64),
            tags: 50,
            tag_length: 256,
        }
    }
}

/// Which requests are written to standard error, one line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Every request.
    Requests,
    /// Those that the node or an origin failed to answer.
    #[default]
    Problems,
    /// None.
    Off,
}

/// Where a secret is: never in the config itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Material {
    /// The name of an environment variable that holds it.
    Env(String),
    /// A file that holds it; a final line break does not count.
    File(PathBuf),
}

/// Why a secret could not be read; the fault is the machine's, or the config's for naming it.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// The variable is not set.
    #[error("environment variable {0} is not set")]
    Env(String),
    /// What the variable holds is not UTF-8. The error behind this would print it, so it is not told.
    #[error("environment variable {0} is not UTF-8")]
    NotUtf8(String),
    /// The file cannot be read, or is not UTF-8.
    #[error("{0}: {1}")]
    File(PathBuf, #[source] std::io::Error),
    /// It is there but holds nothing.
    #[error("{0} is empty")]
    Empty(String),
}

impl MaterialError {
    fn of_variable(name: &str, error: &VarError) -> Self {
        match error {
            VarError::NotPresent => Self::Env(name.to_owned()),
            VarError::NotUnicode(_) => Self::NotUtf8(name.to_owned()),
        }
    }
}

impl Material {
    /// The secret itself, without line breaks at its end.
    pub fn read(&self) -> Result<String, MaterialError> {
        let (place, text) = match self {
            Material::Env(name) => {
                let text = std::env::var(name).map_err(|error| MaterialError::of_variable(name, &error))?;
                (format!("environment variable {name}"), text)
            }
            Material::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| MaterialError::File(path.clone(), error))?;
                (path.display().to_string(), text)
            }
        };
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(MaterialError::Empty(place));
        }
        Ok(secret.into())
    }
}

/// The machine's host name up to its first dot, where the system tells it and it may stand in a header.
fn host_name() -> String {
    const FALLBACK: &str = "selvedge";
    let told = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default();
    let name = told.trim().split('.').next().unwrap_or_default();
    if is_token(name) { name.into() } else { FALLBACK.into() }
}

/// A pseudonym in Via is a token: RFC 9110 section 7.6.3, section 5.6.2.
fn is_token(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed)
}

fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_token(&name) {
        return Ok(name);
    }
    let message = format!("`{name}` cannot stand in a header: use 1 to 64 letters, digits, `-`, `.` or `_`");
    Err(serde::de::Error::custom(message))
}

/// The HTTP/1 library reads heads into a buffer of no less.
fn head_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    at_least(ByteSize::kib(8), "8KiB", deserializer)
}

fn url_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    at_least(ByteSize::b(1), "1B", deserializer)
}

/// RFC 9113 section 6.9.2: what a stream has until something else is said; section 6.9.1: twice the most fits a connection.
fn window<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let size = at_least(ByteSize::kib(64), "64KiB", deserializer)?;
    if size <= ByteSize::gib(1) {
        return Ok(size);
    }
    Err(serde::de::Error::custom("this must be at most 1GiB"))
}

fn at_least<'de, D: Deserializer<'de>>(
    least: ByteSize,
    words: &str,
    deserializer: D,
) -> Result<ByteSize, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    if size >= least {
        return Ok(size);
    }
    Err(serde::de::Error::custom(format!("this must be at least {words}")))
}

/// A map of header fields holds some 24000 at most.
fn header_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    at_most(10_000, deserializer)
}

/// Each range is compared with those before it.
fn range_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    at_most(1_000, deserializer)
}

/// Each takes its address space, of which there are 128 TiB.
fn instance_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    at_most(10_000, deserializer).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

fn line_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    at_most(1_000_000, deserializer)
}

fn at_most<'de, D: Deserializer<'de>>(most: usize, deserializer: D) -> Result<usize, D::Error> {
    let count = usize::deserialize(deserializer)?;
    if (1..=most).contains(&count) {
        return Ok(count);
    }
    Err(serde::de::Error::custom(format!("this must be from 1 to {most}")))
}

/// A network, or a single address as a network of its own.
struct Network(IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Network).map_err(|_| {
            format!("`{text}` is no network: write an address or a range, such as \"10.0.0.0/8\"")
        })
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let networks = Vec::<Network>::deserialize(deserializer)?;
    Ok(networks.into_iter().map(|Network(network)| network).collect())
}

/// A name server; RFC 1035 section 4.2: the port is 53.
struct NameServer(SocketAddr);

impl<'de> Deserialize<'de> for NameServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
        address.map(NameServer).map_err(|_| {
            format!(
                "`{text}` is no address: write one, with a port if it is not 53, such as \"127.0.0.1:5353\""
            )
        })
    }
}

fn name_servers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    let servers = Vec::<NameServer>::deserialize(deserializer)?;
    Ok(servers.into_iter().map(|NameServer(address)| address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_documented_table() {
        let limits: LimitSettings = toml::from_str("").unwrap();
        assert_eq!(limits, LimitSettings::default());
        assert_eq!(limits.header_timeout, Duration::from_secs(10));
        assert_eq!((limits.head, limits.url), (ByteSize::kib(32), ByteSize::kib(8)));
        assert!(is_token(&NodeSettings::default().name));
    }

    #[test]
    fn limits_that_no_request_could_keep_are_refused() {
        for (text, expected) in [
            ("head = \"8191B\"", "at least 8KiB"),
            ("url = \"0B\"", "at least 1B"),
            ("header-count = 0", "from 1 to 10000"),
            ("header-count = 10001", "from 1 to 10000"),
            ("ranges = 0", "from 1 to 1000"),
            ("hook-instances = 10001", "from 1 to 10000"),
            ("hook-log = 0", "from 1 to 1000000"),
            ("h2-window = \"65535B\"", "at least 64KiB"),
            ("h2-window = \"1025MiB\"", "at most 1GiB"),
        ] {
            let error = toml::from_str::<LimitSettings>(text).unwrap_err();
            assert!(error.to_string().contains(expected), "{text}: {error}");
        }
        let least =
            toml::from_str::<LimitSettings>("head = \"8KiB\"\nurl = \"1B\"\nheader-count = 1").unwrap();
        assert_eq!(least.head, ByteSize::kib(8));
    }

    #[test]
    fn a_single_address_may_be_trusted() {
        let node: NodeSettings = toml::from_str("trust = [\"10.0.0.0/8\", \"192.0.2.7\", \"::1\"]").unwrap();
        let shown: Vec<_> = node.trust.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "::1/128"]);
        assert!(toml::from_str::<NodeSettings>("trust = [\"10.0.0.0/33\"]").is_err());
    }

    #[test]
    fn a_name_that_would_break_a_header_is_refused() {
        for name in ["", "a b", "a\\nb", "é"] {
            assert!(toml::from_str::<NodeSettings>(&format!("name = \"{name}\"")).is_err(), "{name}");
        }
        assert_eq!(toml::from_str::<NodeSettings>("name = \"icn1\"").unwrap().name, "icn1");
    }

    #[test]
    fn a_secret_is_read_without_its_line_break_and_never_empty() {
        let folder = std::env::temp_dir().join(format!("selvedge-material-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("token");
        std::fs::write(&file, "s3cret\r\n").unwrap();
        assert_eq!(Material::File(file.clone()).read().unwrap(), "s3cret");
        std::fs::write(&file, "\n").unwrap();
        assert!(matches!(Material::File(file).read(), Err(MaterialError::Empty(_))));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(Material::File(folder).read(), Err(MaterialError::File(..))));
        let unset = Material::Env("SELVEDGE_TEST_THAT_IS_NEVER_SET".into());
        assert!(matches!(unset.read(), Err(MaterialError::Env(..))));
    }

    #[test]
    fn a_secret_that_is_not_utf8_is_not_told() {
        use std::os::unix::ffi::OsStringExt;
        let value = std::ffi::OsString::from_vec(b"hunter2\xff".to_vec());
        let error = MaterialError::of_variable("TOKEN", &VarError::NotUnicode(value));
        assert_eq!(error.to_string(), "environment variable TOKEN is not UTF-8");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn relative_paths_start_at_the_config() {
        let mut node =
            NodeSettings { admin_token: Some(Material::File("token".into())), ..NodeSettings::default() };
        node.resolve_paths(Path::new("/etc/selvedge"));
        assert_eq!(node.state, Path::new("/etc/selvedge/.selvedge"));
        assert_eq!(node.admin_token, Some(Material::File("/etc/selvedge/token".into())));
    }
}
