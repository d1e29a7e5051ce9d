//! Changes to a binary of sections within sections, and where its bytes go by them.

use std::ops::Range;

use wasm_encoder::Encode;
use wasmparser::BinaryReader;

/// Changes, while they are gathered.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    all: Vec<Edit>,
    extents: Vec<Extent>,
}

#[derive(Debug)]
struct Edit {
    old: Range<usize>,
    new: Vec<u8>,
}

/// Bytes behind their own length: a section, the body of a function.
#[derive(Debug)]
struct Extent {
    length: Range<usize>,
    place: Range<usize>,
    within: Option<usize>,
    growth: usize,
}

/// Bytes that are longer than a length can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("with what is added to it, it would be too long")]
pub(crate) struct TooLong;

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Notes a section or body with its length before it, within one that was noted before.
    pub(crate) fn extent(
        &mut self,
        length: Range<usize>,
        place: Range<usize>,
        within: Option<usize>,
    ) -> usize {
        self.extents.push(Extent { length, place, within, growth: 0 });
        self.extents.len() - 1
    }

    /// Replaces bytes of a section or body; the new ones are no fewer.
    pub(crate) fn replace(&mut self, old: Range<usize>, new: Vec<u8>, within: usize) {
        self.extents[within].growth += new.len().saturating_sub(old.len());
        self.all.push(Edit { old, new });
    }

    /// Replaces a number by a greater one, in as many bytes where they are enough.
    fn renumber(&mut self, old: Range<usize>, number: u32, within: usize) {
        let new = padded(number, old.len());
        self.replace(old, new, within);
    }

    /// Adds so many items at the end of a section that begins with their number.
    pub(crate) fn append(
        &mut self,
        binary: &[u8],
        section: &Range<usize>,
        extent: usize,
        (items, bytes): (usize, Vec<u8>),
    ) -> Result<(), wasmparser::Error> {
        let (number, place) = number_at(binary, section)?;
        self.renumber(place, number.saturating_add(count(items)), extent);
        if !bytes.is_empty() {
            self.replace(section.end..section.end, bytes, extent);
        }
        Ok(())
    }

    /// The binary with the changes, and where its bytes went.
    pub(crate) fn apply(mut self, binary: &[u8]) -> Result<(Vec<u8>, Moves), TooLong> {
        // What lies within something was noted after it.
        while let Some(Extent { length, place, within, growth }) = self.extents.pop() {
            if growth == 0 {
                continue;
            }
            let new = u32::try_from(place.len() + growth).map_err(|_| TooLong)?;
            let new = padded(new, length.len());
            if let Some(within) = within {
                self.extents[within].growth += growth + new.len() - length.len();
            }
            self.all.push(Edit { old: length, new });
        }
        self.all.sort_by_key(|edit| edit.old.start);
        let mut changed = Vec::with_capacity(binary.len() + self.all.len());
        let (mut done, mut moves) = (0, Moves::default());
        for Edit { old, new } in self.all {
            changed.extend_from_slice(binary.get(done..old.start).unwrap_or_default());
            if old.is_empty() {
                moves.pieces.push(Move { to: changed.len(), from: None });
            }
            changed.extend_from_slice(&new);
            done = old.end;
            if new.len() != old.len() {
                moves.pieces.push(Move { to: changed.len(), from: Some(done) });
            }
        }
        changed.extend_from_slice(binary.get(done..).unwrap_or_default());
        Ok((changed, moves))
    }
}

/// Where the bytes of a changed binary come from.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    pieces: Vec<Move>,
    /// Where the bytes before that come from, if they were changed too.
    earlier: Option<Box<Moves>>,
}

/// From here on, to the next.
#[derive(Debug)]
struct Move {
    to: usize,
    /// None of what is new.
    from: Option<usize>,
}

impl Moves {
    /// Where a byte was before the changes; `None` of one that was added.
    pub(crate) fn origin(&self, at: usize) -> Option<usize> {
        let here = match self.pieces.partition_point(|piece| piece.to <= at).checked_sub(1) {
            None => at,
            Some(index) => self.pieces[index].from? + (at - self.pieces[index].to),
        };
        self.earlier.as_ref().map_or(Some(here), |earlier| earlier.origin(here))
    }

    /// These, of what has changed like that before.
    pub(crate) fn after(self, earlier: Self) -> Self {
        Self { earlier: Some(Box::new(earlier)), ..self }
    }
}

/// The length before a section: a number of which all bytes but the last have their highest bit set. The kind, before it, has not.
pub(crate) fn length_before(binary: &[u8], place: usize) -> Range<usize> {
    let last = place.saturating_sub(1);
    let more = binary.get(..last).unwrap_or_default().iter().rev().take_while(|byte| **byte >= 0x80).count();
    last - more..place
}

/// The number that a section begins with, and its place.
pub(crate) fn number_at(
    binary: &[u8],
    section: &Range<usize>,
) -> Result<(u32, Range<usize>), wasmparser::Error> {
    let mut reader = BinaryReader::new(binary.get(section.clone()).unwrap_or_default(), section.start);
    let number = reader.read_var_u32()?;
    Ok((number, section.start..reader.original_position()))
}

/// There are no more in a file than 32 bits can count, or it is refused for its length.
pub(crate) fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}

/// A number in LEB128, in `width` bytes where they are enough.
pub(crate) fn padded(number: u32, width: usize) -> Vec<u8> {
    /// Of 32 bits, seven in a byte.
    const LONGEST: usize = 5;

    let mut bytes = Vec::new();
    number.encode(&mut bytes);
    while bytes.len() < width.min(LONGEST) {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_width_where_they_fit() {
        assert_eq!(padded(1, 1), [1]);
        assert_eq!(padded(1, 3), [0x81, 0x80, 0]);
        assert_eq!(padded(128, 1), [0x80, 1]);
        assert_eq!(padded(u32::MAX, 9), [0xff, 0xff, 0xff, 0xff, 0x0f]);
    }

    #[test]
    fn lengths_grow_with_what_is_in_them_and_bytes_know_where_they_were() {
        // A section of 126 bytes with one of 3 bytes, whose length has two bytes, at its end.
        let mut binary = vec![9, 126];
        binary.resize(122, 5);
        binary.extend([7, 0x83, 0, 1, 2, 3, 6]);
        let mut edits = Edits::default();
        let outer = edits.extent(1..2, 2..128, None);
        let inner = edits.extent(123..125, 125..128, Some(outer));
        edits.replace(126..127, vec![21, 22, 23], inner);
        edits.replace(128..128, vec![8], outer);
        let (changed, moves) = edits.apply(&binary).unwrap();
        assert_eq!(changed[..4], [9, 0x81, 1, 5]);
        assert_eq!(changed[123..], [7, 0x85, 0, 1, 21, 22, 23, 3, 8, 6]);
        for (at, byte) in changed.iter().enumerate().filter(|(_, byte)| (3..20).contains(*byte)) {
            match moves.origin(at) {
                Some(origin) => assert_eq!(*byte, binary[origin], "{at}"),
                None => assert_eq!(*byte, 8),
            }
        }
        assert_eq!(moves.origin(changed.len() - 1), Some(binary.len() - 1));
    }

    #[test]
    fn what_did_not_change_is_where_it_was() {
        assert_eq!(Moves::default().origin(7), Some(7));
    }
}
