//! Cutting slices out of a body while it arrives.

use super::Object;
use crate::body::Body;
use bytes::Bytes;
use cache::slice::Slice;
use cache::{Permit, Reader, Writer};
use http_body_util::BodyExt;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::mpsc::{self, error::TrySendError};

/// How many slices the origin may be ahead of the viewer for whom it sends.
const AHEAD: usize = 1;

/// Slices as they are cut out of an answer, for the viewer who has caused it. When the viewer no longer takes them, cutting
/// stops after the slice at hand, and so does the origin.
#[derive(Debug)]
pub struct Cut {
    /// The index of the slice that comes next.
    next: u64,
    /// Each slice; `None` for one that somebody else fetches or that is stored already.
    slices: mpsc::Receiver<Option<Reader>>,
}

impl Cut {
    /// Begins to cut up a body that holds these bytes of the object.
    pub(super) fn begin(object: Arc<Object>, body: Body, came: Range<u64>) -> Self {
        let (sender, slices) = mpsc::channel(AHEAD);
        let before = object.sliced.slice_at(came.start);
        // The first slice that begins within what came.
        let first = before.and_then(|slice| match slice.bytes.start < came.start {
            true => object.sliced.slice_at(slice.bytes.end),
            false => Some(slice),
        });
        let next = first.as_ref().map_or(0, |slice| slice.index);
        if let Some(first) = first.filter(|first| first.bytes.end <= came.end) {
            let permit = object.lead(&first);
            tokio::spawn(cut_up(object, Pieces::new(body), came, first, permit, sender));
        }
        Self { next, slices }
    }

    /// Whether the slice of this index is the next to come.
    pub(super) fn comes_next(&self, index: u64) -> bool {
        self.next == index
    }

    /// The next slice; `None` when it is in the store, or nothing comes any more.
    pub(super) async fn take(&mut self) -> Option<Reader> {
        self.next += 1;
        self.slices.recv().await.flatten()
    }
}

async fn cut_up(
    object: Arc<Object>,
    mut pieces: Pieces,
    came: Range<u64>,
    first: Slice,
    mut ahead: Option<Permit>,
    seats: mpsc::Sender<Option<Reader>>,
) {
    let mut outcome = pieces.skip(first.bytes.start - came.start).await;
    let mut next = Some(first);
    while let Some(slice) = next {
        let seat = match seats.try_reserve() {
            Ok(seat) => seat,
            Err(TrySendError::Closed(())) => return,
            Err(TrySendError::Full(())) => {
                // While this viewer takes its time, others may fetch what comes next by themselves.
                ahead = None;
                let Ok(seat) = seats.reserve().await else { return };
                seat
            }
        };
        let length = slice.bytes.end - slice.bytes.start;
        let following = object.sliced.slice_at(slice.bytes.end);
        let following = following.filter(|following| following.bytes.end <= came.end);
        outcome = match ahead.take().or_else(|| object.lead(&slice)) {
            Some(permit) => {
                let writer = object.begin(permit);
                seat.send(writer.entry().read());
                // Who is through with this slice waits for the next from here, and asks for nothing twice.
                ahead = following.as_ref().and_then(|following| object.lead(following));
                pieces.fill(writer, length).await
            }
            None => {
                seat.send(None);
                pieces.skip(length).await
            }
        };
        if outcome.is_err() {
            break;
        }
        next = following;
    }
    if let Err(story) = outcome {
        object.visit.node.observer.body_broke(&object.visit, &story);
    }
}

/// A body, taken in pieces of the lengths that are wanted.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Body,
    rest: Bytes,
}

impl Pieces {
    pub(super) fn new(body: Body) -> Self {
        Self { body, rest: Bytes::new() }
    }

    /// Brings so many bytes into an entry, which is then whole. Errors: what went wrong, in words.
    pub(super) async fn fill(&mut self, mut writer: Writer, mut length: u64) -> Result<(), String> {
        while length > 0 {
            let chunk = self.next(length).await?;
            length -= chunk.len() as u64;
            // Nobody reads it and it is not kept: there is nothing to say about that.
            if writer.push(chunk).await.is_err() {
                return Ok(());
            }
        }
        writer.finish();
        Ok(())
    }

    /// Lets so many bytes pass.
    async fn skip(&mut self, mut length: u64) -> Result<(), String> {
        while length > 0 {
            length -= self.next(length).await?.len() as u64;
        }
        Ok(())
    }

    /// Bytes that come next: at least one, at most so many.
    async fn next(&mut self, most: u64) -> Result<Bytes, String> {
        while self.rest.is_empty() {
            let frame = self.body.frame().await.ok_or("the body is shorter than it says")?;
            // Trailers say nothing about the bytes.
            self.rest = frame.map_err(|error| error.to_string())?.into_data().unwrap_or_default();
        }
        let length = usize::try_from(most).map_or(self.rest.len(), |most| most.min(self.rest.len()));
        Ok(self.rest.split_to(length))
    }
}
