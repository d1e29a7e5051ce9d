//! Programs of the node's own that answer as origins. What they are and who runs them is not known here.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;

use crate::failure::Failure;
use crate::upload::{BoxError, OutgoingBody};

/// What answers requests where no connection leads to. It may be asked on any thread that has a runtime with time.
pub trait Program: fmt::Debug + Send + Sync {
    /// Answers a request, whose target is path and query, and which says in its extensions what edge has put there. Dropping the
    /// future or the body gives the request up.
    fn answer(&self, request: Request<OutgoingBody>) -> Answering<'_>;

    /// What tells this program from another of the same settings.
    fn version(&self) -> &str;

    /// Whether it sends requests of its own, and so is to be given a way.
    fn reaches_out(&self) -> bool;
}

/// The head of the answer, some time, and its body as it flows; an error in the body is told as it stands.
pub type Answering<'a> =
    Pin<Box<dyn Future<Output = Result<Response<UnsyncBoxBody<Bytes, BoxError>>, Unanswered>> + Send + 'a>>;

/// A program gave no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// What that comes to for an origin.
    pub failure: Failure,
    /// Why, for the log.
    pub detail: String,
}
