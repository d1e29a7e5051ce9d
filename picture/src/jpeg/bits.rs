//! The bits of a scan, with what is stuffed between them taken out (T.81 section F.1.2.3).

const STUFFED: u8 = 0xFF;

/// Reads from the most significant bit; after the end, and at a marker, come zeros, which are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, from the top.
    buffer: u64,
    count: u32,
    /// Bits that were made up.
    invented: u64,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, count: 0, invented: 0 }
    }

    /// Sees to it that at least 32 bits can be looked at.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(next) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_be_bytes(*next);
            if !has_stuffed_byte(word) {
                // Bits of a byte that does not fit whole are written again, the same, by the next refill.
                self.buffer |= word >> self.count;
                let whole = (63 - self.count) / 8;
                self.at += whole as usize;
                self.count += whole * 8;
                return;
            }
        }
        *self = self.refilled_slowly();
    }

    /// By value, so that whoever reads on keeps it in registers.
    #[cold]
    #[inline(never)]
    fn refilled_slowly(mut self) -> Self {
        while self.count <= 56 {
            let byte = match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(&STUFFED), Some(0)) => {
                    self.at += 2;
                    STUFFED
                }
                (Some(&STUFFED), _) | (None, _) => {
                    self.invented = self.invented.saturating_add(8);
                    0
                }
                (Some(&byte), _) => {
                    self.at += 1;
                    byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    /// The next `length` bits, 1 to 32.
    #[inline(always)]
    pub(crate) fn read(&mut self, length: u32) -> usize {
        self.refill();
        let value = self.peek(length);
        self.skip(length);
        value
    }

    /// The next `length` bits, 1 to 32, which stay.
    #[inline(always)]
    pub(crate) fn peek(&self, length: u32) -> usize {
        (self.buffer >> (64 - length)) as usize
    }

    /// Goes on by `length` bits, at most what was made sure of.
    #[inline(always)]
    pub(crate) fn skip(&mut self, length: u32) {
        self.buffer <<= length;
        self.count = self.count.saturating_sub(length);
    }

    /// Whether more was read than there is.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.invented > u64::from(self.count)
    }

    /// Goes on behind the next restart marker (T.81 section E.2.4); whether there was one.
    pub(crate) fn restart(&mut self) -> bool {
        if self.is_overdrawn() {
            return false;
        }
        (self.buffer, self.count, self.invented) = (0, 0, 0);
        let rest = self.data.get(self.at..).unwrap_or_default();
        let marker = rest.windows(2).position(|pair| pair[0] == STUFFED && matches!(pair[1], 0xD0..=0xD7));
        let Some(marker) = marker else { return false };
        self.at += marker + 2;
        true
    }
}

#[inline(always)]
fn has_stuffed_byte(word: u64) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    (!word).wrapping_sub(LOW) & word & HIGH != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_in_order_and_without_what_was_stuffed() {
        let data: Vec<u8> =
            (0..40).flat_map(|byte| if byte == 7 { vec![0xFF, 0] } else { vec![byte] }).collect();
        let mut bits = Bits::new(&data);
        for byte in 0..40 {
            let whole = bits.read(3) << 5 | bits.read(5);
            assert_eq!(whole, if byte == 7 { 0xFF } else { byte });
        }
        assert!(!bits.is_overdrawn());
        bits.read(1);
        assert!(bits.is_overdrawn());
    }

    #[test]
    fn a_marker_ends_the_bits_and_a_restart_begins_behind_it() {
        let mut bits = Bits::new(&[0xAB, 0xFF, 0xD3, 0xCD]);
        assert_eq!(bits.read(4), 0xA);
        assert!(bits.restart());
        assert_eq!(bits.read(8), 0xCD);
        assert!(!bits.restart());
    }

    #[test]
    fn every_byte_of_a_word_is_looked_at() {
        for place in 0..8 {
            assert!(has_stuffed_byte(0xFF << (8 * place)));
            assert!(has_stuffed_byte(0x0102_FE80_7F00_01FE | 0xFF << (8 * place)));
        }
        assert!(!has_stuffed_byte(0x0102_FE80_7F00_01FE));
    }
}
