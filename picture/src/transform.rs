//! From an encoded picture to another one.

use std::ops::Range;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, Rgba, RgbaImage};

use crate::decode::{self, Colours, Decoded};
use crate::encode::{self, Metadata};
use crate::error::PictureError;
use crate::geometry::{Part, Placement, Size};
use crate::info::{Head, Source};
use crate::jpeg::Reduction;
use crate::operations::{Format, Operations};

/// What a picture may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of the input, and of what is made.
    pub pixels: u64,
    /// Bytes of memory while it is decoded and made.
    pub memory: u64,
}

/// A picture that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// It, encoded.
    pub bytes: Vec<u8>,
    /// Never [`Format::Keep`].
    pub format: Format,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// What is going to be done to a picture, found out from its head alone.
pub struct Plan<'a> {
    bytes: &'a [u8],
    head: Head<'a>,
    operations: &'a Operations,
    placement: Placement,
    reduction: Option<Reduction>,
    memory: u64,
}

impl<'a> Plan<'a> {
    /// Looks at the head of a picture and refuses what is over the limits, before anything is decoded.
    ///
    /// # Errors
    /// No picture that is read; over a limit; operations that make no sense for it.
    pub fn new(bytes: &'a [u8], operations: &'a Operations, limits: Limits) -> Result<Self, PictureError> {
        let head = Head::read(bytes)?;
        let (stored, pixels) = (head.stored, head.pixels());
        if pixels > limits.pixels {
            let megapixels = limits.pixels / 1_000_000;
            let Size { width, height } = stored;
            return Err(PictureError::TooLarge(format!(
                "{width}x{height} is over the limit of {megapixels} megapixels"
            )));
        }
        let orientation = if operations.auto_orient { head.orientation } else { Orientation::NoTransforms };
        let mut placement = Placement::new(stored.turned(orientation), operations)?;
        let Size { width, height } = placement.canvas;
        let made = u64::from(width) * u64::from(height);
        if made > limits.pixels {
            return Err(PictureError::Operations(format!("{width}x{height} is more than may be made")));
        }
        placement.part = placement.part.stored(stored, orientation);
        placement.size = placement.size.turned(orientation);
        let reduction = decode::reduction(&head, placement.part, placement.size);
        // What is made is there as pixels, turned, and encoded.
        let memory = decode::memory(&head, reduction, bytes.len()).saturating_add(made * 12);
        if memory > limits.memory {
            return Err(PictureError::TooLarge(format!(
                "decoding needs {} MiB of memory; {} MiB is the most",
                memory >> 20,
                limits.memory >> 20
            )));
        }
        Ok(Self { bytes, head: Head { orientation, ..head }, operations, placement, reduction, memory })
    }

    /// The most bytes that [`Plan::run`] will hold at a time, about.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Decodes, resizes, turns and encodes.
    ///
    /// # Errors
    /// A damaged picture, or one of a variety that cannot be decoded.
    pub fn run(self) -> Result<Made, PictureError> {
        let Self { bytes, mut head, operations, placement, reduction, memory } = self;
        let format = match (operations.format, &head.source) {
            (Format::Keep, Source::Jpeg(_)) => Format::Jpeg,
            (Format::Keep, Source::WebP(_)) => Format::WebP,
            (Format::Keep, Source::Png(_) | Source::Gif(_)) => Format::Png,
            (asked, _) => asked,
        };
        let mut metadata = metadata(bytes, &mut head.source, operations.strip_exif);
        let Decoded { picture, factor, colours } =
            decode::decode(bytes, head.source, head.stored, reduction, memory)?;
        let part = placement.part.reduced(factor, picture.dimensions());
        let mut small = DynamicImage::ImageRgba8(resized(&picture, part, placement.size, colours)?);
        drop(picture);
        small.apply_orientation(head.orientation);
        let picture = placed(small.into_rgba8(), colours, &placement, format, operations.background);
        metadata.profile = metadata.profile.filter(|profile| is_worth_keeping(profile, &picture));
        let bytes = encode::encode(&picture, format, operations.quality, metadata)?;
        Ok(Made { bytes, format, width: picture.width(), height: picture.height() })
    }
}

/// The colour profile that goes with these colours, and EXIF that says upright, for upright it is now.
fn metadata(bytes: &[u8], source: &mut Source<'_>, strips_exif: bool) -> Metadata {
    /// More than any camera's or screen's; what is longer stays behind.
    const MAX: usize = 64 << 10;

    let of = |decoder: &mut dyn ImageDecoder| {
        let profile = decoder.icc_profile().ok().flatten();
        let exif = if strips_exif { None } else { decoder.exif_metadata().ok().flatten() };
        (profile, exif)
    };
    let (profile, exif) = match source {
        Source::Jpeg(header) => {
            let copy = |range: &Option<Range<usize>>| bytes.get(range.clone()?).map(<[u8]>::to_vec);
            (copy(&header.profile), if strips_exif { None } else { copy(&header.exif) })
        }
        Source::Png(decoder) => of(&mut **decoder),
        Source::WebP(decoder) => of(&mut **decoder),
        Source::Gif(_) => (None, None),
    };
    let upright = |mut exif: Vec<u8>| {
        let _ = Orientation::remove_from_exif_chunk(&mut exif);
        exif
    };
    let short = |block: &Vec<u8>| block.len() <= MAX;
    Metadata { profile: profile.filter(short), exif: exif.filter(short).map(upright) }
}

/// Whether a colour profile is one of the picture that is encoded, and says more than what pictures without one are taken
/// for: what calls itself sRGB would be half of a thumbnail's bytes.
fn is_worth_keeping(profile: &[u8], picture: &DynamicImage) -> bool {
    let is_named = |name: &[u8]| profile.windows(name.len()).any(|part| part == name);
    // ICC.1:2022 section 7.2.6: the colours that the profile is about.
    let colours = profile.get(16..20);
    let is_grey = !picture.color().has_color();
    let is_its_own = colours == Some(if is_grey { b"GRAY".as_slice() } else { b"RGB " });
    is_its_own && !is_named(b"sRGB") && !is_named(b"s\0R\0G\0B")
}

/// The part as a picture of `size`.
fn resized(picture: &RgbaImage, part: Part, size: Size, colours: Colours) -> Result<RgbaImage, PictureError> {
    let failed =
        |error: &dyn std::fmt::Display| PictureError::Damaged(format!("it cannot be resized: {error}"));
    let whole = ImageRef::new(picture.width(), picture.height(), picture.as_raw(), PixelType::U8x4)
        .map_err(|error| failed(&error))?;
    let mut small = Image::new(size.width, size.height, PixelType::U8x4);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .use_alpha(colours == Colours::Transparent)
        .crop(part.x, part.y, part.width, part.height);
    Resizer::new().resize(&whole, &mut small, &options).map_err(|error| failed(&error))?;
    RgbaImage::from_raw(size.width, size.height, small.into_vec())
        .ok_or_else(|| failed(&"its size is not what was asked"))
}

/// The picture on its canvas, in as many channels as it needs and the format knows.
fn placed(
    mut small: RgbaImage,
    colours: Colours,
    placement: &Placement,
    format: Format,
    background: [u8; 3],
) -> DynamicImage {
    let Placement { canvas, offset: (x, y), .. } = *placement;
    let is_opaque = colours != Colours::Transparent || format == Format::Jpeg;
    if is_opaque && colours == Colours::Transparent {
        small.pixels_mut().for_each(|pixel| *pixel = over(*pixel, background));
    }
    let is_contained = (small.width(), small.height()) != (canvas.width, canvas.height);
    if is_contained {
        let [red, green, blue] = background;
        let mut whole = RgbaImage::from_pixel(canvas.width, canvas.height, Rgba([red, green, blue, 255]));
        image::imageops::replace(&mut whole, &small, x.into(), y.into());
        small = whole;
    }
    let picture = DynamicImage::ImageRgba8(small);
    match (colours, format) {
        // WebP has no form of its own for grey.
        (Colours::Grey, Format::Jpeg | Format::Png) if !is_contained => picture.into_luma8().into(),
        _ if is_opaque => picture.into_rgb8().into(),
        _ => picture,
    }
}

fn over(Rgba([red, green, blue, alpha]): Rgba<u8>, background: [u8; 3]) -> Rgba<u8> {
    let mix = |value: u8, behind: u8| {
        let (value, behind, alpha) = (u32::from(value), u32::from(behind), u32::from(alpha));
        ((value * alpha + behind * (255 - alpha) + 127) / 255) as u8
    };
    Rgba([mix(red, background[0]), mix(green, background[1]), mix(blue, background[2]), 255])
}

#[cfg(test)]
#[path = "transform_tests.rs"]
mod tests;
