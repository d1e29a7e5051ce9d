//! What is to be made of a picture.

/// Encoded forms. Those that are read and written alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// As the input; a GIF becomes a PNG, for its first frame is all that is left of it.
    #[default]
    Keep,
    /// JPEG: what is transparent takes the background's colour.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    WebP,
}

impl Format {
    /// The media type; none for [`Format::Keep`].
    #[must_use]
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Keep => None,
            Self::Jpeg => Some("image/jpeg"),
            Self::Png => Some("image/png"),
            Self::WebP => Some("image/webp"),
        }
    }
}

/// How a picture of one shape becomes one of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fit {
    /// Exactly the size; what juts out is cut off where `gravity` does not hold it.
    #[default]
    Cover,
    /// Exactly the size, all of the picture in it, the rest filled with the background.
    Contain,
    /// Exactly the size, stretched.
    Fill,
    /// As large as fits into the size, never larger than it is.
    Inside,
    /// As small as covers the size.
    Outside,
}

/// The part that is kept where something is cut off, and where the picture stands where there is space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Gravity {
    /// The middle.
    #[default]
    Centre,
    /// The top.
    North,
    /// The upper right corner.
    NorthEast,
    /// The right edge.
    East,
    /// The lower right corner.
    SouthEast,
    /// The bottom.
    South,
    /// The lower left corner.
    SouthWest,
    /// The left edge.
    West,
    /// The upper left corner.
    NorthWest,
}

impl Gravity {
    /// How much of the free space lies left of and above what is placed: 0, a half or 1.
    pub(crate) fn shares(self) -> (f64, f64) {
        let across = match self {
            Self::NorthWest | Self::West | Self::SouthWest => 0.0,
            Self::North | Self::Centre | Self::South => 0.5,
            Self::NorthEast | Self::East | Self::SouthEast => 1.0,
        };
        let down = match self {
            Self::NorthWest | Self::North | Self::NorthEast => 0.0,
            Self::West | Self::Centre | Self::East => 0.5,
            Self::SouthWest | Self::South | Self::SouthEast => 1.0,
        };
        (across, down)
    }
}

/// A part of a picture, in pixels of the picture as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Crop {
    /// Pixels from the left.
    pub x: u32,
    /// Pixels from the top.
    pub y: u32,
    /// Pixels across, at least one.
    pub width: u32,
    /// Pixels down, at least one.
    pub height: u32,
}

/// What is to be made of a picture. The default keeps size and format, turns it as the camera was held, and strips what
/// is not picture.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Operations {
    /// Pixels across; alone, the height follows the shape.
    pub width: Option<u32>,
    /// Pixels down; alone, the width follows the shape.
    pub height: Option<u32>,
    /// What happens when the shapes differ.
    pub fit: Fit,
    /// Which part is kept.
    pub gravity: Gravity,
    /// Taken out of the picture before everything else; what lies outside of the picture is left away.
    pub crop: Option<Crop>,
    /// The encoded form.
    pub format: Format,
    /// Of JPEG, 1 to 100.
    pub quality: u8,
    /// Whether the picture is turned as EXIF says that the camera was held.
    pub auto_orient: bool,
    /// Whether EXIF is left away. A colour profile goes along, for the colours would be others without it.
    pub strip_exif: bool,
    /// Red, green and blue of what is behind transparent parts and around contained pictures.
    pub background: [u8; 3],
}

impl Operations {
    /// The quality of JPEG where nothing else is asked.
    pub const QUALITY: u8 = 82;
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            width: None,
            height: None,
            fit: Fit::default(),
            gravity: Gravity::default(),
            crop: None,
            format: Format::default(),
            quality: Self::QUALITY,
            auto_orient: true,
            strip_exif: true,
            background: [255; 3],
        }
    }
}
