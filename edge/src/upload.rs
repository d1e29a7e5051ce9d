//! A request's body on its way to the origin, with limited patience for the viewer who sends it.

use crate::body::Body;
use bytes::Bytes;
use hooks::HookBody;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, HeaderValue, Response, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use origin_shield::{BodyUnread, BoxError, OutgoingBody};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A body that fails when the viewer pauses too long.
#[derive(Debug)]
pub struct Upload {
    body: Incoming,
    version: Version,
    pause: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// The viewer paused too long.
#[derive(Debug, thiserror::Error)]
#[error("the viewer sent nothing of its body for {0:?}")]
pub struct Paused(Duration);

/// The viewer reset the stream before the end of its body.
#[derive(Debug, thiserror::Error)]
#[error("the viewer reset the stream before its end")]
pub struct Cut;

impl Upload {
    /// The body for the origin, as it came in this version of HTTP; `pause` is how long the viewer may send nothing.
    #[must_use]
    pub fn outgoing(body: Incoming, version: Version, pause: Duration) -> OutgoingBody {
        if body.is_end_stream() {
            return OutgoingBody::Empty;
        }
        OutgoingBody::Stream(Self { body, version, pause, timer: None }.boxed_unsync())
    }
}

/// The body after a hook, which may have read some of it.
#[must_use]
pub fn carried(body: HookBody<OutgoingBody>) -> OutgoingBody {
    match body {
        HookBody::Untouched(body) => body,
        HookBody::Replaced(bytes) if bytes.is_empty() => OutgoingBody::Empty,
        other => OutgoingBody::Stream(other.boxed_unsync()),
    }
}

/// The same; where it is the hook's own, the head says how long it is, and that nobody need wait for it.
#[must_use]
pub fn exchanged(headers: &mut HeaderMap, body: HookBody<OutgoingBody>) -> OutgoingBody {
    if let HookBody::Replaced(bytes) = &body {
        headers.insert(CONTENT_LENGTH, bytes.len().into());
        headers.remove(EXPECT);
    }
    carried(body)
}

/// Says that the connection ends with an answer which came without the request's body having been read: a viewer that sends
/// it all the same would be taken to ask for something (RFC 9110 §10.1.1, RFC 9112 §9.6).
#[must_use]
pub fn settle(version: Version, mut response: Box<Response<Body>>) -> Box<Response<Body>> {
    let is_unread = response.extensions_mut().remove::<BodyUnread>().is_some();
    if is_unread && version == Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.timer = None;
            // A stream that was reset without an error looks ended; a part must never reach the origin as the whole.
            if frame.is_none() && this.version == Version::HTTP_2 && !this.body.is_end_stream() {
                return Poll::Ready(Some(Err(Cut.into())));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let pause = this.pause;
        let timer =
            this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + pause)));
        timer.as_mut().poll(context).map(|()| Some(Err(Paused(pause).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
