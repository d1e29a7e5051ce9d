//! Pictures for the thumbnail stories: drawn, so that they may be shipped and differ everywhere.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

/// A JPEG of this size: a gradient from left to right and from top to bottom.
#[must_use]
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encode(width, height, ImageFormat::Jpeg)
}

/// The same picture as a PNG.
#[must_use]
pub fn png(width: u32, height: u32) -> Vec<u8> {
    encode(width, height, ImageFormat::Png)
}

/// The width and height of an encoded picture, after decoding all of it.
#[must_use]
pub fn size(encoded: &[u8]) -> (u32, u32) {
    let picture = image::load_from_memory(encoded).expect("not a picture");
    (picture.width(), picture.height())
}

/// The format of an encoded picture.
#[must_use]
pub fn format(encoded: &[u8]) -> Option<ImageFormat> {
    image::guess_format(encoded).ok()
}

fn encode(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let shade = |position: u32, length: u32| u8::try_from(position * 255 / length.max(1)).unwrap_or(u8::MAX);
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb([shade(x, width), shade(y, height), 128]));
    let mut encoded = Cursor::new(Vec::new());
    picture.write_to(&mut encoded, format).expect("cannot encode a picture");
    encoded.into_inner()
}
