//! Everything that is built from a config. A reload builds a new node; requests under way keep the one they began with.

mod build;
mod checks;
pub mod keys;
mod warm;

use crate::compress::Coders;
use crate::config::Config;
use crate::derive::Stores;
use crate::edges::Edges;
use crate::facts::Atlas;
use crate::loops::Mark;
use crate::observe::Observer;
use crate::route::Sites;
use arc_swap::ArcSwap;
use cache::Store;
use hooks::{Doubt, Engine, Registry, RegistryParts};
use http::HeaderValue;
use ipnet::IpNet;
use origin_shield::{Fault, Group, Names, Origin};
use signing::KeyGroup;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

pub use build::NodeError;
pub use checks::Checks;
pub use warm::keep_warm;

/// A node in force.
pub struct Node {
    /// In `Cache-Status`, `Via` and `Proxy-Status`.
    pub name: Arc<str>,
    /// This node's member of `Via`.
    pub via: HeaderValue,
    /// By what it knows requests that come back.
    pub mark: Mark,
    /// Sites by host.
    pub sites: Sites,
    /// Key groups by name; what their tokens have opened survives a reload.
    key_groups: HashMap<String, Arc<KeyGroup>>,
    /// Origins and origin groups by name: what a hook may choose from.
    pub groups: HashMap<String, Arc<Group>>,
    /// Hooks by name, in all their versions; what is known of them survives a reload.
    pub hooks: Registry,
    /// Where what hooks make is kept.
    pub derived: Stores,
    /// Address → place.
    pub atlas: Arc<Atlas>,
    /// Stored responses; survives a reload.
    pub store: Store,
    /// What encodes and decodes for viewers.
    pub coders: Coders,
    /// Log and metrics; survive a reload.
    pub observer: Arc<Observer>,
    /// How nodes are recognised whose shield this one is.
    pub edges: Option<Edges>,
    /// What a viewer may ask for.
    pub limits: Limits,
    /// TLS towards viewers; `None` when no site has a certificate.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The root of the local development authority, when a site uses it.
    pub local_root: Option<PathBuf>,
    /// What it was built from.
    pub config: Arc<Config>,
    trust: Vec<IpNet>,
    origins: HashMap<String, Arc<Origin>>,
    names: Arc<Names>,
    engine: Option<Arc<Engine>>,
    doubts: Vec<(String, Doubt)>,
}

/// `node.limits` in the units that the code counts in: bytes and durations.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Pauses of bodies, in either direction.
    pub body_timeout: Duration,
    /// For a follower of a fill.
    pub collapse_wait: Duration,
    /// For a site's page of an error.
    pub error_page: Duration,
    /// Bytes of such a page.
    pub error_page_size: usize,
    /// A request's head.
    pub head: usize,
    /// A request's target.
    pub url: usize,
    /// Header fields of a request.
    pub header_count: usize,
    /// Ranges of a request.
    pub ranges: usize,
    /// Concurrent HTTP/2 streams of a connection.
    pub h2_streams: u32,
    /// Reset HTTP/2 streams that a connection may have outstanding.
    pub h2_resets: usize,
    /// SETTINGS, PING and PRIORITY frames of a connection in a minute.
    pub h2_control: u32,
    /// Bytes of an upload on an HTTP/2 stream that are not yet passed on.
    pub h2_window: u32,
    /// Open tunnels.
    pub tunnels: u64,
    /// Silence of a tunnel.
    pub tunnel_idle: Duration,
}

impl Node {
    /// The rehearsals of origins' failures that the config asks for.
    pub fn faults(&self) -> impl Iterator<Item = &Arc<Fault>> {
        self.origins.values().filter_map(|origin| origin.fault())
    }

    /// Settings of hooks, by hook, that do not fit what their components can do.
    #[must_use]
    pub fn doubts(&self) -> &[(String, Doubt)] {
        &self.doubts
    }

    /// What a start would say of versions of hooks that were deployed and are kept below `state`, by hook.
    #[must_use]
    pub fn deployed(&self, state: &Path, now: SystemTime) -> Vec<(String, String)> {
        let Some(engine) = &self.engine else { return Vec::new() };
        let parts = RegistryParts { engine, folder: state, dress: Arc::new(|hook| hook), now };
        Registry::examine(&parts, &self.config.hook)
    }

    /// The figures that hooks keep of themselves, in Prometheus' text format.
    #[must_use]
    pub fn figures_of_hooks(&self) -> String {
        self.engine.as_ref().map(|engine| engine.figures_text()).unwrap_or_default()
    }

    /// The key-value store of this name. It is there when a hook is, for whom else would it be.
    #[must_use]
    pub fn kv(&self, name: &str) -> Option<Arc<hooks::Store>> {
        self.engine.as_ref()?.stores().get(name)
    }

    /// Saves what is stored, for a process that ends: it is there after a restart.
    pub fn close(&self) {
        self.store.close();
        if let Some(engine) = &self.engine {
            engine.stores().close();
        }
    }

    /// It serves from now on, in place of `previous`: what that changes outside of the process is written down.
    pub fn take_over(&self, previous: Option<&Node>) {
        let words = self.hooks.commit(previous.map(|previous| &previous.hooks));
        words.into_iter().for_each(|words| self.observer.say(words));
        if let Some(engine) = &self.engine {
            let limits = &self.config.node.limits;
            engine.limit_memory(limits.hook_memory.as_u64());
            engine.keep_idle(limits.hook_idle);
            self.observer.keep_said(limits.hook_log);
            engine.make_images(&self.config.node.images);
            engine.stores().settle(&self.config.kv);
        }
    }

    /// Whether a peer may speak for the viewer.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trust.iter().any(|network| network.contains(&peer))
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The node in force, for whoever begins something now.
#[derive(Debug)]
pub struct Current {
    node: ArcSwap<Node>,
    replaced: watch::Sender<()>,
}

impl Current {
    /// Puts a first node in force.
    #[must_use]
    pub fn new(node: Node) -> Self {
        Self { node: ArcSwap::from_pointee(node), replaced: watch::Sender::new(()) }
    }

    /// The node in force.
    #[must_use]
    pub fn load(&self) -> Arc<Node> {
        self.node.load_full()
    }

    /// Puts another node in force; what is under way is not disturbed.
    pub fn replace(&self, node: Node) {
        self.node.store(Arc::new(node));
        self.replaced.send_replace(());
    }
}
