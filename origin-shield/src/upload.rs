//! The body on its way to the origin.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::{Instant, timeout_at};

use crate::expect::{Hold, Waiting};
use crate::trailers;

/// Any error that the source of a request body may bring.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request to an origin.
#[derive(Default)]
pub enum OutgoingBody {
    /// No body: the request can be sent again.
    #[default]
    Empty,
    /// A body that is read as the origin takes it, and is sent to at most one origin.
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl OutgoingBody {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl fmt::Debug for OutgoingBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_empty() { "Empty" } else { "Stream" })
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Stream(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// A body in the hands of a connection, which notes how the sending goes.
#[derive(Debug)]
pub(crate) struct Sending {
    body: OutgoingBody,
    progress: Option<Progress>,
    /// The body, as long as the origin has not asked for it.
    waiting: Option<Box<Waiting>>,
}

impl Sending {
    /// The body to send, and how to look after it; a request without one has no progress to watch.
    pub(crate) fn new(body: OutgoingBody) -> (Self, Option<Progress>) {
        let progress = (!body.is_empty()).then(Progress::default);
        (Self { body, progress: progress.clone(), waiting: None }, progress)
    }

    /// The same, held back until the origin asks for it, but no longer than `patience` (RFC 9110 section 10.1.1).
    pub(crate) fn held_back(self, patience: Duration) -> (Self, Hold) {
        let waiting = Waiting::new(self.body, patience);
        let hold = waiting.hold().clone();
        (Self { body: OutgoingBody::Empty, waiting: Some(Box::new(waiting)), ..self }, hold)
    }

    /// How the sending goes; `None` for a request without a body.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.progress.clone()
    }

    /// The body of a request that the connection gave back untouched.
    pub(crate) fn into_body(self) -> OutgoingBody {
        self.waiting.and_then(|waiting| waiting.take()).unwrap_or(self.body)
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(waiting) = &mut self.waiting {
            self.body = ready!(waiting.poll(context))?;
            self.waiting = None;
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Some(progress) = &self.progress {
            progress.note(match &polled {
                Poll::Pending => Turn::Viewer,
                Poll::Ready(Some(Err(_))) => Turn::Broken,
                Poll::Ready(_) => Turn::Origin(Instant::now()),
            });
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(trailers::permitted(frame).map(Ok)),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.waiting {
            Some(waiting) => waiting.size(),
            None => self.body.size_hint(),
        }
    }
}

/// How the sending of one body goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Option<Turn>>>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    /// The next piece has to come from the viewer: the origin cannot be late.
    Viewer,
    /// The origin took a piece then, and may take the next one or answer.
    Origin(Instant),
    /// The viewer's side failed.
    Broken,
}

impl Progress {
    fn note(&self, turn: Turn) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
    }

    fn turn(&self) -> Option<Turn> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when the origin still has to be waited for, if it may be silent for `limit`; `None` when it is late.
    pub(crate) fn deadline(&self, now: Instant, limit: Duration) -> Option<Instant> {
        let deadline = match self.turn()? {
            Turn::Viewer => now + limit,
            Turn::Origin(since) => since + limit,
            Turn::Broken => return None,
        };
        (deadline > now).then_some(deadline)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.turn() == Some(Turn::Broken)
    }

    /// Whether nobody has asked for any of it.
    pub(crate) fn is_untouched(&self) -> bool {
        self.turn().is_none()
    }
}

/// Waits for the head of an answer for as long as the origin, and not the viewer's upload, is what is waited for; `None` when the
/// origin is silent for longer than `limit`.
pub(crate) async fn patiently<T>(
    limit: Duration,
    progress: Option<&Progress>,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let mut deadline = Instant::now() + limit;
    loop {
        match timeout_at(deadline, answer.as_mut()).await {
            Ok(outcome) => return Some(outcome),
            Err(_) => deadline = progress.and_then(|progress| progress.deadline(Instant::now(), limit))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_body_is_known_to_be_empty_before_it_is_read() {
        assert!(OutgoingBody::Empty.is_end_stream());
        assert_eq!(OutgoingBody::Empty.size_hint().exact(), Some(0));
        assert!(Sending::new(OutgoingBody::Empty).1.is_none());
    }

    #[tokio::test]
    async fn only_the_origins_own_silence_counts() {
        let (limit, start) = (Duration::from_secs(30), Instant::now());
        let progress = Progress::default();
        assert_eq!(progress.deadline(start, limit), None, "nothing was taken at all");
        progress.note(Turn::Viewer);
        assert_eq!(
            progress.deadline(start, limit),
            Some(start + limit),
            "the viewer's turn never makes it late"
        );
        progress.note(Turn::Origin(start));
        let later = start + Duration::from_secs(10);
        assert_eq!(progress.deadline(later, limit), Some(start + limit));
        assert_eq!(progress.deadline(start + limit, limit), None);
        progress.note(Turn::Broken);
        assert!(progress.is_broken());
    }
}
