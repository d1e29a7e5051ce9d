//! A request that has found its site and route, with all that is known about its viewer.

mod host;

use crate::body::Body;
use crate::chosen::Versions;
use crate::edges::Asker;
use crate::error::Fault;
use crate::headers::{self, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_REQUEST_ID};
use crate::listener::Viewer;
use crate::loops::{self, Trace};
use crate::node::Node;
use crate::observe::Asked;
use crate::outside;
use crate::route::{self, Route, Site};
use crate::signed;
use crate::upgrade::Upgrade;
use cache::{Entry, Key, KeyParts, Permit};
use geo::Place;
use hooks::Caching;
use http::header::{ACCEPT, CONTENT_LENGTH, FORWARDED};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use origin_shield::Group;
use origin_shield::hop::{Behalf, Hop};
use signing::{Grant, KeyGroup};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

pub use host::{authority, host_of, keyed_authority};

/// One request on its way through the pipeline. Shared with the origin side, which may outlive the viewer's.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The node as it was when the request came; a reload does not change a request under way.
    pub node: Arc<Node>,
    /// The connection it came on.
    pub viewer: Viewer,
    /// Who asks: the viewer, or somebody on its behalf.
    pub asker: Asker,
    /// The viewer's address, after trusted peers were believed.
    pub address: IpAddr,
    /// Where that address is; looked up only where the route has rules for places.
    pub place: Place,
    /// The site.
    pub site: Arc<Site>,
    /// The route.
    pub route: Arc<Route>,
    /// `http` or `https`, as the viewer asked: a trusted peer may have ended its TLS.
    pub scheme: &'static str,
    /// Host and port as the viewer asked, lower case.
    pub authority: String,
    /// The target as the viewer sent it, where the request has another by now.
    pub sent: Option<Uri>,
    /// Method, normalised path and query, headers.
    pub request: Parts,
    /// `X-Request-Id`.
    pub request_id: HeaderValue,
    /// The clock, read once.
    pub now: SystemTime,
    /// For durations.
    pub started: Instant,
    /// The other protocol that the viewer asks for, where the route lets it through.
    pub upgrade: Option<Upgrade>,
    /// Which versions of the route's hooks it gets.
    pub versions: Versions,
    /// Who hears what the origin says before its answer.
    pub listener: OnceLock<origin_shield::Listener>,
    /// What the token says that let this request in, on signed routes.
    pub grant: Option<Grant>,
    /// What hooks said of the answer's caching.
    pub caching: Option<Arc<Caching>>,
}

/// What the wrapper around the pipeline knows before anything is decided.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Who asks.
    pub asker: Asker,
    /// `X-Request-Id`.
    pub request_id: HeaderValue,
    /// The clock, read once.
    pub now: SystemTime,
    /// For durations.
    pub started: Instant,
}

impl Arrival {
    /// Reads the clock, the only time in a request's life, and takes or makes its id.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the pipeline's one reading of the clock; everything after gets it as an argument"
    )]
    pub fn now(node: &Node, viewer: &Viewer, request: &mut Parts) -> Self {
        let now = SystemTime::now();
        let asker = Asker::of(node, viewer, request, now);
        let given = match asker.hop() {
            Some(hop) => Some(hop.request_id.clone()),
            None if !asker.speaks_for_viewers() => None,
            None => request.headers.get(X_REQUEST_ID).filter(|id| is_request_id(id)).cloned(),
        };
        let made = || {
            let mut id = [0; 32];
            headers::hexadecimal(&mut id, &fastrand::u128(..).to_ne_bytes());
            HeaderValue::from_bytes(&id)
        };
        // Hexadecimal digits are always a valid value.
        let request_id = given.or_else(|| made().ok()).unwrap_or(HeaderValue::from_static("-"));
        Self { asker, request_id, now, started: Instant::now() }
    }
}

fn is_request_id(id: &HeaderValue) -> bool {
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// A request that finds no site or route.
#[derive(Debug)]
pub struct Lost {
    /// Why.
    pub fault: Fault,
    node: Arc<Node>,
    peer: IpAddr,
    arrival: Arrival,
    request: Parts,
}

impl Lost {
    /// What kind of page its viewer would like to read about it.
    #[must_use]
    pub fn accept(&self) -> Option<&HeaderValue> {
        self.request.headers.get(ACCEPT)
    }

    /// What its record is about.
    #[must_use]
    pub fn asked(&self) -> Asked<'_> {
        Asked {
            node: &self.node,
            request_id: &self.arrival.request_id,
            started: self.arrival.started,
            target: &self.request.uri,
            address: self.peer,
            place: None,
        }
    }
}

/// Where a request belongs.
struct Destination {
    site: Arc<Site>,
    route: Arc<Route>,
    authority: String,
    /// The target as it was sent, where that is not the normal one.
    sent: Option<Uri>,
}

impl Destination {
    /// Finds site and route; the request's target becomes the normal one.
    fn of(node: &Node, viewer: &Viewer, asker: &Asker, request: &mut Parts) -> Result<Self, Fault> {
        if viewer.framed_twice() {
            return Err(Fault::BadFraming);
        }
        headers::drop_nominated(&mut request.headers);
        let authority = authority(request)?;
        if headers::path_and_query(&request.uri).len() > node.limits.url {
            return Err(Fault::UriTooLong);
        }
        match node.mark.trace(&request.headers) {
            Trace::Unseen => {}
            Trace::Namesake => node.observer.namesake(&node.name),
            Trace::Seen => return Err(Fault::Loop(loops::passed(&request.headers))),
        }
        let host = host_of(&authority);
        let site = node.sites.find(host).ok_or(Fault::UnknownHost)?;
        // One connection, one tenant: the certificate that was shown must be this site's (RFC 9110 §7.4).
        // An edge names the shield in TLS, and the viewer's host in its request.
        if !asker.is_edge()
            && let Some(shown) = viewer.server_name().filter(|shown| *shown != host)
            && !node.sites.find(shown).is_some_and(|other| Arc::ptr_eq(other, site))
        {
            return Err(Fault::UnknownHost);
        }
        let sent = site.without_token(headers::path_and_query(&request.uri));
        let path = site.normalise(&sent)?;
        let (site, route) = (Arc::clone(site), Arc::clone(site.route(&path).ok_or(Fault::NoRoute)?));
        let normal: Option<Uri> = match (&sent, &path.path_and_query) {
            (Cow::Borrowed(_), Cow::Borrowed(_)) => None,
            (_, text) => Some(text.parse().map_err(|_| Fault::BadTarget)?),
        };
        let sent = normal.map(|normal| std::mem::replace(&mut request.uri, normal));
        Ok(Self { site, route, authority, sent })
    }
}

impl Visit {
    /// Finds site and route.
    ///
    /// # Errors
    /// A [`Fault`] of the viewer: no or several hosts, an unknown one, a path that cannot be normalised, limits.
    pub fn find(
        node: Arc<Node>,
        viewer: &Viewer,
        arrival: Arrival,
        mut request: Parts,
    ) -> Result<Arc<Self>, Box<Lost>> {
        let Destination { site, route, authority, sent } =
            match Destination::of(&node, viewer, &arrival.asker, &mut request) {
                Ok(destination) => destination,
                Err(fault) => {
                    return Err(Box::new(Lost { fault, node, peer: viewer.peer.ip(), arrival, request }));
                }
            };
        let address = believed_address(&node, viewer, &arrival.asker, &request.headers);
        let place = match &route.geo {
            Some(_) => node.atlas.locate(address),
            None => Place::default(),
        };
        let upgrade = Upgrade::asked(&mut request, &route);
        let scheme = believed_scheme(viewer, &arrival.asker, &request.headers);
        let Arrival { asker, request_id, now, started } = arrival;
        Ok(Arc::new(Self {
            node,
            viewer: viewer.clone(),
            asker,
            address,
            place,
            site,
            route,
            scheme,
            authority,
            sent,
            request,
            request_id,
            now,
            started,
            upgrade,
            versions: Versions::default(),
            listener: OnceLock::new(),
            grant: None,
            caching: None,
        }))
    }

    /// The target as the viewer sent it, for signatures and the log.
    #[must_use]
    pub fn presented(&self) -> &Uri {
        self.sent.as_ref().unwrap_or(&self.request.uri)
    }

    /// Goes on with another target than the viewer's.
    pub fn retarget(&mut self, target: Uri) {
        let before = std::mem::replace(&mut self.request.uri, target);
        self.sent.get_or_insert(before);
    }

    /// Goes on with another request than the viewer's.
    pub fn rewrite(&mut self, request: Parts) {
        let before = std::mem::replace(&mut self.request, request);
        self.sent.get_or_insert(before.uri);
    }

    /// What its record is about.
    #[must_use]
    pub fn asked(&self) -> Asked<'_> {
        Asked {
            node: &self.node,
            request_id: &self.request_id,
            started: self.started,
            target: self.presented(),
            address: self.address,
            place: Some((&self.site.name, &self.route.label)),
        }
    }

    /// Whether the node's rules let this request in: method and place.
    ///
    /// # Errors
    /// [`Fault::MethodNotAllowed`] or [`Fault::PlaceDenied`].
    pub fn admit(&self) -> Result<(), Fault> {
        match &self.asker {
            Asker::Edge(_) => {}
            Asker::Viewer(said) if self.site.edges_only => return Err(Fault::EdgesOnly(*said)),
            Asker::Proxy if self.site.edges_only => return Err(Fault::EdgesOnly(None)),
            Asker::Viewer(_) | Asker::Proxy => {}
        }
        // TRACE would echo what others added (RFC 9110 §9.3.8), CONNECT would make the edge a tunnel.
        let never = matches!(self.request.method, http::Method::CONNECT | http::Method::TRACE);
        if never || !self.route.methods.allows(&self.request.method) {
            return Err(Fault::MethodNotAllowed(self.route.methods.clone()));
        }
        match &self.route.geo {
            Some(fence) if !fence.permits(&self.place) => Err(Fault::PlaceDenied),
            _ => Ok(()),
        }
    }

    /// The time now: the clock that was read once, moved on by what has passed since.
    #[must_use]
    pub fn later(&self) -> SystemTime {
        self.now + self.started.elapsed()
    }

    /// The keys that must have signed the URL. What an edge asks for, it has let its viewer ask for.
    #[must_use]
    pub fn keys(&self) -> Option<&KeyGroup> {
        self.route.keys.as_deref().filter(|_| !self.asker.is_edge())
    }

    /// Gives the request what the group has to know beside its head: who hears what comes before the answer, and on whose behalf
    /// shields are asked.
    pub fn accompany(&self, request: &mut Parts, group: &Group) {
        if let Some(listener) = self.listener.get() {
            request.extensions.insert(listener.clone());
        }
        self.vouch(request, group);
        outside::give_way(self, request, group);
    }

    /// Tells shields on whose behalf they are asked.
    pub fn vouch(&self, request: &mut Parts, group: &Group) {
        if group.asks_shields() {
            let hop = Hop { viewer: self.address, scheme: self.scheme, request_id: self.request_id.clone() };
            let authority = self.keyed_authority().to_owned();
            request.extensions.insert(Behalf { authority, hop, now: self.now, since: self.started });
        }
    }

    /// The fields of a stored answer that this asker gets: an edge stores it as this node does, and so needs all of them.
    #[must_use]
    pub fn fields_of<'a>(&self, entry: &'a Entry) -> Cow<'a, HeaderMap> {
        let mut headers = entry.headers();
        if self.asker.is_edge() {
            headers.to_mut().extend(entry.edge_only());
        }
        headers
    }

    /// Whether answers keep their heads as they are on the way to this asker.
    #[must_use]
    pub fn leaves_heads_alone(&self) -> bool {
        self.route.leaves_heads_alone() && self.grant.is_none() && !self.asker.is_edge()
    }

    /// Removes from an answer that is not stored what this asker does not get.
    pub fn keep_back(&self, headers: &mut HeaderMap) {
        if !self.asker.is_edge() {
            headers::keep_from_viewers(headers);
        }
    }

    /// The last touch on an answer's fields: what the route edits, and the viewer's next token.
    pub fn dress(&self, response: &mut Response<Body>) {
        self.route.edit(response.headers_mut(), &self.asker);
        if let Some(grant) = &self.grant {
            signed::renew(grant, response);
        }
    }

    /// The cache key of a GET for the same; `None` on routes that store nothing, and where a hook goes by the store.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        let key = self.key_of_all()?;
        match &self.caching {
            None => Some(key),
            Some(caching) if caching.bypass => None,
            Some(caching) => Some(key.parted_by(&caching.key_parts)),
        }
    }

    /// The same without what hooks say, for invalidation: it reaches copies of all their parts, also where a hook goes by
    /// the store.
    #[must_use]
    pub fn key_of_all(&self) -> Option<Key> {
        let policy = self.route.policy.as_ref()?;
        let parts = KeyParts {
            site: &self.site.name,
            group: &self.route.group_name,
            scheme: self.scheme,
            authority: self.keyed_authority(),
            path_and_query: &self.keyed_path_and_query(policy.key()),
        };
        let key = Key::of(&parts, &self.request.headers, policy.key());
        Some(match self.trial_mark() {
            None => key,
            Some(mark) => key.beside(&mark),
        })
    }

    /// Notes what a hook says of the answer's caching.
    pub fn cache_as(&mut self, said: Caching) {
        if !said.is_silent() {
            Arc::make_mut(self.caching.get_or_insert_default()).merge(said);
        }
    }

    /// Host and port as the key has them.
    #[must_use]
    pub fn keyed_authority(&self) -> &str {
        keyed_authority(&self.authority, self.scheme)
    }

    /// Path and query as the key has them.
    #[must_use]
    pub fn keyed_path_and_query(&self, key: &cache::KeySettings) -> Cow<'_, str> {
        let whole = headers::path_and_query(&self.request.uri);
        if self.request.uri.query().is_some() { keyed(whole, key) } else { Cow::Borrowed(whole) }
    }

    /// The request as the origin gets it. What is fetched for the store is fetched for everybody: by GET, whole,
    /// unconditionally, and under a named policy with nothing that the key does not hold.
    ///
    /// # Errors
    /// [`Fault::BadTarget`] when the selected query makes no target.
    pub fn to_origin(&self, permit: Option<&Permit>) -> Result<Parts, Fault> {
        let mut request = Request::new(()).into_parts().0;
        request.method = self.request.method.clone();
        request.uri = self.request.uri.clone();
        request.extensions = self.request.extensions.clone();
        request.headers = headers::onward(&self.request.headers, self.asker.speaks_for_viewers());
        if let (Some(permit), Some(policy)) = (permit, &self.route.policy) {
            request.method = http::Method::GET;
            request.headers.remove(CONTENT_LENGTH);
            if !permit.is_alone() {
                headers::ask_for_everybody(&mut request.headers, self.route.codings_from_origin());
            }
            if policy.forwards_only_the_key() {
                headers::keep_keyed(&mut request.headers, policy.key());
                let keyed = self.keyed_path_and_query(policy.key());
                request.uri = keyed.parse().map_err(|_| Fault::BadTarget)?;
            }
        }
        if self.versions().iter().any(|chosen| chosen.hook().transforms()) {
            headers::ask_for_all_of_it(&mut request.headers);
        }
        if let Some(upgrade) = &self.upgrade {
            upgrade.ask(&mut request.headers);
        }
        headers::introduce(&mut request.headers, self);
        Ok(request)
    }
}

/// Path and query as the key has them.
#[must_use]
pub fn keyed<'a>(whole: &'a str, key: &cache::KeySettings) -> Cow<'a, str> {
    let (path, Some(query)) = route::split_query(whole) else { return Cow::Borrowed(whole) };
    match key.select_query(query) {
        Cow::Borrowed(selected) if selected.len() == query.len() => Cow::Borrowed(whole),
        selected if selected.is_empty() => Cow::Borrowed(path),
        selected => Cow::Owned(format!("{path}?{selected}")),
    }
}

/// The scheme that the viewer spoke to the outermost trusted peer (RFC 7239 §5.4 says the same in `proto`).
fn believed_scheme(viewer: &Viewer, asker: &Asker, headers: &HeaderMap) -> &'static str {
    if let Some(hop) = asker.hop() {
        return hop.scheme;
    }
    let said = match asker.speaks_for_viewers() {
        true => headers.get(X_FORWARDED_PROTO),
        false => None,
    };
    match said.map(HeaderValue::as_bytes) {
        Some(b"https") => "https",
        Some(b"http") => "http",
        _ => viewer.scheme.as_str(),
    }
}

/// The nearest address that no trusted peer vouches for: read from the right, as each hop appended (RFC 7239 §7.4).
fn believed_address(node: &Node, viewer: &Viewer, asker: &Asker, headers: &HeaderMap) -> IpAddr {
    let mut address = viewer.peer.ip().to_canonical();
    match asker.hop() {
        Some(hop) => return hop.viewer,
        None if !asker.speaks_for_viewers() => return address,
        None => {}
    }
    let lines = |name: http::HeaderName| headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let mut hops: Vec<IpAddr> =
        lines(X_FORWARDED_FOR).flat_map(|line| line.split(',')).filter_map(address_in).collect();
    if hops.is_empty() {
        hops = lines(FORWARDED).flat_map(|line| line.split(',')).filter_map(forwarded_for).collect();
    }
    while let Some(hop) = hops.pop() {
        address = hop;
        if !node.trusts(hop) {
            break;
        }
    }
    address
}

/// RFC 7239 §4: the `for` of one element.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pair = element.split(';').find_map(|pair| pair.trim().split_once('='));
    let (name, value) = pair.filter(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    let _ = name;
    address_in(value.trim_matches('"'))
}

/// An address, with or without brackets and port.
fn address_in(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_many_forms() {
        let address = "2001:db8::1".parse().ok();
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711", " 2001:db8::1 "] {
            assert_eq!(address_in(text), address, "{text}");
        }
        assert_eq!(address_in("192.0.2.1:80"), "192.0.2.1".parse().ok());
        assert_eq!(address_in("::ffff:192.0.2.1"), "192.0.2.1".parse().ok());
        assert_eq!(address_in("unknown"), None);
        assert_eq!(forwarded_for("for=\"[2001:db8::1]:80\";proto=https"), address);
        assert_eq!(forwarded_for("proto=https"), None);
    }
}
