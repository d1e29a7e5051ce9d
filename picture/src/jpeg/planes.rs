//! The planes of a reduced picture: how coefficients become samples, and samples become red, green and blue.

use super::basis::Basis;
use super::header::{Component, Header};
use super::{Pixels, Reduction};

/// A picture in planes of the same size, one for each component.
pub(super) struct Frame {
    /// Of the reduced picture.
    width: u32,
    height: u32,
    pub(super) units_across: usize,
    pub(super) units_down: usize,
    pub(super) planes: Vec<Plane>,
    is_rgb: bool,
}

/// How the blocks of a component become a plane.
pub(super) struct Plane {
    /// Blocks of a unit.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Pixels of a reduced block.
    block_width: usize,
    block_height: usize,
    /// Pixels of a row.
    stride: usize,
    weights: Weights,
}

/// Where coefficients come from, block by block.
pub(super) trait Coefficients {
    /// Adds those of the next block up; `None` when there is no such block.
    fn add_to<const PIXELS: usize>(&mut self, sums: &mut [f32; PIXELS], basis: &Basis<PIXELS>) -> Option<()>;
}

/// The weights for a block of so many pixels across and down.
enum Weights {
    By1x1(Basis<1>),
    By1x2(Basis<2>),
    By2x1(Basis<2>),
    By2x2(Basis<4>),
    By2x4(Basis<8>),
    By4x2(Basis<8>),
    By4x4(Basis<16>),
    By4x8(Basis<32>),
    By8x4(Basis<32>),
    By8x8(Basis<64>),
}

impl Weights {
    fn new(width: usize, height: usize, quantisation: &[u16; 64]) -> Option<Self> {
        Some(match (width, height) {
            (1, 1) => Self::By1x1(Basis::new(width, quantisation)),
            (1, 2) => Self::By1x2(Basis::new(width, quantisation)),
            (2, 1) => Self::By2x1(Basis::new(width, quantisation)),
            (2, 2) => Self::By2x2(Basis::new(width, quantisation)),
            (2, 4) => Self::By2x4(Basis::new(width, quantisation)),
            (4, 2) => Self::By4x2(Basis::new(width, quantisation)),
            (4, 4) => Self::By4x4(Basis::new(width, quantisation)),
            (4, 8) => Self::By4x8(Basis::new(width, quantisation)),
            (8, 4) => Self::By8x4(Basis::new(width, quantisation)),
            (8, 8) => Self::By8x8(Basis::new(width, quantisation)),
            _ => return None,
        })
    }
}

impl Frame {
    /// `None` when the picture is of another kind than is decoded reduced.
    pub(super) fn prepare(header: &Header, reduction: Reduction) -> Option<Self> {
        if header.height == 0 || !matches!(header.components.len(), 1 | 3) {
            return None;
        }
        let ids: Vec<u8> = header.components.iter().map(|component| component.id).collect();
        let is_rgb =
            header.adobe_transform == Some(0) || (header.adobe_transform.is_none() && ids == *b"RGB");
        // A single component is not interleaved: its units are blocks, whatever its sampling says (T.81 section A.2.2).
        let sampling = |component: &Component| match ids.len() {
            1 => (1, 1),
            _ => (usize::from(component.across), usize::from(component.down)),
        };
        let widest = header.components.iter().map(|component| sampling(component).0).max()?;
        let highest = header.components.iter().map(|component| sampling(component).1).max()?;
        if !matches!((widest, highest), (1 | 2, 1 | 2)) {
            return None;
        }
        let units_across = (header.width as usize).div_ceil(8 * widest);
        let units_down = (header.height as usize).div_ceil(8 * highest);
        let factor = reduction.factor() as usize;
        let plane = |component: &Component| {
            let (across, down) = sampling(component);
            let quantisation = header.quantisation.get(usize::from(component.quantisation))?.as_ref()?;
            let block_width = 8 * widest.checked_div(across)? / factor;
            let block_height = 8 * highest.checked_div(down)? / factor;
            Some(Plane {
                across,
                down,
                block_width,
                block_height,
                stride: units_across * across * block_width,
                weights: Weights::new(block_width, block_height, quantisation)?,
            })
        };
        Some(Self {
            width: header.width.div_ceil(reduction.factor()),
            height: header.height.div_ceil(reduction.factor()),
            units_across,
            units_down,
            planes: header.components.iter().map(plane).collect::<Option<_>>()?,
            is_rgb,
        })
    }

    /// Room for the samples of every plane.
    pub(super) fn empty(&self) -> Vec<Vec<u8>> {
        let rows = |plane: &Plane| self.units_down * plane.down * plane.block_height;
        self.planes.iter().map(|plane| vec![0; plane.stride * rows(plane)]).collect()
    }

    /// The planes side by side, as red, green and blue.
    pub(super) fn into_pixels(self, samples: &[Vec<u8>]) -> Pixels {
        let (width, height) = (self.width as usize, self.height as usize);
        let stride = self.planes.first().map_or(0, |plane| plane.stride);
        let mut bytes = vec![255; width * height * 4];
        for (number, out) in bytes.chunks_exact_mut((width * 4).max(1)).enumerate() {
            let row = |plane: &Vec<u8>| -> std::ops::Range<usize> {
                let begin = (number * stride).min(plane.len());
                begin..(begin + width).min(plane.len())
            };
            match samples {
                [grey] => interleave([&grey[row(grey)]; 3], out),
                [first, second, third] => {
                    let rows = [&first[row(first)], &second[row(second)], &third[row(third)]];
                    if self.is_rgb { interleave(rows, out) } else { to_rgb(rows, out) }
                }
                _ => {}
            }
        }
        Pixels { width: self.width, height: self.height, bytes }
    }
}

fn interleave([red, green, blue]: [&[u8]; 3], out: &mut [u8]) {
    for (((pixel, &red), &green), &blue) in out.chunks_exact_mut(4).zip(red).zip(green).zip(blue) {
        pixel.copy_from_slice(&[red, green, blue, 255]);
    }
}

/// JFIF (ITU-T T.871 section 7), in sixteen bits behind the point.
fn to_rgb([luma, blue_difference, red_difference]: [&[u8]; 3], out: &mut [u8]) {
    const HALF: i32 = 1 << 15;
    for (((pixel, &y), &cb), &cr) in
        out.chunks_exact_mut(4).zip(luma).zip(blue_difference).zip(red_difference)
    {
        let (y, cb, cr) = ((i32::from(y) << 16) + HALF, i32::from(cb) - 128, i32::from(cr) - 128);
        let clamped = |value: i32| (value >> 16).clamp(0, 255) as u8;
        pixel[0] = clamped(y + 91_881 * cr);
        pixel[1] = clamped(y - 22_554 * cb - 46_802 * cr);
        pixel[2] = clamped(y + 116_130 * cb);
    }
}

impl Plane {
    /// Whether all of a block that shows is its mean, which is its first coefficient.
    pub(super) fn shows_means(&self) -> bool {
        matches!(self.weights, Weights::By1x1(_))
    }

    /// The next block of coefficients becomes the samples of the block in this column and row.
    #[inline(always)]
    pub(super) fn block(
        &self,
        (column, row): (usize, usize),
        samples: &mut [u8],
        coefficients: &mut impl Coefficients,
    ) -> Option<()> {
        let place = row * self.block_height * self.stride + column * self.block_width;
        let place = samples.get_mut(place..)?;
        let stride = self.stride;
        match &self.weights {
            Weights::By1x1(basis) => write::<1, 1>(coefficients, basis, place, stride),
            Weights::By1x2(basis) => write::<1, 2>(coefficients, basis, place, stride),
            Weights::By2x1(basis) => write::<2, 2>(coefficients, basis, place, stride),
            Weights::By2x2(basis) => write::<2, 4>(coefficients, basis, place, stride),
            Weights::By2x4(basis) => write::<2, 8>(coefficients, basis, place, stride),
            Weights::By4x2(basis) => write::<4, 8>(coefficients, basis, place, stride),
            Weights::By4x4(basis) => write::<4, 16>(coefficients, basis, place, stride),
            Weights::By4x8(basis) => write::<4, 32>(coefficients, basis, place, stride),
            Weights::By8x4(basis) => write::<8, 32>(coefficients, basis, place, stride),
            Weights::By8x8(basis) => write::<8, 64>(coefficients, basis, place, stride),
        }
    }
}

#[inline(always)]
fn write<const WIDTH: usize, const PIXELS: usize>(
    coefficients: &mut impl Coefficients,
    basis: &Basis<PIXELS>,
    place: &mut [u8],
    stride: usize,
) -> Option<()> {
    /// Half of the range that samples are shifted by (T.81 section A.3.1), and a half for rounding.
    const MIDDLE: f32 = 128.5;

    let mut sums = [MIDDLE; PIXELS];
    coefficients.add_to(&mut sums, basis)?;
    for (row, sums) in sums.chunks_exact(WIDTH).enumerate() {
        let row = place.get_mut(row * stride..)?.first_chunk_mut::<WIDTH>()?;
        for (sample, sum) in row.iter_mut().zip(sums) {
            *sample = *sum as u8;
        }
    }
    Some(())
}

#[inline(always)]
pub(super) fn add<const PIXELS: usize>(sums: &mut [f32; PIXELS], value: f32, weights: &[f32; PIXELS]) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum += value * weight;
    }
}
