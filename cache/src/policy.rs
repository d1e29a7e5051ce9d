//! What may be stored and for how long: RFC 9111 as pure functions of request, response and `now`.

use crate::control::{Directives, delta_seconds};
use crate::settings::{CachePolicySettings, KeySettings, StaleSettings, TtlSettings};
use http::header::{AGE, AUTHORIZATION, CONTENT_RANGE, DATE, EXPIRES, SET_COOKIE, VARY};
use http::{HeaderMap, Method, StatusCode};
use std::time::{Duration, SystemTime};

/// How long "not found" stays when a policy is in force and the origin says nothing (CloudFront's).
const NEGATIVE_TTL: Duration = Duration::from_secs(10);

/// The rules of one route: a named policy, or what the origin's headers say.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    ttl: Option<TtlSettings>,
    stale: StaleSettings,
    key: KeySettings,
}

impl Policy {
    /// `cache = "origin"`: stored only where the origin gives a freshness.
    #[must_use]
    pub fn origin() -> Self {
        Self { ttl: None, stale: StaleSettings::default(), key: KeySettings::default() }
    }

    /// A named policy.
    #[must_use]
    pub fn named(settings: &CachePolicySettings) -> Self {
        Self { ttl: Some(settings.ttl.clone()), stale: settings.stale.clone(), key: settings.key.clone() }
    }

    /// What belongs to the key.
    #[must_use]
    pub fn key(&self) -> &KeySettings {
        &self.key
    }

    /// Whether only what the key names goes to the origin, so that nothing unkeyed can shape what others are served.
    #[must_use]
    pub fn forwards_only_the_key(&self) -> bool {
        self.ttl.is_some()
    }

    /// §4.2.1 with the policy's bounds. `None`: nobody gave a freshness.
    fn lifetime(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        said: &Directives,
        now: SystemTime,
    ) -> Option<Duration> {
        let explicit = said.s_maxage.or(said.max_age).or_else(|| expires_in(headers, now));
        let Some(ttl) = &self.ttl else { return explicit };
        let lifetime = match explicit {
            Some(lifetime) => lifetime,
            None if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) => {
                return Some(NEGATIVE_TTL.min(ttl.max));
            }
            None if heuristically_cacheable(status) => ttl.default,
            None => return None,
        };
        Some(lifetime.max(ttl.min).min(ttl.max))
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
    /// Only GET and HEAD are stored.
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

/// How long a stored response may be used (RFC 9111 §4.2, RFC 5861).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The freshness lifetime.
    pub lifetime: Duration,
    /// The age when it was stored (§4.2.3).
    pub initial_age: Duration,
    /// When it was stored.
    pub stored_at: SystemTime,
    /// How long past the lifetime it is served while revalidating.
    pub while_revalidate: Duration,
    /// How long past the lifetime it is served when the origin fails.
    pub if_error: Duration,
}

impl Freshness {
    /// §4.2.3: the current age.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        self.initial_age + now.duration_since(self.stored_at).unwrap_or_default()
    }

    /// What is left of the lifetime; `None` when stale.
    #[must_use]
    pub fn remaining(&self, now: SystemTime) -> Option<Duration> {
        self.lifetime.checked_sub(self.age(now)).filter(|left| !left.is_zero())
    }

    /// Whether it may be served at once while somebody revalidates it.
    #[must_use]
    pub fn serves_while_revalidating(&self, now: SystemTime) -> bool {
        self.age(now) < self.lifetime + self.while_revalidate
    }

    /// Whether it may stand in for a failing origin.
    #[must_use]
    pub fn serves_if_error(&self, now: SystemTime) -> bool {
        self.age(now) < self.lifetime + self.if_error
    }
}

/// RFC 9111 §3: whether a shared cache may store this response to this request, and for how long.
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
    if let Some(skip) = forbidden(method, request, status, response, &said) {
        return Storing::Skip(skip);
    }
    let lifetime = policy.lifetime(status, response, &said, now);
    // §5.2.2.4: a no-cache response is kept only to be validated.
    let lifetime = if said.no_cache { Some(Duration::ZERO) } else { lifetime };
    match lifetime {
        None => Storing::Skip(Skip::NoFreshness),
        Some(lifetime) if lifetime.is_zero() && !has_validator(response) => Storing::Skip(Skip::NoFreshness),
        Some(lifetime) => Storing::Store(freshness(lifetime, response, &said, policy, now)),
    }
}

fn forbidden(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    said: &Directives,
) -> Option<Skip> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Some(Skip::Method);
    }
    if status == StatusCode::PARTIAL_CONTENT || response.contains_key(CONTENT_RANGE) {
        return Some(Skip::Partial);
    }
    // Errors of the moment are never kept: a poisoned or failing answer must not outlive its request.
    let never = matches!(
        status.as_u16(),
        304 | 400 | 401 | 403 | 405 | 407 | 408 | 411..=417 | 421 | 425 | 426 | 428 | 429 | 431 | 451
    );
    if status.is_informational() || status.is_server_error() || never {
        return Some(Skip::Status);
    }
    if said.no_store {
        return Some(Skip::NoStore);
    }
    if said.private {
        return Some(Skip::Private);
    }
    if response.contains_key(SET_COOKIE) {
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

fn freshness(
    lifetime: Duration,
    response: &HeaderMap,
    said: &Directives,
    policy: &Policy,
    now: SystemTime,
) -> Freshness {
    // §5.2.2.2, §5.2.2.4: these forbid stale answers whatever else is said; s-maxage (§5.2.2.10) does by default.
    let never_stale = said.must_revalidate || said.no_cache;
    let stale = |explicit: Option<Duration>, configured: Duration| match explicit {
        _ if never_stale => Duration::ZERO,
        Some(explicit) => explicit,
        None if said.s_maxage.is_some() => Duration::ZERO,
        None => configured,
    };
    Freshness {
        lifetime,
        initial_age: initial_age(response, now),
        stored_at: now,
        while_revalidate: stale(said.stale_while_revalidate, policy.stale.while_revalidate),
        if_error: stale(said.stale_if_error, policy.stale.if_error),
    }
}

/// §4.2.3 without the response delay, which the node's own timeouts bound.
fn initial_age(response: &HeaderMap, now: SystemTime) -> Duration {
    let apparent = date(response, DATE).and_then(|sent| now.duration_since(sent).ok());
    let said = response.get(AGE).and_then(|value| value.to_str().ok());
    let said = said.and_then(|text| delta_seconds(text.split(',').next()?.trim()));
    // Dates have whole seconds: less than one apart is no age.
    let apparent = apparent.filter(|age| *age >= Duration::from_secs(1)).unwrap_or_default();
    apparent.max(said.unwrap_or_default())
}

/// §5.3: `Expires` counts from `Date`; an invalid one is in the past.
fn expires_in(response: &HeaderMap, now: SystemTime) -> Option<Duration> {
    response.get(EXPIRES)?;
    let Some(expires) = date(response, EXPIRES) else { return Some(Duration::ZERO) };
    let from = date(response, DATE).unwrap_or(now);
    Some(expires.duration_since(from).unwrap_or_default())
}

fn date(headers: &HeaderMap, name: http::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// RFC 9110 §15.1.
fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 410 | 414 | 501)
}

/// Whether a stale copy could be validated (RFC 9110 §8.8).
#[must_use]
pub fn has_validator(response: &HeaderMap) -> bool {
    response.contains_key(http::header::ETAG) || response.contains_key(http::header::LAST_MODIFIED)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
