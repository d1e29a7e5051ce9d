//! The body that a component writes, as it is read: it ends well only when the component has written all of it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::Running;
use crate::body::BodyError;

/// The body of a component's answer. The component writes no further ahead than two pieces of 64 KiB, and is ended when the body
/// is dropped before its end.
pub struct ResponderBody {
    /// `None` at its end.
    writing: Option<Writing>,
    /// Bytes still to come, where the head says how many.
    left: Option<u64>,
}

struct Writing {
    body: HyperOutgoingBody,
    call: Running,
    /// Whether the component is gone without having come to its end.
    broken: Arc<AtomicBool>,
    /// Whether what it has written is a part, and only the reason is still to come.
    is_unfinished: bool,
}

impl Writing {
    /// Why the body is only a part.
    fn reason(&mut self, context: &mut Context<'_>) -> Poll<BodyError> {
        if !self.broken.load(Ordering::Acquire) {
            return Poll::Ready("the component dropped its body unfinished".into());
        }
        let ended = ready!(self.call.poll(context));
        Poll::Ready(ended.err().map_or_else(|| "the component is gone".into(), Into::into))
    }
}

/// What the head says about the length of the body.
pub(super) fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl ResponderBody {
    pub(super) fn new(
        body: HyperOutgoingBody,
        left: Option<u64>,
        call: Running,
        broken: Arc<AtomicBool>,
    ) -> Self {
        let mut this = Self { writing: Some(Writing { body, call, broken, is_unfinished: false }), left };
        this.end_at_nothing();
        this
    }

    pub(super) fn none() -> Self {
        Self { writing: None, left: Some(0) }
    }

    /// A body of a known length is read to its last byte and no further.
    fn end_at_nothing(&mut self) {
        let is_empty = |writing: &Writing| writing.body.is_end_stream();
        if self.left == Some(0) || self.left.is_none() && self.writing.as_ref().is_some_and(is_empty) {
            self.end();
        }
    }

    /// What the component does after its answer is its own affair, within its limits.
    fn end(&mut self) {
        if let Some(writing) = self.writing.take() {
            writing.call.let_go();
        }
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), BodyError> {
        let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) else { return Ok(()) };
        *left = left.checked_sub(data.len() as u64).ok_or("more than its content-length")?;
        self.end_at_nothing();
        Ok(())
    }
}

impl Body for ResponderBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(writing) = &mut this.writing else { return Poll::Ready(None) };
        let failed = match writing.is_unfinished {
            true => ready!(writing.reason(context)),
            false => match ready!(Pin::new(&mut writing.body).poll_frame(context)) {
                Some(Ok(frame)) => match this.count(&frame) {
                    Ok(()) => return Poll::Ready(Some(Ok(frame))),
                    Err(failed) => failed,
                },
                None if this.left.is_some() => "less than its content-length".into(),
                None => {
                    this.end();
                    return Poll::Ready(None);
                }
                Some(Err(_)) => {
                    writing.is_unfinished = true;
                    ready!(writing.reason(context))
                }
            },
        };
        this.writing = None;
        Poll::Ready(Some(Err(failed)))
    }

    fn is_end_stream(&self) -> bool {
        self.writing.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.writing, self.left) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ResponderBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ResponderBody").field("left", &self.left).finish_non_exhaustive()
    }
}
