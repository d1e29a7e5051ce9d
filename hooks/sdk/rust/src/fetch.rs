//! Requests of the hook's own to origins that its settings name; no other address can be reached.
//!
//! ```toml
//! [hook.login]
//! fetch = ["api"]        # an origin or origin group of the node's configuration
//! ```
//!
//! ```no_run
//! use selvedge_hook::prelude::*;
//! use std::time::Duration;
//!
//! hook!(viewer-request: only_members);
//!
//! fn only_members(request: &Request) -> Result<Option<Response>> {
//!     let session = request.cookie("session").unwrap_or_default();
//!     let verdict = fetch::get("api", "/session")
//!         .header("authorization", format!("Bearer {session}"))
//!         .timeout(Duration::from_millis(200))
//!         .send()?;
//!     if verdict.status() == 200 { Ok(None) } else { Ok(Some(Response::redirect(302, "/login")?)) }
//! }
//! ```

use std::fmt;
use std::time::Duration;

use crate::Response;
use crate::bindings::selvedge::edge::fetch as raw;

/// A request to one of the origins. It goes through the node's own connections, as the origin is configured: trying again
/// and failing over are the node's.
#[derive(Debug)]
#[must_use = "it is sent by `send`"]
pub struct Fetch(raw::FetchRequest);

/// Asks for something: `get("api", "/prices?of=7")`.
pub fn get(origin: &str, path: &str) -> Fetch {
    Fetch::new("GET", origin, path)
}

/// Sends something.
pub fn post(origin: &str, path: &str, body: impl Into<Vec<u8>>) -> Fetch {
    Fetch::new("POST", origin, path).body(body)
}

impl Fetch {
    /// By any method, with path and query.
    pub fn new(method: &str, origin: &str, path: &str) -> Self {
        Self(raw::FetchRequest {
            origin: origin.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
        })
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// Waits no longer than this, in whole milliseconds, for the whole answer; else as long as the call may last.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sends it and waits for the whole answer. A status of whatever kind is an answer; it may be the hook's own as it is.
    ///
    /// # Errors
    /// [`FetchError`]
    pub fn send(self) -> Result<Response, FetchError> {
        Ok(Response::from_owned(raw::send(&self.0)?))
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchError {
    /// The settings do not name this origin or store, or a header belongs to the node.
    Denied,
    /// No valid method, path or header.
    Invalid,
    /// No origin could be connected to.
    Unreachable,
    /// None answered in time.
    Timeout,
    /// The body is larger than the hook may send or read, or the head than the node lets pass.
    TooLarge,
    /// As many requests as one call may send (`limits.fetches`) have been sent.
    Budget,
    /// What came is no complete answer.
    Protocol,
}

impl From<raw::FetchError> for FetchError {
    fn from(error: raw::FetchError) -> Self {
        match error {
            raw::FetchError::Denied => Self::Denied,
            raw::FetchError::Invalid => Self::Invalid,
            raw::FetchError::Unreachable => Self::Unreachable,
            raw::FetchError::Timeout => Self::Timeout,
            raw::FetchError::TooLarge => Self::TooLarge,
            raw::FetchError::Budget => Self::Budget,
            raw::FetchError::Protocol => Self::Protocol,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Denied => "the hook's settings allow no such request",
            Self::Invalid => "method, path or a header of the request is not valid",
            Self::Unreachable => "no origin could be connected to",
            Self::Timeout => "no origin answered in time",
            Self::TooLarge => "the request or its answer is too large",
            Self::Budget => "this call may send no more requests (limits.fetches)",
            Self::Protocol => "what the origin sent is no complete answer",
        })
    }
}

impl std::error::Error for FetchError {}
