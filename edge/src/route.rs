//! Host and path → site and route. The first match wins; nothing later changes it.

use crate::config::{HeaderEdits, Methods, PathPattern};
use crate::edges::Asker;
use crate::pages::Pages;
use cache::{Coding, CompressSettings, Policy};
use geo::RouteGeo;
use hooks::{Event, Slot};
use http::{HeaderMap, HeaderName};
use origin_shield::Group;
use signing::{KeyGroup, SchemeName};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A site in force.
#[derive(Debug)]
pub struct Site {
    /// Its name in the config.
    pub name: Arc<str>,
    /// Whether nobody but edges is answered.
    pub edges_only: bool,
    /// The token formats that its signed routes take; none where nothing is signed.
    pub signing: Box<[SchemeName]>,
    /// Its routes, the implied last one included.
    pub routes: Vec<Arc<Route>>,
    /// What it shows in place of errors.
    pub pages: Pages,
}

/// A route in force: what happens to the requests that it matches.
#[derive(Debug, Clone)]
pub struct Route {
    /// The paths that it matches.
    pub pattern: PathPattern,
    /// The pattern as text, for facts and logs.
    pub label: Arc<str>,
    /// Where its answers come from.
    pub group: Arc<Group>,
    /// The name of that origin or group: part of the cache key.
    pub group_name: Arc<str>,
    /// The keys that must have signed the URL.
    pub keys: Option<Arc<KeyGroup>>,
    /// What is stored; `None` is nothing.
    pub policy: Option<Policy>,
    /// What is compressed.
    pub compress: CompressSettings,
    /// The hooks, in order, each in all its versions.
    pub hooks: Vec<Arc<Slot>>,
    /// The methods let through.
    pub methods: Methods,
    /// The protocols that viewers may change to, as `Upgrade` names them.
    pub upgrades: Vec<Box<str>>,
    /// Changes to the headers of answers.
    pub headers: HeaderEdits,
    /// Fields with purge tags, which are for edges and not for viewers.
    pub tag_fields: Vec<HeaderName>,
    /// Where viewers may come from.
    pub geo: Option<RouteGeo>,
}

impl Route {
    /// What the origin is asked to encode in. Hooks get plain bodies: they are about what is in them.
    #[must_use]
    pub fn codings_from_origin(&self) -> &[Coding] {
        let is_read = self.hooks.iter().any(|hook| hook.listens(Event::OriginResponse));
        if is_read { &[] } else { &self.compress.from_origin }
    }
}

/// Names come from the config alone: no viewer can make any that collide, so the hash need only be quick.
type ByName<S> = HashMap<String, Arc<S>, foldhash::fast::RandomState>;

/// All sites of a node, or of a config, by host.
#[derive(Debug)]
pub struct Sites<S = Site> {
    exact: ByName<S>,
    /// By what follows the `*.`, which stands for one or more labels.
    wildcard: ByName<S>,
    any: Option<Arc<S>>,
}

impl<S> Default for Sites<S> {
    fn default() -> Self {
        Self { exact: HashMap::default(), wildcard: HashMap::default(), any: None }
    }
}

impl<S> Sites<S> {
    /// Gives a site one of its hosts: a name, `*.name`, or `*`.
    pub fn insert(&mut self, host: &str, site: &Arc<S>) {
        match host.strip_prefix("*.") {
            _ if host == "*" => self.any = Some(Arc::clone(site)),
            Some(parent) => drop(self.wildcard.insert(parent.to_ascii_lowercase(), Arc::clone(site))),
            // An address of IPv6 stands in brackets, which are no part of it (RFC 3986 section 3.2.2).
            None => {
                let name = host.trim_matches(['[', ']']).to_ascii_lowercase();
                self.exact.insert(name, Arc::clone(site));
            }
        }
    }

    /// The site of a host (lower case, no port): its own name, the nearest wildcard, or the site of every host.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<&Arc<S>> {
        if let Some(site) = self.exact.get(host) {
            return Some(site);
        }
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(site) = self.wildcard.get(parent) {
                return Some(site);
            }
            rest = parent;
        }
        self.any.as_ref()
    }
}

impl Route {
    /// Whether nothing changes the headers of its answers.
    #[must_use]
    pub fn leaves_heads_alone(&self) -> bool {
        let HeaderEdits { set, remove } = &self.headers;
        self.hooks.is_empty() && self.tag_fields.is_empty() && set.is_empty() && remove.is_empty()
    }

    /// The route's changes to the headers of an answer: removals first.
    pub fn edit(&self, headers: &mut HeaderMap, asker: &Asker) {
        for name in self.tag_fields.iter().filter(|_| !asker.is_edge()) {
            headers.remove(name);
        }
        for name in &self.headers.remove {
            headers.remove(&name.0);
        }
        for (name, value) in &self.headers.set {
            headers.insert(name.0.clone(), value.0.clone());
        }
    }
}

impl Site {
    /// The first route that matches.
    #[must_use]
    pub fn route(&self, path: &Path<'_>) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| path.is_meant_by(&route.pattern))
    }

    /// What was asked for without a token in the path, where a route of this site takes such: whichever route it is for, the token
    /// is none of its path.
    #[must_use]
    pub fn without_token<'a>(&self, path_and_query: &'a str) -> Cow<'a, str> {
        if !self.takes_path_tokens() {
            return Cow::Borrowed(path_and_query);
        }
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        match (signing::without_token(path), query) {
            (Cow::Borrowed(_), _) => Cow::Borrowed(path_and_query),
            (Cow::Owned(path), Some(query)) => Cow::Owned(format!("{path}?{query}")),
            (Cow::Owned(path), None) => Cow::Owned(path),
        }
    }

    /// The normalised path of what [`Site::without_token`] leaves.
    ///
    /// # Errors
    /// [`PathFault`]; also where only normalising makes a token, which was not judged as one.
    pub fn normalise<'a>(&self, path_and_query: &'a str) -> Result<Path<'a>, PathFault> {
        let path = Path::normalise(path_and_query)?;
        if self.takes_path_tokens() && matches!(signing::without_token(path.path()), Cow::Owned(_)) {
            return Err(PathFault::HiddenToken);
        }
        Ok(path)
    }

    fn takes_path_tokens(&self) -> bool {
        self.signing.contains(&SchemeName::UriSigning)
    }
}

/// A path in its one normalised form, from which route, key and origin URL all derive.
#[derive(Debug, PartialEq, Eq)]
pub struct Path<'a> {
    /// Path and query; the query as sent.
    pub path_and_query: Cow<'a, str>,
    /// How much of it is path.
    length: usize,
    /// Wholly decoded, slashes collapsed: what an origin may take it for. Only ever matched, never sent.
    plain: Cow<'a, str>,
}

/// A path that cannot be normalised; the viewer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// `%` without two hexadecimal digits.
    #[error("the path has a % without two hexadecimal digits")]
    Escape,
    /// More `..` than there are segments before.
    #[error("the path leads above the root")]
    AboveRoot,
    /// Segments that only become `.` or `..` once an encoded slash or backslash is decoded.
    #[error("the path hides a dot segment behind an encoded slash")]
    HiddenDots,
    /// A token whose name is written with escapes.
    #[error("the path hides a token behind escapes")]
    HiddenToken,
    /// Control characters.
    #[error("the path has control characters")]
    Control,
    /// No leading slash.
    #[error("the path does not start with a slash")]
    Relative,
}

impl<'a> Path<'a> {
    /// RFC 3986 §6.2.2: unreserved characters decoded, escapes in upper case, dot segments removed. Encoded slashes stay
    /// as they are.
    ///
    /// # Errors
    /// [`PathFault`], to be answered 400.
    pub fn normalise(path_and_query: &'a str) -> Result<Self, PathFault> {
        let (path, query) = split_query(path_and_query);
        if !path.starts_with('/') {
            return Err(PathFault::Relative);
        }
        if is_normal(path.as_bytes()) {
            return Ok(Self {
                path_and_query: Cow::Borrowed(path_and_query),
                length: path.len(),
                plain: Cow::Borrowed(path),
            });
        }
        let normal = remove_dot_segments(&decode(path, Decode::Unreserved)?)?;
        let plain = collapse_slashes(&decode(&normal, Decode::Everything)?.replace('\\', "/"));
        if plain.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(PathFault::Control);
        }
        if plain.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(PathFault::HiddenDots);
        }
        let length = normal.len();
        let path_and_query = match query {
            Some(query) => format!("{normal}?{query}"),
            None => normal,
        };
        Ok(Self { path_and_query: Cow::Owned(path_and_query), length, plain: Cow::Owned(plain) })
    }

    /// Whether a route of this pattern means it; an encoded path may not slip past a route that means its plain form.
    #[must_use]
    pub fn is_meant_by(&self, pattern: &PathPattern) -> bool {
        pattern.matches(self.path()) || pattern.matches(&self.plain)
    }

    /// The path alone.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path_and_query[..self.length]
    }
}

/// Path and query apart; `None` where there is no question mark.
#[must_use]
pub fn split_query(path_and_query: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'?', path_and_query.as_bytes()) {
        Some(mark) => (&path_and_query[..mark], Some(&path_and_query[mark + 1..])),
        None => (path_and_query, None),
    }
}

/// Whether nothing needs to be decoded, removed or collapsed: one look at each byte, for nearly every path of the day.
fn is_normal(path: &[u8]) -> bool {
    let is_odd = |(before, byte): (&u8, &u8)| {
        matches!(byte, b'%' | b'\\') || *before == b'/' && matches!(byte, b'/' | b'.')
    };
    // To the end whatever is found, so that several bytes are looked at in one step. The first is a slash.
    !path.iter().zip(&path[1..]).fold(false, |odd, pair| odd | is_odd(pair))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decode {
    Unreserved,
    Everything,
}

/// One segment of a path as it is meant (RFC 3986 section 2.1); `None` for an escape that is none.
pub(crate) fn segment(encoded: &str) -> Option<String> {
    decode(encoded, Decode::Everything).ok()
}

fn decode(path: &str, what: Decode) -> Result<String, PathFault> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(PathFault::Escape) };
        let value = (high * 16 + low) as u8;
        let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        match what {
            Decode::Unreserved if !unreserved => {
                decoded.extend_from_slice(format!("%{value:02X}").as_bytes());
            }
            Decode::Unreserved | Decode::Everything => decoded.push(value),
        }
    }
    Ok(String::from_utf8_lossy(&decoded).into_owned())
}

/// RFC 3986 §5.2.4, but `..` above the root is an error: it is never meant well.
fn remove_dot_segments(path: &str) -> Result<String, PathFault> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop().ok_or(PathFault::AboveRoot)?),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        // "/a/." and "/a/b/.." are the folder "/a/".
        if last {
            kept.push("");
        }
    }
    Ok(format!("/{}", kept.join("/")))
}

fn collapse_slashes(path: &str) -> String {
    let mut collapsed = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !collapsed.ends_with('/') {
            collapsed.push(character);
        }
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_form() {
        for (sent, normal) in [
            ("/", "/"),
            ("/a/b?x=/../y", "/a/b?x=/../y"),
            ("/a/./b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/%61%2Db", "/a-b"),
            ("/a%2fb", "/a%2Fb"),
            ("/%e2%82%ac", "/%E2%82%AC"),
            ("/a//b", "/a//b"),
            ("/a/%2e%2e/b", "/b"),
            ("/...", "/..."),
        ] {
            assert_eq!(Path::normalise(sent).unwrap().path_and_query, normal, "{sent}");
        }
    }

    #[test]
    fn what_hides_is_refused() {
        for (sent, fault) in [
            ("/..", PathFault::AboveRoot),
            ("/a/../../b", PathFault::AboveRoot),
            ("/%2e%2E/b", PathFault::AboveRoot),
            ("/static/..%2faccount", PathFault::HiddenDots),
            ("/static/..%5Caccount", PathFault::HiddenDots),
            ("/a%", PathFault::Escape),
            ("/a%4", PathFault::Escape),
            ("/a%zz", PathFault::Escape),
            ("/a%00b", PathFault::Control),
            ("/a%0d%0ab", PathFault::Control),
            ("*", PathFault::Relative),
            ("", PathFault::Relative),
        ] {
            assert_eq!(Path::normalise(sent), Err(fault), "{sent}");
        }
    }

    #[test]
    fn normalising_twice_changes_nothing() {
        let mut random = fastrand::Rng::with_seed(7);
        let pieces = ["/", ".", "..", "%2e", "%2F", "%5c", "a", "%41", "//", "%", "%0", "\\", "?", "é"];
        for _ in 0..20_000 {
            let count = random.usize(..8);
            let sent: String = (0..count).map(|_| pieces[random.usize(..pieces.len())]).collect();
            if let Ok(once) = Path::normalise(&sent) {
                let twice = Path::normalise(&once.path_and_query).unwrap();
                assert_eq!(once.path_and_query, twice.path_and_query, "{sent}");
                assert!(!once.path().split('/').any(|segment| segment == ".."), "{sent}");
            }
        }
    }

    fn site_taking<const N: usize>(name: &str, signing: [SchemeName; N]) -> Site {
        Site {
            name: name.into(),
            edges_only: false,
            signing: signing.into(),
            routes: Vec::new(),
            pages: Pages::default(),
        }
    }

    #[test]
    fn a_token_is_none_of_the_path_where_one_may_stand() {
        let site = site_taking("a", [SchemeName::UriSigning]);
        let without = |sent: &str| {
            let bare = site.without_token(sent);
            site.normalise(&bare).map(|path| path.path_and_query.into_owned())
        };
        for (sent, left) in [
            ("/a.m3u8;URISigningPackage=x", "/a.m3u8"),
            ("/a;URISigningPackage=x;v=1/b?c=;URISigningPackage=y", "/a;v=1/b?c=;URISigningPackage=y"),
            ("/a/..;URISigningPackage=x/b", "/b"),
            ("/a", "/a"),
        ] {
            assert_eq!(without(sent).as_deref(), Ok(left), "{sent}");
        }
        assert_eq!(without("/a.ts;%55RISigningPackage=x.m3u8"), Err(PathFault::HiddenToken));
        let other = site_taking("b", [SchemeName::Hmac]);
        assert_eq!(other.without_token("/a;URISigningPackage=x"), "/a;URISigningPackage=x");
    }

    #[test]
    fn the_nearest_host_wins() {
        let site = |name: &str| Arc::new(site_taking(name, []));
        let mut sites = Sites::default();
        for (host, name) in [("www.example.com", "exact"), ("*.example.com", "near"), ("*.com", "far")] {
            sites.insert(host, &site(name));
        }
        sites.insert("[2001:db8::1]", &site("address"));
        let found = |host: &str| sites.find(host).map(|site| site.name.to_string());
        assert_eq!(found("www.example.com").as_deref(), Some("exact"));
        assert_eq!(found("a.b.example.com").as_deref(), Some("near"));
        assert_eq!(found("example.com").as_deref(), Some("far"));
        assert_eq!(found("example.org"), None);
        assert_eq!(found("2001:db8::1").as_deref(), Some("address"));
        sites.insert("*", &site("any"));
        assert_eq!(sites.find("example.org").map(|site| &*site.name), Some("any"));
    }
}
