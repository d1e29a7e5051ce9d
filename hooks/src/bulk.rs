//! Instructions over much memory, in pieces.
//!
//! The engine looks at its epoch at the heads of loops and functions, and where `memory.fill`, `memory.copy` and `memory.init` begin: one
//! over 100 MiB goes on for tens of milliseconds whatever the limits say. So each becomes, before a component is compiled, a
//! call of a function that does the same in pieces ([`pieces`]), which a limit ends like any loop.
//!
//! A call takes as many bytes as the instruction did where its number is short enough. What comes to lie elsewhere is remembered
//! ([`Moves`]): line tables tell of the component as its author built it.
//!
//! Tables are left alone: `limits.table-elements` bounds them. A broken module that names a function or type that it does not have may
//! find an added one; it hurts itself alone.

mod pieces;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use wasm_encoder::{Encode, ValType};
use wasmparser::{Encoding, FunctionBody, MemoryType, Operator, Parser, Payload, TypeRef};

use crate::edits::{Edits, Moves, TooLong, count, length_before, number_at, padded};
use pieces::Pieces;

/// Bytes that are done at once. With all pages new it takes a tenth of a millisecond.
const PIECE: u32 = 256 << 10;

/// Why a component has no form with pieces.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unbounded {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] wasmparser::Error),
    /// A part of it is as long as it may be.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// A component whose instructions over memory are short.
#[derive(Debug)]
pub(crate) struct Bounded<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Where its bytes were.
    pub(crate) moves: Moves,
}

/// An instruction over memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bulk {
    Fill { memory: u32 },
    Copy { to: u32, from: u32 },
    Init { memory: u32, segment: u32 },
}

/// A memory of a module.
#[derive(Debug, Clone, Copy)]
struct Memory {
    index: u32,
    /// Whether its addresses have 64 bits.
    is_wide: bool,
    /// How large a page is, as a power of two.
    page: u32,
}

/// The component with its instructions over memory in pieces: the very same where it has none.
pub(crate) fn bounded(component: &[u8]) -> Result<Bounded<'_>, Unbounded> {
    in_pieces(component, PIECE)
}

fn in_pieces(binary: &[u8], piece: u32) -> Result<Bounded<'_>, Unbounded> {
    let mut edits = Edits::default();
    // Components and modules that are being read, outermost first; the first has no length before it.
    let (mut around, mut module) = (Vec::new(), None::<Module<'_>>);
    for payload in Parser::new(0).parse_all(binary) {
        match (payload?, &mut module) {
            (
                Payload::ModuleSection { unchecked_range: place, .. }
                | Payload::ComponentSection { unchecked_range: place, .. },
                _,
            ) => around.push(edits.extent(length_before(binary, place.start), place, around.last().copied())),
            (Payload::Version { encoding: Encoding::Module, .. }, _) => {
                module = Some(Module::new(binary, piece, around.last().copied()));
            }
            (Payload::End(_), _) => {
                module.take().map_or(Ok(()), |module| module.end(&mut edits))?;
                around.pop();
            }
            (payload, Some(module)) => module.take_in(payload, &mut edits)?,
            _ => {}
        }
    }
    if edits.is_empty() {
        return Ok(Bounded { bytes: Cow::Borrowed(binary), moves: Moves::default() });
    }
    let (bytes, moves) = edits.apply(binary)?;
    Ok(Bounded { bytes: Cow::Owned(bytes), moves })
}

/// A module that is being read.
struct Module<'a> {
    binary: &'a [u8],
    piece: u32,
    within: Option<usize>,
    types: u32,
    functions: u32,
    memories: Vec<Memory>,
    /// How long its segments are.
    data: Vec<u32>,
    type_section: Option<Range<usize>>,
    function_section: Option<Range<usize>>,
    code: Option<Code>,
    /// The functions that are called instead of instructions, by their place among those that are added.
    calls: BTreeMap<Bulk, u32>,
    bulks: Vec<Bulk>,
}

/// The code of a module.
struct Code {
    section: Range<usize>,
    extent: usize,
    /// Where the function that was read last ends.
    read: usize,
}

impl<'a> Module<'a> {
    fn new(binary: &'a [u8], piece: u32, within: Option<usize>) -> Self {
        Self {
            binary,
            piece,
            within,
            types: 0,
            functions: 0,
            memories: Vec::new(),
            data: Vec::new(),
            type_section: None,
            function_section: None,
            code: None,
            calls: BTreeMap::new(),
            bulks: Vec::new(),
        }
    }

    fn take_in(&mut self, payload: Payload<'_>, edits: &mut Edits) -> Result<(), Unbounded> {
        match payload {
            Payload::TypeSection(section) => {
                self.type_section = Some(section.range());
                for group in section {
                    self.types = self.types.saturating_add(count(group?.types().len()));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => self.functions += 1,
                        TypeRef::Memory(memory) => self.add_memory(memory),
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                self.function_section = Some(section.range());
                self.functions = self.functions.saturating_add(section.count());
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.add_memory(memory?);
                }
            }
            Payload::CodeSectionStart { range: section, .. } => {
                let extent =
                    edits.extent(length_before(self.binary, section.start), section.clone(), self.within);
                let read = number_at(self.binary, &section)?.1.end;
                self.code = Some(Code { section, extent, read });
            }
            Payload::CodeSectionEntry(body) => self.take_body(&body, edits)?,
            Payload::DataSection(section) => {
                for segment in section {
                    self.data.push(count(segment?.data.len()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_memory(&mut self, memory: MemoryType) {
        /// 64 KiB, where nothing else is said.
        const PAGE: u32 = 16;

        self.memories.push(Memory {
            index: count(self.memories.len()),
            is_wide: memory.memory64,
            page: memory.page_size_log2.unwrap_or(PAGE),
        });
    }

    /// Replaces the instructions over memory in a function by calls, but those of which the length is known to be small.
    fn take_body(&mut self, body: &FunctionBody<'_>, edits: &mut Edits) -> Result<(), Unbounded> {
        let place = body.range();
        let Some(code) = &mut self.code else { return Ok(()) };
        let (length, section) = (code.read..place.start, code.extent);
        code.read = place.end;
        let Some(last) = last_bulk(body.as_bytes()) else { return Ok(()) };
        let mut extent = None;
        let mut operators = body.get_operators_reader()?;
        let mut is_small = false;
        while operators.original_position() <= place.start + last {
            let begin = operators.original_position();
            let operator = operators.read()?;
            let old = begin..operators.original_position();
            match bulk(&operator) {
                Some(bulk) if !is_small => {
                    let new = call(self.function(bulk), old.len());
                    let within = match new.len() == old.len() {
                        true => section,
                        false => *extent.get_or_insert_with(|| {
                            edits.extent(length.clone(), place.clone(), Some(section))
                        }),
                    };
                    edits.replace(old, new, within);
                }
                _ => {}
            }
            is_small = is_at_most(&operator, self.piece);
        }
        Ok(())
    }

    /// The number of the function that is called instead of the instruction.
    fn function(&mut self, bulk: Bulk) -> u32 {
        let added = *self.calls.entry(bulk).or_insert_with(|| {
            self.bulks.push(bulk);
            count(self.bulks.len() - 1)
        });
        self.functions.saturating_add(added)
    }

    /// Adds the functions that are called.
    fn end(self, edits: &mut Edits) -> Result<(), Unbounded> {
        // One with code and without the others is broken, and stays so.
        let (Some(types), Some(functions), Some(code), false) =
            (self.type_section, self.function_section, self.code, self.bulks.is_empty())
        else {
            return Ok(());
        };
        let [mut kinds, mut numbers, mut bodies] = [const { Vec::new() }; 3];
        for (&bulk, number) in self.bulks.iter().zip(self.types..) {
            let pieces = Pieces::new(bulk, &self.memories, &self.data, self.piece);
            // A function that takes three and gives nothing.
            kinds.extend([0x60, 3]);
            pieces.parameters().iter().for_each(|parameter: &ValType| parameter.encode(&mut kinds));
            kinds.push(0);
            number.encode(&mut numbers);
            pieces.function().encode(&mut bodies);
        }
        let mut extent = |section: &Range<usize>| {
            edits.extent(length_before(self.binary, section.start), section.clone(), self.within)
        };
        let extents = [extent(&types), extent(&functions), code.extent];
        let longer = [(types, kinds), (functions, numbers), (code.section, bodies)];
        for ((section, more), extent) in longer.into_iter().zip(extents) {
            edits.append(self.binary, &section, extent, (self.bulks.len(), more))?;
        }
        Ok(())
    }
}

/// The instruction over memory that this is.
fn bulk(operator: &Operator<'_>) -> Option<Bulk> {
    match *operator {
        Operator::MemoryFill { mem: memory } => Some(Bulk::Fill { memory }),
        Operator::MemoryCopy { dst_mem: to, src_mem: from } => Some(Bulk::Copy { to, from }),
        Operator::MemoryInit { data_index: segment, mem: memory } => Some(Bulk::Init { memory, segment }),
        _ => None,
    }
}

/// Whether this puts a number on the stack that is no larger.
fn is_at_most(operator: &Operator<'_>, most: u32) -> bool {
    match *operator {
        Operator::I32Const { value } => value.cast_unsigned() <= most,
        Operator::I64Const { value } => value.cast_unsigned() <= most.into(),
        _ => false,
    }
}

/// Where among these bytes the last instruction over memory may be: to read all instructions of a component takes its time.
fn last_bulk(body: &[u8]) -> Option<usize> {
    /// Of the instructions with a second number, which may have more bytes than it needs: init, copy, fill.
    const PREFIX: u8 = 0xfc;
    const BULK: [u8; 3] = [8, 10, 11];

    let mut before = body;
    while let Some(at) = before.iter().rposition(|byte| *byte == PREFIX) {
        if body.get(at + 1).is_some_and(|kind| BULK.contains(&(kind & 0x7f))) {
            return Some(at);
        }
        before = &body[..at];
    }
    None
}

/// A call of a function in the bytes of an instruction, or in more where they are not enough.
fn call(function: u32, width: usize) -> Vec<u8> {
    const CALL: u8 = 0x10;
    const NOTHING: u8 = 0x01;

    let mut bytes = vec![CALL];
    bytes.extend(padded(function, width.saturating_sub(1)));
    bytes.resize(bytes.len().max(width), NOTHING);
    bytes
}

#[cfg(test)]
#[path = "bulk_tests.rs"]
mod tests;
