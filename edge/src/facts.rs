//! What hooks may know of a visit: plain values, or a way to look them up.

use crate::outside::Outside;
use crate::visit::Visit;
use geo::{Continent, Locator};
use hooks::{Chosen, Facts, Grant, Locality, Place, Places, Storing, Tls};
use rustls::ServerConnection;
use std::net::IpAddr;
use std::sync::Arc;

impl Visit {
    /// What a hook may know.
    #[must_use]
    pub fn facts(&self, chosen: &Chosen) -> Facts {
        self.facts_of_fetch(chosen, Storing::Never)
    }

    /// What a hook may know of what origins are asked.
    #[must_use]
    pub fn facts_of_fetch(&self, chosen: &Chosen, storing: Storing) -> Facts {
        let peer = self.viewer.peer;
        Facts {
            viewer_address: self.address,
            viewer_port: (peer.ip().to_canonical() == self.address).then_some(peer.port()),
            places: Arc::clone(&self.node.atlas) as Arc<dyn Places>,
            tls: self.viewer.tls().cloned(),
            scheme: self.scheme,
            authority: self.authority.as_str().into(),
            http_version: self.request.version,
            grant: self.grant.as_ref().map(granted),
            request_id: self.request_id.clone(),
            node: Arc::clone(&self.node.name),
            site: Arc::clone(&self.site.name),
            route: Arc::clone(&self.route.label),
            caching: self.caching.clone(),
            storing,
            is_canary: chosen.is_canary,
            now: self.now,
            since: self.started,
            outside: chosen.hook().reaches_out().then(|| Arc::new(Outside::of(self)) as _),
        }
    }
}

fn granted(grant: &signing::Grant) -> Grant {
    Grant {
        scheme: grant.scheme.token(),
        key: Arc::clone(&grant.key_id),
        expires: grant.expires,
        resource: grant.resource.clone(),
    }
}

/// What a handshake with a viewer has come to.
#[must_use]
pub fn tls(session: &ServerConnection) -> Tls {
    let protocol = session.alpn_protocol().and_then(|protocol| std::str::from_utf8(protocol).ok());
    Tls {
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: session.negotiated_cipher_suite().and_then(|suite| cipher(suite.suite())),
        protocol: protocol.map(str::to_owned),
        server_name: session.server_name().map(str::to_ascii_lowercase),
    }
}

/// The suites that this node offers, as the IANA registry spells them (RFC 8446 appendix B.4, RFC 5289, RFC 7905).
fn cipher(suite: rustls::CipherSuite) -> Option<&'static str> {
    use rustls::CipherSuite as Suite;
    Some(match suite {
        Suite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        Suite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        Suite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        _ => suite.as_str()?,
    })
}

/// Where addresses are, for rules and for hooks that ask.
#[derive(Debug)]
pub struct Atlas(Arc<Locator>);

impl Atlas {
    /// What these databases know.
    #[must_use]
    pub fn new(locator: Locator) -> Self {
        Self(Arc::new(locator))
    }

    /// The databases.
    #[must_use]
    pub fn locator(&self) -> &Arc<Locator> {
        &self.0
    }

    /// The place of an address, for rules about places.
    #[must_use]
    pub fn locate(&self, address: IpAddr) -> geo::Place {
        self.0.locate(address)
    }
}

impl Places for Atlas {
    fn place(&self, address: IpAddr) -> Place {
        let place = self.0.locate(address);
        Place {
            country: place.country.map(|country| country.as_str().to_owned()),
            continent: place.continent.map(Continent::as_str),
            asn: place.asn,
        }
    }

    fn locality(&self, address: IpAddr) -> Locality {
        let geo::Locality { region, city, position, time_zone } = self.0.locality(address);
        Locality { region, city, position, time_zone }
    }
}
