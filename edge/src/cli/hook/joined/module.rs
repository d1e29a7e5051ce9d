//! The one module, as it grows from its parts.

use std::collections::HashMap;
use std::mem::take;

use wasm_encoder::reencode::{Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, EntityType, ExportSection,
    FunctionSection, GlobalSection, ImportSection, MemorySection, Module, NameMap, NameSection, TableSection,
    TagSection, TypeSection,
};
use wasmparser::{
    CustomSectionReader, ExternalKind, KnownCustom, Name, Operator, Parser, Payload, SectionLimited, TypeRef,
};

use super::outline::{KINDS, Origin, place};
use super::{Dangling, Error};

/// Under this name it imports all that it does, each function with its number for a name.
pub(super) const IMPORTED: &str = "component";

const FUNCTIONS: usize = 0;
const TABLES: usize = 1;
const MEMORIES: usize = 2;
const GLOBALS: usize = 3;
const TAGS: usize = 4;

/// What a module gives and takes.
#[derive(Debug, Default)]
pub(super) struct Interface<'a> {
    pub(super) imports: Vec<(&'a str, &'a str, TypeRef)>,
    exports: HashMap<&'a str, (ExternalKind, u32)>,
    types: u32,
    memories: u32,
    has_start: bool,
    has_lines: bool,
}

impl<'a> Interface<'a> {
    pub(super) fn of(module: &'a [u8]) -> wasmparser::Result<Self> {
        let mut interface = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        interface.types += count(group?.types().len());
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        interface.imports.push((import.module, import.name, import.ty));
                    }
                }
                Payload::MemorySection(section) => interface.memories = section.count(),
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        interface.exports.insert(export.name, (export.kind, export.index));
                    }
                }
                Payload::StartSection { .. } => interface.has_start = true,
                Payload::CustomSection(section) => interface.has_lines |= section.name() == ".debug_line",
                _ => {}
            }
        }
        Ok(interface)
    }

    /// Whether it works in a memory, its own or another's. What has none stands between modules and the component.
    pub(super) fn has_memory(&self) -> bool {
        self.memories > 0 || self.imports.iter().any(|(.., ty)| matches!(ty, TypeRef::Memory(_)))
    }

    /// Whether nothing is lost when it becomes a part: neither what it does first nor where its source's lines are.
    pub(super) fn can_be_part(&self) -> bool {
        !self.has_start && !self.has_lines
    }
}

/// A module that becomes a part of the one.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) instance: u32,
    pub(super) module: &'a [u8],
    pub(super) interface: Interface<'a>,
    /// Where what it imports is, in the order of its imports.
    pub(super) origins: Vec<Origin<'a>>,
}

/// What a part exports, and the numbers that all it has got, by kind and by the numbers before.
#[derive(Debug)]
struct Placed<'a> {
    exports: HashMap<&'a str, (ExternalKind, u32)>,
    numbers: [Vec<u32>; KINDS],
}

/// The sections of the one module.
#[derive(Debug, Default)]
pub(super) struct Joined<'a> {
    /// What it imports, in order: functions, all of them.
    pub(super) imported: Vec<Origin<'a>>,
    /// By instance.
    parts: HashMap<u32, Placed<'a>>,
    counts: [u32; KINDS],
    /// Global variables that never change, by number.
    constants: HashMap<u32, i32>,
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    tags: TagSection,
    globals: GlobalSection,
    elements: ElementSection,
    code: CodeSection,
    data: DataSection,
    names: NameMap,
}

impl<'a> Joined<'a> {
    /// Parts are in the order of their instances, so that each finds what it imports of others.
    pub(super) fn of(parts: Vec<Part<'a>>) -> Result<Self, Error> {
        let mut joined = Self::default();
        joined.import(&parts)?;
        for part in parts {
            joined.add(part)?;
        }
        Ok(joined)
    }

    /// What no part has, of all of them: imports come before everything else that has a number.
    fn import(&mut self, parts: &[Part<'a>]) -> Result<(), Error> {
        let mut types = 0;
        for part in parts {
            for ((.., ty), origin) in part.interface.imports.iter().zip(&part.origins) {
                let is_inside = |instance: u32| parts.iter().any(|part| part.instance == instance);
                let known = match origin {
                    Origin::Module { instance, .. } if is_inside(*instance) => true,
                    origin => self.imported.contains(origin),
                };
                if known {
                    continue;
                }
                let TypeRef::Func(ty) = ty else { return Err(Error::UserError(Dangling)) };
                let name = self.imported.len().to_string();
                self.imports.import(IMPORTED, &name, EntityType::Function(types + ty));
                self.imported.push(*origin);
            }
            types += part.interface.types;
        }
        self.counts[FUNCTIONS] = count(self.imported.len());
        Ok(())
    }

    fn add(&mut self, part: Part<'a>) -> Result<(), Error> {
        let mut renumber = Renumber {
            types: self.types.len(),
            elements: self.elements.len(),
            data: self.data.len(),
            numbers: self.imported_by(&part)?,
            constants: take(&mut self.constants),
        };
        let imports = renumber.numbers[FUNCTIONS].len();
        for payload in Parser::new(0).parse_all(part.module) {
            match payload? {
                Payload::CustomSection(section) => {
                    self.name(&section, &renumber.numbers[FUNCTIONS], imports)?;
                }
                payload => self.append(payload, &mut renumber)?,
            }
        }
        self.constants = renumber.constants;
        let placed = Placed { exports: part.interface.exports, numbers: renumber.numbers };
        self.parts.insert(part.instance, placed);
        Ok(())
    }

    /// The numbers here of what a part imports.
    fn imported_by(&self, part: &Part<'a>) -> Result<[Vec<u32>; KINDS], Error> {
        let mut numbers = <[Vec<u32>; KINDS]>::default();
        for ((.., ty), origin) in part.interface.imports.iter().zip(&part.origins) {
            let number = match (self.imported.iter().position(|known| known == origin), origin) {
                (Some(position), _) => Some(count(position)),
                (None, Origin::Module { instance, name }) => self.number(*instance, name),
                (None, Origin::Component { .. }) => None,
            };
            numbers[place(kind(ty))].push(number.ok_or(Error::UserError(Dangling))?);
        }
        Ok(numbers)
    }

    /// A section of a part, or the body of one of its functions.
    fn append(&mut self, payload: Payload<'a>, renumber: &mut Renumber) -> Result<(), Error> {
        let counts = &mut self.counts;
        match payload {
            Payload::TypeSection(section) => renumber.parse_type_section(&mut self.types, section),
            Payload::FunctionSection(section) => {
                renumber.define(FUNCTIONS, &section, counts);
                renumber.parse_function_section(&mut self.functions, section)
            }
            Payload::TableSection(section) => {
                renumber.define(TABLES, &section, counts);
                renumber.parse_table_section(&mut self.tables, section)
            }
            Payload::MemorySection(section) => {
                renumber.define(MEMORIES, &section, counts);
                renumber.parse_memory_section(&mut self.memories, section)
            }
            Payload::TagSection(section) => {
                renumber.define(TAGS, &section, counts);
                renumber.parse_tag_section(&mut self.tags, section)
            }
            Payload::GlobalSection(section) => {
                for (global, number) in section.clone().into_iter().zip(counts[GLOBALS]..) {
                    let global = global?;
                    if let (false, Some(value)) = (global.ty.mutable, constant(&global.init_expr)) {
                        renumber.constants.insert(number, value);
                    }
                }
                renumber.define(GLOBALS, &section, counts);
                renumber.parse_global_section(&mut self.globals, section)
            }
            Payload::ElementSection(section) => renumber.parse_element_section(&mut self.elements, section),
            Payload::DataSection(section) => renumber.parse_data_section(&mut self.data, section),
            Payload::CodeSectionEntry(body) => renumber.parse_function_body(&mut self.code, body),
            _ => Ok(()),
        }
    }

    /// The names of a part's functions but those that it imports: traces tell them.
    fn name(
        &mut self,
        section: &CustomSectionReader<'_>,
        functions: &[u32],
        imports: usize,
    ) -> Result<(), Error> {
        let KnownCustom::Name(names) = section.as_known() else { return Ok(()) };
        for name in names {
            let Name::Function(names) = name? else { continue };
            for naming in names {
                let naming = naming?;
                let index = naming.index as usize;
                if let (true, Some(number)) = (index >= imports, functions.get(index)) {
                    self.names.append(*number, naming.name);
                }
            }
        }
        Ok(())
    }

    /// The number here of what an instance exports; `None` if it is no part.
    pub(super) fn number(&self, instance: u32, name: &str) -> Option<u32> {
        let placed = self.parts.get(&instance)?;
        let (kind, number) = placed.exports.get(name)?;
        placed.numbers[place(*kind)].get(*number as usize).copied()
    }

    pub(super) fn is_part(&self, instance: u32) -> bool {
        self.parts.contains_key(&instance)
    }

    /// The module in binary.
    pub(super) fn finish(&self, exports: &ExportSection) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions);
        module.section(&self.tables).section(&self.memories);
        // Absent where there are none: engines that know no tags refuse the section.
        if !self.tags.is_empty() {
            module.section(&self.tags);
        }
        module.section(&self.globals).section(exports).section(&self.elements);
        module.section(&DataCountSection { count: self.data.len() });
        module.section(&self.code).section(&self.data);
        let mut names = NameSection::new();
        names.functions(&self.names);
        module.section(&names);
        module.finish()
    }
}

/// The kind of what has this type.
pub(super) fn kind(ty: &TypeRef) -> ExternalKind {
    match ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => ExternalKind::Func,
        TypeRef::Table(_) => ExternalKind::Table,
        TypeRef::Memory(_) => ExternalKind::Memory,
        TypeRef::Global(_) => ExternalKind::Global,
        TypeRef::Tag(_) => ExternalKind::Tag,
    }
}

/// Numbers in WebAssembly have 32 bits, and so have all that are read from it.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn constant(expression: &wasmparser::ConstExpr<'_>) -> Option<i32> {
    let mut operators = expression.get_operators_reader();
    match (operators.read().ok()?, operators.read().ok()?) {
        (Operator::I32Const { value }, Operator::End) => Some(value),
        _ => None,
    }
}

/// From a part's numbers to those of the one module.
struct Renumber {
    types: u32,
    elements: u32,
    data: u32,
    numbers: [Vec<u32>; KINDS],
    constants: HashMap<u32, i32>,
}

impl Renumber {
    /// What a section of the part defines is what the module has next.
    fn define<T>(&mut self, kind: usize, section: &SectionLimited<'_, T>, counts: &mut [u32; KINDS]) {
        let next = counts[kind];
        // Each takes a byte at least, whatever the count says.
        counts[kind] = next.saturating_add(section.count().min(count(section.range().len())));
        self.numbers[kind].extend(next..counts[kind]);
    }

    fn number(&self, kind: usize, number: u32) -> Result<u32, Error> {
        self.numbers[kind].get(number as usize).copied().ok_or(Error::UserError(Dangling))
    }
}

impl Reencode for Renumber {
    type Error = Dangling;

    fn type_index(&mut self, ty: u32) -> Result<u32, Error> {
        Ok(self.types.saturating_add(ty))
    }

    fn element_index(&mut self, element: u32) -> Result<u32, Error> {
        Ok(self.elements.saturating_add(element))
    }

    fn data_index(&mut self, data: u32) -> Result<u32, Error> {
        Ok(self.data.saturating_add(data))
    }

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        self.number(FUNCTIONS, function)
    }

    fn table_index(&mut self, table: u32) -> Result<u32, Error> {
        self.number(TABLES, table)
    }

    fn memory_index(&mut self, memory: u32) -> Result<u32, Error> {
        self.number(MEMORIES, memory)
    }

    fn global_index(&mut self, global: u32) -> Result<u32, Error> {
        self.number(GLOBALS, global)
    }

    fn tag_index(&mut self, tag: u32) -> Result<u32, Error> {
        self.number(TAGS, tag)
    }

    /// A constant of another module is written out: where the entries of a table go is known then when it is compiled.
    fn const_expr(&mut self, expression: wasmparser::ConstExpr<'_>) -> Result<ConstExpr, Error> {
        let mut operators = expression.get_operators_reader();
        if let (Operator::GlobalGet { global_index }, Operator::End) = (operators.read()?, operators.read()?)
            && let Some(value) = self.constants.get(&self.number(GLOBALS, global_index)?)
        {
            return Ok(ConstExpr::i32_const(*value));
        }
        utils::const_expr(self, expression)
    }
}
