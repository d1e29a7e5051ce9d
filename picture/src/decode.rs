//! From a known picture to pixels, no more of them than are needed.

use image::codecs::jpeg::JpegDecoder;
use image::{DynamicImage, ImageDecoder, Limits, RgbaImage};
use std::io::Cursor;

use crate::error::PictureError;
use crate::geometry::{Part, Size};
use crate::info::{Head, Source};
use crate::jpeg::{self, Process, Reduction};

/// How often larger than what is made a reduced picture is at least: less costs sharpness.
const REST: f64 = 2.0;

/// The strongest reduction that leaves twice the pixels that are needed, for a picture that can be decoded reduced.
pub(crate) fn reduction(head: &Head<'_>, part: Part, size: Size) -> Option<Reduction> {
    let Source::Jpeg(header) = &head.source else {
        return None;
    };
    let is_enough = |reduction: &Reduction| {
        let factor = f64::from(reduction.factor()) * REST;
        part.width >= factor * f64::from(size.width) && part.height >= factor * f64::from(size.height)
    };
    Reduction::ALL.into_iter().find(is_enough).filter(|reduction| jpeg::can_reduce(header, *reduction))
}

/// Bytes that decoding takes at its highest: what the decoders keep, what they give, and that as red, green, blue and alpha.
pub(crate) fn memory(head: &Head<'_>, reduction: Option<Reduction>, encoded: usize) -> u64 {
    /// Coefficients of two bytes, of three components.
    const COEFFICIENTS: u64 = 6;
    /// Planes of three bytes a pixel, and four bytes a pixel.
    const REDUCED: u64 = 7;
    /// The canvas of an animation, and its frame.
    const FRAMES: u64 = 8;

    let pixels = head.pixels();
    let decoded = pixels.saturating_mul(head.bytes_per_pixel() + 4);
    match (&head.source, reduction) {
        (Source::Jpeg(header), Some(reduction)) => {
            let reduced = pixels / u64::from(reduction.factor().pow(2)) * REDUCED;
            if header.process == Process::Sequential { reduced } else { reduced + pixels * COEFFICIENTS }
        }
        // The decoder has a copy of its input, too.
        (Source::Jpeg(header), _) if header.process == Process::Sequential => decoded + encoded as u64,
        (Source::Jpeg(_), _) => decoded + pixels * COEFFICIENTS + encoded as u64,
        (Source::WebP(_), _) if head.is_animated => decoded + pixels * FRAMES,
        (Source::Png(_) | Source::WebP(_) | Source::Gif(_), _) => decoded,
    }
}

/// What was decoded, in red, green, blue and alpha.
pub(crate) struct Decoded {
    pub(crate) picture: RgbaImage,
    /// How much smaller than the original it is.
    pub(crate) factor: f64,
    pub(crate) colours: Colours,
}

/// What there is to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    Grey,
    Opaque,
    Transparent,
}

pub(crate) fn decode(
    bytes: &[u8],
    source: Source<'_>,
    stored: Size,
    reduction: Option<Reduction>,
    memory: u64,
) -> Result<Decoded, PictureError> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory.saturating_mul(2));
    match (source, reduction) {
        (Source::Jpeg(header), Some(reduction)) => reduced(bytes, &header, reduction),
        (Source::Jpeg(header), None) => {
            drop(header);
            whole(JpegDecoder::new(Cursor::new(bytes))?, stored, limits)
        }
        (Source::Png(decoder), _) => whole(*decoder, stored, limits),
        (Source::WebP(decoder), _) => whole(*decoder, stored, limits),
        (Source::Gif(decoder), _) => whole(*decoder, stored, limits),
    }
}

fn whole(mut decoder: impl ImageDecoder, stored: Size, limits: Limits) -> Result<Decoded, PictureError> {
    let (width, height) = decoder.dimensions();
    // The limits were held against the size that our own reader of heads found; where a damaged file has two, the decoder
    // may have found the other.
    if (Size { width, height }) != stored {
        return Err(PictureError::Damaged("its head says two sizes".to_owned()));
    }
    decoder.set_limits(limits)?;
    let picture = DynamicImage::from_decoder(decoder)?;
    let colours = match picture.color() {
        kind if kind.has_alpha() => Colours::Transparent,
        kind if kind.has_color() => Colours::Opaque,
        _ => Colours::Grey,
    };
    Ok(Decoded { picture: picture.into_rgba8(), factor: 1.0, colours })
}

fn reduced(bytes: &[u8], header: &jpeg::Header, reduction: Reduction) -> Result<Decoded, PictureError> {
    let damaged = |damaged: jpeg::Damaged| PictureError::Damaged(damaged.0.to_owned());
    let pixels = jpeg::decode(bytes, header, reduction).map_err(damaged)?;
    let picture = RgbaImage::from_raw(pixels.width, pixels.height, pixels.bytes);
    let picture = picture.ok_or_else(|| PictureError::Damaged("it has no pixels".to_owned()))?;
    let colours = if header.components.len() == 1 { Colours::Grey } else { Colours::Opaque };
    Ok(Decoded { picture, factor: reduction.factor().into(), colours })
}
