//! A baseline JPEG at a half, a quarter or an eighth of its size, straight from its coefficients (ITU-T T.81).
//!
//! A thumbnail needs a sixteenth of the pixels that a decoder makes. A pixel of the smaller picture is the mean of the
//! pixels it stands for, and that mean is a weighted sum of the block's coefficients; so each coefficient is added to
//! the few pixels of its block as soon as it is read, and there is no inverse transform. What is not baseline
//! (progressive, lossless, arithmetic, 12 bits, several scans, four components) is somebody else's to decode.

mod basis;
mod bits;
mod header;
mod huffman;
mod scan;

pub(crate) use header::Header;

/// How much smaller a picture is decoded, along each edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reduction {
    Half,
    Quarter,
    Eighth,
}

impl Reduction {
    pub(crate) const ALL: [Self; 3] = [Self::Eighth, Self::Quarter, Self::Half];

    /// Pixels of the original along an edge of one of the reduced picture's.
    pub(crate) fn factor(self) -> u32 {
        match self {
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }
}

/// What is wrong with a JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged(pub(crate) &'static str);

/// A picture as it is decoded: red, green, blue and 255 for each pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Decodes the picture that `header` was read from; `None` when it is not of the kind that this module reads.
///
/// # Errors
/// What is wrong with the picture: a code that does not exist, an end before the end.
pub(crate) fn decode(bytes: &[u8], header: &Header, reduction: Reduction) -> Result<Option<Pixels>, Damaged> {
    let Some(scan) = scan::Scan::prepare(header, reduction) else { return Ok(None) };
    let planes = scan.decode(bytes.get(header.data..).unwrap_or_default())?;
    Ok(Some(scan.into_pixels(&planes)))
}
