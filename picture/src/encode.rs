//! From pixels to encoded bytes.

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{DynamicImage, ImageEncoder};

use crate::error::PictureError;
use crate::operations::Format;

/// The colour profile and EXIF of the input, where they go along.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) profile: Option<Vec<u8>>,
    pub(crate) exif: Option<Vec<u8>>,
}

/// The picture in one of the three forms that are written; a format that cannot hold the metadata goes without.
pub(crate) fn encode(
    picture: &DynamicImage,
    format: Format,
    quality: u8,
    metadata: Metadata,
) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    match format {
        Format::Png => write(PngEncoder::new(&mut bytes), picture, metadata),
        Format::WebP => write(WebPEncoder::new_lossless(&mut bytes), picture, metadata),
        Format::Jpeg | Format::Keep => {
            write(JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100)), picture, metadata)
        }
    }?;
    Ok(bytes)
}

fn write(
    mut encoder: impl ImageEncoder,
    picture: &DynamicImage,
    metadata: Metadata,
) -> Result<(), PictureError> {
    if let Some(profile) = metadata.profile {
        let _ = encoder.set_icc_profile(profile);
    }
    if let Some(exif) = metadata.exif {
        let _ = encoder.set_exif_metadata(exif);
    }
    Ok(encoder.write_image(picture.as_bytes(), picture.width(), picture.height(), picture.color().into())?)
}
