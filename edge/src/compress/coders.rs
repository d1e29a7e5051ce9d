//! How much may be encoded and decoded at the same time, and the encoding that is kept.

use super::decoder::{Bounds, Decoder, Step, Unreadable};
use super::encoder::{Encoder, Window};
use super::{Flow, Form, Plain};
use crate::body::Body;
use bytes::Bytes;
use cache::{Coding, Reader};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Larger bodies are encoded on a thread of their own, so that other requests of the core go on.
const INLINE_MAX: usize = 32 * 1024;

/// Plain bytes between two looks at the encoded ones.
const PIECE: usize = 64 * 1024;

/// How long a viewer waits for an encoder or decoder to be free.
const PATIENCE: Duration = Duration::from_secs(1);

/// The node's encoders and decoders.
#[derive(Debug)]
pub struct Coders {
    /// Those of single viewers: each holds memory for as long as its viewer takes.
    streams: Arc<Semaphore>,
    /// Those on threads of their own: more than there are cores would only wait for each other.
    workers: Semaphore,
}

/// Why a body cannot be had in a form.
#[derive(Debug, thiserror::Error)]
pub enum Uncoded {
    /// The fault is the origin's.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// All encoders and decoders are taken.
    #[error("the node encodes and decodes as many bodies as it may")]
    Busy,
    /// No memory, or the node stops.
    #[error("the body cannot be encoded: {0}")]
    Failed(#[from] std::io::Error),
}

/// The right to one encoder or decoder of a single viewer, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Coders {
    /// `streams` bodies at a time for single viewers.
    #[must_use]
    pub fn new(streams: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            streams: Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS))),
            workers: Semaphore::new(cores),
        }
    }

    /// Encodes what a reader gives while it comes. `None` when as many as may are at it: who reads the stored form gets that.
    #[must_use]
    pub fn encoding(&self, reader: Reader, form: Form, bounds: Bounds) -> Option<Flow> {
        let place = Arc::clone(&self.streams).try_acquire_owned().ok()?;
        Flow::new(reader, form, bounds, Place(place)).ok()
    }

    /// Decodes what a reader gives while it comes.
    ///
    /// # Errors
    /// [`Uncoded::Busy`] when there was no place for too long.
    pub async fn decoding(&self, reader: Reader, form: Form, bounds: Bounds) -> Result<Flow, Uncoded> {
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.streams).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(Uncoded::Busy) };
        Ok(Flow::new(reader, form, bounds, Place(place))?)
    }

    /// Decodes a body before hooks get it.
    ///
    /// # Errors
    /// [`Uncoded::Busy`] when there was no place for too long.
    pub async fn plain(&self, body: Body, coding: Coding, bounds: Bounds) -> Result<Plain, Uncoded> {
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.streams).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(Uncoded::Busy) };
        Ok(Plain::new(body, coding, bounds, Place(place))?)
    }

    /// A whole body in another form.
    ///
    /// # Errors
    /// [`Uncoded`]; [`Uncoded::Busy`] when there was no thread for it for too long.
    pub async fn convert(&self, whole: Bytes, form: Form, bounds: Bounds) -> Result<Bytes, Uncoded> {
        if whole.len() <= INLINE_MAX && form.decode.is_none() {
            return converted(whole, form, bounds);
        }
        let place = tokio::time::timeout(PATIENCE, self.workers.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(Uncoded::Busy) };
        let work = tokio::task::spawn_blocking(move || converted(whole, form, bounds));
        work.await.map_err(std::io::Error::other)?
    }
}

/// Decodes and encodes piece by piece: the plain body is never there as a whole.
fn converted(whole: Bytes, form: Form, bounds: Bounds) -> Result<Bytes, Uncoded> {
    let Some(coding) = form.encode else { return Ok(whole) };
    let mut encoder = Encoder::new(coding, Window::fitting(whole.len()))?;
    let mut encoded = Vec::with_capacity(whole.len() / 3);
    match form.decode {
        None => {
            for piece in whole.chunks(PIECE) {
                encoder.write(piece)?;
                encoded.extend_from_slice(&encoder.take());
            }
        }
        Some(stored) => {
            let mut decoder = Decoder::new(stored, bounds)?;
            decoder.feed(whole);
            decoder.end();
            while let Step::Made(piece) = decoder.step()? {
                encoder.write(&piece)?;
                encoded.extend_from_slice(&encoder.take());
            }
        }
    }
    encoded.extend_from_slice(&encoder.finish()?);
    encoded.shrink_to_fit();
    Ok(encoded.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::decoder::tests::decoded;
    use cache::{Coding, CompressSettings};

    fn convert(whole: &[u8], form: Form) -> Result<Bytes, Uncoded> {
        converted(Bytes::copy_from_slice(whole), form, Bounds::of(&CompressSettings::default()))
    }

    #[test]
    fn every_form_is_the_same_body() {
        let text = "selvedge ".repeat(30_000);
        for stored in Coding::ALL {
            let body = convert(text.as_bytes(), Form { decode: None, encode: Some(stored) }).unwrap();
            assert_eq!(decoded(stored, &body).unwrap(), text.as_bytes());
            for other in Coding::ALL {
                let again = convert(&body, Form { decode: Some(stored), encode: Some(other) }).unwrap();
                assert_eq!(decoded(other, &again).unwrap(), text.as_bytes(), "{stored:?} {other:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_not_encoded_either() {
        let bomb = convert(&vec![0; 4 << 20], Form { decode: None, encode: Some(Coding::Br) }).unwrap();
        let form = Form { decode: Some(Coding::Br), encode: Some(Coding::Gzip) };
        assert!(matches!(convert(&bomb, form), Err(Uncoded::Unreadable(Unreadable::Bomb))));
        assert!(matches!(convert(&bomb[..10], form), Err(Uncoded::Unreadable(_))));
    }
}
