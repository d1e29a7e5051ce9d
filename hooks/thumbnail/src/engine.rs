//! Who makes the picture: the node, or this hook by itself. The code is the same, and so are the pictures.

use picture::{Fit, Format, Gravity, Limits, Operations, PictureError, Plan};

use crate::hook::bindings::selvedge::edge::image::{
    self, ImageError, ImageFit, ImageFormat, ImageGravity, ImageOperations,
};
use crate::hook::bindings::selvedge::edge::types::{BodyError, BodyReader, Response};

/// The longest original, encoded, that the hook reads by itself.
const MAX_ORIGINAL: u32 = 48 << 20;
/// The most pixels that it decodes by itself.
const MAX_PIXELS: u64 = 50_000_000;

/// An original, and what was read of it to see what it is.
pub(crate) struct Original<'a> {
    response: &'a Response,
    begun: Option<(BodyReader, Vec<u8>)>,
}

impl<'a> Original<'a> {
    /// One of which nothing was read.
    pub(crate) fn new(response: &'a Response) -> Self {
        Self { response, begun: None }
    }

    /// Looks at the first bytes; with their media type where they are a picture's. What was read still passes.
    pub(crate) fn look(response: &'a Response) -> Result<Option<(Self, &'static str)>, ImageError> {
        let reader = response.body().ok_or(ImageError::Broken)?;
        let mut first = Vec::new();
        while let Some(missing) = picture::FIRST_BYTES.checked_sub(first.len()).filter(|missing| *missing > 0)
        {
            match reader.read(missing as u32).map_err(unread)? {
                Some(bytes) => first.extend(bytes),
                None => break,
            }
        }
        let media_type = picture::media_type(&first);
        Ok(media_type.map(|media_type| (Self { response, begun: Some((reader, first)) }, media_type)))
    }

    fn read(self) -> Result<Vec<u8>, ImageError> {
        match self.begun {
            None => {
                let reader = self.response.body().ok_or(ImageError::Broken)?;
                reader.read_all(MAX_ORIGINAL).map_err(unread)
            }
            Some((reader, mut bytes)) => {
                bytes.extend(reader.read_all(MAX_ORIGINAL).map_err(unread)?);
                Ok(bytes)
            }
        }
    }
}

fn unread(error: BodyError) -> ImageError {
    match error {
        BodyError::TooLarge => ImageError::TooLarge("its body is too long".to_owned()),
        BodyError::Broken => ImageError::Broken,
    }
}

/// Where the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// By the node, in native code on threads of its own.
    Host,
    /// In here, within the hook's own limits: on any node, and for whoever trusts nothing but the sandbox.
    Guest,
}

impl Engine {
    pub(crate) fn named(name: Option<&str>) -> Result<Self, String> {
        match name {
            None | Some("host") => Ok(Self::Host),
            Some("guest") => Ok(Self::Guest),
            Some(other) => Err(format!("config.engine is {other}; it must be host or guest")),
        }
    }

    /// Puts the picture in the place of the response's body, and gives its media type.
    pub(crate) fn transform(
        self,
        original: Original<'_>,
        operations: &Operations,
        passes_animations: bool,
    ) -> Result<String, ImageError> {
        let response = original.response;
        match self {
            Self::Host => {
                if passes_animations && image::response_info(response)?.animated {
                    return Err(ImageError::Unsupported(ANIMATED.to_owned()));
                }
                image::transform_response(response, for_host(operations)).map(|info| info.media_type)
            }
            Self::Guest => {
                let original = original.read()?;
                if passes_animations && picture::info(&original).is_ok_and(|info| info.is_animated) {
                    return Err(ImageError::Unsupported(ANIMATED.to_owned()));
                }
                let (made, media_type) = here(&original, operations)?;
                response
                    .set_body(&made)
                    .map_err(|_| ImageError::TooLarge("the picture is over the hook's output".to_owned()))?;
                Ok(media_type.to_owned())
            }
        }
    }
}

const ANIMATED: &str = "it is animated";

fn here(original: &[u8], operations: &Operations) -> Result<(Vec<u8>, &'static str), ImageError> {
    let limits = Limits { pixels: MAX_PIXELS, memory: u64::MAX };
    let plan = Plan::new(original, operations, limits).map_err(refused)?;
    // Asked for before it is needed: a refusal is an answer, running out of memory is a trap.
    let memory = usize::try_from(plan.memory()).unwrap_or(usize::MAX);
    Vec::<u8>::new().try_reserve_exact(memory).map_err(|_| {
        ImageError::TooLarge(format!("decoding needs {memory} bytes of memory, more than the hook may have"))
    })?;
    let made = plan.run().map_err(refused)?;
    Ok((made.bytes, made.format.media_type().unwrap_or_default()))
}

fn refused(error: PictureError) -> ImageError {
    match error {
        PictureError::TooLarge(message) => ImageError::TooLarge(message),
        PictureError::Unsupported(message) => ImageError::Unsupported(message),
        PictureError::Damaged(message) => ImageError::Damaged(message),
        PictureError::Operations(message) => ImageError::Invalid(message),
    }
}

fn for_host(operations: &Operations) -> ImageOperations {
    ImageOperations {
        width: operations.width,
        height: operations.height,
        fit: match operations.fit {
            Fit::Cover => ImageFit::Cover,
            Fit::Contain => ImageFit::Contain,
            Fit::Fill => ImageFit::Fill,
            Fit::Inside => ImageFit::Inside,
            Fit::Outside => ImageFit::Outside,
        },
        gravity: match operations.gravity {
            Gravity::Centre => ImageGravity::Centre,
            Gravity::North => ImageGravity::North,
            Gravity::NorthEast => ImageGravity::NorthEast,
            Gravity::East => ImageGravity::East,
            Gravity::SouthEast => ImageGravity::SouthEast,
            Gravity::South => ImageGravity::South,
            Gravity::SouthWest => ImageGravity::SouthWest,
            Gravity::West => ImageGravity::West,
            Gravity::NorthWest => ImageGravity::NorthWest,
        },
        crop: None,
        format: match operations.format {
            Format::Keep => ImageFormat::Keep,
            Format::Jpeg => ImageFormat::Jpeg,
            Format::Png => ImageFormat::Png,
            Format::WebP => ImageFormat::Webp,
        },
        quality: Some(operations.quality),
        auto_orient: operations.auto_orient,
        strip_metadata: operations.strip_exif,
        background: None,
        max_input_pixels: None,
    }
}
