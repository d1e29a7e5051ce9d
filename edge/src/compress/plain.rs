//! A body with the origin's coding taken off before hooks see it, piece by piece and within bounds.

use super::coders::Place;
use super::decoder::{Bounds, Decoder, Step};
use crate::body::{Body, BodyError};
use bytes::Bytes;
use cache::Coding;
use http_body::Body as _;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The plain bytes of an encoded body.
pub struct Plain {
    source: Body,
    decoder: Decoder,
    _place: Place,
}

impl fmt::Debug for Plain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Plain").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Plain {
    pub(super) fn new(source: Body, coding: Coding, bounds: Bounds, place: Place) -> io::Result<Self> {
        Ok(Self { source, decoder: Decoder::new(coding, bounds)?, _place: place })
    }

    /// The next bytes.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match self.decoder.step()? {
                Step::Made(piece) => return Poll::Ready(Some(Ok(piece))),
                Step::Done => return Poll::Ready(None),
                Step::Hungry => match ready!(Pin::new(&mut self.source).poll_frame(context)).transpose()? {
                    Some(frame) => self.decoder.feed(frame.into_data().unwrap_or_default()),
                    None => self.decoder.end(),
                },
            }
        }
    }
}
