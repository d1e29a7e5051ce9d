//! Pictures for the guest.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use picture::{Crop, Fit, Format, Gravity, Operations, PictureError};
use wasmtime::component::Resource;

use crate::bindings::selvedge::edge::image::{
    Host, ImageError, ImageFit, ImageFormat, ImageGravity, ImageInfo, ImageOperations,
};
use crate::bindings::selvedge::edge::types::Response;
use crate::body::PullError;
use crate::event::Event;
use crate::images::NoImage;
use crate::state::{CallState, PASSING};

impl Host for CallState {
    fn info(&mut self, picture: Vec<u8>) -> wasmtime::Result<Result<ImageInfo, ImageError>> {
        Ok(info(&picture))
    }

    async fn transform(
        &mut self,
        picture: Vec<u8>,
        asked: ImageOperations,
    ) -> wasmtime::Result<Result<Vec<u8>, ImageError>> {
        // It may wait for its turn, and nobody else counts it.
        let held = self.memory.held();
        if !held.take(picture.len() as u64) {
            return Ok(Err(no_memory()));
        }
        Ok(self.make(picture.into(), asked).await.map(|made| made.bytes))
    }

    async fn response_info(
        &mut self,
        response: Resource<Response>,
    ) -> wasmtime::Result<Result<ImageInfo, ImageError>> {
        Ok(self.picture(response.rep()).await?.and_then(|picture| info(&picture)))
    }

    async fn transform_response(
        &mut self,
        response: Resource<Response>,
        asked: ImageOperations,
    ) -> wasmtime::Result<Result<ImageInfo, ImageError>> {
        let picture = match self.picture(response.rep()).await? {
            Ok(picture) => picture,
            Err(error) => return Ok(Err(error)),
        };
        let made = match self.make(picture, asked).await {
            Ok(made) => made,
            Err(error) => return Ok(Err(error)),
        };
        let media_type = made.format.media_type().unwrap_or_default();
        if !self.replace_body(response.rep(), made.bytes.into())? {
            return Ok(Err(no_memory()));
        }
        let response = self.response(response.rep())?;
        response.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        Ok(Ok(ImageInfo {
            media_type: media_type.to_owned(),
            width: made.width,
            height: made.height,
            orientation: 1,
            animated: false,
        }))
    }
}

impl CallState {
    /// The encoded picture that a response has for a body.
    async fn picture(&mut self, handle: u32) -> wasmtime::Result<Result<Bytes, ImageError>> {
        if self.event == Event::ViewerResponse {
            return Ok(Err(ImageError::Broken));
        }
        if let Some(body) = &self.response(handle)?.body {
            return Ok(Ok(body.bytes.clone()));
        }
        let Some(body) = self.body.as_mut().filter(|_| handle == PASSING) else {
            return Ok(Err(ImageError::Broken));
        };
        Ok(body.read_whole().await.map_err(|error| match error {
            PullError::TooLarge => ImageError::TooLarge("the body is over the hook's limit".to_owned()),
            PullError::Broken => ImageError::Broken,
        }))
    }

    async fn make(&mut self, input: Bytes, asked: ImageOperations) -> Result<picture::Made, ImageError> {
        let most_pixels = asked.max_input_pixels;
        let made = self.own.images.transform(input, operations(asked), most_pixels).await?;
        if made.bytes.len() > self.bounds.output {
            return Err(ImageError::TooLarge("what was made is over the hook's limit".to_owned()));
        }
        Ok(made)
    }
}

fn no_memory() -> ImageError {
    ImageError::TooLarge("the call holds as many bytes as it may, or all hooks do".to_owned())
}

fn info(picture: &[u8]) -> Result<ImageInfo, ImageError> {
    let info = picture::info(picture)?;
    Ok(ImageInfo {
        media_type: info.media_type.to_owned(),
        width: info.width,
        height: info.height,
        orientation: info.orientation,
        animated: info.is_animated,
    })
}

fn operations(asked: ImageOperations) -> Operations {
    let background = asked.background.map(|(red, green, blue)| [red, green, blue]);
    Operations {
        width: asked.width,
        height: asked.height,
        fit: match asked.fit {
            ImageFit::Cover => Fit::Cover,
            ImageFit::Contain => Fit::Contain,
            ImageFit::Fill => Fit::Fill,
            ImageFit::Inside => Fit::Inside,
            ImageFit::Outside => Fit::Outside,
        },
        gravity: match asked.gravity {
            ImageGravity::Centre => Gravity::Centre,
            ImageGravity::North => Gravity::North,
            ImageGravity::NorthEast => Gravity::NorthEast,
            ImageGravity::East => Gravity::East,
            ImageGravity::SouthEast => Gravity::SouthEast,
            ImageGravity::South => Gravity::South,
            ImageGravity::SouthWest => Gravity::SouthWest,
            ImageGravity::West => Gravity::West,
            ImageGravity::NorthWest => Gravity::NorthWest,
        },
        crop: asked.crop.map(|part| Crop { x: part.x, y: part.y, width: part.width, height: part.height }),
        format: match asked.format {
            ImageFormat::Keep => Format::Keep,
            ImageFormat::Jpeg => Format::Jpeg,
            ImageFormat::Png => Format::Png,
            ImageFormat::Webp => Format::WebP,
        },
        quality: asked.quality.unwrap_or(Operations::QUALITY),
        auto_orient: asked.auto_orient,
        strip_exif: asked.strip_metadata,
        background: background.unwrap_or(Operations::default().background),
    }
}

impl From<PictureError> for ImageError {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::TooLarge(message) => Self::TooLarge(message),
            PictureError::Unsupported(message) => Self::Unsupported(message),
            PictureError::Damaged(message) => Self::Damaged(message),
            PictureError::Operations(message) => Self::Invalid(message),
        }
    }
}

impl From<NoImage> for ImageError {
    fn from(error: NoImage) -> Self {
        match error {
            NoImage::Busy => Self::Busy,
            NoImage::Picture(error) => error.into(),
        }
    }
}
