//! Why there is no picture.

/// What is wrong, and whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// The input is over a limit: pixels, or the memory that decoding it would take.
    #[error("{0}")]
    TooLarge(String),
    /// The input is none of the formats that are read, or a variety of them that is not.
    #[error("{0}")]
    Unsupported(String),
    /// The input is damaged.
    #[error("{0}")]
    Damaged(String),
    /// The operations make no sense for this input, or what they ask for is too large.
    #[error("{0}")]
    Operations(String),
}

impl From<image::ImageError> for PictureError {
    fn from(error: image::ImageError) -> Self {
        match error {
            image::ImageError::Limits(_) => Self::TooLarge(error.to_string()),
            image::ImageError::Unsupported(_) => Self::Unsupported(error.to_string()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}
