//! From an encoded original to an encoded thumbnail.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage};

use crate::asked::Size;

/// Larger originals are refused before they are decoded.
const MAX_PIXELS: u64 = 50_000_000;
const QUALITY: u8 = 82;

/// Why there is no thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many pixels, or more memory than the hook has.
    TooLarge(String),
    /// Neither JPEG nor PNG.
    Unsupported,
    /// The decoder gave up.
    Damaged(String),
}

/// A JPEG of exactly `size`, covered by the middle of the original.
pub(crate) fn thumbnail(original: &[u8], size: Size) -> Result<Vec<u8>, Refusal> {
    let (picture, orientation) = decode(original)?;
    let small = oriented_cover(&picture, size, orientation);
    drop(picture);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode_image(&small)
        .map_err(|error| refusal(&error))?;
    Ok(jpeg)
}

fn refusal(error: &image::ImageError) -> Refusal {
    match error {
        image::ImageError::Limits(_) => Refusal::TooLarge(error.to_string()),
        _ => Refusal::Damaged(error.to_string()),
    }
}

fn decode(original: &[u8]) -> Result<(RgbImage, Orientation), Refusal> {
    let format = image::guess_format(original).map_err(|_| Refusal::Unsupported)?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png) {
        return Err(Refusal::Unsupported);
    }
    let reader = ImageReader::with_format(Cursor::new(original), format);
    let mut decoder = reader.into_decoder().map_err(|error| refusal(&error))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Refusal::TooLarge(format!("{width}x{height} is over the limit of 50 megapixels")));
    }
    require_memory(decoder.total_bytes())?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| refusal(&error))?;
    Ok((opaque(picture), orientation))
}

/// Asks for what decoding will need before decoding: a refusal is an answer, running out of memory is a trap.
fn require_memory(decoded: u64) -> Result<(), Refusal> {
    // Decoders keep a copy of their own.
    let needed = usize::try_from(decoded.saturating_mul(2)).unwrap_or(usize::MAX);
    Vec::<u8>::new()
        .try_reserve_exact(needed)
        .map_err(|_| Refusal::TooLarge(format!("decoding needs {needed} bytes, more than the hook may have")))
}

/// JPEG has no transparency: what shines through is white.
fn opaque(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let picture = picture.into_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
        let over_white = |value: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        Rgb([over_white(red), over_white(green), over_white(blue)])
    })
}

/// The camera's rotation is applied to the small picture, where it costs nothing.
fn oriented_cover(picture: &RgbImage, size: Size, orientation: Orientation) -> RgbImage {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let lying = match orientation {
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => {
            Size { width: size.height, height: size.width }
        }
        _ => size,
    };
    let mut small = DynamicImage::ImageRgb8(cover(picture, lying));
    small.apply_orientation(orientation);
    small.into_rgb8()
}

/// The largest middle part with the shape of `size`, resized to it: by whole boxes down to about twice the size, which
/// is fast, and from there by Lanczos, which is good.
fn cover(picture: &RgbImage, size: Size) -> RgbImage {
    let part = middle(picture.width(), picture.height(), size);
    let factor = (part.width / (2 * size.width)).min(part.height / (2 * size.height));
    if factor < 2 {
        let cropped = imageops::crop_imm(picture, part.x, part.y, part.width, part.height);
        return imageops::resize(&*cropped, size.width, size.height, FilterType::Lanczos3);
    }
    let reduced = box_reduce(picture, &part, factor);
    imageops::resize(&reduced, size.width, size.height, FilterType::Lanczos3)
}

/// A part of a picture, in pixels.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

fn middle(width: u32, height: u32, size: Size) -> Part {
    let (wide, high) = (u64::from(width) * u64::from(size.height), u64::from(height) * u64::from(size.width));
    let (part_width, part_height) = if wide > high {
        (rounded(high, size.height).clamp(1, width), height)
    } else {
        (width, rounded(wide, size.width).clamp(1, height))
    };
    Part {
        x: (width - part_width) / 2,
        y: (height - part_height) / 2,
        width: part_width,
        height: part_height,
    }
}

fn rounded(product: u64, divisor: u32) -> u32 {
    u32::try_from((product + u64::from(divisor) / 2) / u64::from(divisor)).unwrap_or(u32::MAX)
}

/// Averages boxes of `factor` × `factor` pixels. What is left over at the far edges is less than a box; it is shared
/// between both sides, so that the picture does not shift.
fn box_reduce(picture: &RgbImage, part: &Part, factor: u32) -> RgbImage {
    let (width, height) = (part.width / factor, part.height / factor);
    let left = part.x + (part.width - width * factor) / 2;
    let top = part.y + (part.height - height * factor) / 2;
    let (row_bytes, step) = (picture.width() as usize * 3, factor as usize);
    let source = picture.as_raw();
    let area = factor * factor;
    let mut sums = vec![0_u32; width as usize * 3];
    let mut reduced = Vec::with_capacity(sums.len() * height as usize);
    for box_row in 0..height as usize {
        sums.fill(0);
        for line in 0..step {
            let begin = (top as usize + box_row * step + line) * row_bytes + left as usize * 3;
            let row = &source[begin..begin + width as usize * step * 3];
            for (sum, pixels) in sums.chunks_exact_mut(3).zip(row.chunks_exact(step * 3)) {
                for pixel in pixels.chunks_exact(3) {
                    sum[0] += u32::from(pixel[0]);
                    sum[1] += u32::from(pixel[1]);
                    sum[2] += u32::from(pixel[2]);
                }
            }
        }
        reduced.extend(sums.iter().map(|sum| ((sum + area / 2) / area) as u8));
    }
    RgbImage::from_raw(width, height, reduced).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let wave = |phase: f32, scale: f32| {
                (127.5 + 120.0 * ((x as f32 * scale + phase).sin() * (y as f32 * scale * 0.7).cos())) as u8
            };
            Rgb([wave(0.0, 0.011), wave(1.0, 0.023), (x * 255 / width) as u8])
        })
    }

    fn psnr(one: &RgbImage, other: &RgbImage) -> f64 {
        assert_eq!(one.dimensions(), other.dimensions());
        let sum: f64 = one
            .as_raw()
            .iter()
            .zip(other.as_raw())
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum();
        10.0 * (255.0_f64.powi(2) / (sum / one.as_raw().len() as f64)).log10()
    }

    #[test]
    fn cover_is_as_good_as_lanczos_over_the_whole_original() {
        let size = Size { width: 128, height: 128 };
        for (width, height) in [(2000, 1500), (1499, 2003), (700, 512)] {
            let original = pattern(width, height);
            let part = middle(width, height, size);
            let cropped = imageops::crop_imm(&original, part.x, part.y, part.width, part.height).to_image();
            let reference = imageops::resize(&cropped, 128, 128, FilterType::Lanczos3);
            let quality = psnr(&cover(&original, size), &reference);
            assert!(quality >= 38.0, "{width}x{height}: {quality} dB");
        }
    }

    #[test]
    fn the_middle_has_the_shape_that_was_asked() {
        let square = Size { width: 10, height: 10 };
        assert_eq!(middle(200, 100, square), Part { x: 50, y: 0, width: 100, height: 100 });
        assert_eq!(middle(100, 200, square), Part { x: 0, y: 50, width: 100, height: 100 });
        assert_eq!(
            middle(1, 5000, Size { width: 2000, height: 1 }),
            Part { x: 0, y: 2499, width: 1, height: 1 }
        );
    }

    #[test]
    fn every_shape_gives_exactly_the_size() {
        for (width, height) in [(1, 1), (1, 3000), (3000, 1), (37, 41), (640, 480)] {
            for size in [
                Size { width: 1, height: 1 },
                Size { width: 128, height: 64 },
                Size { width: 3, height: 200 },
            ] {
                assert_eq!(cover(&pattern(width, height), size).dimensions(), (size.width, size.height));
            }
        }
    }

    #[test]
    fn a_turned_camera_is_turned_back() {
        let mut original = RgbImage::new(400, 200);
        for (x, _, pixel) in original.enumerate_pixels_mut() {
            *pixel = if x < 200 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) };
        }
        let small = oriented_cover(&original, Size { width: 20, height: 40 }, Orientation::Rotate90);
        assert_eq!(small.dimensions(), (20, 40));
        assert_eq!(small.get_pixel(10, 2), &Rgb([255, 0, 0]), "what was left is now on top");
        assert_eq!(small.get_pixel(10, 37), &Rgb([0, 0, 255]));
    }

    #[test]
    fn transparency_becomes_white() {
        let clear = DynamicImage::ImageRgba8(image::RgbaImage::from_pixel(2, 2, image::Rgba([9, 9, 9, 0])));
        assert_eq!(opaque(clear).get_pixel(0, 0), &Rgb([255, 255, 255]));
    }

    #[test]
    fn what_is_no_picture_is_refused_in_words() {
        let size = Size { width: 8, height: 8 };
        assert_eq!(thumbnail(b"<svg/>", size), Err(Refusal::Unsupported));
        assert_eq!(thumbnail(b"", size), Err(Refusal::Unsupported));
        assert!(matches!(thumbnail(b"\xff\xd8\xff\xe0junk", size), Err(Refusal::Damaged(_))));
    }
}
