//! What a hook wants: plain values that the pipeline turns into control flow.

use std::time::Duration;

use bytes::Bytes;

use crate::body::HookBody;
use crate::error::HookError;

/// What a viewer-request hook decided.
#[derive(Debug)]
pub enum RequestOutcome {
    /// Go on with the request as edited.
    Next(http::request::Parts),
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
    /// The hook's own freshness lifetime, over what the headers say (never over `private` or `no-store`).
    pub ttl: Option<Duration>,
    /// Purge tags to add to those of the response: at most 50, 256 visible characters each.
    pub tags: Vec<String>,
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
