//! What a viewer asks of a stored response: the request directives of RFC 9111 §5.2.1.

use super::Freshness;
use crate::control::{delta_seconds, split_directive, split_list};
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use std::time::{Duration, SystemTime};

/// The request directives. `Pragma` is deprecated and not read (§5.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// `no-cache`: not without asking the origin.
    pub no_cache: bool,
    /// `no-store`: the answer is not kept.
    pub no_store: bool,
    /// `only-if-cached`: the origin is not asked; 504 where nothing is stored.
    pub only_if_cached: bool,
    /// `max-age`: not older than this.
    pub max_age: Option<Duration>,
    /// `min-fresh`: fresh for at least so much longer.
    pub min_fresh: Duration,
    /// `max-stale`: past its lifetime by no more than this.
    pub max_stale: Duration,
}

impl Demand {
    /// Reads the directives of a request.
    #[must_use]
    pub fn of_request(headers: &HeaderMap) -> Self {
        let mut demand = Self::default();
        // Nearly no request has any, and to look at the few names that it has is cheaper than to hash this one.
        if !headers.keys().any(|name| name == CACHE_CONTROL) {
            return demand;
        }
        let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
        for (name, value) in lines.flat_map(split_list).map(split_directive) {
            demand.apply(&name.to_ascii_lowercase(), value);
        }
        demand
    }

    /// What remains of it where a policy does not let viewers bring load upon the origin: what costs the origin nothing.
    #[must_use]
    pub fn harmless(self) -> Self {
        Self { only_if_cached: self.only_if_cached, no_store: self.no_store, ..Self::default() }
    }

    fn apply(&mut self, name: &str, value: Option<&str>) {
        let seconds = value.and_then(delta_seconds);
        match name {
            "no-cache" => self.no_cache = true,
            "no-store" => self.no_store = true,
            "only-if-cached" => self.only_if_cached = true,
            // A value that is no number asks for nothing.
            "max-age" => self.max_age = seconds.or(self.max_age),
            "min-fresh" => self.min_fresh = seconds.unwrap_or_default(),
            // §5.2.1.2: without a value, however stale.
            "max-stale" if value.is_none() => self.max_stale = Duration::MAX,
            "max-stale" => self.max_stale = seconds.unwrap_or_default(),
            _ => {}
        }
    }

    /// Whether a viewer wants more than a fresh response.
    #[must_use]
    pub fn insists(&self) -> bool {
        self.no_cache || self.max_age.is_some() || !self.min_fresh.is_zero()
    }

    /// Whether a fresh response is not good enough for this viewer. An `immutable` one (RFC 8246 §2) is, however old: only
    /// `no-cache` asks for it anew.
    #[must_use]
    pub fn wants_better_than(&self, fresh: &Freshness, is_immutable: bool, now: SystemTime) -> bool {
        let is_too_old = || self.max_age.is_some_and(|most| fresh.age(now) > most || most.is_zero());
        let too_soon_stale = || fresh.remaining(now).is_none_or(|left| left < self.min_fresh);
        self.no_cache || !is_immutable && (is_too_old() || too_soon_stale())
    }

    /// Whether a stale response is good enough for this viewer (§4.2.4), where the origin allows stale answers at all.
    #[must_use]
    pub fn accepts_stale(&self, stale: &Freshness, now: SystemTime) -> bool {
        let past = stale.age(now).saturating_sub(stale.lifetime);
        let is_young = self.max_age.is_none_or(|most| stale.age(now) <= most);
        !self.max_stale.is_zero()
            && !self.no_cache
            && is_young
            && past <= self.max_stale
            && stale.may_be_stale()
    }
}
