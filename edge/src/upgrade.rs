//! Changes of protocol (RFC 9110 §7.8): whether a viewer asks for one that its route lets through, and what comes of it.

use crate::body::Body;
use crate::error::Fault;
use crate::headers;
use crate::observe::{Observer, TunnelSlot};
use crate::route::Route;
use crate::visit::Visit;
use base64::Engine;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::Protocol;
use origin_shield::Tunnel;
use std::sync::Arc;
use std::time::Duration;

/// A change of protocol that a viewer asks for and its route lets through.
#[derive(Debug, Clone)]
pub struct Upgrade {
    protocol: HeaderValue,
}

impl Upgrade {
    /// What a request asks for. An extended CONNECT (RFC 8441 §4) becomes the GET that asks for the same over HTTP/1.1; where its
    /// protocol is not let through it stays the CONNECT that it is.
    #[must_use]
    pub fn asked(request: &mut Parts, route: &Route) -> Option<Self> {
        let protocol = match request.version {
            Version::HTTP_11 if headers::has(&request.headers, &UPGRADE) => offered(request, route)?,
            Version::HTTP_2 if request.method == Method::CONNECT => {
                let asked = request.extensions.remove::<Protocol>()?;
                let protocol = allowed(asked.as_str(), route)?;
                request.method = Method::GET;
                protocol
            }
            _ => return None,
        };
        Some(Self { protocol })
    }

    /// Asks the origin for it over HTTP/1.1. A viewer who speaks HTTP/2 sends no key of its own (RFC 8441 §5).
    pub fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(UPGRADE, self.protocol.clone());
        let needs_key = self.protocol == WEBSOCKET && !headers.contains_key(SEC_WEBSOCKET_KEY);
        if needs_key && let Ok(key) = HeaderValue::from_str(&websocket_key()) {
            headers.insert(SEC_WEBSOCKET_KEY, key);
        }
    }
}

const WEBSOCKET: &str = "websocket";

/// The first protocol of `Upgrade` that the route lets through. Only a request without content can be passed on whole before
/// the origin has agreed (RFC 9110 §7.8).
fn offered(request: &Parts, route: &Route) -> Option<HeaderValue> {
    let has_content = request.headers.contains_key(TRANSFER_ENCODING)
        || request.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if request.method != Method::GET || has_content || !members(request, CONNECTION).any(is_upgrade) {
        return None;
    }
    members(request, UPGRADE).find_map(|protocol| allowed(protocol, route))
}

fn is_upgrade(option: &str) -> bool {
    option.eq_ignore_ascii_case(UPGRADE.as_str())
}

fn members(request: &Parts, name: http::HeaderName) -> impl Iterator<Item = &str> {
    let lines = request.headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn allowed(protocol: &str, route: &Route) -> Option<HeaderValue> {
    let allowed = route.upgrades.iter().find(|allowed| allowed.eq_ignore_ascii_case(protocol))?;
    HeaderValue::from_str(allowed).ok()
}

/// RFC 6455 §4.1: 16 random bytes in base64. They keep no secret.
fn websocket_key() -> String {
    base64::engine::general_purpose::STANDARD.encode(fastrand::u128(..).to_ne_bytes())
}

/// Room for a tunnel, for a request that may become one.
///
/// # Errors
/// [`Fault::TunnelsBusy`] when as many are open as `limits.tunnels` allows.
pub fn reserve(visit: &Visit) -> Result<Option<TunnelSlot>, Fault> {
    if visit.upgrade.is_none() {
        return Ok(None);
    }
    let slot = Observer::reserve_tunnel(&visit.node.observer, visit.node.limits.tunnels);
    slot.map(Some).ok_or(Fault::TunnelsBusy)
}

/// What the origin has agreed to, found among the extensions of the answer by the listener, which makes it a tunnel.
#[derive(Debug, Clone)]
pub struct Agreed {
    /// The origin's side.
    pub origin: Tunnel,
    /// Kept while the tunnel is open.
    pub slot: Arc<TunnelSlot>,
    /// How long it may be silent.
    pub idle: Duration,
    /// The request, as the log names it.
    pub request: HeaderValue,
    /// The site, as the log names it.
    pub site: Arc<str>,
    /// The protocol.
    pub protocol: HeaderValue,
}

/// Makes an answer that changes the protocol one that becomes a tunnel. Any other is an ordinary answer.
///
/// # Errors
/// [`Fault::NotUpgraded`] for a success that agrees to nothing, where the viewer would take it for the agreement (RFC 8441 §5).
pub fn agree(
    visit: &Visit,
    slot: Option<TunnelSlot>,
    mut response: Box<Response<Body>>,
) -> Result<Box<Response<Body>>, Fault> {
    let Some((slot, upgrade)) = slot.zip(visit.upgrade.as_ref()) else { return Ok(response) };
    let Some(origin) = response.extensions_mut().remove::<Tunnel>() else {
        let is_misleading = visit.request.version == Version::HTTP_2 && response.status().is_success();
        return if is_misleading { Err(Fault::NotUpgraded) } else { Ok(response) };
    };
    response.extensions_mut().insert(Agreed {
        origin,
        slot: Arc::new(slot),
        idle: visit.node.limits.tunnel_idle,
        request: visit.request_id.clone(),
        site: Arc::clone(&visit.site.name),
        protocol: upgrade.protocol.clone(),
    });
    if visit.request.version == Version::HTTP_2 {
        // RFC 8441 §5: a success is the agreement, and nothing of HTTP/1.1's is said.
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
    } else {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(UPGRADE, upgrade.protocol.clone());
    }
    Ok(response)
}

/// Whether an answer only agrees to another protocol: nothing for hooks to see yet, and no content.
#[must_use]
pub fn is_agreed(response: &Response<Body>) -> bool {
    response.extensions().get::<Agreed>().is_some() || response.extensions().get::<Tunnel>().is_some()
}
