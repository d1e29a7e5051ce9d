//! What only the node can do for a hook: ask origins.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::body::BodyError;
use crate::held::Held;
use crate::settings::HookSettings;

/// The node's origins, as one call of a hook reaches them. The hook's settings have been obeyed before it is asked.
pub trait Outside: Debug + Send + Sync {
    /// Asks an origin and reads its answer whole. Dropping the future gives the request up. It may be polled on any thread.
    fn fetch(&self, fetch: Fetch) -> Fetching;

    /// The same with bodies that flow in both directions: the answer is here with its head.
    /// Where nothing of the kind is offered, it is denied.
    fn pass(&self, passing: Passing) -> Streaming {
        drop(passing);
        Box::pin(async { Err(FetchError::Denied) })
    }
}

/// One request of a hook.
#[derive(Debug)]
pub struct Fetch {
    /// An origin or origin group of the config.
    pub origin: Arc<str>,
    /// The target is path and query; the hook's own headers are checked, and none of the node's is among them.
    pub request: http::Request<Bytes>,
    /// For the whole answer.
    pub timeout: Duration,
    /// Most bytes of the answer's body.
    pub limit: u64,
    /// What the body takes of the memory of all hooks while it comes; [`FetchError::TooLarge`] where it finds none.
    pub held: Arc<Held>,
}

/// The whole answer, some time.
pub type Fetching = Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, FetchError>> + Send>>;

/// One request of a component that is an origin itself.
#[derive(Debug)]
pub struct Passing {
    /// An origin or origin group of the config.
    pub origin: Arc<str>,
    /// The target is path and query; the fields are the component's own.
    pub request: http::Request<UnsyncBoxBody<Bytes, BodyError>>,
    /// For the head of the answer; `None` is as long as the origin's own settings give it.
    pub timeout: Option<Duration>,
}

/// The head of the answer, some time, and its body as it flows.
pub type Streaming =
    Pin<Box<dyn Future<Output = Result<http::Response<UnsyncBoxBody<Bytes, BodyError>>, FetchError>> + Send>>;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchError {
    /// Nothing of that name may be asked, or not for that.
    Denied,
    /// The request cannot be sent as it is.
    Invalid,
    /// No origin could be connected to.
    Unreachable,
    /// None answered in time.
    Timeout,
    /// The answer's body is over [`Fetch::limit`], or finds no memory.
    TooLarge,
    /// What came is no complete answer.
    Protocol,
}

impl FetchError {
    /// The word of the contract, for metrics.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            FetchError::Denied => "denied",
            FetchError::Invalid => "invalid",
            FetchError::Unreachable => "unreachable",
            FetchError::Timeout => "timeout",
            FetchError::TooLarge => "too-large",
            FetchError::Protocol => "protocol",
        }
    }
}

/// Whom a hook may ask: one for all its calls.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) origins: Vec<Arc<str>>,
    pub(crate) store: Option<Arc<str>>,
}

impl Reach {
    pub(crate) fn of(settings: &HookSettings) -> Self {
        Self {
            origins: settings.fetch.iter().map(|name| name.as_str().into()).collect(),
            store: settings.store.as_deref().map(Into::into),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.origins.is_empty() && self.store.is_none()
    }
}

/// What one call may still fetch.
#[derive(Debug)]
pub(crate) struct Allowance {
    pub(crate) reach: Arc<Reach>,
    /// Requests.
    pub(crate) fetches: u32,
    /// Bytes of answers.
    pub(crate) bytes: u64,
}
