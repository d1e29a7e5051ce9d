//! Pictures made smaller: from encoded bytes to encoded bytes.
//!
//! Pure and without unsafe code, so that the same source runs on the host and inside a guest
//! (`hooks/thumbnail`), and both give the same picture. Whoever calls bounds it: [`Plan::new`] reads no more than the
//! head, and says what decoding will cost before anything is decoded.
#![forbid(unsafe_code)]

mod decode;
mod encode;
mod error;
mod geometry;
mod info;
mod jpeg;
mod operations;
mod transform;
mod webp;

pub use error::PictureError;
pub use info::{FIRST_BYTES, Info, info, media_type};
pub use operations::{Crop, Fit, Format, Gravity, Operations};
pub use transform::{Limits, Made, Plan};
