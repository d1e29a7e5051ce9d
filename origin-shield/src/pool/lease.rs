//! One connection in the hands of one request.

use std::fmt;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};

use super::{Pool, Term};
use crate::failure::Cause;
use crate::upload::{OutgoingBody, Sending};

pub(super) enum Sender {
    Http1(http1::SendRequest<Sending>),
    /// HTTP/1.1 for one request alone.
    Dedicated(http1::SendRequest<Sending>),
    Http2(http2::SendRequest<Sending>),
}

/// A connection for one request. Handing it back keeps it open for the next; dropping it closes it, unless it is shared.
pub(crate) struct Lease {
    sender: Sender,
    was_used: bool,
    term: Arc<Term>,
    /// Whether its request has a body.
    uploads: bool,
    pool: Arc<Pool>,
}

/// Why no answer came.
pub(crate) struct Unsent {
    pub(crate) cause: Cause,
    /// The request's body, if nothing of the request ever left.
    pub(crate) body: Option<OutgoingBody>,
}

impl Lease {
    pub(super) fn new(sender: Sender, was_used: bool, term: Arc<Term>, pool: &Arc<Pool>) -> Self {
        Self { sender, was_used, term, uploads: false, pool: pool.clone() }
    }

    /// Whether the connection carried requests before, so that it may have ended without the origin being down.
    pub(crate) fn was_used(&self) -> bool {
        self.was_used
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Whether an answer whose body has just ended was cut off. RFC 9113 section 8.1 lets an origin reset a stream without an
    /// error after a complete answer, to stop an upload; without one such a reset is no end.
    pub(crate) fn was_cut(&self, body: &Incoming) -> bool {
        self.is_http2() && !self.uploads && !body.is_end_stream()
    }

    pub(crate) async fn send(&mut self, request: Request<Sending>) -> Result<Response<Incoming>, Unsent> {
        self.uploads = !request.body().is_end_stream();
        let outcome = match &mut self.sender {
            Sender::Http1(sender) | Sender::Dedicated(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        };
        outcome.map_err(unsent)
    }

    /// After an answer that never came: no other request should wait on the same connection for one.
    pub(crate) fn distrust(self) {
        if self.is_http2() {
            self.pool.distrust_shared();
        }
    }

    /// The answer was read to its end.
    pub(crate) fn hand_back(self) {
        if let Sender::Http1(sender) = self.sender {
            self.pool.park(sender, self.term);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lease").field("was_used", &self.was_used).finish_non_exhaustive()
    }
}

fn unsent(mut error: TrySendError<Request<Sending>>) -> Unsent {
    let body = error.take_message().map(|request| request.into_body().into_body());
    Unsent { cause: Cause::of_exchange(error.error()), body }
}
