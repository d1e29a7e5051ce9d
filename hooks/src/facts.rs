//! What a hook may know beside the messages themselves.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::HeaderValue;

use crate::outcome::Caching;
use crate::outside::Outside;

/// Facts about the viewer, the node and the request. Cheap to clone, which every call does: what is large is shared, and
/// what must be looked up is looked up when a guest asks.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The viewer's address, after trusted peers were believed.
    pub viewer_address: IpAddr,
    /// The port of the connection; `None` where somebody else holds it for the viewer.
    pub viewer_port: Option<u16>,
    /// Where addresses are.
    pub places: Arc<dyn Places>,
    /// The TLS session with the viewer; `None` over plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// `http` or `https`, as the viewer asked: a trusted peer may have ended its TLS.
    pub scheme: &'static str,
    /// Host and port as the viewer asked, lower case.
    pub authority: Arc<str>,
    /// The protocol that the viewer speaks.
    pub http_version: http::Version,
    /// What the URL's signature grants; `None` on routes without signatures.
    pub grant: Option<Grant>,
    /// The id in `X-Request-Id` and the logs.
    pub request_id: HeaderValue,
    /// The node's name.
    pub node: Arc<str>,
    /// The site's name in the config.
    pub site: Arc<str>,
    /// The route's path pattern.
    pub route: Arc<str>,
    /// What earlier viewer-request hooks said of the answer's caching; `None` when they said nothing.
    pub caching: Option<Arc<Caching>>,
    /// Whether the answer that is asked for may be stored: then it is asked for everybody, and by GET.
    pub storing: Storing,
    /// Whether the version that is called is a canary: on trial beside the live one.
    pub is_canary: bool,
    /// The way to the node's origins, for hooks that reach them ([`Hook::reaches_out`](crate::Hook::reaches_out)).
    pub outside: Option<Arc<dyn Outside>>,
    /// The clock, read once for the request.
    pub now: SystemTime,
    /// When that was.
    pub since: Instant,
}

impl Facts {
    /// The time now: the clock that was read once, moved on by what has passed since.
    #[must_use]
    pub fn later(&self) -> SystemTime {
        self.now + self.since.elapsed()
    }
}

/// Whether the answer to an origin's request is for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storing {
    /// For one viewer.
    #[default]
    Never,
    /// For everybody.
    Perhaps,
}

/// The TLS session between viewer and node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as the IANA registry spells it.
    pub cipher: Option<&'static str>,
    /// The protocol agreed on by ALPN (RFC 7301), where it is text.
    pub protocol: Option<String>,
    /// The host that the viewer named (RFC 6066 section 3), lower case.
    pub server_name: Option<String>,
}

/// What the signature of a URL grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The format of the token.
    pub scheme: &'static str,
    /// The id of the key that signed it.
    pub key: Arc<str>,
    /// The first moment at which it is no longer good; a token may say none.
    pub expires: Option<SystemTime>,
    /// What it opens, where that is more than the URL that was asked for.
    pub resource: Option<Arc<str>>,
}

/// Knows where addresses are. Asked for a call at most once each, and only when its guest asks.
pub trait Places: Send + Sync + fmt::Debug {
    /// Country, continent, network.
    fn place(&self, address: IpAddr) -> Place;

    /// Region, city, position, time zone.
    fn locality(&self, address: IpAddr) -> Locality;
}

/// Where an address is, roughly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2, upper case.
    pub country: Option<String>,
    /// Two letters.
    pub continent: Option<&'static str>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
}

/// Where an address is, closer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Locality {
    /// ISO 3166-2 without the country.
    pub region: Option<String>,
    /// In English.
    pub city: Option<String>,
    /// Latitude and longitude in degrees.
    pub position: Option<(f64, f64)>,
    /// Of the IANA database.
    pub time_zone: Option<String>,
}

impl Facts {
    /// For an instance between two calls: nothing that holds on to the request or to the node that it came to.
    pub(crate) fn forget(mut self) -> Self {
        self.tls = None;
        self.grant = None;
        self.caching = None;
        self.outside = None;
        self
    }
}
