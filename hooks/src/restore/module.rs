//! What of a module could change from one call to the next.

use std::ops::Range;

use wasmparser::{
    ConstExpr, Data, DataKind, FunctionBody, GlobalType, MemoryType, Operator, Payload, Result, TableInit,
    TypeRef, ValType,
};

/// A page of the host, and the unit in which memory is put back.
pub(super) const PAGE: usize = PAGE_BYTES as usize;
const PAGE_BYTES: u32 = 4096;
/// A page of WebAssembly as a power of two, where nothing else is said.
const WASM_PAGE: u32 = 16;
/// With more memory than this it takes too long to find what was written.
const MOST_MEMORY: u64 = 64 << 20;
/// Bytes from the first to the last that a module says, at most: as many times as it says.
const SPARSEST: usize = 4;
/// However sparse, this much is had twice.
const SMALL_IMAGE: usize = 1 << 20;

/// A core module of a component.
#[derive(Debug, Default)]
pub(super) struct Module<'a> {
    /// Where in the component it is.
    pub(super) place: Range<usize>,
    pub(super) types: Option<Section>,
    pub(super) functions: Option<Section>,
    pub(super) exports: Option<Section>,
    pub(super) code: Option<Section>,
    pub(super) data: Option<Section>,
    /// Where it says how many segments there are.
    pub(super) data_count: Option<Range<usize>>,
    /// Functions that it imports.
    pub(super) imported: u32,
    memories: Vec<MemoryType>,
    /// Its own tables and those of others.
    tables: u32,
    /// Globals that change, by their number, with what sets them as they were.
    pub(super) globals: Vec<(u32, Operator<'a>)>,
    imported_globals: u32,
    segments: Vec<Data<'a>>,
    /// Something about it that cannot be put back.
    is_beyond: bool,
}

/// A section, and how many items are in it.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) place: Range<usize>,
    pub(super) count: u32,
}

/// What a memory is when nothing has run yet: zero but for these bytes.
#[derive(Debug)]
pub(super) struct Image {
    /// In whole pages.
    pub(super) bytes: Vec<u8>,
    /// Where they begin, in pages.
    pub(super) first: u32,
}

impl Image {
    /// The address of its first byte.
    pub(super) fn begin(&self) -> u32 {
        self.first.saturating_mul(PAGE_BYTES)
    }

    pub(super) fn pages(&self) -> Range<usize> {
        let first = self.first as usize;
        first..first + self.bytes.len() / PAGE
    }
}

impl<'a> Module<'a> {
    pub(super) fn at(place: Range<usize>) -> Self {
        Self { place, ..Self::default() }
    }

    pub(super) fn take_in(&mut self, payload: Payload<'a>) -> Result<()> {
        let section = |place, count| Some(Section { place, count });
        match payload {
            Payload::TypeSection(types) => {
                let mut count = 0_u32;
                for group in types.clone() {
                    count = count.saturating_add(u32::try_from(group?.types().len()).unwrap_or(u32::MAX));
                }
                self.types = section(types.range(), count);
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => self.imported += 1,
                        // Of the table of another module, which nothing changes once it is made.
                        TypeRef::Table(_) => self.tables += 1,
                        TypeRef::Global(GlobalType { mutable: false, .. }) => self.imported_globals += 1,
                        _ => self.is_beyond = true,
                    }
                }
            }
            Payload::FunctionSection(functions) => {
                self.functions = section(functions.range(), functions.count());
            }
            Payload::MemorySection(memories) => {
                self.memories = memories.into_iter().collect::<Result<_>>()?;
            }
            Payload::GlobalSection(globals) => {
                for (global, number) in globals.into_iter().zip(self.imported_globals..) {
                    let global = global?;
                    match constant(&global.init_expr) {
                        Some(value) if global.ty.mutable => self.globals.push((number, value)),
                        Some(_) => {}
                        None => {
                            let may_refer = matches!(global.ty.content_type, ValType::Ref(_));
                            let is_object = may_refer && !is_function(&global.init_expr);
                            self.is_beyond |= global.ty.mutable || is_object;
                        }
                    }
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    self.tables += 1;
                    self.is_beyond |= !matches!(table?.init, TableInit::RefNull);
                }
            }
            Payload::ExportSection(exports) => self.exports = section(exports.range(), exports.count()),
            Payload::StartSection { .. } | Payload::TagSection(_) => self.is_beyond = true,
            Payload::DataCountSection { range, .. } => self.data_count = Some(range),
            Payload::CodeSectionStart { range, count, .. } => self.code = section(range, count),
            Payload::CodeSectionEntry(body) => self.is_beyond |= leaves_traces(&body, self.tables)?,
            Payload::DataSection(segments) => {
                self.data = section(segments.range(), segments.count());
                self.segments = segments.into_iter().collect::<Result<_>>()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether nothing of it changes.
    pub(super) fn is_constant(&self) -> bool {
        !self.is_beyond && self.memories.is_empty() && self.globals.is_empty()
    }

    /// Whether what changes of it is a memory and globals, of which it is known what they were.
    pub(super) fn is_restorable(&self) -> bool {
        !self.is_beyond && self.memory_bytes().is_some()
    }

    /// How large its one memory is at first.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        let [memory] = self.memories[..] else { return None };
        let page = memory.page_size_log2.unwrap_or(WASM_PAGE);
        let is_usual = !memory.memory64 && !memory.shared && page == WASM_PAGE;
        memory.initial.checked_shl(page).filter(|bytes| is_usual && (1..=MOST_MEMORY).contains(bytes))
    }

    /// What its memory is at first. None if it is not all known, or too long to have twice.
    pub(super) fn image(&self) -> Option<Image> {
        let memory = usize::try_from(self.memory_bytes()?).ok()?;
        let mut placed = Vec::new();
        for segment in &self.segments {
            match &segment.kind {
                DataKind::Active { offset_expr, .. } => {
                    let Operator::I32Const { value } = constant(offset_expr)? else { return None };
                    let begin = usize::try_from(value.cast_unsigned()).ok()?;
                    placed.push((begin..begin.checked_add(segment.data.len())?, segment.data));
                }
                DataKind::Passive => {}
            }
        }
        let begin = placed.iter().map(|(place, _)| place.start).min().unwrap_or(0) / PAGE * PAGE;
        let end = placed.iter().map(|(place, _)| place.end).max().unwrap_or(0).next_multiple_of(PAGE);
        let said: usize = placed.iter().map(|(_, data)| data.len()).sum();
        let length = end.checked_sub(begin)?;
        if end > memory || length / SPARSEST > said.max(SMALL_IMAGE) {
            return None;
        }
        let mut bytes = vec![0; length];
        for (place, data) in placed {
            bytes.get_mut(place.start - begin..place.end - begin)?.copy_from_slice(data);
        }
        Some(Image { bytes, first: u32::try_from(begin / PAGE).ok()? })
    }
}

/// The one number that an expression is.
fn constant<'a>(expression: &ConstExpr<'a>) -> Option<Operator<'a>> {
    let mut operators = expression.get_operators_reader();
    let (value, end) = (operators.read().ok()?, operators.read().ok()?);
    let is_number = matches!(
        value,
        Operator::I32Const { .. }
            | Operator::I64Const { .. }
            | Operator::F32Const { .. }
            | Operator::F64Const { .. }
            | Operator::V128Const { .. }
    );
    (is_number && matches!(end, Operator::End)).then_some(value)
}

/// Whether an expression is a function, another global that does not change, or nothing: no object that could be written to.
fn is_function(expression: &ConstExpr<'_>) -> bool {
    let mut operators = expression.get_operators_reader();
    let is_one = matches!(
        operators.read(),
        Ok(Operator::RefNull { .. } | Operator::RefFunc { .. } | Operator::GlobalGet { .. })
    );
    is_one && matches!(operators.read(), Ok(Operator::End))
}

/// Whether a function changes what cannot be put back: a table, or that a segment can be read.
fn leaves_traces(body: &FunctionBody<'_>, tables: u32) -> Result<bool> {
    let Some(last) = last_suspect(body.as_bytes(), tables) else { return Ok(false) };
    let last = body.range().start + last;
    let mut operators = body.get_operators_reader()?;
    while operators.original_position() <= last {
        let leaves_traces = matches!(
            operators.read()?,
            Operator::TableSet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. }
                | Operator::ElemDrop { .. }
                | Operator::DataDrop { .. }
        );
        if leaves_traces {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where among these bytes the last such instruction may be: to read all instructions of a component takes its time.
fn last_suspect(body: &[u8], tables: u32) -> Option<usize> {
    const TABLE_SET: u8 = 0x26;
    /// Of the others, with a second number, which may have more bytes than it needs, as that of a table.
    const PREFIX: u8 = 0xfc;
    const SECOND: [u8; 6] = [9, 12, 13, 14, 15, 17];
    /// What the first byte of a number says of it.
    const LOWEST: u8 = 0x7f;

    let is_table = |lowest: u8| u32::from(lowest) < tables;
    body.windows(2).rposition(|two| match two[0] {
        TABLE_SET => is_table(two[1] & LOWEST),
        PREFIX => SECOND.contains(&(two[1] & LOWEST)),
        _ => false,
    })
}
