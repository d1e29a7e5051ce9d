//! Pictures made by the node itself, on threads of their own: JPEG, PNG and WebP, read and written, and GIF, read. It costs the
//! hook neither processor time nor memory, only time on the clock.
//!
//! ```no_run
//! use selvedge_hook::prelude::*;
//!
//! hook!(origin-response: small);
//!
//! fn small(_: &Request, response: &Response) -> Result {
//!     if response.header("content-type").is_some_and(|kind| kind.starts_with("image/")) {
//!         image::sized(320, 240).format(image::Format::Jpeg).quality(75).apply(response)?;
//!     }
//!     Ok(())
//! }
//! ```

use crate::Response;
use crate::bindings::selvedge::edge::image as raw;

pub use raw::{
    ImageError as Error, ImageFit as Fit, ImageFormat as Format, ImageGravity as Gravity, ImageInfo as Info,
};

/// What is to be done to a picture. It is turned as EXIF says that the camera was held, keeps its format and loses EXIF,
/// unless said otherwise.
#[derive(Debug, Clone)]
#[must_use = "nothing is done before `apply` or `transform`"]
pub struct Operations(raw::ImageOperations);

/// Exactly this size in pixels; what juts out is cut off ([`Operations::fit`]).
pub fn sized(width: u32, height: u32) -> Operations {
    let mut operations = converted();
    (operations.0.width, operations.0.height) = (Some(width), Some(height));
    operations
}

/// As wide as this, in pixels; the shape stays.
pub fn wide(width: u32) -> Operations {
    let mut operations = converted();
    operations.0.width = Some(width);
    operations
}

/// As high as this, in pixels; the shape stays.
pub fn high(height: u32) -> Operations {
    let mut operations = converted();
    operations.0.height = Some(height);
    operations
}

/// As large as it is, for another format or without EXIF.
pub fn converted() -> Operations {
    Operations(raw::ImageOperations {
        width: None,
        height: None,
        fit: Fit::Cover,
        gravity: Gravity::Centre,
        crop: None,
        format: Format::Keep,
        quality: None,
        auto_orient: true,
        strip_metadata: true,
        background: None,
        max_input_pixels: None,
    })
}

/// What the head of a picture says; nothing is decoded.
///
/// # Errors
/// [`Error`]
pub fn info(picture: &[u8]) -> Result<Info, Error> {
    raw::info(picture)
}

/// What the head of a response's body says. The body is read by the node and still passes.
///
/// # Errors
/// [`Error`]
pub fn response_info(response: &Response) -> Result<Info, Error> {
    raw::response_info(response.as_raw())
}

impl Operations {
    /// How the picture gets into the size.
    pub fn fit(mut self, fit: Fit) -> Self {
        self.0.fit = fit;
        self
    }

    /// Which part of it stays where something is cut off.
    pub fn gravity(mut self, gravity: Gravity) -> Self {
        self.0.gravity = gravity;
        self
    }

    /// A part of it, taken out before everything else: pixels from the left, from the top, across and down.
    pub fn crop(mut self, x: u32, y: u32, width: u32, height: u32) -> Self {
        self.0.crop = Some(raw::ImagePart { x, y, width, height });
        self
    }

    /// In another format; WebP is written without loss.
    pub fn format(mut self, format: Format) -> Self {
        self.0.format = format;
        self
    }

    /// Of JPEG, 1 to 100; else 82.
    pub fn quality(mut self, quality: u8) -> Self {
        self.0.quality = Some(quality);
        self
    }

    /// Red, green, blue behind what is transparent and around what is contained; else white.
    pub fn background(mut self, red: u8, green: u8, blue: u8) -> Self {
        self.0.background = Some((red, green, blue));
        self
    }

    /// As stored, however the camera was held.
    pub fn as_stored(mut self) -> Self {
        self.0.auto_orient = false;
        self
    }

    /// With EXIF, which may say where and by whom it was taken.
    pub fn keep_metadata(mut self) -> Self {
        self.0.strip_metadata = false;
        self
    }

    /// Refuses larger inputs before they are decoded; only below the node's own limit.
    pub fn max_input_pixels(mut self, pixels: u64) -> Self {
        self.0.max_input_pixels = Some(pixels);
        self
    }

    /// A picture made of these bytes.
    ///
    /// # Errors
    /// [`Error`]
    pub fn transform(&self, picture: &[u8]) -> Result<Vec<u8>, Error> {
        raw::transform(picture, self.0)
    }

    /// Puts the picture in the place of a response's body, and its type into `content-type`; the bytes of neither go through the
    /// hook. For `origin-response`, and responses with a body of the hook's own.
    ///
    /// # Errors
    /// [`Error`]; the response is then as it was.
    pub fn apply(&self, response: &Response) -> Result<Info, Error> {
        raw::transform_response(response.as_raw(), self.0)
    }
}
