//! A body that walks along the slices of an object.

use super::{Broken, Cut, Object, Opened};
use crate::body::BodyError;
use bytes::Bytes;
use cache::Reader;
use cache::slice::Slice;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// How often a slice that broke off is opened again. What was sent of it is passed over: all its bytes are of one version.
const RETRIES: usize = 2;

/// Bytes of an object, slice by slice: one is read, and when half of it is gone, the next is opened.
#[derive(Debug)]
pub struct Walk {
    object: Arc<Object>,
    /// What is still to be given.
    left: Range<u64>,
    cut: Option<Cut>,
    current: Option<Current>,
    opening: Option<Opening>,
    retries: usize,
}

#[derive(Debug)]
struct Current {
    slice: Slice,
    reader: Reader,
    /// The position in the object that the reader is at.
    position: u64,
}

#[derive(Debug)]
struct Opening {
    slice: Slice,
    task: JoinHandle<(Option<Cut>, Result<Opened, Broken>)>,
}

impl Walk {
    /// A walk over these bytes; `cut` are slices that are arriving for this viewer.
    #[must_use]
    pub fn new(object: Arc<Object>, bytes: Range<u64>, cut: Option<Cut>) -> Self {
        Self { object, left: bytes, cut, current: None, opening: None, retries: 0 }
    }

    /// Opens the first slice, so that what is wrong with it can still be told by an answer. Gives whether it had to be fetched.
    ///
    /// # Errors
    /// [`Broken`] says why there is nothing to send.
    pub async fn begin(&mut self) -> Result<bool, Broken> {
        let Some(slice) = self.object.sliced.slice_at(self.left.start) else { return Ok(false) };
        let (cut, opened) = open(Arc::clone(&self.object), self.cut.take(), slice.clone()).await;
        let Opened { reader, is_fetched } = opened?;
        self.cut = cut;
        self.current = Some(Current { position: slice.bytes.start, slice, reader });
        Ok(is_fetched)
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.left.end.saturating_sub(self.left.start)
    }

    /// The next bytes.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        while self.length() > 0 {
            let Some(current) = &mut self.current else {
                ready!(self.poll_open(context))?;
                continue;
            };
            let chunk = match ready!(current.reader.poll_next(context)) {
                Some(Ok(chunk)) => current.cut_out(&self.left, chunk),
                Some(Err(_)) | None if self.retries < RETRIES => {
                    self.retries += 1;
                    self.current = None;
                    continue;
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(Some(Err("a slice is shorter than it should be".into()))),
            };
            self.left.start += chunk.len() as u64;
            self.look_ahead();
            if !chunk.is_empty() {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
        Poll::Ready(None)
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(slice) = self.object.sliced.slice_at(self.left.start) else { return Poll::Ready(Ok(())) };
        self.opening.take_if(|opening| opening.slice != slice);
        let opening = match &mut self.opening {
            Some(opening) => opening,
            None => self.opening.insert(spawn(&self.object, self.cut.take(), slice)),
        };
        let (cut, opened) = ready!(Pin::new(&mut opening.task).poll(context))?;
        let slice = opening.slice.clone();
        (self.cut, self.opening) = (cut, None);
        let reader = opened
            .inspect_err(|broken| {
                let visit = &self.object.visit;
                visit.node.observer.body_broke(visit, &broken.to_string());
            })?
            .reader;
        self.current = Some(Current { position: slice.bytes.start, slice, reader });
        Poll::Ready(Ok(()))
    }

    /// Leaves a slice that is through, and opens the next one in time.
    fn look_ahead(&mut self) {
        let Some(current) = &self.current else { return };
        let (start, end) = (current.slice.bytes.start, current.slice.bytes.end);
        if self.opening.is_none() && end < self.left.end && self.left.start >= start.midpoint(end) {
            let next = self.object.sliced.slice_at(end);
            self.opening = next.map(|next| spawn(&self.object, self.cut.take(), next));
        }
        if self.left.start >= end {
            (self.current, self.retries) = (None, 0);
        }
    }
}

impl Current {
    /// What of a chunk is wanted.
    fn cut_out(&mut self, wanted: &Range<u64>, mut chunk: Bytes) -> Bytes {
        let before = wanted.start.saturating_sub(self.position);
        self.position += chunk.len() as u64;
        let before = usize::try_from(before).unwrap_or(usize::MAX).min(chunk.len());
        let _ = chunk.split_to(before);
        let most = wanted.end.min(self.slice.bytes.end).saturating_sub(wanted.start);
        chunk.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        chunk
    }
}

fn spawn(object: &Arc<Object>, cut: Option<Cut>, slice: Slice) -> Opening {
    let task = tokio::spawn(open(Arc::clone(object), cut, slice.clone()));
    Opening { slice, task }
}

/// A slice from those that are arriving for this viewer, or else from wherever it can be had. A viewer who goes elsewhere lets those
/// that are arriving go.
async fn open(object: Arc<Object>, cut: Option<Cut>, slice: Slice) -> (Option<Cut>, Result<Opened, Broken>) {
    let mut cut = cut.filter(|cut| cut.comes_next(slice.index));
    if let Some(arriving) = &mut cut
        && let Some(reader) = arriving.take().await
    {
        return (cut, Ok(Opened { reader, is_fetched: true }));
    }
    let opened = object.open(&slice).await;
    (cut, opened)
}
