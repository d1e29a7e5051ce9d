//! `[site.NAME]` and its routes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use certs::SiteTls;
use geo::RouteGeo;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::field::{FieldName, FieldValue};
use super::host::HostPattern;
use super::pages::{ErrorPageSettings, ErrorSettings};
use super::path::PathPattern;
use super::protocol::ProtocolName;
use super::word;

/// A site: the hosts it answers, where its answers come from, and what is special on some of its paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SiteSettings {
    /// The hosts it answers. Default: its own name.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
    /// Its certificate. Default: "local" where every host is localhost, *.localhost or an IP address, else "off".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SiteTls>,
    /// Where its answers come from: an origin, an origin group, or a URL.
    pub origin: String,
    /// Whether nobody but edges is answered, which `[node] edges` knows; others get 403.
    #[serde(default)]
    pub edges_only: bool,
    /// What is shown in place of errors, by status ("403") or class ("4xx", "5xx").
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ErrorPageSettings>")]
    pub errors: ErrorSettings,
    /// What is special on some paths; the first match wins, and a last "/*" is implied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<RouteSettings>,
}

impl SiteSettings {
    /// A site that answers `hosts` from `origin` with nothing special.
    pub fn new(hosts: Vec<HostPattern>, origin: impl Into<String>) -> Self {
        SiteSettings {
            hosts,
            tls: None,
            origin: origin.into(),
            edges_only: false,
            errors: ErrorSettings::new(),
            route: Vec::new(),
        }
    }

    /// The certificate in force: what `tls` says; else the local development CA for names that stay on this machine, else none.
    pub fn tls_or_default(&self) -> SiteTls {
        let is_local = !self.hosts.is_empty() && self.hosts.iter().all(HostPattern::is_local);
        match &self.tls {
            Some(tls) => tls.clone(),
            None if is_local => SiteTls::Local,
            None => SiteTls::Off,
        }
    }

    /// Makes relative paths start at `base`.
    pub fn resolve_paths(&mut self, base: &Path) {
        if let Some(tls) = &mut self.tls {
            tls.resolve_paths(base);
        }
    }
}

/// What is special on the paths of one pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RouteSettings {
    /// The paths, such as "/img/*", "*.jpg" or "/exact".
    pub path: PathPattern,
    /// Another origin than the site's: an origin, an origin group, or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The key group whose signature a URL or cookie needs here; without one everybody may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<String>,
    /// What is stored: "off", "origin" (what the origin's headers say), or a cache policy.
    #[serde(default)]
    pub cache: CacheChoice,
    /// The hooks that run here, in this order.
    #[serde(default)]
    pub hooks: Vec<String>,
    /// The methods that are let through: a list, or "all". Others are answered 405.
    #[serde(default)]
    pub methods: Methods,
    /// The protocols that a viewer may change to here, the connection to the origin becoming a tunnel. None on routes with a cache
    /// policy, whatever is said.
    #[serde(default = "websocket")]
    #[schemars(with = "Vec<String>")]
    pub upgrades: Vec<ProtocolName>,
    /// Changes to the headers of answers.
    #[serde(default)]
    pub headers: HeaderEdits,
    /// Where viewers may come from; others are answered 403.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geo: Option<RouteGeo>,
}

impl RouteSettings {
    /// A route with nothing special.
    pub fn new(path: PathPattern) -> Self {
        RouteSettings {
            path,
            origin: None,
            signed: None,
            cache: CacheChoice::default(),
            hooks: Vec::new(),
            methods: Methods::default(),
            upgrades: websocket(),
            headers: HeaderEdits::default(),
            geo: None,
        }
    }
}

fn websocket() -> Vec<ProtocolName> {
    vec![ProtocolName::websocket()]
}

/// What decides whether an answer is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum CacheChoice {
    /// Nothing is stored.
    Off,
    /// The origin's headers alone.
    #[default]
    Origin,
    /// The cache policy of this name, with the origin's headers.
    Policy(String),
}

impl From<String> for CacheChoice {
    fn from(text: String) -> Self {
        match text.as_str() {
            "off" => CacheChoice::Off,
            "origin" => CacheChoice::Origin,
            _ => CacheChoice::Policy(text),
        }
    }
}

impl From<CacheChoice> for String {
    fn from(choice: CacheChoice) -> String {
        match choice {
            CacheChoice::Off => "off".into(),
            CacheChoice::Origin => "origin".into(),
            CacheChoice::Policy(name) => name,
        }
    }
}

/// Changes to the headers of answers: removals first, then fields that replace those of the same name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Fields to set, by name.
    #[schemars(with = "BTreeMap<String, String>")]
    pub set: BTreeMap<FieldName, FieldValue>,
    /// Names of fields to remove.
    #[schemars(with = "Vec<String>")]
    pub remove: Vec<FieldName>,
}

/// The methods that a route lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// Every method.
    All,
    /// These alone.
    Only(Vec<Method>),
}

impl Methods {
    /// Whether requests with `method` are let through.
    pub fn allows(&self, method: &Method) -> bool {
        match self {
            Methods::All => true,
            Methods::Only(methods) => methods.contains(method),
        }
    }
}

impl Default for Methods {
    /// Those that only read.
    fn default() -> Self {
        Methods::Only(vec![Method::GET, Method::HEAD, Method::OPTIONS])
    }
}

impl Serialize for Methods {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Methods::All => serializer.serialize_str("all"),
            Methods::Only(methods) => serializer.collect_seq(methods.iter().map(Method::as_str)),
        }
    }
}

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MethodsVisitor)
    }
}

struct MethodsVisitor;

impl<'de> Visitor<'de> for MethodsVisitor {
    type Value = Methods;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"all\" or a list of methods")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Methods, E> {
        match text {
            "all" => Ok(Methods::All),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Methods, A::Error> {
        let mut methods = Vec::new();
        while let Some(MethodName(method)) = items.next_element()? {
            methods.push(method);
        }
        if methods.is_empty() {
            return Err(de::Error::custom(
                "no method at all would be let through: name some, or write \"all\"",
            ));
        }
        Ok(Methods::Only(methods))
    }
}

/// Methods are case-sensitive (RFC 9110 section 9.1), so `get` is surely meant to be `GET`.
struct MethodName(Method);

impl<'de> Deserialize<'de> for MethodName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

impl FromStr for MethodName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(format!("methods are case-sensitive: write `{}`", text.to_uppercase()));
        }
        let method = Method::from_bytes(text.as_bytes());
        method.map(MethodName).map_err(|_| format!("`{text}` is no method"))
    }
}

impl JsonSchema for Methods {
    fn schema_name() -> Cow<'static, str> {
        "Methods".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "const": "all" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(rest: &str) -> Result<RouteSettings, toml::de::Error> {
        toml::from_str(&format!("path = \"/*\"\n{rest}"))
    }

    fn site(hosts: &[&str]) -> SiteSettings {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        SiteSettings::new(hosts, "http://127.0.0.1:9000")
    }

    #[test]
    fn a_route_reads_by_default_and_lets_the_origin_decide() {
        let route = route("").unwrap();
        assert_eq!(route, RouteSettings::new(PathPattern::any()));
        assert_eq!(route.cache, CacheChoice::Origin);
        assert!(route.methods.allows(&Method::HEAD) && !route.methods.allows(&Method::POST));
    }

    #[test]
    fn methods_are_all_or_a_list_in_upper_case() {
        assert!(route("methods = \"all\"").unwrap().methods.allows(&Method::DELETE));
        assert!(!route("methods = [\"PUT\"]").unwrap().methods.allows(&Method::GET));
        let message = route("methods = [\"put\"]").unwrap_err().to_string();
        assert!(message.contains("write `PUT`"), "{message}");
        for bad in ["\"GET\"", "[]", "[\"G T\"]", "[1]", "7"] {
            assert!(route(&format!("methods = {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn cache_is_off_origin_or_a_policy() {
        assert_eq!(route("cache = \"off\"").unwrap().cache, CacheChoice::Off);
        assert_eq!(route("cache = \"static\"").unwrap().cache, CacheChoice::Policy("static".into()));
        assert_eq!(String::from(CacheChoice::Policy("static".into())), "static");
    }

    #[test]
    fn local_names_get_the_local_ca_unless_told_otherwise() {
        assert_eq!(site(&["localhost", "127.0.0.1"]).tls_or_default(), SiteTls::Local);
        assert_eq!(site(&["localhost", "example.com"]).tls_or_default(), SiteTls::Off);
        assert_eq!(site(&["*"]).tls_or_default(), SiteTls::Off);
        let mut told = site(&["localhost"]);
        told.tls = Some(SiteTls::Off);
        assert_eq!(told.tls_or_default(), SiteTls::Off);
    }

    #[test]
    fn settings_read_back_what_they_write() {
        let text = "cache = \"static\"\nmethods = [\"GET\", \"PUT\"]\nsigned = \"premium\"\n\
                    headers = { set = { X-A = \"1\" }, remove = [\"Server\"] }";
        let before = route(text).unwrap();
        let after: RouteSettings = toml::from_str(&toml::to_string(&before).unwrap()).unwrap();
        assert_eq!(before, after);
    }
}
