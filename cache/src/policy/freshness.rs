//! How long a response may be used: RFC 9111 §4.2, RFC 5861.

use super::{Policy, date};
use crate::control::{Directives, delta_seconds};
use crate::settings::TtlSettings;
use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use std::time::{Duration, SystemTime};

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
    /// What a response and a policy say, for this lifetime.
    pub(super) fn new(
        lifetime: Duration,
        response: &HeaderMap,
        said: &Directives,
        policy: &Policy,
        now: SystemTime,
    ) -> Self {
        // §5.2.2.2, §5.2.2.4: these forbid stale answers whatever else is said; s-maxage (§5.2.2.10) does by default.
        let never_stale = said.must_revalidate || said.no_cache;
        let stale = |explicit: Option<Duration>, configured: Duration| match explicit {
            _ if never_stale => Duration::ZERO,
            Some(explicit) => explicit,
            None if said.s_maxage.is_some() => Duration::ZERO,
            None => configured,
        };
        Self {
            lifetime,
            initial_age: initial_age(response, now),
            stored_at: now,
            while_revalidate: stale(said.stale_while_revalidate, policy.stale.while_revalidate),
            if_error: stale(said.stale_if_error, policy.stale.if_error),
        }
    }

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

    /// Whether the origin leaves room for stale answers at all (§4.2.4).
    #[must_use]
    pub fn may_be_stale(&self) -> bool {
        !self.if_error.is_zero() || !self.while_revalidate.is_zero()
    }

    /// Whether it may stand in for a failing origin.
    #[must_use]
    pub fn serves_if_error(&self, now: SystemTime) -> bool {
        self.age(now) < self.lifetime + self.if_error
    }
}

/// §4.2.1: the lifetime that the origin gives, if it gives one.
pub(super) fn explicit(headers: &HeaderMap, said: &Directives, now: SystemTime) -> Option<Duration> {
    said.s_maxage.or(said.max_age).or_else(|| expires_in(headers, now))
}

/// The lifetime under a named policy. `None`: nobody gives one.
pub(super) fn bounded(
    ttl: &TtlSettings,
    explicit: Option<Duration>,
    status: StatusCode,
    response: &HeaderMap,
    said: &Directives,
    now: SystemTime,
) -> Option<Duration> {
    let lifetime = match explicit {
        Some(lifetime) => lifetime,
        // Negative caching: short, so that what is published is soon found.
        None if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) => {
            return Some(ttl.not_found.min(ttl.max));
        }
        // §4.2.2: guessed only for statuses that allow it, or where the origin says "public".
        None if heuristically_cacheable(status) || said.public => {
            heuristic(ttl.heuristic, response, now).unwrap_or(ttl.default)
        }
        None => return None,
    };
    Some(lifetime.max(ttl.min).min(ttl.max))
}

/// §4.2.2: a share of the time that has passed since the last change; `None` without a share or a date.
fn heuristic(share: f64, response: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let modified = date(response, LAST_MODIFIED).filter(|_| share > 0.0)?;
    let sent = date(response, DATE).unwrap_or(now);
    sent.duration_since(modified).ok().map(|unchanged| unchanged.mul_f64(share.min(1.0)))
}

/// RFC 9110 §15.1.
fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 410 | 414 | 501)
}

/// §4.2.3 without the response delay, which the node's own timeouts bound.
fn initial_age(response: &HeaderMap, now: SystemTime) -> Duration {
    let apparent = date(response, DATE).and_then(|sent| now.duration_since(sent).ok());
    // Dates have whole seconds: less than one apart is no age.
    let apparent = apparent.filter(|age| *age >= Duration::from_secs(1)).unwrap_or_default();
    apparent.max(age_said(response).unwrap_or_default())
}

/// §5.1: of several values the first; one that is no number is ignored. Parameters, which Age does not have, are passed over:
/// the number before them is better believed than not.
fn age_said(response: &HeaderMap) -> Option<Duration> {
    let first = response.get(AGE)?.to_str().ok()?.split(',').next()?;
    delta_seconds(first.split(';').next()?.trim())
}

/// §5.3: `Expires` counts from `Date`; an invalid one, or several that differ, is in the past.
fn expires_in(response: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let mut lines = response.get_all(EXPIRES).iter();
    let first = lines.next()?;
    let is_one = lines.all(|line| line == first);
    let Some(expires) = date(response, EXPIRES).filter(|_| is_one) else { return Some(Duration::ZERO) };
    let from = date(response, DATE).unwrap_or(now);
    Some(expires.duration_since(from).unwrap_or_default())
}
