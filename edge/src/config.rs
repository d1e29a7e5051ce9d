//! The whole config: every room's settings composed, files merged, and what refers to what checked.
//!
//! A setting is declared once, in the room that reads it. Here they only become one document: [`Config::load`] reads the
//! files, `syntax` turns each into settings, `include` merges them, `references` looks up every name and file that they mention.

mod congestion;
mod document;
mod doubts;
mod edges;
mod effective;
mod error;
mod field;
mod files;
mod host;
mod include;
mod listen;
mod node;
mod pages;
mod path;
mod protocol;
mod references;
mod rehearsals;
mod schema;
mod shadows;
mod shields;
mod site;
mod syntax;
mod word;
mod wording;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cache::disk::DiskSettings;
use cache::{CachePolicySettings, CacheSettings};
use certs::SiteTls;
use geo::{DnsSettings, GeoSettings};
use hooks::{HookSettings, KvSettings};
use origin_shield::{GroupSettings, OriginSettings, OriginUrl};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use signing::{KeyGroupSettings, KeySettings};

pub use congestion::refused_congestion;
pub use document::Sources;
pub(crate) use document::place;
pub use doubts::{amiss_hooks, doubtful_hooks, idle_settings};
pub use edges::EdgesSettings;
pub use effective::{effective_json, effective_toml};
pub(crate) use error::did_you_mean;
pub use error::{ConfigError, ConfigErrors, Place};
pub use field::{FieldName, FieldValue};
pub use files::files_of;
pub use host::{HostError, HostPattern};
pub use listen::{AdminListen, Listen, ListenError, Scheme};
pub use node::{LimitSettings, LogLevel, Material, MaterialError, NodeSettings};
pub use pages::{ErrorPageSettings, ErrorSettings, PagePath, Statuses};
pub use path::{PathError, PathPattern};
pub use rehearsals::rehearsals;
pub use schema::schema;
pub use shadows::{Warning, shadowed_routes};
pub use shields::doubtful_shields;
pub use site::{CacheChoice, HeaderEdits, Methods, RouteSettings, SiteSettings};

/// Everything that a config file can say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// The version of this format: 1.
    #[serde(deserialize_with = "known_version")]
    pub version: u32,
    /// More files, as patterns relative to this one, such as "sites/*.toml". Only the main file includes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// This node.
    pub node: NodeSettings,
    /// How it stores.
    pub cache: CacheSettings,
    /// Where answers come from, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub origin: BTreeMap<String, OriginSettings>,
    /// Origins that stand in for one another, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub origin_group: BTreeMap<String, GroupSettings>,
    /// What is stored and for how long, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cache_policy: BTreeMap<String, CachePolicySettings>,
    /// Keys that verify signatures, by the id that a token names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub key: BTreeMap<String, KeySettings>,
    /// Keys that open the same routes, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub key_group: BTreeMap<String, KeyGroupSettings>,
    /// Hooks, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hook: BTreeMap<String, HookSettings>,
    /// Key-value stores that hooks share, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kv: BTreeMap<String, KvSettings>,
    /// Sites, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub site: BTreeMap<String, SiteSettings>,
    /// Where viewers' places are looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geo: Option<GeoSettings>,
    /// DNS answers decided per query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsSettings>,
}

const VERSION: u32 = 1;

impl Default for Config {
    fn default() -> Self {
        Config {
            version: VERSION,
            include: Vec::new(),
            node: NodeSettings::default(),
            cache: CacheSettings::default(),
            origin: BTreeMap::new(),
            origin_group: BTreeMap::new(),
            cache_policy: BTreeMap::new(),
            key: BTreeMap::new(),
            key_group: BTreeMap::new(),
            hook: BTreeMap::new(),
            kv: BTreeMap::new(),
            site: BTreeMap::new(),
            geo: None,
            dns: None,
        }
    }
}

/// A config together with the files that it was read from, for what needs line numbers.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the files say, merged and checked.
    pub config: Config,
    /// Where they say it.
    pub sources: Sources,
}

impl Loaded {
    /// Reads a config file and what it includes. Errors: everything that is wrong with them.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        include::load(path)?.checked()
    }

    /// The same for a text without includes; `name` stands for the file in messages, and relative paths start at `base`.
    pub fn parse(text: &str, name: &str, base: &Path) -> Result<Self, ConfigErrors> {
        include::single(text, name, base)?.checked()
    }

    fn checked(self) -> Result<Self, ConfigErrors> {
        let mut errors = references::check(&self.config, &self.sources);
        errors.extend(files::check(&self.config, &self.sources));
        errors.or(self)
    }
}

impl Config {
    /// Reads a config file and what it includes. Errors: everything that is wrong with them.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        Loaded::load(path).map(|loaded| loaded.config)
    }

    /// The same for a text without includes; `name` stands for the file in messages, and relative paths start at `base`.
    pub fn parse(text: &str, name: &str, base: &Path) -> Result<Self, ConfigErrors> {
        Loaded::parse(text, name, base).map(|loaded| loaded.config)
    }

    /// A caching reverse proxy: one listener, one site for every host, one origin.
    pub fn proxy(from: Listen, to: &OriginUrl) -> Self {
        let mut site = SiteSettings::new(vec![HostPattern::Any], to.to_string());
        if from.scheme == Scheme::Https {
            site.tls = Some(SiteTls::Local);
        }
        let mut config = Config::default();
        config.node.listen.push(from);
        config.site.insert("proxy".into(), site);
        config
    }

    /// The folder of compiled hooks: it is part of the node's state.
    #[must_use]
    pub fn compiled_hooks(&self) -> PathBuf {
        self.node.state.join("hooks").join("compiled")
    }

    /// The second tier, if there is one, with the path of its folder: it is part of the node's state.
    pub fn disk(&self) -> Option<DiskSettings> {
        let mut disk = self.cache.disk.clone()?;
        disk.path = self.node.state.join(disk.path);
        Some(disk)
    }

    /// Makes relative paths start at `base`.
    fn resolve_paths(&mut self, base: &Path) {
        self.node.resolve_paths(base);
        self.origin.values_mut().for_each(|origin| origin.resolve_paths(base));
        self.key.values_mut().for_each(|key| key.resolve_paths(base));
        self.hook.values_mut().for_each(|hook| hook.resolve_paths(base));
        self.site.values_mut().for_each(|site| site.resolve_paths(base));
        if let Some(geo) = &mut self.geo {
            geo.resolve_paths(base);
        }
    }
}

fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(deserializer)?;
    if version == VERSION {
        return Ok(version);
    }
    let message = format!("this program reads version {VERSION}, not {version}");
    Err(serde::de::Error::custom(message))
}
