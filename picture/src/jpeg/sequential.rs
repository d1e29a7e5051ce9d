//! A picture whose coefficients are one sequence (T.81 annex F): each block is added up as it is read.

use super::basis::Basis;
use super::bits::Bits;
use super::header::Header;
use super::huffman::{Pairs, Table};
use super::planes::{Coefficients, Frame, add};
use super::{BROKEN, CUT, Damaged};

/// The codes of each component of the scan.
pub(super) struct Codes<'a> {
    dc_table: &'a Table,
    ac_table: &'a Table,
    pairs: Pairs,
}

/// The codes of a picture whose one scan has all of its components, in their order.
pub(super) fn codes(header: &Header) -> Option<Vec<Codes<'_>>> {
    let is_in_order = header.scan.iter().enumerate().all(|(place, scan)| scan.component == place);
    if header.scan.len() != header.components.len() || !is_in_order {
        return None;
    }
    let codes = header.scan.iter().map(|scan| {
        let ac_table = header.ac_tables.get(usize::from(scan.ac_table))?.as_ref()?;
        let dc_table = header.dc_tables.get(usize::from(scan.dc_table))?.as_ref()?;
        Some(Codes { dc_table, ac_table, pairs: Pairs::new(ac_table) })
    });
    codes.collect()
}

/// Reads every unit (T.81 section A.2.3); the samples of each component.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    frame: &Frame,
    codes: &[Codes<'_>],
) -> Result<Vec<Vec<u8>>, Damaged> {
    let mut samples = frame.empty();
    let mut bits = Bits::new(bytes.get(header.data..).unwrap_or_default());
    let mut before = [0_i32; 3];
    let restart_interval = header.restart_interval;
    let mut until_restart = restart_interval;
    for row in 0..frame.units_down {
        for column in 0..frame.units_across {
            if restart_interval > 0 {
                if until_restart == 0 {
                    if !bits.restart() {
                        return Err(CUT);
                    }
                    (before, until_restart) = ([0; 3], restart_interval);
                }
                until_restart -= 1;
            }
            let components = frame.planes.iter().zip(codes).zip(&mut samples).zip(&mut before);
            for (((plane, codes), samples), before) in components {
                let mut reading = Reading { bits: &mut bits, before, codes };
                for down in 0..plane.down {
                    for across in 0..plane.across {
                        let place = (column * plane.across + across, row * plane.down + down);
                        plane.block(place, samples, &mut reading).ok_or(BROKEN)?;
                    }
                }
            }
        }
        if bits.is_overdrawn() {
            return Err(CUT);
        }
        // Whoever waits for the processor waits no longer than for a row; nothing happens when nobody does.
        std::thread::yield_now();
    }
    Ok(samples)
}

/// Blocks of a component as they are read.
struct Reading<'a, 'b> {
    bits: &'a mut Bits<'b>,
    /// The first coefficient of the block before.
    before: &'a mut i32,
    codes: &'a Codes<'a>,
}

impl Coefficients for Reading<'_, '_> {
    /// T.81 sections F.2.2.1 and F.2.2.2.
    #[inline(always)]
    fn add_to<const PIXELS: usize>(&mut self, sums: &mut [f32; PIXELS], basis: &Basis<PIXELS>) -> Option<()> {
        /// Up to here, a coefficient is not the last of its block, however many of nothing are before it; so the symbol
        /// behind it belongs to the block too.
        const PAIRS_END: usize = 63 - 15;

        let (codes, before) = (self.codes, &mut *self.before);
        // A copy stays in registers for as long as the block lasts.
        let mut copy = *self.bits;
        let bits = &mut copy;
        // The table of differences has no runs: the value is all there is.
        *before = before.wrapping_add(codes.dc_table.coefficient(bits)?.value.into());
        add(sums, *before as f32, basis.weights(0));
        let mut order = 1;
        while order < 64 {
            if order < PAIRS_END
                && let Some(pair) = codes.pairs.next(bits)
            {
                let (first, second) = pair.values();
                order += pair.run();
                add(sums, f32::from(first), basis.weights(order));
                order += pair.step();
                add(sums, f32::from(second), basis.weights(order));
                order += pair.skip();
                if pair.ends_block() {
                    break;
                }
                continue;
            }
            let symbol = codes.ac_table.coefficient(bits)?;
            if symbol.ends_block {
                break;
            }
            order += usize::from(symbol.run);
            add(sums, f32::from(symbol.value), basis.weights(order));
            order += 1;
        }
        *self.bits = *bits;
        (order <= 64).then_some(())
    }
}
