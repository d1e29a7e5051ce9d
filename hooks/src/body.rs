//! Bodies on their way through an origin-response hook.

use std::any::Any;
use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::held::Held;
use crate::meter::Budget;
use crate::transform::Transform;

/// What a body fails with.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The response body after an origin-response hook.
#[derive(Debug)]
pub enum HookBody<B> {
    /// The hook did not read it.
    Untouched(B),
    /// The hook read some or all of it and let it pass: what was read comes first, then the rest.
    Read {
        /// Chunks that the hook has seen.
        chunks: VecDeque<Bytes>,
        /// What it has not.
        rest: B,
        /// What the chunks take of the memory that the node gives to hooks.
        held: Held,
    },
    /// The hook's own.
    Replaced(Bytes),
    /// The hook rewrites it as it passes.
    Transformed(Box<Transform<B>>),
}

impl<B> Body for HookBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let rest = match self.get_mut() {
            HookBody::Replaced(bytes) if bytes.is_empty() => return Poll::Ready(None),
            HookBody::Replaced(bytes) => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
            }
            HookBody::Read { chunks, rest, held } => match chunks.pop_front() {
                Some(chunk) => {
                    held.give_back(chunk.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
                None => rest,
            },
            HookBody::Untouched(body) => body,
            HookBody::Transformed(transform) => return transform.poll(context),
        };
        Pin::new(rest).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            HookBody::Untouched(body) => body.is_end_stream(),
            HookBody::Read { chunks, rest, .. } => chunks.is_empty() && rest.is_end_stream(),
            HookBody::Replaced(bytes) => bytes.is_empty(),
            HookBody::Transformed(transform) => transform.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            HookBody::Untouched(body) => body.size_hint(),
            HookBody::Replaced(bytes) => SizeHint::with_exact(bytes.len() as u64),
            HookBody::Transformed(transform) => transform.size_hint(),
            HookBody::Read { chunks, rest, .. } => {
                let read: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
                let mut hint = rest.size_hint();
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper.saturating_add(read));
                }
                hint.set_lower(hint.lower().saturating_add(read));
                hint
            }
        }
    }
}

/// An origin's body whose type the guest's side need not know; the caller gets the very same value back.
trait AnyBody: Send {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;
    fn exact_size(&self) -> Option<u64>;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<B> AnyBody for B
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(self).poll_frame(context).map_err(Into::into)
    }

    fn exact_size(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Why a pull gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullError {
    /// Over the hook's body limit, or over the memory of all hooks.
    TooLarge,
    /// The origin broke off.
    Broken,
}

/// The origin's body as a guest pulls it. Chunks that were pulled are kept (they are reference-counted), because the
/// guest may read and then let the body pass; `limit` bounds them, and the memory of all hooks together.
pub(crate) struct OriginBody {
    source: Box<dyn AnyBody>,
    chunks: VecDeque<Bytes>,
    /// Pulled, but not yet handed to the guest.
    unread: Bytes,
    pulled: u64,
    limit: u64,
    held: Held,
    /// Over a limit: nothing more is pulled for the guest.
    full: bool,
    broken: bool,
}

/// Each chunk costs some tens of bytes beside its own, so there may be one for as many bytes of the limit, and a few more.
const BYTES_OF_CHUNK: u64 = 64;
const SPARE_CHUNKS: u64 = 1024;

impl OriginBody {
    pub(crate) fn new<B>(body: B, limit: u64, budget: &Arc<Budget>) -> Self
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        Self {
            source: Box::new(body),
            chunks: VecDeque::new(),
            unread: Bytes::new(),
            pulled: 0,
            limit,
            held: Held::nothing_of(budget),
            full: false,
            broken: false,
        }
    }

    /// The next bytes, at most `max` and never empty; `None` at the end.
    pub(crate) async fn read(&mut self, max: usize) -> Result<Option<Bytes>, PullError> {
        if self.unread.is_empty() && !self.pull().await? {
            return Ok(None);
        }
        let length = max.max(1).min(self.unread.len());
        Ok(Some(self.unread.split_to(length)))
    }

    /// Everything that is left.
    pub(crate) async fn read_all(&mut self, limit: usize) -> Result<Vec<u8>, PullError> {
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(PullError::TooLarge);
        }
        // What was pulled is kept anyway: a copy while the rest is on its way would double it.
        let (mut left, mut length) = (VecDeque::new(), 0);
        while let Some(bytes) = self.read(usize::MAX).await? {
            length += bytes.len();
            if length > limit {
                return Err(PullError::TooLarge);
            }
            left.push_back(bytes);
        }
        Ok(joined(&left).into())
    }

    /// All of the body, what the guest has read included; it still passes.
    pub(crate) async fn read_whole(&mut self) -> Result<Bytes, PullError> {
        let expected = self.source.exact_size().map(|rest| rest.saturating_add(self.pulled));
        if expected.is_some_and(|expected| expected > self.limit) {
            return Err(PullError::TooLarge);
        }
        let read = usize::try_from(self.pulled).unwrap_or(usize::MAX).saturating_sub(self.unread.len());
        while self.pull().await? {}
        let whole = joined(&self.chunks);
        self.chunks = VecDeque::from([whole.clone()]);
        // What the guest has not read is the end of it.
        self.unread = whole.slice(read.min(whole.len())..);
        Ok(whole)
    }

    pub(crate) fn length(&self) -> Option<u64> {
        let source = self.source.exact_size()?;
        Some(source.saturating_add(self.unread.len() as u64))
    }

    async fn pull(&mut self) -> Result<bool, PullError> {
        loop {
            if self.broken {
                return Err(PullError::Broken);
            }
            if self.full {
                return Err(PullError::TooLarge);
            }
            let frame = std::future::poll_fn(|context| self.source.poll_chunk(context)).await;
            let Some(frame) = frame else { return Ok(false) };
            let Ok(frame) = frame else {
                self.broken = true;
                return Err(PullError::Broken);
            };
            // Trailers are not part of the contract; they are dropped once the hook reads that far.
            let Ok(chunk) = frame.into_data() else { continue };
            if chunk.is_empty() {
                continue;
            }
            self.full = !self.fits(chunk.len() as u64);
            // Even one that is too much, since the body may yet pass.
            self.chunks.push_back(chunk.clone());
            if !self.full {
                self.unread = chunk;
                return Ok(true);
            }
        }
    }

    fn fits(&mut self, bytes: u64) -> bool {
        self.pulled = self.pulled.saturating_add(bytes);
        let most_chunks = self.limit / BYTES_OF_CHUNK + SPARE_CHUNKS;
        self.pulled <= self.limit && (self.chunks.len() as u64) < most_chunks && self.held.take(bytes)
    }

    /// Whether the origin's body failed under the guest's hands: then it must not pass as if it were whole.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The same, if it did not break off.
    pub(crate) fn whole<B: 'static>(self) -> Option<HookBody<B>> {
        if self.broken { None } else { self.finish() }
    }

    /// The caller's own body back, with what was read of it; `None` if `B` is not what went in.
    pub(crate) fn finish<B: 'static>(self) -> Option<HookBody<B>> {
        let body = *self.source.into_any().downcast::<B>().ok()?;
        if self.chunks.is_empty() {
            return Some(HookBody::Untouched(body));
        }
        Some(HookBody::Read { chunks: self.chunks, rest: body, held: self.held })
    }
}

fn joined(chunks: &VecDeque<Bytes>) -> Bytes {
    if let Some(only) = chunks.front().filter(|_| chunks.len() == 1) {
        return only.clone();
    }
    let mut whole = Vec::with_capacity(chunks.iter().map(Bytes::len).sum());
    chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
    Bytes::from(whole)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    fn body(text: &'static str) -> Full<Bytes> {
        Full::new(Bytes::from_static(text.as_bytes()))
    }

    fn of<B>(body: B, limit: u64) -> OriginBody
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        OriginBody::new(body, limit, &Arc::new(Budget::new(u64::MAX)))
    }

    /// Endless, in chunks of one size.
    struct Endless(usize);

    impl Body for Endless {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; self.0])))))
        }
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    async fn whole(body: HookBody<Full<Bytes>>) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[test]
    fn a_body_that_nobody_reads_comes_back_untouched() {
        let finished = of(body("hello"), 100).finish::<Full<Bytes>>().unwrap();
        assert!(matches!(finished, HookBody::Untouched(_)));
    }

    #[test]
    fn what_was_read_is_replayed_before_the_rest() {
        block(async {
            let mut origin = of(body("hello"), 100);
            assert_eq!(origin.read(2).await.unwrap().unwrap(), "he");
            assert_eq!(origin.length(), Some(3));
            let finished = origin.finish::<Full<Bytes>>().unwrap();
            assert_eq!(finished.size_hint().exact(), Some(5));
            assert_eq!(whole(finished).await, "hello");
        });
    }

    #[test]
    fn read_all_refuses_before_reading_when_the_length_is_known() {
        block(async {
            let mut origin = of(body("hello"), 100);
            assert_eq!(origin.read_all(4).await, Err(PullError::TooLarge));
            assert_eq!(origin.read_all(5).await.unwrap(), b"hello");
            assert_eq!(origin.read(9).await.unwrap(), None);
        });
    }

    #[test]
    fn the_whole_is_there_whatever_was_read_and_still_passes() {
        block(async {
            let mut origin = of(body("hello"), 5);
            assert_eq!(origin.read(2).await.unwrap().unwrap(), "he");
            assert_eq!(origin.read_whole().await.unwrap(), "hello");
            assert_eq!(origin.read_whole().await.unwrap(), "hello");
            assert_eq!(origin.read(9).await.unwrap().unwrap(), "llo");
            assert_eq!(whole(origin.finish::<Full<Bytes>>().unwrap()).await, "hello");
            assert_eq!(of(body("hello"), 4).read_whole().await, Err(PullError::TooLarge));
        });
    }

    #[test]
    fn the_hook_limit_holds_whatever_the_guest_asks() {
        block(async {
            let mut origin = of(body("hello"), 4);
            assert_eq!(origin.read(2).await, Err(PullError::TooLarge));
        });
    }

    #[test]
    fn nothing_is_kept_of_what_a_guest_asks_for_after_too_much() {
        block(async {
            let mut origin = of(Endless(3), 4);
            assert_eq!(origin.read(9).await.unwrap().unwrap(), "xxx");
            for _ in 0..100 {
                assert_eq!(origin.read(9).await, Err(PullError::TooLarge));
            }
            assert_eq!(origin.chunks.len(), 2, "the one that was too much passes too");
        });
    }

    #[test]
    fn chunks_of_a_byte_are_bounded_by_what_they_cost() {
        block(async {
            let mut origin = of(Endless(1), 64 << 10);
            let mut read = 0;
            while origin.read(9).await.is_ok() {
                read += 1;
            }
            assert_eq!(read, 2048);
        });
    }

    #[test]
    fn what_was_read_counts_until_it_has_gone_on() {
        block(async {
            let budget = Arc::new(Budget::new(5));
            let mut first = OriginBody::new(Endless(5), 100, &budget);
            first.read(5).await.unwrap();
            let mut second = OriginBody::new(body("hello"), 100, &budget);
            assert_eq!(second.read(5).await, Err(PullError::TooLarge));
            let mut passing = first.finish::<Endless>().unwrap();
            passing.frame().await.unwrap().unwrap();
            assert!(OriginBody::new(body("hello"), 100, &budget).read(5).await.is_ok(), "it is free again");
            let mut third = OriginBody::new(body("hello"), 100, &budget);
            third.read(5).await.unwrap();
            drop(third.finish::<Full<Bytes>>());
            assert!(budget.take(5));
        });
    }
}
