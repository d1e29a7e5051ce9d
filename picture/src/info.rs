//! What the head of a picture says of it.

use std::io::Cursor;

use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, Limits};

use crate::error::PictureError;
use crate::geometry::Size;
use crate::jpeg;
use crate::webp;

/// What the head of a picture says of it. Nothing is decoded to find it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The media type.
    pub media_type: &'static str,
    /// Pixels across, as stored.
    pub width: u32,
    /// Pixels down, as stored.
    pub height: u32,
    /// EXIF's orientation, 1 (upright) to 8.
    pub orientation: u8,
    /// Whether there is more than one frame.
    pub is_animated: bool,
}

/// Reads the head of a picture: JPEG, PNG, WebP or GIF.
///
/// # Errors
/// None of these, or damaged before its size is known.
pub fn info(bytes: &[u8]) -> Result<Info, PictureError> {
    Head::read(bytes).map(|head| head.info())
}

/// Bytes from the begin of a file that [`media_type`] looks at.
pub const FIRST_BYTES: usize = 12;

/// What the first bytes of a file say that it is, if it is of a kind that [`info`] reads.
#[must_use]
pub fn media_type(first: &[u8]) -> Option<&'static str> {
    match image::guess_format(first).ok()? {
        ImageFormat::Jpeg => Some("image/jpeg"),
        ImageFormat::Png => Some("image/png"),
        ImageFormat::WebP => Some("image/webp"),
        ImageFormat::Gif => Some("image/gif"),
        _ => None,
    }
}

/// A picture that is known, but not decoded.
pub(crate) struct Head<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) stored: Size,
    pub(crate) orientation: Orientation,
    pub(crate) is_animated: bool,
}

/// What will decode it.
pub(crate) enum Source<'a> {
    Jpeg(Box<jpeg::Header>),
    Png(Box<PngDecoder<Cursor<&'a [u8]>>>),
    WebP(Box<WebPDecoder<Cursor<&'a [u8]>>>),
    Gif(Box<GifDecoder<Cursor<&'a [u8]>>>),
}

/// What a decoder may take for what is beside the picture: colour profiles, texts.
const BESIDE: u64 = 8 << 20;

impl<'a> Head<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, PictureError> {
        let input = Cursor::new(bytes);
        match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => Self::jpeg(bytes),
            Ok(ImageFormat::Png) => {
                let mut limits = Limits::no_limits();
                limits.max_alloc = Some(BESIDE);
                let mut decoder = PngDecoder::with_limits(input, limits)?;
                let is_animated = decoder.is_apng()?;
                let (size, orientation) = known(&mut decoder);
                Ok(Self { source: Source::Png(Box::new(decoder)), stored: size, orientation, is_animated })
            }
            Ok(ImageFormat::WebP) => {
                let mut decoder = WebPDecoder::new(input)?;
                let (width, height) = decoder.dimensions();
                if let Some(fault) = webp::fault(bytes, Size { width, height }) {
                    return Err(PictureError::Damaged(fault.to_owned()));
                }
                let is_animated = decoder.has_animation();
                let (size, orientation) = known(&mut decoder);
                Ok(Self { source: Source::WebP(Box::new(decoder)), stored: size, orientation, is_animated })
            }
            Ok(ImageFormat::Gif) => {
                let decoder = GifDecoder::new(input)?;
                let (width, height) = decoder.dimensions();
                Ok(Self {
                    source: Source::Gif(Box::new(decoder)),
                    stored: Size { width, height },
                    orientation: Orientation::NoTransforms,
                    is_animated: gif_is_animated(bytes),
                })
            }
            _ => Err(PictureError::Unsupported("neither JPEG, PNG, WebP nor GIF".to_owned())),
        }
        .and_then(Self::of_some_size)
    }

    fn jpeg(bytes: &[u8]) -> Result<Self, PictureError> {
        let header =
            jpeg::Header::read(bytes).map_err(|damaged| PictureError::Damaged(damaged.0.to_owned()))?;
        let exif = header.exif.clone().and_then(|exif| bytes.get(exif));
        Ok(Self {
            stored: Size { width: header.width, height: header.height },
            orientation: exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms),
            source: Source::Jpeg(Box::new(header)),
            is_animated: false,
        })
    }

    fn of_some_size(self) -> Result<Self, PictureError> {
        if self.stored.width == 0 || self.stored.height == 0 {
            return Err(PictureError::Damaged("it has no pixels".to_owned()));
        }
        Ok(self)
    }

    pub(crate) fn pixels(&self) -> u64 {
        u64::from(self.stored.width) * u64::from(self.stored.height)
    }

    /// Bytes of a pixel as the decoder gives it.
    pub(crate) fn bytes_per_pixel(&self) -> u64 {
        let colour = match &self.source {
            Source::Jpeg(header) if header.components.len() == 1 => ColorType::L8,
            Source::Jpeg(_) => ColorType::Rgb8,
            Source::Png(decoder) => decoder.color_type(),
            Source::WebP(decoder) => decoder.color_type(),
            Source::Gif(_) => ColorType::Rgba8,
        };
        u64::from(colour.bytes_per_pixel())
    }

    pub(crate) fn info(&self) -> Info {
        Info {
            media_type: match self.source {
                Source::Jpeg(_) => "image/jpeg",
                Source::Png(_) => "image/png",
                Source::WebP(_) => "image/webp",
                Source::Gif(_) => "image/gif",
            },
            width: self.stored.width,
            height: self.stored.height,
            orientation: self.orientation.to_exif(),
            is_animated: self.is_animated,
        }
    }
}

fn known(decoder: &mut impl ImageDecoder) -> (Size, Orientation) {
    let (width, height) = decoder.dimensions();
    (Size { width, height }, decoder.orientation().unwrap_or(Orientation::NoTransforms))
}

/// Whether a second frame begins: a walk over blocks, nothing is unpacked (GIF89a, sections 15 to 26).
fn gif_is_animated(bytes: &[u8]) -> bool {
    const TABLE_FLAG: u8 = 0x80;
    let table = |flags: u8| {
        if flags & TABLE_FLAG == 0 { 0 } else { 3 << ((flags & 7) + 1) }
    };
    let Some(&flags) = bytes.get(10) else { return false };
    let (mut at, mut frames) = (13 + table(flags), 0);
    loop {
        match bytes.get(at) {
            Some(0x21) => at += 2,
            Some(0x2C) => {
                frames += 1;
                let Some(&flags) = bytes.get(at + 9) else {
                    return false;
                };
                if frames == 2 {
                    return true;
                }
                at += 11 + table(flags);
            }
            _ => return false,
        }
        // Sub-blocks, each behind its length, up to one of nothing.
        loop {
            let Some(&length) = bytes.get(at) else {
                return false;
            };
            at += 1 + usize::from(length);
            if length == 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Frame, RgbImage, RgbaImage};

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::new(30, 20).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn gif(frames: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        encoder.encode_frames(vec![Frame::new(RgbaImage::new(30, 20)); frames]).unwrap();
        drop(encoder);
        bytes
    }

    #[test]
    fn the_head_of_each_format_tells_its_size() {
        let pictures = [
            ("image/jpeg", encoded(ImageFormat::Jpeg)),
            ("image/png", encoded(ImageFormat::Png)),
            ("image/webp", encoded(ImageFormat::WebP)),
            ("image/gif", gif(1)),
        ];
        for (media_type, bytes) in pictures {
            let expected = Info { media_type, width: 30, height: 20, orientation: 1, is_animated: false };
            assert_eq!(info(&bytes), Ok(expected));
            assert_eq!(self::media_type(&bytes[..FIRST_BYTES]), Some(media_type));
        }
    }

    #[test]
    fn a_second_frame_makes_an_animation() {
        assert!(info(&gif(2)).unwrap().is_animated);
        assert!(info(&gif(40)).unwrap().is_animated);
    }

    #[test]
    fn what_is_no_picture_is_told_from_one_that_is_damaged() {
        assert!(matches!(info(b"<svg/>"), Err(PictureError::Unsupported(_))));
        assert!(matches!(info(b""), Err(PictureError::Unsupported(_))));
        for other in [b"".as_slice(), b"<svg/>", b"%PDF-1.7", b"RIFF\x24\0\0\0WAVEfmt ", b"BM6\0\0\0"] {
            assert_eq!(media_type(other), None);
        }
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            assert!(matches!(info(&encoded(format)[..14]), Err(PictureError::Damaged(_))), "{format:?}");
        }
    }
}
