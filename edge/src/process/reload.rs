//! Reload: all or nothing. The new node is built whole beside the old one, and only then takes its place.

use super::{Source, now};
use crate::config::{Config, ConfigErrors, Loaded, Sources};
use crate::node::{Checks, Current, Node, NodeError};
use geo::{Answerer, CurrentAnswerer, GeoError};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is no file to read again.
    #[error("this node was started without a config file, so there is nothing to reload")]
    NoFile,
    /// The file.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// What it describes.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// DNS.
    #[error("[dns]: {0}")]
    Dns(#[from] GeoError),
    /// A setting that is fixed when the process starts.
    #[error("{0} cannot change while the node runs: restart it, or change it back")]
    NeedsRestart(&'static str),
}

/// Whoever can put a changed config in force.
pub trait Reloader: Send + Sync {
    /// Reads the config again and puts it in force.
    ///
    /// # Errors
    /// [`ReloadError`]; what was in force stays in force.
    fn reload(&self) -> Result<(), ReloadError>;

    /// The files of the config in force; nothing where they have come to say something else.
    fn sources(&self, config: &Config) -> Option<Sources>;
}

pub(super) struct Reload {
    source: Source,
    current: Arc<Current>,
    answers: Option<CurrentAnswerer>,
    /// Where checks of origins run.
    runtime: Handle,
    /// Those of the node in force. Whoever reloads holds them: one at a time.
    checks: Mutex<Checks>,
}

impl Reload {
    /// Within a runtime, where the checks of origins run from now on.
    pub(super) fn new(source: Source, current: Arc<Current>, answers: Option<CurrentAnswerer>) -> Self {
        let runtime = Handle::current();
        let checks = Mutex::new(Checks::start(&current.load(), &runtime));
        Self { source, current, answers, runtime, checks }
    }
}

impl Reloader for Reload {
    fn reload(&self) -> Result<(), ReloadError> {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let (Source::File(path) | Source::Watched(path)) = &self.source else {
            return Err(ReloadError::NoFile);
        };
        let config = Arc::new(Config::load(path)?);
        let before = self.current.load();
        refuse_restart(&before.config, &config)?;
        let _hooks_stay = before.hooks.hold();
        let node = Node::build(&config, Some(&before), now())?;
        if let (Some(answers), Some(settings)) = (&self.answers, &config.dns) {
            answers.replace(Answerer::new(settings, Arc::clone(node.atlas.locator()))?);
        }
        config.refused_congestion().into_iter().for_each(|words| node.observer.say(words));
        node.doubts().iter().for_each(|(hook, doubt)| node.observer.say(format!("hook {hook:?}: {doubt}")));
        node.take_over(Some(&before));
        self.current.replace(node);
        // First the old ones end, so that no origin is checked twice at a time.
        *checks = Checks::default();
        *checks = Checks::start(&self.current.load(), &self.runtime);
        Ok(())
    }

    fn sources(&self, config: &Config) -> Option<Sources> {
        let (Source::File(path) | Source::Watched(path)) = &self.source else { return None };
        let loaded = Loaded::load(path).ok().filter(|loaded| loaded.config == *config);
        loaded.map(|loaded| loaded.sources)
    }
}

/// Sockets, threads and the tiers of the store are made once.
fn refuse_restart(before: &Config, after: &Config) -> Result<(), ReloadError> {
    let listens = |config: &Config| config.dns.as_ref().map(|dns| dns.listen.clone());
    let with_tls =
        |config: &Config| config.site.values().any(|site| site.tls_or_default() != certs::SiteTls::Off);
    let (old, new) = (&before.node, &after.node);
    for (same, name) in [
        (old.listen == new.listen, "[node] listen"),
        (old.admin == new.admin, "[node] admin"),
        (old.admin_token == new.admin_token, "[node] admin-token"),
        (old.congestion == new.congestion, "[node] congestion"),
        (old.threads == new.threads, "[node] threads"),
        (old.memory == new.memory, "[node] memory"),
        (before.disk() == after.disk(), "[cache] disk"),
        (old.limits.max_object == new.limits.max_object, "[node] limits.max-object"),
        (old.limits.uncacheable == new.limits.uncacheable, "[node] limits.uncacheable"),
        (old.log == new.log, "[node] log"),
        (old.limits.hook_instances == new.limits.hook_instances, "[node] limits.hook-instances"),
        (old.limits.hook_compiled == new.limits.hook_compiled, "[node] limits.hook-compiled"),
        (old.name == new.name, "[node] name"),
        (listens(before) == listens(after), "[dns] listen"),
        (with_tls(before) == with_tls(after), "whether any site has a certificate"),
    ] {
        if !same {
            return Err(ReloadError::NeedsRestart(name));
        }
    }
    Ok(())
}
