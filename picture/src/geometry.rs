//! Which part of the picture goes where, all in pixels of the picture as it is shown.

use image::metadata::Orientation;

use crate::error::PictureError;
use crate::operations::{Crop, Fit, Operations};

/// The longest edge that is made.
const MAX_EDGE: u32 = 16_383; // what WebP can hold

/// A part of a picture, not always of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// What is taken, how large it becomes, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placement {
    pub(crate) part: Part,
    pub(crate) size: Size,
    /// All that is answered; larger than `size` only where a picture is contained.
    pub(crate) canvas: Size,
    /// Pixels from the left and from the top of the canvas.
    pub(crate) offset: (u32, u32),
}

impl Placement {
    /// Where a picture of `shown` size goes.
    ///
    /// # Errors
    /// An edge of nothing, or too long; a crop outside of the picture.
    pub(crate) fn new(shown: Size, operations: &Operations) -> Result<Self, PictureError> {
        let whole = cropped(shown, operations.crop)?;
        let asked = (operations.width.map(f64::from), operations.height.map(f64::from));
        let placement = match asked {
            (None, None) => Self::plain(whole, whole.width, whole.height),
            (Some(width), None) => one_edge(whole, width / whole.width, operations.fit),
            (None, Some(height)) => one_edge(whole, height / whole.height, operations.fit),
            (Some(width), Some(height)) => both_edges(whole, width, height, operations),
        };
        let is_asked_for_nothing = operations.width == Some(0) || operations.height == Some(0);
        if is_asked_for_nothing || placement.canvas.width.max(placement.canvas.height) > MAX_EDGE {
            let Size { width, height } = placement.canvas;
            return Err(PictureError::Operations(format!(
                "{width}x{height} cannot be made; edges are 1 to {MAX_EDGE} pixels long"
            )));
        }
        Ok(placement)
    }

    fn plain(part: Part, width: f64, height: f64) -> Self {
        let size = Size { width: whole_pixels(width), height: whole_pixels(height) };
        Self { part, size, canvas: size, offset: (0, 0) }
    }
}

fn cropped(shown: Size, crop: Option<Crop>) -> Result<Part, PictureError> {
    let Some(crop) = crop else {
        return Ok(Part { x: 0.0, y: 0.0, width: shown.width.into(), height: shown.height.into() });
    };
    let width = crop.width.min(shown.width.saturating_sub(crop.x));
    let height = crop.height.min(shown.height.saturating_sub(crop.y));
    if width == 0 || height == 0 {
        let Size { width, height } = shown;
        return Err(PictureError::Operations(format!(
            "the crop lies outside of the picture of {width}x{height}"
        )));
    }
    Ok(Part { x: crop.x.into(), y: crop.y.into(), width: width.into(), height: height.into() })
}

fn one_edge(whole: Part, scale: f64, fit: Fit) -> Placement {
    let scale = if fit == Fit::Inside { scale.min(1.0) } else { scale };
    Placement::plain(whole, whole.width * scale, whole.height * scale)
}

fn both_edges(whole: Part, width: f64, height: f64, operations: &Operations) -> Placement {
    let (across, down) = (width / whole.width, height / whole.height);
    let (shares_across, shares_down) = operations.gravity.shares();
    let scaled = |scale: f64| Placement::plain(whole, whole.width * scale, whole.height * scale);
    match operations.fit {
        Fit::Fill => Placement::plain(whole, width, height),
        Fit::Inside => scaled(across.min(down).min(1.0)),
        Fit::Outside => scaled(across.max(down)),
        Fit::Cover => {
            let scale = across.max(down);
            let (part_width, part_height) = (width / scale, height / scale);
            let part = Part {
                x: whole.x + (whole.width - part_width) * shares_across,
                y: whole.y + (whole.height - part_height) * shares_down,
                width: part_width,
                height: part_height,
            };
            Placement::plain(part, width, height)
        }
        Fit::Contain => {
            let inner = scaled(across.min(down));
            let canvas = Size { width: whole_pixels(width), height: whole_pixels(height) };
            let size = Size {
                width: inner.size.width.min(canvas.width),
                height: inner.size.height.min(canvas.height),
            };
            let offset = (
                (f64::from(canvas.width - size.width) * shares_across) as u32,
                (f64::from(canvas.height - size.height) * shares_down) as u32,
            );
            Placement { part: whole, size, canvas, offset }
        }
    }
}

fn whole_pixels(length: f64) -> u32 {
    length.round().max(1.0) as u32
}

/// Whether a picture lies on its side as it is stored.
pub(crate) fn is_turned(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

impl Size {
    /// The size that a stored picture has when it is shown, and the other way round.
    pub(crate) fn turned(self, orientation: Orientation) -> Self {
        if is_turned(orientation) { Self { width: self.height, height: self.width } } else { self }
    }
}

impl Part {
    /// Where a part of the picture as shown lies in the picture of `stored` size.
    pub(crate) fn stored(self, stored: Size, orientation: Orientation) -> Self {
        let (width, height) = (f64::from(stored.width), f64::from(stored.height));
        let lying = Self { x: self.y, y: self.x, width: self.height, height: self.width };
        let flipped_across = |part: Self| Self { x: width - part.x - part.width, ..part };
        let flipped_down = |part: Self| Self { y: height - part.y - part.height, ..part };
        match orientation {
            Orientation::NoTransforms => self,
            Orientation::FlipHorizontal => flipped_across(self),
            Orientation::FlipVertical => flipped_down(self),
            Orientation::Rotate180 => flipped_down(flipped_across(self)),
            Orientation::Rotate90 => flipped_down(lying),
            Orientation::Rotate270 => flipped_across(lying),
            Orientation::Rotate90FlipH => lying,
            Orientation::Rotate270FlipH => flipped_down(flipped_across(lying)),
        }
    }

    /// The same part of a picture that is smaller by `factor`, and no larger than it.
    pub(crate) fn reduced(self, factor: f64, (width, height): (u32, u32)) -> Self {
        let (x, y) = ((self.x / factor).max(0.0), (self.y / factor).max(0.0));
        Self {
            x,
            y,
            width: (self.width / factor).min(f64::from(width) - x),
            height: (self.height / factor).min(f64::from(height) - y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::Gravity;

    const SHOWN: Size = Size { width: 200, height: 100 };

    fn asked(width: u32, height: u32, fit: Fit) -> Operations {
        let edge = |edge| (edge > 0).then_some(edge);
        Operations { width: edge(width), height: edge(height), fit, ..Operations::default() }
    }

    fn size(width: u32, height: u32, fit: Fit) -> (u32, u32) {
        let placement = Placement::new(SHOWN, &asked(width, height, fit)).unwrap();
        (placement.canvas.width, placement.canvas.height)
    }

    #[test]
    fn sizes_are_as_each_fit_says() {
        assert_eq!(size(50, 50, Fit::Cover), (50, 50));
        assert_eq!(size(50, 50, Fit::Contain), (50, 50));
        assert_eq!(size(50, 50, Fit::Fill), (50, 50));
        assert_eq!(size(50, 50, Fit::Inside), (50, 25));
        assert_eq!(size(50, 50, Fit::Outside), (100, 50));
        assert_eq!(size(400, 400, Fit::Inside), (200, 100), "never larger than it is");
        assert_eq!(size(400, 0, Fit::Inside), (200, 100));
        assert_eq!(size(400, 400, Fit::Cover), (400, 400));
    }

    #[test]
    fn one_edge_alone_keeps_the_shape_and_none_keeps_the_size() {
        for fit in [Fit::Cover, Fit::Contain, Fit::Fill, Fit::Inside, Fit::Outside] {
            assert_eq!(size(50, 0, fit), (50, 25));
            assert_eq!(size(0, 50, fit), (100, 50));
            assert_eq!(size(0, 0, fit), (200, 100));
        }
    }

    #[test]
    fn gravity_says_which_part_is_covered() {
        let part = |gravity| {
            let operations = Operations { gravity, ..asked(10, 10, Fit::Cover) };
            Placement::new(SHOWN, &operations).unwrap().part
        };
        let square = |x| Part { x, y: 0.0, width: 100.0, height: 100.0 };
        assert_eq!(part(Gravity::Centre), square(50.0));
        assert_eq!(part(Gravity::West), square(0.0));
        assert_eq!(part(Gravity::SouthEast), square(100.0));
    }

    #[test]
    fn a_contained_picture_stands_where_gravity_holds_it() {
        let operations = Operations { gravity: Gravity::South, ..asked(50, 50, Fit::Contain) };
        let placement = Placement::new(SHOWN, &operations).unwrap();
        assert_eq!((placement.size, placement.offset), (Size { width: 50, height: 25 }, (0, 25)));
    }

    #[test]
    fn a_crop_comes_first_and_is_cut_at_the_edge() {
        let crop = |x, width| Operations {
            crop: Some(Crop { x, y: 0, width, height: 10 }),
            ..asked(0, 0, Fit::Cover)
        };
        let placement = Placement::new(SHOWN, &crop(190, 50)).unwrap();
        assert_eq!(placement.canvas, Size { width: 10, height: 10 });
        assert!(Placement::new(SHOWN, &crop(200, 50)).is_err());
        assert!(Placement::new(SHOWN, &crop(0, 0)).is_err());
    }

    #[test]
    fn no_edge_is_nothing_or_endless() {
        for (width, height) in [(16_384, 1), (1, 16_384), (u32::MAX, u32::MAX)] {
            assert!(Placement::new(SHOWN, &asked(width, height, Fit::Cover)).is_err());
        }
        let nothing = Operations { width: Some(0), ..Operations::default() };
        assert!(Placement::new(SHOWN, &nothing).is_err());
        assert_eq!(size(1, 1, Fit::Inside), (1, 1));
    }

    #[test]
    fn a_part_of_what_is_shown_is_found_in_what_is_stored() {
        // The picture is turned as a whole, and the part must come out where the turned picture has it.
        let stored = image::DynamicImage::ImageRgb8(image::RgbImage::from_fn(7, 4, |x, y| {
            image::Rgb([x as u8, y as u8, 0])
        }));
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut shown = stored.clone();
            shown.apply_orientation(orientation);
            let part = Part { x: 1.0, y: 2.0, width: 3.0, height: 1.0 };
            let mut expected = shown.crop_imm(1, 2, 3, 1);
            let there = part.stored(Size { width: 7, height: 4 }, orientation);
            let mut found =
                stored.crop_imm(there.x as u32, there.y as u32, there.width as u32, there.height as u32);
            found.apply_orientation(orientation);
            assert_eq!(found.as_bytes(), expected.as_mut_rgb8().unwrap().as_raw(), "{orientation:?}");
        }
    }
}
