//! The one body type: whatever flows to a viewer.

use bytes::Bytes;
use cache::Reader;
use compress::{Flow, Plain};
use hooks::HookBody;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};
use origin_shield::OriginBody;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::compress;
use crate::slices::Walk;

/// What a body fails with. It always ends the viewer's transfer without a clean end.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way to a viewer, or from the origin into the cache.
#[derive(Debug)]
pub enum Body {
    /// All bytes at hand; empty is none.
    Whole(Bytes),
    /// From an entry, which may still be filling.
    Entry(EntryBody),
    /// From the origin, not stored.
    Origin(OriginBody),
    /// What an origin-response hook made of it.
    Hook(Box<HookBody<Body>>),
    /// Encoded or decoded as it flows.
    Coded(Box<Flow>),
    /// Decoded as it flows, for hooks.
    Plain(Box<Plain>),
    /// Slices of a large object.
    Slices(Box<Walk>),
    /// Several, one after the other.
    Chain(Box<Chain>),
}

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    /// The length in bytes, where the body knows it or its headers declare it.
    #[must_use]
    pub fn length(&self, headers: &HeaderMap) -> Option<u64> {
        let declared = || headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        HttpBody::size_hint(self).exact().or_else(declared)
    }
}

/// A part of an entry's body, or all of it.
#[derive(Debug)]
pub struct EntryBody {
    reader: Reader,
    skip: u64,
    /// Bytes still to give; `None` until the end, wherever that is.
    take: Option<u64>,
}

impl EntryBody {
    /// `take` bytes after the first `skip`; all that come where `take` is `None`.
    #[must_use]
    pub fn new(reader: Reader, skip: u64, take: Option<u64>) -> Self {
        Self { reader, skip, take }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if self.take == Some(0) {
                return Poll::Ready(None);
            }
            let mut chunk = match ready!(self.reader.poll_next(context)) {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            };
            let skipped = self.skip.min(chunk.len() as u64);
            self.skip -= skipped;
            let _ = chunk.split_to(skipped as usize);
            if let Some(take) = &mut self.take {
                chunk.truncate(usize::try_from(*take).unwrap_or(usize::MAX));
                *take -= chunk.len() as u64;
            }
            if !chunk.is_empty() {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
    }
}

/// Bodies one after the other, each of a known length.
#[derive(Debug, Default)]
pub struct Chain {
    bodies: VecDeque<Body>,
}

impl Chain {
    /// Adds one at the end.
    pub fn push(&mut self, body: Body) {
        self.bodies.push_back(body);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while let Some(first) = self.bodies.front_mut() {
            match ready!(Pin::new(first).poll_frame(context)) {
                None => drop(self.bodies.pop_front()),
                frame => return Poll::Ready(frame),
            }
        }
        Poll::Ready(None)
    }

    fn length(&self) -> Option<u64> {
        self.bodies.iter().map(|body| HttpBody::size_hint(body).exact()).sum()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Entry(entry) => entry.poll(context).map_ok(Frame::data),
            Self::Origin(origin) => Pin::new(origin).poll_frame(context).map_err(Into::into),
            Self::Hook(hook) => Pin::new(&mut **hook).poll_frame(context),
            Self::Coded(flow) => flow.poll(context).map_ok(Frame::data),
            Self::Plain(plain) => plain.poll(context).map_ok(Frame::data),
            Self::Slices(walk) => walk.poll(context).map_ok(Frame::data),
            Self::Chain(chain) => chain.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Entry(entry) => entry.take == Some(0),
            Self::Origin(origin) => origin.is_end_stream(),
            Self::Hook(hook) => hook.is_end_stream(),
            Self::Coded(_) | Self::Plain(_) => false,
            Self::Slices(walk) => walk.length() == 0,
            Self::Chain(chain) => chain.bodies.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Entry(entry) => entry.take.map(SizeHint::with_exact).unwrap_or_default(),
            Self::Origin(origin) => origin.size_hint(),
            Self::Hook(hook) => hook.size_hint(),
            Self::Coded(_) | Self::Plain(_) => SizeHint::default(),
            Self::Slices(walk) => SizeHint::with_exact(walk.length()),
            Self::Chain(chain) => chain.length().map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}
