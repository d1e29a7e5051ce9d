//! Bodies that wait for the origin's word (RFC 9110 section 10.1.1): a viewer who says `Expect: 100-continue` sends its body only
//! once the origin wants it, and not at all when the origin has answered without.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::HeaderMap;
use http::header::EXPECT;
use http_body::{Body, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::upload::{BoxError, OutgoingBody};

/// Among the extensions of an answer: the request's body was not wanted, and not read.
#[derive(Debug, Clone, Copy)]
pub struct BodyUnread;

/// Whether a request's body waits for a word.
pub(crate) fn is_expected(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// A body that is held back, in the hands of those who hear what the origin says.
#[derive(Clone)]
pub(crate) struct Hold(Arc<Mutex<Held>>);

struct Held {
    body: Option<OutgoingBody>,
    word: Word,
    sender: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Word {
    Awaited,
    /// 100, or none for too long.
    Wanted,
    /// A final answer came first. The request stays unfinished until that has been read.
    Unwanted,
    /// It has been read: the request ends unfinished, and so does its connection.
    Over,
}

impl Hold {
    /// The body is wanted: it is sent.
    pub(crate) fn release(&self) {
        self.say(Word::Awaited, Word::Wanted);
    }

    /// A final answer has come. If the body is still held back, it is dropped unread.
    pub(crate) fn refuse(&self) -> Option<Refused> {
        if !self.say(Word::Awaited, Word::Unwanted) {
            return None;
        }
        // Not under the lock: it may be anything.
        let unread = self.held().body.take();
        drop(unread);
        Some(Refused(self.clone()))
    }

    fn say(&self, before: Word, word: Word) -> bool {
        let mut held = self.held();
        let is_said = held.word == before;
        if is_said {
            held.word = word;
            if let Some(sender) = held.sender.take() {
                sender.wake();
            }
        }
        is_said
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kept until the answer has been read, or nobody reads it: the request then ends unfinished, and its connection with it.
#[derive(Debug)]
pub(crate) struct Refused(Hold);

impl Drop for Refused {
    fn drop(&mut self) {
        self.0.say(Word::Unwanted, Word::Over);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Hold").field(&self.held().word).finish()
    }
}

/// The same in the hands of the connection that is to send it.
#[derive(Debug)]
pub(crate) struct Waiting {
    hold: Hold,
    size: SizeHint,
    patience: Pin<Box<Sleep>>,
}

impl Waiting {
    /// Holds `body` back for so long at most.
    pub(crate) fn new(body: OutgoingBody, patience: Duration) -> Self {
        let size = body.size_hint();
        let held = Held { body: Some(body), word: Word::Awaited, sender: None };
        Self { hold: Hold(Arc::new(Mutex::new(held))), size, patience: Box::pin(sleep(patience)) }
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// How long the body is, as far as it is known.
    pub(crate) fn size(&self) -> SizeHint {
        self.size
    }

    /// The body, if it was not refused.
    pub(crate) fn take(&self) -> Option<OutgoingBody> {
        self.hold.held().body.take()
    }

    /// The body as soon as it is wanted; an error when the request has to end without.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<OutgoingBody, BoxError>> {
        if self.patience.as_mut().poll(context).is_ready() {
            self.hold.release();
        }
        let mut held = self.hold.held();
        match held.word {
            Word::Wanted => Poll::Ready(Ok(held.body.take().unwrap_or_default())),
            Word::Over => Poll::Ready(Err("the origin has answered without the body".into())),
            Word::Awaited | Word::Unwanted => {
                held.sender = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use std::future::poll_fn;

    const PATIENCE: Duration = Duration::from_millis(50);

    fn waiting() -> Waiting {
        let body = Full::new(Bytes::from("four")).map_err(|never| match never {});
        Waiting::new(OutgoingBody::Stream(body.boxed_unsync()), PATIENCE)
    }

    #[tokio::test]
    async fn a_body_is_sent_when_the_origin_says_so_or_says_nothing() {
        for is_said in [true, false] {
            let mut waiting = waiting();
            assert_eq!(waiting.size().exact(), Some(4));
            let began = tokio::time::Instant::now();
            if is_said {
                waiting.hold().release();
            }
            let body = poll_fn(|context| waiting.poll(context)).await.unwrap();
            assert_eq!(body.size_hint().exact(), Some(4));
            assert_eq!(began.elapsed() >= PATIENCE, !is_said);
            assert!(waiting.hold().refuse().is_none(), "it is on its way");
        }
    }

    #[tokio::test]
    async fn a_refused_body_is_never_sent_and_its_request_ends_with_the_answer() {
        let mut waiting = waiting();
        let refused = waiting.hold().refuse().unwrap();
        assert!(waiting.take().is_none(), "dropped at once");
        let early = tokio::time::timeout(10 * PATIENCE, poll_fn(|context| waiting.poll(context)));
        assert!(early.await.is_err(), "the answer may still be read");
        drop(refused);
        assert!(poll_fn(|context| waiting.poll(context)).await.is_err());
    }
}
