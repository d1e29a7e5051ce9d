//! From a known picture to pixels, no more of them than are needed.

use image::codecs::jpeg::JpegDecoder;
use image::{DynamicImage, ImageDecoder, Limits, RgbaImage};
use std::io::Cursor;

use crate::error::PictureError;
use crate::geometry::{Part, Size};
use crate::info::{Head, Source};
use crate::jpeg::{self, Reduction};

/// How often larger than what is made a reduced picture is at least: less costs sharpness.
const REST: f64 = 2.0;

/// The strongest reduction that leaves twice the pixels that are needed, for a picture that can be decoded reduced.
pub(crate) fn reduction(head: &Head<'_>, part: Part, size: Size) -> Option<Reduction> {
    let Source::Jpeg(header) = &head.source else { return None };
    if !header.is_sequential {
        return None;
    }
    Reduction::ALL.into_iter().find(|reduction| {
        let factor = f64::from(reduction.factor()) * REST;
        part.width >= factor * f64::from(size.width) && part.height >= factor * f64::from(size.height)
    })
}

/// Bytes that decoding takes at its highest: what the decoders keep, what they give, and that as red, green, blue and alpha.
pub(crate) fn memory(head: &Head<'_>, reduction: Option<Reduction>, encoded: usize) -> u64 {
    /// Coefficients of two bytes, of three components.
    const COEFFICIENTS: u64 = 6;
    /// Planes of three bytes a pixel, and four bytes a pixel.
    const REDUCED: u64 = 7;

    let pixels = head.pixels();
    let decoded = pixels.saturating_mul(head.bytes_per_pixel() + 4);
    match (&head.source, reduction) {
        (_, Some(reduction)) => pixels / u64::from(reduction.factor().pow(2)) * REDUCED,
        // The decoder has a copy of its input, too.
        (Source::Jpeg(header), None) if header.is_sequential => decoded + encoded as u64,
        (Source::Jpeg(_), None) => decoded + pixels * COEFFICIENTS + encoded as u64,
        (Source::Png(_) | Source::WebP(_) | Source::Gif(_), None) => decoded,
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
    reduction: Option<Reduction>,
    memory: u64,
) -> Result<Decoded, PictureError> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory.saturating_mul(2));
    match source {
        Source::Jpeg(header) => {
            if let Some(reduced) =
                reduction.and_then(|reduction| reduced(bytes, &header, reduction).transpose())
            {
                return reduced;
            }
            drop(header);
            whole(JpegDecoder::new(Cursor::new(bytes))?, limits)
        }
        Source::Png(decoder) => whole(*decoder, limits),
        Source::WebP(decoder) => whole(*decoder, limits),
        Source::Gif(decoder) => whole(*decoder, limits),
    }
}

fn whole(mut decoder: impl ImageDecoder, limits: Limits) -> Result<Decoded, PictureError> {
    decoder.set_limits(limits)?;
    let picture = DynamicImage::from_decoder(decoder)?;
    let colours = match picture.color() {
        kind if kind.has_alpha() => Colours::Transparent,
        kind if kind.has_color() => Colours::Opaque,
        _ => Colours::Grey,
    };
    Ok(Decoded { picture: picture.into_rgba8(), factor: 1.0, colours })
}

fn reduced(
    bytes: &[u8],
    header: &jpeg::Header,
    reduction: Reduction,
) -> Result<Option<Decoded>, PictureError> {
    let damaged = |damaged: jpeg::Damaged| PictureError::Damaged(damaged.0.to_owned());
    let Some(pixels) = jpeg::decode(bytes, header, reduction).map_err(damaged)? else { return Ok(None) };
    let picture = RgbaImage::from_raw(pixels.width, pixels.height, pixels.bytes);
    let colours = if header.components.len() == 1 { Colours::Grey } else { Colours::Opaque };
    Ok(picture.map(|picture| Decoded { picture, factor: reduction.factor().into(), colours }))
}
