//! What a hook wants: plain values that the pipeline turns into control flow.

use std::time::Duration;

use bytes::Bytes;

use crate::body::HookBody;
use crate::error::HookError;

/// What viewer-request hooks say of the answer's caching.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caching {
    /// Names and values that tell answers apart beside the key that the policy makes; each name once.
    pub key_parts: Vec<(String, String)>,
    /// Whether the answer is neither looked up nor stored.
    pub bypass: bool,
}

impl Caching {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.key_parts.is_empty() && !self.bypass
    }

    /// The value of a part of the key.
    #[must_use]
    pub fn key_part(&self, name: &str) -> Option<&str> {
        self.key_parts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Adds a part of the key; a second value for a name replaces the first.
    pub fn add_key_part(&mut self, name: String, value: String) {
        match self.key_parts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.key_parts.push((name, value)),
        }
    }

    /// What both say; in doubt `later` is right.
    pub fn merge(&mut self, later: Self) {
        self.bypass |= later.bypass;
        later.key_parts.into_iter().for_each(|(name, value)| self.add_key_part(name, value));
    }
}

/// What a hook says of how the node keeps an answer; what it leaves open is as headers and policy say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keeping {
    /// The freshness lifetime, over what the headers say (never over `private` or `no-store`).
    pub ttl: Option<Duration>,
    /// How long past that it may be used while somebody asks the origin again.
    pub while_revalidate: Option<Duration>,
    /// How long past that it may be used when the origin fails.
    pub if_error: Option<Duration>,
    /// Whether it is not kept at all.
    pub no_store: bool,
    /// Purge tags to add to those of the headers: at most 50, 256 visible characters but commas each.
    pub tags: Vec<String>,
}

/// What a viewer-request hook decided.
#[derive(Debug)]
pub enum RequestOutcome {
    /// Go on with the request as edited, and with what the hook said of the answer's caching.
    Next(http::request::Parts, Caching),
    /// Answer with this; neither cache nor origin is asked.
    Respond(http::Response<Bytes>),
}

/// What an origin-request hook decided.
#[derive(Debug)]
pub enum OriginRequestOutcome {
    /// Ask the route's origin.
    Next {
        /// The request as edited.
        parts: http::request::Parts,
        /// What the hook will make of the answer, as a path in its store.
        derived: Option<String>,
    },
    /// Ask another origin. The name comes from the hook: look it up in the config and refuse what is not there, so that a
    /// hook can never reach an address that the operator did not name.
    RouteTo {
        /// The request as edited.
        parts: http::request::Parts,
        /// Name of an origin or origin group.
        origin: String,
        /// What the hook will make of the answer, as a path in its store.
        derived: Option<String>,
    },
    /// Treat this as the origin's answer.
    Respond(http::Response<Bytes>),
}

/// What an origin-response hook decided.
#[derive(Debug)]
pub struct OriginResponseOutcome<B> {
    /// The response to store and to answer. Where the hook replaced the body, `content-length` is right.
    pub response: http::Response<HookBody<B>>,
    /// How the node is to keep it.
    pub keeping: Keeping,
}

/// An origin-response call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct OriginResponseFailure<B> {
    /// What happened.
    #[source]
    pub error: HookError,
    /// With `on-error = "pass"`: the origin's response as it was, unless the call was cut off by the wall clock or the
    /// origin broke off under it; then the body is lost and the node can only fail.
    pub response: Option<Box<http::Response<HookBody<B>>>>,
}

impl<B> From<OriginResponseFailure<B>> for HookError {
    fn from(failure: OriginResponseFailure<B>) -> Self {
        failure.error
    }
}

/// A call about a request that failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RequestFailure<B> {
    /// What happened.
    #[source]
    pub error: HookError,
    /// With `on-error = "pass"`: the request's body as it was, unless the call was cut off by the wall clock or the viewer
    /// broke off under it; then the body is lost and the node can only fail.
    pub body: Option<HookBody<B>>,
}

impl<B> From<HookError> for RequestFailure<B> {
    fn from(error: HookError) -> Self {
        Self { error, body: None }
    }
}
