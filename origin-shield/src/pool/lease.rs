//! One connection in the hands of one request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::time::{Instant, timeout};

use super::{Pool, Term};
use crate::expect::Refused;
use crate::failure::Cause;
use crate::upload::{OutgoingBody, Progress, Sending};

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
    lent: Lent,
    /// How the body of its request goes, if it has one.
    upload: Option<Progress>,
    /// A body that the origin has not wanted: its request stays unfinished, and the connection of no further use.
    refused: Option<Refused>,
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
        Self { sender, was_used, lent: Lent(Some(term)), upload: None, refused: None, pool: pool.clone() }
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
        let is_complete = body.is_end_stream() || self.upload.is_some() && body.size_hint().lower() == 0;
        self.is_http2() && !is_complete
    }

    pub(crate) async fn send(&mut self, request: Request<Sending>) -> Result<Response<Incoming>, Unsent> {
        self.upload = request.body().progress();
        let outcome = match &mut self.sender {
            Sender::Http1(sender) | Sender::Dedicated(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        };
        outcome.map_err(unsent)
    }

    /// After an answer that never came: no other request should wait on the same connection for one.
    pub(crate) fn distrust(self) {
        if let (true, Some(term)) = (self.is_http2(), &self.lent.0) {
            self.pool.distrust_shared(term);
        }
    }

    /// The origin has answered without the body of the request.
    pub(crate) fn leave_unfinished(&mut self, refused: Refused) {
        self.refused = Some(refused);
    }

    /// The answer was read to its end. `patience` is how long the origin may take nothing of a body that is still being sent.
    pub(crate) fn hand_back(mut self, patience: Duration) {
        if self.refused.is_some() {
            return;
        }
        if let (Some(term), Sender::Http1(sender)) = (self.lent.0.take(), self.sender) {
            self.pool.park(sender, term, Unfinished { upload: self.upload, patience });
        }
    }
}

/// The connection is cut when this is dropped, unless it was handed back.
struct Lent(Option<Arc<Term>>);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(term) = self.0.take() {
            term.cut();
        }
    }
}

/// What a connection may still have to do when its answer was read.
pub(super) struct Unfinished {
    upload: Option<Progress>,
    patience: Duration,
}

impl Unfinished {
    /// Whether all is done in time, and the connection as good as before.
    pub(super) async fn ends(&self, sender: &mut http1::SendRequest<Sending>) -> bool {
        loop {
            let is_taken = |upload: &Progress| upload.deadline(Instant::now(), self.patience).is_some();
            match timeout(self.patience, sender.ready()).await {
                Ok(outcome) => return outcome.is_ok(),
                Err(_) if self.upload.as_ref().is_some_and(is_taken) => {}
                Err(_) => return false,
            }
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
