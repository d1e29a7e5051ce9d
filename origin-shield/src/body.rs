//! The body of an origin's answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::error::OriginError;
use crate::failure::{Cause, Failure};
use crate::pool::Lease;
use crate::trailers;
use crate::upload::BoxError;

/// The body of an origin's answer: ends well only if it is whole, and fails when the origin is silent for too long.
///
/// RFC 9112 section 8: a message that ends before its `Content-Length` or last chunk is incomplete, and is an error here.
/// Its connection goes back to the pool at its end, and is closed when it is dropped before. Boxed, since answers change hands
/// a dozen times.
pub struct OriginBody(Box<Arriving>);

struct Arriving {
    origin: Arc<str>,
    source: Source,
    /// `None` after the end, and for what no connection brings.
    lease: Option<Lease>,
    patience: Duration,
    silence: Silence,
}

enum Source {
    Connection(Incoming),
    Program(UnsyncBoxBody<Bytes, BoxError>),
}

/// The clock that runs only while the origin is waited for. Most bodies never need one.
enum Silence {
    Never,
    Before(Pin<Box<Sleep>>),
    Now(Pin<Box<Sleep>>),
}

impl OriginBody {
    pub(crate) fn new(origin: Arc<str>, incoming: Incoming, lease: Lease, patience: Duration) -> Self {
        let source = Source::Connection(incoming);
        let silence = Silence::Never;
        let mut body = Box::new(Arriving { origin, source, lease: Some(lease), patience, silence });
        body.hand_back_at_end();
        Self(body)
    }

    /// What a program of the node's own says.
    pub(crate) fn of_program(
        origin: Arc<str>,
        body: UnsyncBoxBody<Bytes, BoxError>,
        patience: Duration,
    ) -> Self {
        let source = Source::Program(body);
        Self(Box::new(Arriving { origin, source, lease: None, patience, silence: Silence::Never }))
    }
}

impl Arriving {
    fn hand_back_at_end(&mut self) {
        if self.source.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.hand_back(self.patience);
        }
    }

    fn failed(&mut self, cause: Cause) -> OriginError {
        self.lease = None;
        OriginError::Body { origin: self.origin.clone(), failure: cause.failure, detail: cause.detail }
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = OriginError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        let this = &mut *self.0;
        let Poll::Ready(frame) = this.source.poll_frame(context) else {
            ready!(this.silence.poll_too_long(this.patience, context));
            let detail = format!("no bytes for {:?} in the middle of the body", this.patience);
            if let Some(lease) = this.lease.take() {
                lease.distrust();
            }
            return Poll::Ready(Some(Err(this.failed(Cause::new(Failure::ResponseTimeout, detail)))));
        };
        this.silence.end();
        match frame {
            None => {
                if let Some(lease) = this.lease.take() {
                    if this.source.was_cut(&lease) {
                        let cause =
                            Cause::new(Failure::ResponseIncomplete, "the stream was reset before its end");
                        return Poll::Ready(Some(Err(this.failed(cause))));
                    }
                    lease.hand_back(this.patience);
                }
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                this.hand_back_at_end();
                Poll::Ready(trailers::permitted(frame).map(Ok))
            }
            Some(Err(cause)) => Poll::Ready(Some(Err(this.failed(cause)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0.source {
            Source::Connection(incoming) => incoming.size_hint(),
            Source::Program(body) => body.size_hint(),
        }
    }
}

impl Source {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match self {
            Self::Connection(incoming) => {
                Pin::new(incoming).poll_frame(context).map_err(|error| Cause::of_body(&error))
            }
            Self::Program(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|error| Cause::new(Failure::ResponseIncomplete, error.to_string())),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Connection(incoming) => incoming.is_end_stream(),
            Self::Program(body) => body.is_end_stream(),
        }
    }

    fn was_cut(&self, lease: &Lease) -> bool {
        matches!(self, Self::Connection(incoming) if lease.was_cut(incoming))
    }
}

impl Silence {
    fn poll_too_long(&mut self, patience: Duration, context: &mut Context<'_>) -> Poll<()> {
        let mut clock = match std::mem::replace(self, Self::Never) {
            Self::Now(clock) => clock,
            Self::Before(mut clock) => {
                clock.as_mut().reset(Instant::now() + patience);
                clock
            }
            Self::Never => Box::pin(sleep(patience)),
        };
        let polled = clock.as_mut().poll(context);
        *self = Self::Now(clock);
        polled
    }

    fn end(&mut self) {
        *self = match std::mem::replace(self, Self::Never) {
            Self::Now(clock) | Self::Before(clock) => Self::Before(clock),
            Self::Never => Self::Never,
        };
    }
}

impl fmt::Debug for OriginBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OriginBody").field("origin", &self.0.origin).finish_non_exhaustive()
    }
}
