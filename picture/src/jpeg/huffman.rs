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

impl Entry {
    fn value(self) -> i16 {
        (self.0 >> 16) as u16 as i16
    }

    fn run(self) -> u32 {
        self.0 >> 12 & 15
    }

    fn length(self) -> u32 {
        self.0 & 0xFF
    }

    /// Whether code and value are both within the bits that are looked at.
    fn is_whole(self) -> bool {
        self.length() > 0 && self.0 >> 8 & 15 == 0
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
            let (symbol, after) = self.long_coefficient(*bits)?;
            *bits = after;
            return Some(symbol);
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
    #[inline(never)]
    fn long_coefficient<'a>(&self, mut bits: Bits<'a>) -> Option<(Symbol, Bits<'a>)> {
        let (symbol, length) = self.long_code(bits.peek(LONGEST as u32) as u32)?;
        bits.skip(length);
        let (run, size) = (symbol >> 4, u32::from(symbol & 15));
        if size == 0 {
            return Some((Symbol { run, value: 0, ends_block: run < 15 }, bits));
        }
        let value = extend(bits.peek(size) as u32, size);
        bits.skip(size);
        Some((Symbol { run, value, ends_block: false }, bits))
    }

    fn long_code(&self, look: u32) -> Option<(u8, u32)> {
        let length = (LOOK as usize + 1..=LONGEST).find(|&length| look < self.limits[length])?;
        let code = (look >> (LONGEST - length)) as i32;
        let symbol = usize::try_from(code + self.offsets[length]).ok()?;
        Some((*self.symbols.get(symbol)?, length as u32))
    }
}

/// What the next `LOOK` bits hold of a block's coefficients, two symbols at a time where they hold two.
#[derive(Debug)]
pub(crate) struct Pairs(Box<[Pair; 1 << LOOK]>);

/// Two values and how far apart they stand, in one word:
/// `first << 48 | second << 32 | ends << 18 | skip << 17 | step << 12 | run << 8 | length`.
/// A length of nothing means that a single symbol is to be read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pair(u64);

impl Pair {
    fn new(first: Entry, second: Option<Entry>) -> Self {
        let end = |entry: Entry| entry.value() == 0 && entry.run() < 15;
        let value = |value: i16, place: u32| u64::from(value as u16) << place;
        let (run, length) = (u64::from(first.run()), u64::from(first.length()));
        if end(first) {
            return Self(1 << 18 | length);
        }
        let alone = value(first.value(), 48) | run << 8;
        match second {
            None => Self(alone | 1 << 12 | length),
            Some(second) => {
                let length = length + u64::from(second.length());
                if end(second) {
                    return Self(alone | 1 << 18 | 1 << 12 | length);
                }
                let step = 1 + u64::from(second.run());
                Self(alone | value(second.value(), 32) | 1 << 17 | step << 12 | length)
            }
        }
    }

    /// The first value and the second, nothing where there is none.
    #[inline(always)]
    pub(crate) fn values(self) -> (i16, i16) {
        ((self.0 >> 48) as u16 as i16, (self.0 >> 32) as u16 as i16)
    }

    /// Coefficients of nothing before the first value.
    #[inline(always)]
    pub(crate) fn run(self) -> usize {
        (self.0 >> 8 & 15) as usize
    }

    /// From the place of the first value to that of the second.
    #[inline(always)]
    pub(crate) fn step(self) -> usize {
        (self.0 >> 12 & 31) as usize
    }

    /// From the place of the second value to the next one: nothing where there was no second.
    #[inline(always)]
    pub(crate) fn skip(self) -> usize {
        (self.0 >> 17 & 1) as usize
    }

    /// Whether no more coefficients of this block are to come.
    #[inline(always)]
    pub(crate) fn ends_block(self) -> bool {
        self.0 & 1 << 18 != 0
    }
}

impl Pairs {
    pub(crate) fn new(table: &Table) -> Self {
        let mut pairs = Box::new([Pair::default(); 1 << LOOK]);
        for (look, pair) in pairs.iter_mut().enumerate() {
            let first = table.entries[look];
            if !first.is_whole() {
                continue;
            }
            let length = first.length();
            let second = table.entries[look << length & ((1 << LOOK) - 1)];
            let is_there = second.is_whole() && length + second.length() <= LOOK;
            *pair = Pair::new(first, is_there.then_some(second));
        }
        Self(pairs)
    }

    /// What comes next, at most two symbols; `None` when a single one must be read.
    #[inline(always)]
    pub(crate) fn next(&self, bits: &mut Bits<'_>) -> Option<Pair> {
        bits.refill();
        let pair = self.0[bits.peek(LOOK)];
        let length = pair.0 as u32 & 0xFF;
        bits.skip(length);
        (length > 0).then_some(pair)
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
    fn two_symbols_are_read_at_once_where_they_fit() {
        let pairs = Pairs::new(&table());
        // 10 11 10 00, then 10 01 0, then a code of twelve bits.
        let mut bits = Bits::new(&[0b1011_1000, 0b1001_0110, 0b0000_0000, 0]);
        let pair = pairs.next(&mut bits).unwrap();
        assert_eq!((pair.run(), pair.values(), pair.step(), pair.skip()), (1, (3, -3), 2, 1));
        let pair = pairs.next(&mut bits).unwrap();
        assert_eq!((pair.values(), pair.ends_block(), pair.step(), pair.skip()), ((-2, 0), true, 1, 0));
        assert!(pairs.next(&mut bits).is_none());
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
