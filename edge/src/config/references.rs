//! What refers to what: every name that a setting mentions must be there, and nothing may be claimed twice.

use std::collections::BTreeMap;

use geo::{GeoError, Steering};
use origin_shield::OriginUrl;

use super::document::Sources;
use super::edges::LONGEST_WINDOW;
use super::error::{ConfigError, ConfigErrors, did_you_mean};
use super::pages::ErrorPageSettings;
use super::site::{CacheChoice, RouteSettings, SiteSettings};
use super::{Config, wording};

/// Checks the merged config; every error stands at the value that is wrong.
pub(crate) fn check(config: &Config, sources: &Sources) -> ConfigErrors {
    let mut checks = Checks { config, sources, errors: ConfigErrors::default() };
    checks.node();
    checks.origins();
    checks.groups();
    checks.policies();
    checks.hooks();
    checks.stores();
    for (name, site) in &config.site {
        checks.site(name, site);
    }
    checks.hosts();
    checks.dns();
    checks.errors
}

struct Checks<'a> {
    config: &'a Config,
    sources: &'a Sources,
    errors: ConfigErrors,
}

impl Checks<'_> {
    fn refuse(&mut self, path: &[&str], message: String, hint: Option<String>) {
        if self.errors.is_full() {
            return;
        }
        let error = ConfigError { hint, ..self.sources.error_at(path, message) };
        self.errors.push(error);
    }

    fn node(&mut self) {
        let node = &self.config.node;
        if node.admin.is_exposed() && node.admin_token.is_none() {
            let message = format!(
                "node.admin: {} can be reached from other machines, so it needs admin-token",
                node.admin
            );
            let hint = "admin-token = { env = \"SELVEDGE_ADMIN_TOKEN\" }, or listen on 127.0.0.1";
            self.refuse(&["node", "admin"], message, Some(hint.into()));
        }
        self.edges();
        for (index, listen) in node.listen.iter().enumerate() {
            let earlier = node.listen[..index].iter().any(|other| other.address == listen.address);
            if earlier && listen.address.port() != 0 {
                let message = format!("node.listen: {} is listened on twice", listen.address);
                self.refuse(&["node", "listen", &index.to_string()], message, None);
            }
        }
    }

    fn edges(&mut self) {
        let Some(edges) = &self.config.node.edges else {
            let only = [(["node", "edges-only"].to_vec(), self.config.node.edges_only)];
            let sites = self.config.site.iter();
            let sites = sites.map(|(name, site)| (vec!["site", name, "edges-only"], site.edges_only));
            for (path, _) in only.into_iter().chain(sites).filter(|(_, only)| *only) {
                let message = "edges-only: nobody can prove to be an edge, so everybody would be refused";
                let hint =
                    "[node] edges = { key = { env = \"SHIELD_KEY\" } }, or edges = { ca = \"edges.pem\" }";
                self.refuse(&path, message.into(), Some(hint.into()));
            }
            return;
        };
        if edges.ca.is_none() && edges.key.is_empty() {
            let hint = "edges = { key = { env = \"SHIELD_KEY\" } }, or edges = { ca = \"edges.pem\" }";
            self.refuse(
                &["node", "edges"],
                "edges: neither ca nor key says who is one".into(),
                Some(hint.into()),
            );
        }
        if edges.window.is_zero() || edges.window > LONGEST_WINDOW {
            let message = "edges.window: this is from a second to an hour";
            self.refuse(&["node", "edges", "window"], message.into(), None);
        }
    }

    fn origins(&mut self) {
        for (name, origin) in &self.config.origin {
            for (index, asked) in origin.fetch.iter().enumerate() {
                self.origin_by_name(&["origin", name, "fetch", &index.to_string()], asked);
            }
            let Err(error) = origin.target() else { continue };
            let path = ["origin", name].into_iter().chain(error.setting());
            self.refuse(&path.collect::<Vec<_>>(), format!("origin.{name}: {error}"), None);
        }
    }

    fn groups(&mut self) {
        for (name, group) in &self.config.origin_group {
            if self.config.origin.contains_key(name) {
                let message = format!("`{name}` is the name of an origin too: a site could mean either");
                self.refuse(&["origin-group", name], message, None);
            }
            for (index, member) in group.members.iter().enumerate() {
                let path = ["origin-group", name, "members", &index.to_string()];
                if group.members[..index].contains(member) {
                    self.refuse(&path, format!("`{member}` is a member twice"), None);
                }
                self.named(&path, "origin", member, &self.config.origin);
            }
            for member in group.weights.keys().filter(|member| !group.members.contains(member)) {
                let path = ["origin-group", name, "weights", member];
                let hint = did_you_mean(member, group.members.iter().map(String::as_str));
                self.refuse(&path, format!("`{member}` has a weight but is not a member"), hint);
            }
        }
        for (id, key) in &self.config.key {
            let names: Vec<&str> = key.materials().iter().map(|material| material.0).collect();
            let message = match names.as_slice() {
                [_] => continue,
                [] => {
                    format!("[key.{}] has none of public, private, secret and encryption", wording::key(id))
                }
                several => format!("[key.{}] has both {}", wording::key(id), several.join(" and ")),
            };
            self.refuse(
                &["key", id],
                message,
                Some("one of them makes a key: public = { file = \"key.pem\" }".into()),
            );
        }
        for (name, group) in &self.config.key_group {
            for (index, key) in group.keys.iter().enumerate() {
                self.named(&["key-group", name, "keys", &index.to_string()], "key", key, &self.config.key);
            }
            self.decryption(name, group);
            let Some(renewing) = &group.renew_with else { continue };
            let can_sign = |key: &signing::KeySettings| key.private.is_some() || key.secret.is_some();
            let signs = self.config.key.get(renewing).is_some_and(can_sign);
            if !signs || !group.keys.contains(renewing) {
                let message = format!("`{renewing}` is no key of this group that can sign");
                let hint = "name one of its keys that has `private` or `secret`";
                self.refuse(&["key-group", name, "renew-with"], message, Some(hint.into()));
            }
        }
    }

    /// Keys that decrypt verify nothing, and the other way round.
    fn decryption(&mut self, name: &str, group: &signing::KeyGroupSettings) {
        let config = self.config;
        let encrypts = |id: &String| config.key.get(id).map(|key| key.encryption.is_some());
        for (index, id) in group.keys.iter().enumerate().filter(|(_, id)| encrypts(id) == Some(true)) {
            let path = ["key-group", name, "keys", &index.to_string()];
            let hint = "list it in `decrypt-with`";
            self.refuse(&path, format!("`{id}` encrypts, and verifies nothing"), Some(hint.into()));
        }
        for (index, id) in group.decrypt_with.iter().enumerate() {
            let path = ["key-group", name, "decrypt-with", &index.to_string()];
            self.named(&path, "key", id, &config.key);
            if encrypts(id) == Some(false) {
                let hint = "name a key that has `encryption`";
                self.refuse(&path, format!("`{id}` verifies, and decrypts nothing"), Some(hint.into()));
            }
        }
    }

    fn hooks(&mut self) {
        for (name, hook) in &self.config.hook {
            for (index, origin) in hook.fetch.iter().enumerate() {
                self.origin_by_name(&["hook", name, "fetch", &index.to_string()], origin);
            }
            let on_requests = [hooks::Event::ViewerRequest, hooks::Event::OriginRequest];
            if hook.reads_body && !on_requests.iter().any(|event| hook.on.contains(event)) {
                let message =
                    "reads-body: it is at viewer-request and origin-request that a request's body passes";
                let hint = "what comes back needs no such word: response.body()";
                self.refuse(&["hook", name, "reads-body"], message.into(), Some(hint.into()));
            }
            for (index, store) in hook.kv.iter().enumerate() {
                self.named(
                    &["hook", name, "kv", &index.to_string()],
                    "key-value store",
                    store,
                    &self.config.kv,
                );
            }
            if let Some(fault) = hook.canary.as_ref().and_then(|canary| canary.terms().fault()) {
                self.refuse(&["hook", name, "canary"], format!("canary: {fault}"), None);
            }
            self.shared_thumbnails(name, hook);
            let Some(store) = &hook.store else { continue };
            let path = ["hook", name, "store"];
            self.named(&path, "origin", store, &self.config.origin);
            // Others may put objects there by themselves, at any event.
            let only_derives = matches!(hook.wasm, hooks::WasmSource::Builtin(_));
            if only_derives && !hook.on.contains(&hooks::Event::OriginRequest) {
                let message = "store: it is at origin-request that a hook names what it will make";
                let hint = "on = [\"origin-request\", \"origin-response\"]";
                self.refuse(&path, message.into(), Some(hint.into()));
            }
        }
    }

    /// Thumbnails are kept by name, and the same path is another picture at another site.
    fn shared_thumbnails(&mut self, name: &str, hook: &hooks::HookSettings) {
        let template = hook.config.get("store-as").filter(|template| !template.contains("{site}"));
        let is_thumbnail =
            matches!(&hook.wasm, hooks::WasmSource::Builtin(builtin) if builtin == "thumbnail");
        if template.is_none() || !is_thumbnail {
            return;
        }
        let uses =
            |site: &SiteSettings| site.route.iter().any(|route| route.hooks.iter().any(|hook| hook == name));
        let sites: Vec<&str> =
            self.config.site.iter().filter(|(_, site)| uses(site)).map(|(site, _)| site.as_str()).collect();
        if let [first, second, ..] = *sites {
            let message = format!(
                "config.store-as: sites {first} and {second} have this hook, and would get each other's thumbnails"
            );
            let hint = "store-as = \"/thumbnails/{site}{path}@{size}.jpg\"";
            self.refuse(&["hook", name, "config", "store-as"], message, Some(hint.into()));
        }
    }

    fn stores(&mut self) {
        for (name, store) in &self.config.kv {
            if !hooks::is_store_name(name) {
                let message =
                    format!("`{name}` is to be the name of a file: letters, digits, `-` and `_`, at most 64");
                self.refuse(&["kv", name], message, Some("give the store another name".into()));
            }
            if store.value > store.size {
                let message =
                    format!("kv.{name}: a value of {} does not fit into {}", store.value, store.size);
                self.refuse(&["kv", name, "value"], message, Some("value is at most size".into()));
            }
        }
    }

    fn policies(&mut self) {
        for name in self.config.cache_policy.keys() {
            if !matches!(CacheChoice::from(name.clone()), CacheChoice::Policy(_)) {
                let message = format!("`{name}` means something else where a route says cache = \"{name}\"");
                self.refuse(&["cache-policy", name], message, Some("give the policy another name".into()));
            }
        }
        for (name, policy) in &self.config.cache_policy {
            let ttl = &policy.ttl;
            if ttl.min > ttl.max {
                let path = ["cache-policy", name, "ttl"];
                self.refuse(&path, "ttl: min is longer than max".into(), None);
            }
            if !(0.0..=1.0).contains(&ttl.heuristic) {
                let path = ["cache-policy", name, "ttl", "heuristic"];
                self.refuse(&path, "heuristic: a share is between 0 and 1".into(), None);
            }
        }
    }

    fn site(&mut self, name: &str, site: &SiteSettings) {
        self.origin(&["site", name, "origin"], &site.origin);
        for (statuses, said) in &site.errors {
            let statuses = statuses.to_string();
            let (message, hint) = match said {
                ErrorPageSettings { page: None, status: Some(_), .. } => {
                    ("status: there is no page that could be sent with it", "page = \"/errors/oops.html\"")
                }
                ErrorPageSettings { page: None, ttl: None, .. } => {
                    ("neither page nor ttl: this says nothing", "page = \"/errors/oops.html\"")
                }
                _ => continue,
            };
            self.refuse(&["site", name, "errors", &statuses], message.into(), Some(hint.into()));
        }
        for (index, route) in site.route.iter().enumerate() {
            self.route(&["site", name, "route", &index.to_string()], route);
        }
    }

    fn route(&mut self, at: &[&str], route: &RouteSettings) {
        let below = |key: &'static str| [at, &[key]].concat();
        if let Some(origin) = &route.origin {
            self.origin(&below("origin"), origin);
        }
        if let Some(group) = &route.signed {
            self.named(&below("signed"), "key group", group, &self.config.key_group);
        }
        if let CacheChoice::Policy(policy) = &route.cache {
            self.policy(&below("cache"), policy);
        }
        for (index, hook) in route.hooks.iter().enumerate() {
            let index = index.to_string();
            self.named(&[&below("hooks")[..], &[&index]].concat(), "hook", hook, &self.config.hook);
        }
        if route.geo.is_some() && self.config.geo.is_none() {
            let hint = "name a database: [geo] with database = [\"country.mmdb\"]";
            self.refuse(
                &below("geo"),
                "geo: without [geo] no viewer's country is known".into(),
                Some(hint.into()),
            );
        }
    }

    fn policy(&mut self, path: &[&str], name: &str) {
        let known = self.config.cache_policy.keys().map(String::as_str);
        if self.config.cache_policy.contains_key(name) || self.errors.is_full() {
            return;
        }
        let hint = did_you_mean(name, known.chain(["off", "origin"])).unwrap_or_else(|| {
            format!("write \"off\", \"origin\", or a [cache-policy.{}]", wording::key(name))
        });
        self.refuse(path, format!("there is no cache policy `{name}`"), Some(hint));
    }

    /// An origin or origin group, but no URL: a hook reaches nothing that is not configured.
    fn origin_by_name(&mut self, path: &[&str], name: &str) {
        let Config { origin, origin_group, .. } = self.config;
        if origin.contains_key(name) || origin_group.contains_key(name) || self.errors.is_full() {
            return;
        }
        let hint = did_you_mean(name, origin.keys().chain(origin_group.keys()).map(String::as_str))
            .unwrap_or_else(|| "name an [origin.…] or an [origin-group.…]".into());
        self.refuse(path, format!("there is no origin or origin group `{name}`"), Some(hint));
    }

    /// An origin, an origin group, or a URL.
    fn origin(&mut self, path: &[&str], text: &str) {
        let Config { origin, origin_group, .. } = self.config;
        if origin.contains_key(text) || origin_group.contains_key(text) || self.errors.is_full() {
            return;
        }
        if text.contains("://") {
            if let Err(error) = text.parse::<OriginUrl>() {
                self.refuse(path, error.to_string(), None);
            }
            return;
        }
        let known = origin.keys().chain(origin_group.keys()).map(String::as_str);
        let hint = did_you_mean(text, known)
            .unwrap_or_else(|| "write a URL such as \"http://127.0.0.1:9000\", or the name of an [origin.…] or [origin-group.…]".into());
        self.refuse(path, format!("there is no origin or origin group `{text}`"), Some(hint));
    }

    fn named<T>(&mut self, path: &[&str], kind: &str, name: &str, all: &BTreeMap<String, T>) {
        if all.contains_key(name) || self.errors.is_full() {
            return;
        }
        let section = kind.replace(' ', "-");
        let hint = did_you_mean(name, all.keys().map(String::as_str))
            .unwrap_or_else(|| format!("write [{section}.{}]", wording::key(name)));
        self.refuse(path, format!("there is no {kind} `{name}`"), Some(hint));
    }

    /// A host belongs to one site, else the answer would depend on the order of the sites.
    fn hosts(&mut self) {
        let mut owners = BTreeMap::new();
        for (name, site) in &self.config.site {
            for (index, host) in site.hosts.iter().enumerate() {
                let Some(owner) = owners.insert(host, name) else { continue };
                let path = ["site", name, "hosts", &index.to_string()];
                let other = self.sources.place_of(&["site", owner, "hosts"]);
                let whose = match other {
                    _ if owner == name => "twice".to_owned(),
                    Some((file, place)) => {
                        format!("by [site.{}] too, at {file}:{}", wording::key(owner), place.line)
                    }
                    None => format!("by [site.{}] too", wording::key(owner)),
                };
                self.refuse(&path, format!("`{host}` is answered {whose}"), None);
            }
        }
    }

    fn dns(&mut self) {
        let Some(dns) = &self.config.dns else { return };
        for (name, steer) in &dns.steer {
            let Err(error) = Steering::build(name, steer) else { continue };
            let mut path = vec!["dns", "steer", name];
            let rule = rule_of(&error).map(|rule| rule.saturating_sub(1).to_string());
            match (&error, &rule) {
                (GeoError::Pool { pool, .. }, _) => path.extend(["pools", pool]),
                (GeoError::Ttl { .. }, _) => path.push("ttl"),
                (_, Some(rule)) => path.extend(["rules", rule]),
                _ => {}
            }
            self.refuse(&path, error.to_string(), None);
        }
    }
}

fn rule_of(error: &GeoError) -> Option<usize> {
    match error {
        GeoError::Rule { rule, .. } | GeoError::UnknownPool { rule, .. } => Some(*rule),
        _ => None,
    }
}
