//! From the coefficients of one scan to pixels.

use super::basis::Basis;
use super::bits::Bits;
use super::header::Header;
use super::huffman::Table;
use super::{Damaged, Pixels, Reduction};

const BROKEN: Damaged = Damaged("a code in it does not exist");
const CUT: Damaged = Damaged("it ends before the picture does");

/// How the components of a scan become planes of the same size.
pub(crate) struct Scan<'a> {
    /// Of the reduced picture.
    width: u32,
    height: u32,
    units_across: usize,
    units_down: usize,
    restart_interval: u32,
    planes: Vec<Plane<'a>>,
    is_rgb: bool,
}

struct Plane<'a> {
    /// Blocks of a unit.
    across: usize,
    down: usize,
    /// Pixels of a reduced block.
    block_width: usize,
    block_height: usize,
    /// Pixels of a row.
    stride: usize,
    dc_table: &'a Table,
    ac_table: &'a Table,
    weights: Weights,
}

/// The weights for a block of so many pixels.
enum Weights {
    One(Basis<1>),
    Two(Basis<2>),
    Four(Basis<4>),
    Eight(Basis<8>),
    Sixteen(Basis<16>),
    ThirtyTwo(Basis<32>),
    SixtyFour(Basis<64>),
}

impl Weights {
    fn new(width: usize, height: usize, quantisation: &[u16; 64]) -> Option<Self> {
        Some(match width * height {
            1 => Self::One(Basis::new(width, quantisation)),
            2 => Self::Two(Basis::new(width, quantisation)),
            4 => Self::Four(Basis::new(width, quantisation)),
            8 => Self::Eight(Basis::new(width, quantisation)),
            16 => Self::Sixteen(Basis::new(width, quantisation)),
            32 => Self::ThirtyTwo(Basis::new(width, quantisation)),
            64 => Self::SixtyFour(Basis::new(width, quantisation)),
            _ => return None,
        })
    }
}

impl<'a> Scan<'a> {
    /// `None` when the picture is of another kind than this module decodes.
    pub(crate) fn prepare(header: &'a Header, reduction: Reduction) -> Option<Self> {
        let is_whole = header.scan.len() == header.components.len();
        if !header.is_sequential || header.height == 0 || !is_whole || !matches!(header.scan.len(), 1 | 3) {
            return None;
        }
        let ids: Vec<u8> = header.components.iter().map(|component| component.id).collect();
        let is_in_order = header.scan.iter().enumerate().all(|(place, scan)| scan.component == place);
        let is_rgb =
            header.adobe_transform == Some(0) || (header.adobe_transform.is_none() && ids == *b"RGB");
        // A single component is not interleaved: its units are blocks, whatever its sampling says (T.81 section A.2.2).
        let sampling = |component: &super::header::Component| match ids.len() {
            1 => (1, 1),
            _ => (usize::from(component.across), usize::from(component.down)),
        };
        let widest = header.components.iter().map(|component| sampling(component).0).max()?;
        let highest = header.components.iter().map(|component| sampling(component).1).max()?;
        if !is_in_order || !matches!((widest, highest), (1 | 2, 1 | 2)) {
            return None;
        }
        let (unit_width, unit_height) = (8 * widest, 8 * highest);
        let units_across = (header.width as usize).div_ceil(unit_width);
        let units_down = (header.height as usize).div_ceil(unit_height);
        let factor = reduction.factor() as usize;
        let mut planes = Vec::with_capacity(ids.len());
        for scan in &header.scan {
            let component = header.components.get(scan.component)?;
            let (across, down) = sampling(component);
            let quantisation = header.quantisation.get(usize::from(component.quantisation))?.as_ref()?;
            let block_width = 8 * widest.checked_div(across)? / factor;
            let block_height = 8 * highest.checked_div(down)? / factor;
            planes.push(Plane {
                across,
                down,
                block_width,
                block_height,
                stride: units_across * across * block_width,
                dc_table: header.dc_tables.get(usize::from(scan.dc_table))?.as_ref()?,
                ac_table: header.ac_tables.get(usize::from(scan.ac_table))?.as_ref()?,
                weights: Weights::new(block_width, block_height, quantisation)?,
            });
        }
        Some(Self {
            width: header.width.div_ceil(reduction.factor()),
            height: header.height.div_ceil(reduction.factor()),
            units_across,
            units_down,
            restart_interval: header.restart_interval,
            planes,
            is_rgb,
        })
    }

    /// Reads every unit (T.81 section A.2.3); a plane for each component.
    pub(crate) fn decode(&self, data: &[u8]) -> Result<Vec<Vec<u8>>, Damaged> {
        let rows = |plane: &Plane<'_>| self.units_down * plane.down * plane.block_height;
        let mut planes: Vec<Vec<u8>> =
            self.planes.iter().map(|plane| vec![0; plane.stride * rows(plane)]).collect();
        let mut bits = Bits::new(data);
        let mut before = [0_i32; 3];
        let mut until_restart = self.restart_interval;
        for row in 0..self.units_down {
            for column in 0..self.units_across {
                if self.restart_interval > 0 {
                    if until_restart == 0 {
                        if !bits.restart() {
                            return Err(CUT);
                        }
                        (before, until_restart) = ([0; 3], self.restart_interval);
                    }
                    until_restart -= 1;
                }
                for ((plane, pixels), before) in self.planes.iter().zip(&mut planes).zip(&mut before) {
                    plane.unit(&mut bits, before, (column, row), pixels).ok_or(BROKEN)?;
                }
            }
            if bits.is_overdrawn() {
                return Err(CUT);
            }
        }
        Ok(planes)
    }

    /// The planes side by side, as red, green and blue.
    pub(crate) fn into_pixels(self, planes: &[Vec<u8>]) -> Pixels {
        let (width, height) = (self.width as usize, self.height as usize);
        let stride = self.planes.first().map_or(0, |plane| plane.stride);
        let mut bytes = vec![255; width * height * 4];
        for (number, out) in bytes.chunks_exact_mut((width * 4).max(1)).enumerate() {
            let row = |plane: &Vec<u8>| -> std::ops::Range<usize> {
                let begin = (number * stride).min(plane.len());
                begin..(begin + width).min(plane.len())
            };
            match planes {
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

impl Plane<'_> {
    /// The blocks of one unit; `None` for a code that does not exist.
    fn unit(
        &self,
        bits: &mut Bits<'_>,
        before: &mut i32,
        (column, row): (usize, usize),
        pixels: &mut [u8],
    ) -> Option<()> {
        for down in 0..self.down {
            for across in 0..self.across {
                let x = (column * self.across + across) * self.block_width;
                let y = (row * self.down + down) * self.block_height;
                let place = pixels.get_mut(y * self.stride + x..)?;
                match &self.weights {
                    Weights::One(basis) => self.block(bits, before, basis, place)?,
                    Weights::Two(basis) => self.block(bits, before, basis, place)?,
                    Weights::Four(basis) => self.block(bits, before, basis, place)?,
                    Weights::Eight(basis) => self.block(bits, before, basis, place)?,
                    Weights::Sixteen(basis) => self.block(bits, before, basis, place)?,
                    Weights::ThirtyTwo(basis) => self.block(bits, before, basis, place)?,
                    Weights::SixtyFour(basis) => self.block(bits, before, basis, place)?,
                }
            }
        }
        Some(())
    }

    /// One block (T.81 sections F.2.2.1 and F.2.2.2), added up as it is read.
    #[inline(always)]
    fn block<const PIXELS: usize>(
        &self,
        bits: &mut Bits<'_>,
        before: &mut i32,
        basis: &Basis<PIXELS>,
        place: &mut [u8],
    ) -> Option<()> {
        /// Half of the range that samples are shifted by (T.81 section A.3.1), and a half for rounding.
        const MIDDLE: f32 = 128.5;

        // The table of differences has no runs: the value is all there is.
        *before = before.wrapping_add(self.dc_table.coefficient(bits)?.value.into());
        let mut sums = [MIDDLE; PIXELS];
        add(&mut sums, *before as f32, basis.weights(0));
        let mut order = 1;
        while order < 64 {
            let symbol = self.ac_table.coefficient(bits)?;
            if symbol.ends_block {
                break;
            }
            order += usize::from(symbol.run);
            add(&mut sums, f32::from(symbol.value), basis.weights(order));
            order += 1;
        }
        if order > 64 {
            return None;
        }
        for (sums, row) in sums.chunks_exact(self.block_width).zip(place.chunks_mut(self.stride)) {
            for (pixel, sum) in row.iter_mut().zip(sums) {
                *pixel = *sum as u8;
            }
        }
        Some(())
    }
}

#[inline(always)]
fn add<const PIXELS: usize>(sums: &mut [f32; PIXELS], value: f32, weights: &[f32; PIXELS]) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum += value * weight;
    }
}
