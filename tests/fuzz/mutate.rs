//! Small changes to known inputs: what a typing mistake, a bad line or an attacker would do.

use fastrand::Rng;

/// Bytes at which parsers turn.
const TURNING: &[u8] = b"\0\t\n\r \"#%&'+,-./0129:;<=>?@AZ[\\]^_az{|}~\x7f\x80\xbf\xc0\xe2\xf0\xff";

/// Words that mean something to one parser or another.
const WORDS: &[&str] = &[
    "Expires=",
    "&Signature=",
    "Key-Pair-Id=",
    "Policy=",
    "%2e%2e/",
    "%00",
    "max-age=",
    "s-maxage=",
    "no-store",
    "99999999999999999999",
    "-1",
    "18446744073709551616",
    "\"",
    "\"\"\"",
    "'''",
    "[[",
    "]]",
    "= {",
    "\u{202e}",
    "1d",
    "9e999",
    "0x",
    "*.",
    "..",
    "//",
    "::",
    "[::1]",
    "http://",
    "origin",
    "[site.\"a\"]",
    "include = [\"*\"]",
    "\r\n\r\n",
];

/// The largest input that it makes; larger ones test patience rather than parsing.
const LARGEST: usize = 8 * 1024;

/// Makes inputs from a corpus, the same ones for the same seed.
pub(crate) struct Mutator<'corpus> {
    random: Rng,
    corpus: &'corpus [Vec<u8>],
}

impl<'corpus> Mutator<'corpus> {
    pub(crate) fn new(seed: u64, corpus: &'corpus [Vec<u8>]) -> Self {
        Self { random: Rng::with_seed(seed), corpus }
    }

    /// An input with one to four changes.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.choose(self.corpus).clone();
        for _ in 0..self.random.usize(1..=4) {
            self.change(&mut input);
        }
        input.truncate(LARGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (start, end) = self.span(input.len());
        match self.random.u8(0..8) {
            0 if start < input.len() => input[start] ^= 1 << self.random.u8(0..8),
            1 if start < input.len() => input[start] = *self.choose(TURNING),
            2 => input.insert(start, *self.choose(TURNING)),
            3 => drop(input.drain(start..end)),
            4 => input.truncate(start),
            5 => {
                let copy = input[start..end].to_vec();
                input.splice(
                    end..end,
                    copy.iter().copied().cycle().take(copy.len() * self.random.usize(1..20)),
                );
            }
            6 => drop(input.splice(start..end, self.choose(WORDS).bytes())),
            _ => {
                let other = self.choose(self.corpus);
                let (from, to) = self.span(other.len());
                input.splice(start..end, other[from..to].iter().copied());
            }
        }
    }

    /// Two positions in order, most often close to each other.
    fn span(&mut self, length: usize) -> (usize, usize) {
        let start = self.random.usize(0..=length);
        let reach = if self.random.bool() { 16 } else { length };
        (start, self.random.usize(start..=length.min(start + reach)))
    }

    fn choose<'list, T>(&mut self, list: &'list [T]) -> &'list T {
        &list[self.random.usize(0..list.len())]
    }
}
