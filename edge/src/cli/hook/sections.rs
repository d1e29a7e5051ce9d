//! Sections of WebAssembly in binary, of modules and components alike.

use std::ops::Range;

use wasmparser::{BinaryReader, Error};

/// Bytes before the first section.
pub(super) const PREAMBLE: usize = 8;
/// Sections of a component.
pub(super) const CORE_MODULE: u8 = 1;
pub(super) const COMPONENT: u8 = 4;

/// Kinds of sections, and where their contents are.
pub(super) fn sections(binary: &[u8]) -> Result<Vec<(u8, Range<usize>)>, Error> {
    let mut reader = BinaryReader::new(binary, 0);
    reader.read_bytes(PREAMBLE)?;
    let mut found = Vec::new();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()? as usize;
        let begin = reader.current_position();
        reader.read_bytes(size)?;
        found.push((id, begin..begin + size));
    }
    Ok(found)
}
