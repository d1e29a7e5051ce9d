//! A JPEG at a half, a quarter or an eighth of its size, straight from its coefficients (ITU-T T.81).
//!
//! A thumbnail needs a sixteenth of the pixels that a decoder makes. A pixel of the smaller picture is the mean of the
//! pixels it stands for, and that mean is a weighted sum of the block's coefficients; so each coefficient is added to
//! the few pixels of its block, and there is no inverse transform. What is neither baseline nor progressive (lossless,
//! arithmetic, 12 bits, sequential in several scans, four components) is somebody else's to decode.

mod basis;
mod bits;
mod header;
mod huffman;
mod planes;
mod progressive;
mod sequential;

pub(crate) use header::{Header, Process};

use planes::Frame;

const BROKEN: Damaged = Damaged("a code in it does not exist");
const CUT: Damaged = Damaged("it ends before the picture does");

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

/// Whether the picture is of the kind that this module decodes.
pub(crate) fn can_reduce(header: &Header, reduction: Reduction) -> bool {
    let is_frame = Frame::prepare(header, reduction).is_some();
    match header.process {
        Process::Sequential => is_frame && sequential::codes(header).is_some(),
        Process::Progressive => is_frame,
        Process::Other => false,
    }
}

/// Decodes the picture that `header` was read from, if it is one that [`can_reduce`].
///
/// # Errors
/// What is wrong with the picture: a code that does not exist, an end before the end.
pub(crate) fn decode(bytes: &[u8], header: &Header, reduction: Reduction) -> Result<Pixels, Damaged> {
    const OTHER: Damaged = Damaged("it is of a kind that cannot be decoded smaller");
    let frame = Frame::prepare(header, reduction).ok_or(OTHER)?;
    let samples = match header.process {
        Process::Sequential => {
            let codes = sequential::codes(header).ok_or(OTHER)?;
            sequential::decode(bytes, header, &frame, &codes)?
        }
        Process::Progressive => progressive::decode(bytes, header.clone(), &frame)?,
        Process::Other => return Err(OTHER),
    };
    Ok(frame.into_pixels(&samples))
}
