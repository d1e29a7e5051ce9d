//! A body that is decoded, encoded, or both, while it flows.

use super::Form;
use super::coders::Place;
use super::decoder::{Bounds, Decoder, JUDGED, Step, Unreadable};
use super::encoder::{Encoder, Window};
use crate::body::BodyError;
use bytes::{Bytes, BytesMut};
use cache::{Reader, Truncated};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

/// What is encoded at once, in bytes.
const PIECE: usize = 64 * 1024;

/// Pieces after which others of the core have their turn, though nothing has come out yet.
const TURN: usize = 4;

/// One viewer's own encoded or decoded body. What has arrived is flushed whenever there is nothing more to read at once, so that a
/// viewer never waits for bytes that the edge already has.
pub struct Flow {
    reader: Reader,
    decoder: Option<Decoder>,
    /// Decoded before the answer began.
    primed: VecDeque<Bytes>,
    /// Plain bytes still to be encoded.
    plain: Bytes,
    encoder: Option<Encoder>,
    encodes: bool,
    unflushed: bool,
    _place: Place,
}

/// What a decoder makes without more waiting.
enum AtHand {
    Piece(Result<Bytes, Broken>),
    NoMore,
    End,
}

/// Why a body breaks off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Truncated(#[from] Truncated),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl fmt::Debug for Flow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Flow").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl Flow {
    /// What the reader gives, in this form.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn new(reader: Reader, form: Form, bounds: Bounds, place: Place) -> io::Result<Self> {
        let decoder = form.decode.map(|coding| Decoder::new(coding, bounds)).transpose()?;
        let encoder = form.encode.map(|coding| Encoder::new(coding, Window::STREAM)).transpose()?;
        Ok(Self {
            reader,
            decoder,
            primed: VecDeque::new(),
            plain: Bytes::new(),
            encodes: encoder.is_some(),
            encoder,
            unflushed: false,
            _place: place,
        })
    }

    /// Decodes the beginning before the answer's head is sent: what is a bomb or something else altogether mostly shows there, while it
    /// can still be said by a status. Ends when there is nothing more to decode at once, but not before there was something.
    /// The whole body where that is all of it, unless it is to be encoded.
    ///
    /// May be given up at any time: nothing is lost.
    ///
    /// # Errors
    /// [`Unreadable`]. A body that breaks off does so again when it is read.
    pub async fn prime(&mut self) -> Result<Option<Bytes>, Unreadable> {
        while self.decoder.as_ref().is_some_and(|decoder| decoder.made() < JUDGED) {
            match std::future::poll_fn(|context| self.poll_at_hand(context)).await {
                AtHand::Piece(Ok(piece)) => self.primed.push_back(piece),
                AtHand::Piece(Err(Broken::Unreadable(unreadable))) => return Err(unreadable),
                AtHand::Piece(Err(Broken::Truncated(_))) | AtHand::NoMore => return Ok(None),
                AtHand::End => return Ok((!self.encodes).then(|| joined(&mut self.primed))),
            }
            tokio::task::yield_now().await;
        }
        Ok(None)
    }

    fn poll_at_hand(&mut self, context: &mut Context<'_>) -> Poll<AtHand> {
        match self.poll_decoded(context) {
            Poll::Ready(Some(piece)) => Poll::Ready(AtHand::Piece(piece)),
            Poll::Ready(None) => Poll::Ready(AtHand::End),
            Poll::Pending if self.primed.is_empty() => Poll::Pending,
            Poll::Pending => Poll::Ready(AtHand::NoMore),
        }
    }

    /// The next bytes.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if !self.encodes {
            return self.poll_plain(context).map_err(Into::into);
        }
        for _ in 0..TURN {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            let encoded = encoder.take();
            if !encoded.is_empty() {
                return Poll::Ready(Some(Ok(encoded)));
            }
            if !self.plain.is_empty() {
                let piece = self.plain.split_to(self.plain.len().min(PIECE));
                self.unflushed = true;
                encoder.write(&piece)?;
                continue;
            }
            match self.poll_plain(context) {
                Poll::Ready(Some(Ok(plain))) => self.plain = plain,
                Poll::Ready(Some(Err(broken))) => return Poll::Ready(Some(Err(broken.into()))),
                Poll::Ready(None) => return Poll::Ready(self.finish()),
                Poll::Pending if self.unflushed => self.flush()?,
                Poll::Pending => return Poll::Pending,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_plain(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match self.primed.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(piece))),
            None => self.poll_decoded(context),
        }
    }

    fn poll_decoded(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let Some(decoder) = &mut self.decoder else {
            return self.reader.poll_next(context).map_err(Into::into);
        };
        loop {
            match decoder.step()? {
                Step::Made(piece) => return Poll::Ready(Some(Ok(piece))),
                Step::Done => return Poll::Ready(None),
                Step::Hungry => match ready!(self.reader.poll_next(context)).transpose()? {
                    Some(encoded) => decoder.feed(encoded),
                    None => decoder.end(),
                },
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unflushed = false;
        self.encoder.as_mut().map_or(Ok(()), Encoder::flush)
    }

    fn finish(&mut self) -> Option<Result<Bytes, BodyError>> {
        let rest = self.encoder.take()?.finish().map_err(Into::into);
        if rest.as_ref().is_ok_and(Bytes::is_empty) { None } else { Some(rest) }
    }
}

fn joined(pieces: &mut VecDeque<Bytes>) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
    whole.freeze()
}
