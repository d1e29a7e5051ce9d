//! A picture whose coefficients come a few at a time, in several scans (T.81 annex G): they are collected first.

use super::basis::Basis;
use super::bits::Bits;
use super::header::{Header, ScanComponent};
use super::huffman::Table;
use super::planes::{Coefficients, Frame, add};
use super::{BROKEN, CUT, Damaged};

/// More than encoders write: each scan walks over the whole picture, however few bytes it has.
const MAX_SCANS: usize = 64;

/// The coefficients of a block, in the order in which they are written.
type Block = [i16; 64];

/// Reads every scan; the samples of each component.
pub(super) fn decode(bytes: &[u8], mut header: Header, frame: &Frame) -> Result<Vec<Vec<u8>>, Damaged> {
    let mut components: Vec<Component> =
        (0..frame.planes.len()).map(|place| Component::empty(&header, frame, place)).collect();
    for _ in 0..MAX_SCANS {
        let data = bytes.get(header.data..).unwrap_or_default();
        read(data, &header, frame, &mut components)?;
        if !header.next_scan(bytes)? {
            return samples(frame, &components);
        }
    }
    Err(Damaged("it has too many scans"))
}

/// What is known of a component so far.
struct Component {
    /// Blocks of a row, those included that only fill the last unit up.
    stride: usize,
    /// Blocks across and down in a scan of this component alone (T.81 section A.2.2).
    across: usize,
    down: usize,
    blocks: Vec<Block>,
}

impl Component {
    fn empty(header: &Header, frame: &Frame, place: usize) -> Self {
        let plane = &frame.planes[place];
        let (stride, rows) = (frame.units_across * plane.across, frame.units_down * plane.down);
        let (across, down) = header.blocks(place);
        Self {
            stride,
            across: across.min(stride),
            down: down.min(rows),
            blocks: vec![[0; 64]; stride * rows],
        }
    }
}

fn samples(frame: &Frame, components: &[Component]) -> Result<Vec<Vec<u8>>, Damaged> {
    let mut samples = frame.empty();
    for ((plane, component), samples) in frame.planes.iter().zip(components).zip(&mut samples) {
        for (number, block) in component.blocks.iter().enumerate() {
            let place = (number % component.stride, number / component.stride);
            plane.block(place, samples, &mut Stored(block)).ok_or(BROKEN)?;
        }
    }
    Ok(samples)
}

struct Stored<'a>(&'a Block);

impl Coefficients for Stored<'_> {
    #[inline(always)]
    fn add_to<const PIXELS: usize>(&mut self, sums: &mut [f32; PIXELS], basis: &Basis<PIXELS>) -> Option<()> {
        for (order, &value) in self.0.iter().enumerate().filter(|(_, value)| **value != 0) {
            add(sums, f32::from(value), basis.weights(order));
        }
        Some(())
    }
}

/// One scan, unit by unit; in a scan of a single component a unit is a block.
fn read(data: &[u8], header: &Header, frame: &Frame, components: &mut [Component]) -> Result<(), Damaged> {
    let alone = match header.scan.as_slice() {
        // What does not show is not read.
        [only] if header.band.first > 0 && frame.planes[only.component].shows_means() => return Ok(()),
        [only] => Some(only.component),
        _ => None,
    };
    let (across, down) = match alone {
        Some(alone) => (components[alone].across, components[alone].down),
        None => (frame.units_across, frame.units_down),
    };
    let pass = |scan: &ScanComponent| {
        let plane = &frame.planes[scan.component];
        let blocks = if alone.is_some() { (1, 1) } else { (plane.across, plane.down) };
        Pass::new(header, scan, blocks).ok_or(Damaged("a scan of it makes no sense"))
    };
    let mut passes = header.scan.iter().map(pass).collect::<Result<Vec<_>, _>>()?;
    let mut bits = Bits::new(data);
    let mut until_restart = header.restart_interval;
    for row in 0..down {
        for column in 0..across {
            if header.restart_interval > 0 {
                if until_restart == 0 {
                    if !bits.restart() {
                        return Err(CUT);
                    }
                    passes.iter_mut().for_each(|pass| (pass.before, pass.left) = (0, 0));
                    until_restart = header.restart_interval;
                }
                until_restart -= 1;
            }
            for pass in &mut passes {
                pass.unit(&mut bits, (column, row), &mut components[pass.component]).ok_or(BROKEN)?;
            }
        }
        if bits.is_overdrawn() {
            return Err(CUT);
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// What a scan adds to the blocks of a component.
struct Pass<'a> {
    component: usize,
    /// Blocks of a unit.
    blocks: (usize, usize),
    kind: Kind<'a>,
    /// The bit at which it stands.
    low: u32,
    /// The first coefficient of the block before.
    before: i32,
    /// Blocks to come to which nothing new is added.
    left: u32,
    first: usize,
    last: usize,
}

enum Kind<'a> {
    /// The first coefficient of each block, and a bit more of it.
    Means(&'a Table),
    MeansRefined,
    /// A band of the others, and a bit more of it.
    Band(&'a Table),
    BandRefined(&'a Table),
}

impl<'a> Pass<'a> {
    fn new(header: &'a Header, scan: &ScanComponent, blocks: (usize, usize)) -> Option<Self> {
        /// Coefficients have no more bits (T.81 section G.1.1.1.1).
        const MAX_LOW: u8 = 13;

        let band = header.band;
        let is_refined = band.high > 0;
        let is_one = header.scan.len() == 1;
        let dc_table = || header.dc_tables.get(usize::from(scan.dc_table))?.as_ref();
        let ac_table = || header.ac_tables.get(usize::from(scan.ac_table))?.as_ref();
        let kind = match (band.first, band.last) {
            (0, 0) if is_refined => Kind::MeansRefined,
            (0, 0) => Kind::Means(dc_table()?),
            (1..64, 1..64) if band.first <= band.last && is_one && is_refined => {
                Kind::BandRefined(ac_table()?)
            }
            (1..64, 1..64) if band.first <= band.last && is_one => Kind::Band(ac_table()?),
            _ => return None,
        };
        (band.low <= MAX_LOW).then(|| Self {
            component: scan.component,
            blocks,
            kind,
            low: band.low.into(),
            before: 0,
            left: 0,
            first: band.first.into(),
            last: band.last.into(),
        })
    }

    fn unit(
        &mut self,
        bits: &mut Bits<'_>,
        (column, row): (usize, usize),
        component: &mut Component,
    ) -> Option<()> {
        let (across, down) = self.blocks;
        for y in row * down..(row + 1) * down {
            for x in column * across..(column + 1) * across {
                self.block(bits, component.blocks.get_mut(y * component.stride + x)?)?;
            }
        }
        Some(())
    }

    fn block(&mut self, bits: &mut Bits<'_>, block: &mut Block) -> Option<()> {
        match self.kind {
            Kind::Means(table) => {
                self.before = self.before.wrapping_add(table.coefficient(bits)?.value.into());
                block[0] = (self.before << self.low) as i16;
            }
            Kind::MeansRefined => block[0] |= (bits.read(1) as i16) << self.low,
            Kind::Band(table) => self.band(bits, table, block)?,
            Kind::BandRefined(table) => self.refine(bits, table, block)?,
        }
        Some(())
    }

    /// T.81 section G.1.2.2.
    fn band(&mut self, bits: &mut Bits<'_>, table: &Table, block: &mut Block) -> Option<()> {
        if self.left > 0 {
            self.left -= 1;
            return Some(());
        }
        let mut order = self.first;
        while order <= self.last {
            let symbol = table.coefficient(bits)?;
            if symbol.ends_block {
                self.left = run_of_blocks(bits, symbol.run) - 1;
                break;
            }
            order += usize::from(symbol.run);
            *block.get_mut(order)? = symbol.value << self.low;
            order += 1;
        }
        Some(())
    }

    /// T.81 section G.1.2.3: one more bit of what there is already, and what is new with it.
    fn refine(&mut self, bits: &mut Bits<'_>, table: &Table, block: &mut Block) -> Option<()> {
        let mut order = self.first;
        while self.left == 0 && order <= self.last {
            let symbol = table.coefficient(bits)?;
            if symbol.ends_block {
                self.left = run_of_blocks(bits, symbol.run);
                break;
            }
            let mut zeros = symbol.run;
            while let Some(value) = block.get_mut(order).filter(|_| order <= self.last) {
                if *value != 0 {
                    self.refine_one(bits, value);
                } else if zeros > 0 {
                    zeros -= 1;
                } else {
                    *value = symbol.value << self.low;
                    break;
                }
                order += 1;
            }
            order += 1;
        }
        if self.left > 0 {
            self.left -= 1;
            for value in block.get_mut(order..=self.last)? {
                if *value != 0 {
                    self.refine_one(bits, value);
                }
            }
        }
        Some(())
    }

    fn refine_one(&self, bits: &mut Bits<'_>, value: &mut i16) {
        let bit = 1 << self.low;
        if bits.read(1) == 1 && *value & bit == 0 {
            *value = value.wrapping_add(if *value > 0 { bit } else { -bit });
        }
    }
}

/// How many blocks, this one included, have nothing more (T.81 figure G.3).
fn run_of_blocks(bits: &mut Bits<'_>, size: u8) -> u32 {
    if size == 0 { 1 } else { (1 << size) + bits.read(size.into()) as u32 }
}
