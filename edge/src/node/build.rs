//! Config → node: all or nothing.

use super::{Limits, Node, keys};
use crate::component::Component;
use crate::compress::Coders;
use crate::config::{CacheChoice, Config, LimitSettings, PathPattern, RouteSettings, SiteSettings};
use crate::derive::Stores;
use crate::edges::{Edges, EdgesError};
use crate::facts::Atlas;
use crate::loops::Mark;
use crate::observe::Observer;
use crate::pages::Pages;
use crate::process;
use crate::route::{Route, Site, Sites};
use cache::disk::{Disk, DiskError};
use cache::{CachePolicySettings, Policy, Store, TagLimits};
use certs::{CertificateStore, CertsError, LocalAuthority, SiteTls};
use geo::{GeoError, Locator};
use hooks::{CallRecord, Doubt, Dress, Engine, EngineSettings, HookError, Registry, RegistryParts, Watch};
use http::{HeaderName, HeaderValue};
use origin_shield::{Group, Names, Origin, OriginError, OriginSettings, Program, Witness};
use signing::{KeyGroup, SchemeName, SigningError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Why a config that reads well cannot become a node; the config or what it names is at fault.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// An origin.
    #[error("[origin.{0}]: {1}")]
    Origin(String, #[source] OriginError),
    /// A component that is an origin.
    #[error("[origin.{0}]: {1}")]
    Component(String, String),
    /// A site's origin that is a URL.
    #[error("[site.{0}] origin {1:?} is neither the name of an origin or origin group nor a URL: {2}")]
    Url(String, String, String),
    /// A key.
    #[error("[key.{0}] {1}: {2}")]
    Key(String, String, #[source] SigningError),
    /// Key material that cannot be read.
    #[error("[key.{0}] {1}: {2}")]
    KeyMaterial(String, String, String),
    /// The hook engine.
    #[error("{0}")]
    Engine(#[source] HookError),
    /// A hook.
    #[error("{1}")]
    Hook(String, #[source] HookError),
    /// A geo database.
    #[error("[geo]: {0}")]
    Geo(#[from] GeoError),
    /// The second tier.
    #[error("[cache] disk: {0}")]
    Disk(#[from] DiskError),
    /// A certificate.
    #[error("[site.{0}] tls: {1}")]
    Certificate(String, #[source] CertsError),
    /// TLS as a whole.
    #[error("tls: {0}")]
    Tls(#[from] CertsError),
    /// How edges are known.
    #[error("[node] edges: {0}")]
    Edges(#[from] EdgesError),
    /// The name of the node.
    #[error("[node] name {0:?} cannot stand in a header; use letters, digits, '-', '.' and '_'")]
    Name(String),
    /// A header edit.
    #[error("the config refers to {0}, which is not there")]
    Missing(String),
}

impl Node {
    /// Builds a node. What `previous` holds and the config does not change goes on: the store, the figures, pools of
    /// unchanged origins and what their groups remember. Nothing listens yet, and nothing is changed before [`Node::take_over`].
    ///
    /// # Errors
    /// [`NodeError`] names the section and the cause.
    pub fn build(config: &Arc<Config>, previous: Option<&Node>, now: SystemTime) -> Result<Self, NodeError> {
        let name = &config.node.name;
        let header = |text: String| HeaderValue::from_str(&text).map_err(|_| NodeError::Name(name.clone()));
        let names = build_names(config, previous);
        let observer = match previous {
            Some(previous) => Arc::clone(&previous.observer),
            None => Arc::new(Observer::new(config.node.log)),
        };
        let runs_guests =
            !config.hook.is_empty() || config.origin.values().any(|origin| origin.wasm.is_some());
        let engine = match previous.and_then(|previous| previous.engine.clone()) {
            None if runs_guests => Some(Arc::new(new_engine(config, &observer)?)),
            engine => engine,
        };
        if let Some(engine) = &engine {
            engine.stores().open(&config.kv, &config.node.state, now);
        }
        let origins = build_origins(config, engine.as_deref(), previous, (&names, &observer))?;
        let mut groups = build_groups(config, &origins, previous, &observer)?;
        let hooks = build_hooks(config, engine.as_deref(), previous, &observer, now)?;
        let doubts = doubts(&hooks);
        let key_groups = keys::build(config, previous)?;
        let parts = Parts { config, previous, names: &names, keys: &key_groups, hooks: &hooks };
        let mut sites = Sites::default();
        for (site_name, settings) in &config.site {
            let site = Arc::new(parts.site(site_name, settings, &mut groups)?);
            settings.hosts.iter().for_each(|host| sites.insert(&host.to_string(), &site));
        }
        let (tls, local_root) = build_tls(config, now)?;
        // Last, for it takes possession of a folder.
        let store = match previous {
            Some(previous) => previous.store.clone(),
            None => new_store(config, &observer)?,
        };
        let atlas = Arc::new(Atlas::new(match &config.geo {
            Some(settings) => Locator::open(settings)?,
            None => Locator::empty(),
        }));
        let edges = config.node.edges.as_ref().map(Edges::build).transpose()?;
        let (via, mark) = (header(format!("1.1 {name}"))?, build_mark(name, previous)?);
        Ok(Self {
            via,
            mark,
            name: name.as_str().into(),
            sites,
            key_groups,
            hooks,
            derived: Stores::of(config, &groups),
            groups,
            atlas,
            store,
            coders: Coders::new(config.node.limits.codings),
            edges,
            observer,
            limits: Limits::from(&config.node.limits),
            tls,
            local_root,
            config: Arc::clone(config),
            trust: config.node.trust.clone(),
            origins,
            names,
            engine,
            doubts,
        })
    }
}

fn build_mark(name: &str, previous: Option<&Node>) -> Result<Mark, NodeError> {
    match previous {
        Some(previous) => Ok(previous.mark.clone()),
        None => Mark::new(name).map_err(|_| NodeError::Name(name.to_owned())),
    }
}

fn doubts(hooks: &Registry) -> Vec<(String, Doubt)> {
    hooks
        .iter()
        .flat_map(|(name, hook)| hook.doubts().into_iter().map(|doubt| (name.to_owned(), doubt)))
        .collect()
}

fn new_store(config: &Config, observer: &Arc<Observer>) -> Result<Store, DiskError> {
    let limits = cache::Limits {
        memory: config.node.memory.as_u64(),
        max_object: config.node.limits.max_object.as_u64(),
        uncacheable: config.node.limits.uncacheable,
    };
    let Some(settings) = config.disk() else { return Ok(Store::new(limits)) };
    let observer = Arc::clone(observer);
    let disk = Disk::open(&settings, Box::new(move |what, error| observer.disk_failed(what, error)))?;
    Ok(Store::over(disk, limits))
}

/// What is known of names goes on being known, unless other name servers are to be asked.
fn build_names(config: &Config, previous: Option<&Node>) -> Arc<Names> {
    let settings = |config: &Config| (config.node.resolvers.clone(), config.node.limits.stale_names);
    let (servers, stale) = settings(config);
    match previous.filter(|previous| settings(&previous.config) == settings(config)) {
        Some(previous) => Arc::clone(&previous.names),
        None => Names::new(&servers, stale),
    }
}

/// An origin whose settings are as before keeps its pool of warm connections; where names are found otherwise than before, it still
/// keeps its rehearsal and what checks know.
fn build_origins(
    config: &Config,
    engine: Option<&Engine>,
    previous: Option<&Node>,
    (names, observer): (&Arc<Names>, &Arc<Observer>),
) -> Result<HashMap<String, Arc<Origin>>, NodeError> {
    let build = |(name, settings): (&String, &OriginSettings)| {
        let program =
            engine.and_then(|engine| Component::load(engine, config, name, settings, observer)).transpose();
        let program = program.map_err(|cause| NodeError::Component(name.clone(), cause))?;
        let is_found_alike = previous.is_some_and(|previous| Arc::ptr_eq(&previous.names, names));
        let before = previous.and_then(|previous| previous.origins.get(name));
        let version = |program: &Arc<dyn Program>| program.version().to_owned();
        let is_same = |before: &&Arc<Origin>| {
            before.settings() == settings && before.program().map(version) == program.as_ref().map(version)
        };
        let origin = match (before.filter(is_same), &program) {
            (Some(unchanged), _) if is_found_alike => Ok(Arc::clone(unchanged)),
            (Some(unchanged), _) => unchanged.found_by(names),
            (None, Some(program)) => Ok(Origin::running(name, settings, Arc::clone(program))),
            (None, None) => Origin::build_with(name, settings, names),
        };
        Ok((name.clone(), origin.map_err(|error| NodeError::Origin(name.clone(), error))?))
    };
    config.origin.iter().map(build).collect()
}

/// A group whose settings and members are as before keeps what it remembers of their failures.
fn build_groups(
    config: &Config,
    origins: &HashMap<String, Arc<Origin>>,
    previous: Option<&Node>,
    observer: &Arc<Observer>,
) -> Result<HashMap<String, Arc<Group>>, NodeError> {
    let witness: Witness = {
        let observer = Arc::clone(observer);
        Arc::new(move |change| observer.origin_changed(change))
    };
    let is_unchanged = |name: &String| {
        let (before, now) = (previous.and_then(|previous| previous.origins.get(name)), origins.get(name));
        before.zip(now).is_some_and(|(before, now)| Arc::ptr_eq(before, now))
    };
    let kept = |name: &String| previous.and_then(|previous| previous.groups.get(name)).cloned();
    let mut groups = HashMap::new();
    for (name, origin) in origins {
        let unchanged = kept(name).filter(|_| is_unchanged(name));
        let group = unchanged.unwrap_or_else(|| Arc::new(Group::single(Arc::clone(origin))));
        groups.insert(name.clone(), group);
    }
    for (name, settings) in &config.origin_group {
        let member = |member: &String| {
            origins.get(member).cloned().ok_or_else(|| NodeError::Missing(format!("[origin.{member}]")))
        };
        let members = settings.members.iter().map(member).collect::<Result<_, _>>()?;
        let before = previous.and_then(|previous| previous.config.origin_group.get(name));
        let is_same = before == Some(settings) && settings.members.iter().all(is_unchanged);
        let unchanged = kept(name).filter(|_| is_same);
        let build = || Arc::new(Group::build(name, settings, members).telling(Arc::clone(&witness)));
        let group = unchanged.unwrap_or_else(build);
        groups.insert(name.clone(), group);
    }
    Ok(groups)
}

fn new_engine(config: &Config, observer: &Arc<Observer>) -> Result<Engine, NodeError> {
    let limits = &config.node.limits;
    let settings = EngineSettings { instances: limits.hook_instances, compiled: limits.hook_compiled };
    let (engine, complaint) =
        Engine::keeping(&config.compiled_hooks(), &settings).map_err(NodeError::Engine)?;
    if let Some(complaint) = complaint {
        observer.say(format!("hook compiled code is not kept from one start to the next: {complaint}"));
    }
    let observer = Arc::clone(observer);
    engine.stores().told_to(Box::new(move |words| observer.say(words)));
    Ok(engine)
}

/// Whoever reloads holds `previous.hooks` meanwhile.
fn build_hooks(
    config: &Config,
    engine: Option<&Engine>,
    previous: Option<&Node>,
    observer: &Arc<Observer>,
    now: SystemTime,
) -> Result<Registry, NodeError> {
    let Some(engine) = engine else { return Ok(Registry::default()) };
    let parts = RegistryParts { engine, folder: &config.node.state, dress: listened_to(observer), now };
    let before = previous.map(|previous| &previous.hooks);
    Registry::prepare(&parts, &config.hook, before).map_err(|(name, error)| NodeError::Hook(name, error))
}

/// What versions of hooks say goes to whoever asks for it: `hook logs`.
fn listened_to(observer: &Arc<Observer>) -> Dress {
    let observer = Arc::clone(observer);
    Arc::new(move |hook| {
        let (observer, name, version) =
            (Arc::clone(&observer), hook.name().to_owned(), Arc::clone(hook.version()));
        let told = move |call: &CallRecord<'_>| observer.hook_said(&name, &version, call, process::now());
        hook.watched(Watch::words(told))
    })
}

/// What sites and routes refer to.
struct Parts<'a> {
    config: &'a Config,
    previous: Option<&'a Node>,
    names: &'a Arc<Names>,
    keys: &'a HashMap<String, Arc<KeyGroup>>,
    hooks: &'a Registry,
}

impl Parts<'_> {
    fn site(
        &self,
        name: &str,
        settings: &SiteSettings,
        groups: &mut HashMap<String, Arc<Group>>,
    ) -> Result<Site, NodeError> {
        let implied = RouteSettings::new(PathPattern::any());
        let routes = settings.route.iter().chain([&implied]);
        let routes = routes.map(|route| self.route(name, settings, route, groups).map(Arc::new));
        let routes: Vec<Arc<Route>> = routes.collect::<Result<_, _>>()?;
        let edges_only = settings.edges_only || self.config.node.edges_only;
        let groups = routes.iter().filter_map(|route| route.keys.as_ref());
        let mut signing: Vec<SchemeName> = groups.flat_map(|keys| keys.accepted()).copied().collect();
        signing.sort_unstable();
        signing.dedup();
        let pages = Pages::build(&settings.errors, &routes)?;
        Ok(Site { name: name.into(), edges_only, signing: signing.into(), routes, pages })
    }

    fn tag_limits(&self) -> TagLimits {
        let limits = &self.config.node.limits;
        TagLimits { count: limits.tags, length: limits.tag_length }
    }

    fn route(
        &self,
        site: &str,
        settings: &SiteSettings,
        route: &RouteSettings,
        groups: &mut HashMap<String, Arc<Group>>,
    ) -> Result<Route, NodeError> {
        let origin = route.origin.as_ref().unwrap_or(&settings.origin);
        let missing = |what: String| NodeError::Missing(what);
        let policy_settings = match &route.cache {
            CacheChoice::Policy(name) => {
                let found = self.config.cache_policy.get(name);
                Some(found.ok_or_else(|| missing(format!("[cache-policy.{name}]")))?)
            }
            CacheChoice::Off | CacheChoice::Origin => None,
        };
        let hook =
            |name: &String| self.hooks.get(name).cloned().ok_or_else(|| missing(format!("[hook.{name}]")));
        let key_group = |name: &String| {
            self.keys.get(name).cloned().ok_or_else(|| missing(format!("[key-group.{name}]")))
        };
        Ok(Route {
            pattern: route.path.clone(),
            label: route.path.as_str().into(),
            group: group(site, origin, groups, self.previous, self.names)?,
            group_name: origin.as_str().into(),
            keys: route.signed.as_ref().map(key_group).transpose()?,
            policy: policy(&route.cache, policy_settings)
                .map(|policy| policy.limiting_tags(self.tag_limits())),
            compress: policy_settings.map(|policy| policy.compress.clone()).unwrap_or_default(),
            hooks: route.hooks.iter().map(hook).collect::<Result<_, _>>()?,
            methods: route.methods.clone(),
            // Asking for a tunnel is no way around what is stored.
            upgrades: match policy_settings {
                None => route.upgrades.iter().map(|protocol| protocol.as_str().into()).collect(),
                Some(_) => Vec::new(),
            },
            headers: route.headers.clone(),
            tag_fields: tag_fields(policy_settings),
            geo: route.geo.clone(),
        })
    }
}

/// The fields that a policy reads purge tags from, beside those that never reach viewers anyway.
fn tag_fields(policy: Option<&CachePolicySettings>) -> Vec<HeaderName> {
    let tags = policy.into_iter().flat_map(|policy| &policy.tags.0);
    tags.filter(|name| !cache::EDGE_ONLY.contains(name)).cloned().collect()
}

fn policy(choice: &CacheChoice, settings: Option<&CachePolicySettings>) -> Option<Policy> {
    match (choice, settings) {
        (CacheChoice::Off, _) => None,
        (_, Some(settings)) => Some(Policy::named(settings)),
        (_, None) => Some(Policy::origin()),
    }
}

/// An origin or origin group by name, or an origin made for a URL, shared by all routes that name the same, and with those
/// before a reload: nothing but the URL makes it.
fn group(
    site: &str,
    origin: &str,
    groups: &mut HashMap<String, Arc<Group>>,
    previous: Option<&Node>,
    names: &Arc<Names>,
) -> Result<Arc<Group>, NodeError> {
    if let Some(group) = groups.get(origin) {
        return Ok(Arc::clone(group));
    }
    let found_alike = previous.filter(|previous| Arc::ptr_eq(&previous.names, names));
    let group = match found_alike.and_then(|previous| made_for_url(previous, origin)) {
        Some(unchanged) => unchanged,
        None => {
            let url = origin.parse().map_err(|error: origin_shield::OriginUrlError| {
                NodeError::Url(site.to_owned(), origin.to_owned(), error.to_string())
            })?;
            let built = Origin::build_with(origin, &OriginSettings::new(url), names);
            Arc::new(Group::single(built.map_err(|error| NodeError::Origin(origin.to_owned(), error))?))
        }
    };
    groups.insert(origin.to_owned(), Arc::clone(&group));
    Ok(group)
}

fn made_for_url(node: &Node, url: &str) -> Option<Arc<Group>> {
    let is_name = node.config.origin.contains_key(url) || node.config.origin_group.contains_key(url);
    node.groups.get(url).filter(|_| !is_name).cloned()
}

type Tls = (Option<Arc<rustls::ServerConfig>>, Option<std::path::PathBuf>);

fn build_tls(config: &Config, now: SystemTime) -> Result<Tls, NodeError> {
    let mut certificates = Vec::new();
    // One certificate for all local names, so that a viewer that names no host still gets the right one.
    let mut local = Vec::new();
    for (name, site) in &config.site {
        let hosts: Vec<String> = site.hosts.iter().map(ToString::to_string).collect();
        match site.tls_or_default() {
            SiteTls::Off => {}
            SiteTls::Local => local.extend(local_names(&hosts)),
            SiteTls::Files { cert, key } => {
                let loaded = certs::load_files(&cert, &key);
                let loaded = loaded.map_err(|error| NodeError::Certificate(name.clone(), error))?;
                certificates.push((hosts, Arc::new(loaded)));
            }
        }
    }
    let mut root = None;
    if !local.is_empty() {
        let authority = LocalAuthority::open(&config.node.state.join("local-ca"), now)?;
        let certificate = authority.issue(&local, now)?;
        root = Some(authority.root_path());
        certificates.push((local, Arc::new(certificate)));
    }
    if certificates.is_empty() {
        return Ok((None, None));
    }
    let edges = config.node.edges.as_ref().and_then(|edges| edges.ca.as_deref());
    let tls = certs::viewer_tls(Arc::new(CertificateStore::new(certificates)), edges)?;
    Ok((Some(Arc::new(tls)), root))
}

/// A site of every host has no name to certify: it gets the names of this machine.
fn local_names(hosts: &[String]) -> Vec<String> {
    if hosts.iter().any(|host| host == "*") {
        return ["localhost", "*.localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    }
    hosts.to_vec()
}

impl From<&LimitSettings> for Limits {
    fn from(settings: &LimitSettings) -> Self {
        let bytes = |size: bytesize::ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        Self {
            header_timeout: settings.header_timeout,
            idle_timeout: settings.idle_timeout,
            body_timeout: settings.body_timeout,
            collapse_wait: settings.collapse_wait,
            error_page: settings.error_page,
            error_page_size: bytes(settings.error_page_size),
            head: bytes(settings.head),
            url: bytes(settings.url),
            header_count: settings.header_count,
            ranges: settings.ranges,
            h2_streams: settings.h2_streams,
            h2_resets: settings.h2_resets as usize,
            h2_control: settings.h2_control,
            h2_window: u32::try_from(settings.h2_window.as_u64()).unwrap_or(u32::MAX),
            tunnels: settings.tunnels,
            tunnel_idle: settings.tunnel_idle,
        }
    }
}
