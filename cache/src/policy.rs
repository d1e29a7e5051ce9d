//! What may be stored and for how long: RFC 9111 as pure functions of request, response and `now`.

mod demand;
mod freshness;
mod status;
mod update;

use crate::control::Directives;
use crate::settings::{CachePolicySettings, KeySettings, StaleSettings, TtlSettings, ViewerDirectives};
use crate::tag::{TagLimits, Tags};
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use std::time::SystemTime;

pub use demand::Demand;
pub use freshness::Freshness;
pub(crate) use update::update_headers;

/// The rules of one route: a named policy, or what the origin's headers say.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// `None` where only the origin decides.
    ttl: Option<TtlSettings>,
    stale: StaleSettings,
    key: KeySettings,
    viewer_directives: ViewerDirectives,
    tags: Vec<HeaderName>,
    tag_limits: TagLimits,
}

impl Policy {
    /// `cache = "origin"`: stored only where the origin gives a freshness.
    #[must_use]
    pub fn origin() -> Self {
        let viewer_directives = ViewerDirectives::Obey;
        Self { ttl: None, viewer_directives, ..Self::named(&CachePolicySettings::default()) }
    }

    /// A named policy.
    #[must_use]
    pub fn named(settings: &CachePolicySettings) -> Self {
        Self {
            ttl: Some(settings.ttl.clone()),
            stale: settings.stale.clone(),
            key: settings.key.clone(),
            viewer_directives: settings.viewer_directives,
            tags: settings.tags.0.clone(),
            tag_limits: TagLimits::default(),
        }
    }

    /// The same with other limits to purge tags.
    #[must_use]
    pub fn limiting_tags(self, tag_limits: TagLimits) -> Self {
        Self { tag_limits, ..self }
    }

    /// The purge tags of an answer.
    #[must_use]
    pub fn tags(&self, headers: &HeaderMap) -> Tags {
        Tags::read(headers, &self.tags, self.tag_limits)
    }

    /// Gives an answer more purge tags, in a field that this policy reads them from; a policy that reads none has no use for them.
    pub fn add_tags(&self, headers: &mut HeaderMap, tags: &[String]) {
        Tags::write(headers, &self.tags, tags);
    }

    /// What belongs to the key.
    #[must_use]
    pub fn key(&self) -> &KeySettings {
        &self.key
    }

    /// Whether only what the key names goes to the origin, so that nothing unkeyed can shape what others are served.
    #[must_use]
    pub fn forwards_only_the_key(&self) -> bool {
        !self.follows_the_origin()
    }

    /// Whether nobody but the origin decides what is kept.
    fn follows_the_origin(&self) -> bool {
        self.ttl.is_none()
    }

    /// What a viewer may ask of stored responses under this policy.
    #[must_use]
    pub fn demand(&self, request: &HeaderMap) -> Demand {
        let demand = Demand::of_request(request);
        match self.viewer_directives {
            ViewerDirectives::Obey => demand,
            ViewerDirectives::Ignore => demand.harmless(),
        }
    }
}

/// What [`storing`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storing {
    /// May be stored, and reused while the freshness lasts.
    Store(Freshness),
    /// Must not be stored, or is of no use stored.
    Skip(Skip),
}

impl Storing {
    /// The freshness of what may be stored.
    #[must_use]
    pub fn freshness(self) -> Option<Freshness> {
        match self {
            Self::Store(freshness) => Some(freshness),
            Self::Skip(_) => None,
        }
    }
}

/// Why a response was not stored; [`Skip::token`] goes to `Cache-Status`, log and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Only answers to GET and HEAD are stored, and some to POST.
    Method,
    /// A status that says nothing about other requests, or one that is not kept.
    Status,
    /// A part of a representation.
    Partial,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// `Set-Cookie` makes it one viewer's own.
    SetCookie,
    /// The request carried `Authorization` and the response does not allow sharing.
    Authorization,
    /// `Vary: *`.
    VaryAny,
    /// Neither the origin nor a policy gives a freshness, and there is no validator.
    NoFreshness,
    /// Larger than the node keeps in memory.
    Size,
    /// In a content coding that one viewer asked for.
    Encoded,
}

impl Skip {
    /// The reason token.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::Partial => "partial",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::SetCookie => "set-cookie",
            Self::Authorization => "authorization",
            Self::VaryAny => "vary-any",
            Self::NoFreshness => "no-freshness",
            Self::Size => "size",
            Self::Encoded => "encoded",
        }
    }

    /// Whether it says something about the moment only, not about what comes next under this key.
    #[must_use]
    pub fn is_of_the_moment(self) -> bool {
        matches!(self, Self::Status)
    }
}

/// RFC 9111 §3: whether a shared cache may store this response to this request, and for how long. A response to POST must
/// name its target in `Content-Location`.
#[must_use]
pub fn storing(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    policy: &Policy,
    now: SystemTime,
) -> Storing {
    let said = Directives::of_response(response);
    let explicit = freshness::explicit(response, &said, now);
    // RFC 9110 §9.3.3: POST only with a freshness from the origin, and if what it names is its target, which the caller knows.
    let is_kept = match *method {
        Method::GET | Method::HEAD => true,
        Method::POST => explicit.is_some(),
        _ => false,
    };
    if !is_kept {
        return Storing::Skip(Skip::Method);
    }
    let forbidden = forbidden_by_status(request, status, explicit.is_some(), &said, policy)
        .or_else(|| forbidden_by_headers(request, response, &said, policy));
    if let Some(skip) = forbidden {
        return Storing::Skip(skip);
    }
    let lifetime = match &policy.ttl {
        None => explicit,
        Some(ttl) => freshness::bounded(ttl, explicit, status, response, &said, now),
    };
    // §5.2.2.4: a no-cache response is kept only to be validated.
    let lifetime = if said.no_cache { Some(std::time::Duration::ZERO) } else { lifetime };
    match lifetime {
        None => Storing::Skip(Skip::NoFreshness),
        Some(lifetime) if lifetime.is_zero() && !has_validator(response) => Storing::Skip(Skip::NoFreshness),
        Some(lifetime) => Storing::Store(Freshness::new(lifetime, response, &said, policy, now)),
    }
}

fn forbidden_by_status(
    request: &HeaderMap,
    status: StatusCode,
    explicit: bool,
    said: &Directives,
    policy: &Policy,
) -> Option<Skip> {
    if status == StatusCode::PARTIAL_CONTENT {
        return Some(Skip::Partial);
    }
    if status::is_refused(status, request, explicit, policy) {
        return Some(Skip::Status);
    }
    // §5.2.2.3: must-understand lifts no-store for those who know the status, and is no-store for the others.
    let forbids = match said.must_understand {
        true => !status::is_understood(status),
        false => said.no_store,
    };
    forbids.then_some(Skip::NoStore)
}

fn forbidden_by_headers(
    request: &HeaderMap,
    response: &HeaderMap,
    said: &Directives,
    policy: &Policy,
) -> Option<Skip> {
    if said.private {
        return Some(Skip::Private);
    }
    // §7.3: Set-Cookie does not forbid storing where the origin gives a freshness. Under a policy, which may be what gives it,
    // and in answers to somebody who brought cookies, it is taken for one viewer's own.
    let sets_cookies = response.contains_key(SET_COOKIE) && !said.own_fields.contains(&SET_COOKIE);
    if sets_cookies && (!policy.follows_the_origin() || request.contains_key(COOKIE)) {
        return Some(Skip::SetCookie);
    }
    // §3.5
    let shareable = said.public || said.s_maxage.is_some() || said.must_revalidate;
    if request.contains_key(AUTHORIZATION) && !shareable {
        return Some(Skip::Authorization);
    }
    // §4.1: "*" never matches, and neither does what cannot be read.
    let any = |value: &http::HeaderValue| value.to_str().map_or(true, |text| text.contains('*'));
    response.get_all(VARY).iter().any(any).then_some(Skip::VaryAny)
}

/// Takes out of the headers to be stored what `no-cache="…"` and `private="…"` name (§5.2.2.4, §5.2.2.7). They are for the viewer
/// who brought them about, and nobody else.
#[must_use]
pub fn take_own_fields(response: &mut HeaderMap) -> HeaderMap {
    let mut own = HeaderMap::new();
    for name in Directives::of_response(response).own_fields {
        for value in response.get_all(&name) {
            own.append(name.clone(), value.clone());
        }
        response.remove(name);
    }
    own
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    http_date(headers.get(name)?.to_str().ok()?)
}

/// RFC 9110 §5.6.7: a date in any of the three forms, in whatever case (RFC 9111 §4.2). A wrong day of the week does not matter: the
/// date says which it is.
#[must_use]
pub fn http_date(text: &str) -> Option<SystemTime> {
    let read = |text: &str| httpdate::parse_http_date(text).ok();
    read(text).or_else(|| {
        let cased = usual_case(text);
        let on = |day: &&str| read(&format!("{day}{}", cased.get(day.len()..)?));
        read(&cased).or_else(|| ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].iter().find_map(on))
    })
}

/// Names of days and months with a capital, the zone in capitals.
fn usual_case(text: &str) -> String {
    let mut before = ' ';
    let cased = text.chars().map(|letter| {
        let is_first = !std::mem::replace(&mut before, letter).is_ascii_alphabetic();
        if is_first { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
    });
    cased.collect::<String>().replace("Gmt", "GMT")
}

/// Whether a stale copy could be validated (RFC 9110 §8.8).
#[must_use]
pub fn has_validator(response: &HeaderMap) -> bool {
    response.contains_key(http::header::ETAG) || response.contains_key(http::header::LAST_MODIFIED)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
