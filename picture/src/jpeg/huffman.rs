//! Huffman tables, arranged so that one look gives a symbol and mostly its value too (T.81 sections C and F.2.2).

use super::bits::Bits;

/// Bits that are looked at together: codes of photographs with their values are seldom longer.
const LOOK: u32 = 10;
const LONGEST: usize = 16;

/// What stands at the begin of the next bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// Coefficients of nothing before this one; 15 with value 0 is a run of sixteen.
    pub(crate) run: u8,
    pub(crate) value: i16,
    /// Whether no more coefficients of this block are to come.
    pub(crate) ends_block: bool,
}

/// A table of codes; `Entry`s answer what `LOOK` bits begin with.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    entries: Box<[Entry; 1 << LOOK]>,
    /// The first code that is longer than the index, aligned to sixteen bits.
    limits: [u32; LONGEST + 1],
    /// What to add to a code of a length to find its symbol.
    offsets: [i32; LONGEST + 1],
    symbols: Vec<u8>,
}

/// A value, run and length of all in one word: `value << 16 | run << 12 | size << 8 | length`.
/// `size` is not nothing when the value is still to be read; a length of nothing means a longer code.
#[derive(Debug, Clone, Copy, Default)]
struct Entry(u32);

impl Entry {
    fn new(symbol: u8, code_length: u32, look: u32) -> Self {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 || code_length + size > LOOK {
            return Self(run << 12 | size << 8 | code_length);
        }
        let extra = look >> (LOOK - code_length - size) & ((1 << size) - 1);
        let value = extend(extra, size);
        Self(u32::from(value as u16) << 16 | run << 12 | (code_length + size))
    }
}

/// The value that `size` bits stand for (T.81 table F.1 and figure F.12).
#[inline(always)]
fn extend(bits: u32, size: u32) -> i16 {
    let is_negative = bits >> (size - 1) == 0;
    let value = if is_negative { bits as i32 - (1 << size) + 1 } else { bits as i32 };
    value as i16
}

impl Table {
    /// From the number of codes of each length and their symbols; `None` when there are more codes than fit.
    pub(crate) fn new(counts: &[u8; LONGEST], symbols: &[u8]) -> Option<Self> {
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        if total > 256 || total > symbols.len() {
            return None;
        }
        let mut table = Self {
            entries: Box::new([Entry::default(); 1 << LOOK]),
            limits: [0; LONGEST + 1],
            offsets: [0; LONGEST + 1],
            symbols: symbols[..total].to_vec(),
        };
        let (mut code, mut at) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            table.offsets[length as usize] = at as i32 - code as i32;
            for &symbol in &table.symbols[at..at + usize::from(count)] {
                if code >= 1 << length {
                    return None;
                }
                if length <= LOOK {
                    let first = code << (LOOK - length);
                    for look in first..first + (1 << (LOOK - length)) {
                        table.entries[look as usize] = Entry::new(symbol, length, look);
                    }
                }
                code += 1;
            }
            at += usize::from(count);
            table.limits[length as usize] = code << (LONGEST as u32 - length);
            code <<= 1;
        }
        Some(table)
    }

    /// The next coefficient; `None` for a code that does not exist.
    #[inline(always)]
    pub(crate) fn coefficient(&self, bits: &mut Bits<'_>) -> Option<Symbol> {
        bits.refill();
        let Entry(entry) = self.entries[bits.peek(LOOK)];
        let length = entry & 0xFF;
        if length == 0 {
            return self.long_coefficient(bits);
        }
        bits.skip(length);
        let (size, run) = (entry >> 8 & 15, (entry >> 12 & 15) as u8);
        if size == 0 {
            let value = (entry >> 16) as u16 as i16;
            return Some(Symbol { run, value, ends_block: value == 0 && run < 15 });
        }
        let value = extend(bits.peek(size) as u32, size);
        bits.skip(size);
        Some(Symbol { run, value, ends_block: false })
    }

    #[cold]
    fn long_coefficient(&self, bits: &mut Bits<'_>) -> Option<Symbol> {
        let (symbol, length) = self.long_code(bits.peek(LONGEST as u32) as u32)?;
        bits.skip(length);
        let (run, size) = (symbol >> 4, u32::from(symbol & 15));
        if size == 0 {
            return Some(Symbol { run, value: 0, ends_block: run < 15 });
        }
        let value = extend(bits.peek(size) as u32, size);
        bits.skip(size);
        Some(Symbol { run, value, ends_block: false })
    }

    fn long_code(&self, look: u32) -> Option<(u8, u32)> {
        let length = (LOOK as usize + 1..=LONGEST).find(|&length| look < self.limits[length])?;
        let code = (look >> (LONGEST - length)) as i32;
        let symbol = usize::try_from(code + self.offsets[length]).ok()?;
        Some((*self.symbols.get(symbol)?, length as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two codes: `0` ends a block, `10` is a value of two bits after one zero; and one of twelve bits, a sixteen-run.
    fn table() -> Table {
        let mut counts = [0; 16];
        (counts[0], counts[1], counts[11]) = (1, 1, 1);
        Table::new(&counts, &[0x00, 0x12, 0xF0]).unwrap()
    }

    #[test]
    fn short_codes_bring_their_value_and_long_ones_are_found_too() {
        let table = table();
        // 10 11 → 3; 10 00 → -3; 110000000000 → sixteen zeros; 0 → end.
        let data = [0b1011_1000, 0b1100_0000, 0b0000_0000];
        let mut bits = Bits::new(&data);
        let symbol = |run, value, ends_block| Some(Symbol { run, value, ends_block });
        assert_eq!(table.coefficient(&mut bits), symbol(1, 3, false));
        assert_eq!(table.coefficient(&mut bits), symbol(1, -3, false));
        assert_eq!(table.coefficient(&mut bits), symbol(15, 0, false));
        assert_eq!(table.coefficient(&mut bits), symbol(0, 0, true));
    }

    #[test]
    fn a_code_that_does_not_exist_is_noticed() {
        assert_eq!(table().coefficient(&mut Bits::new(&[0xF8, 0, 0, 0])), None);
    }

    #[test]
    fn a_table_of_too_many_codes_is_refused() {
        assert!(Table::new(&[3; 16], &[0; 48]).is_none());
        assert!(Table::new(&[255; 16], &[0; 256]).is_none());
        assert!(Table::new(&[1; 16], &[0; 3]).is_none());
    }
}
