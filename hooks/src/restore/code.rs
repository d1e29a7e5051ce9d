//! The functions that are added to a module, and how the component offers them.

use wasm_encoder::{
    Alias, BlockType, CanonicalFunctionSection, CanonicalOption, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentSection, ComponentTypeSection, ComponentValType, DataCountSection,
    Encode, ExportKind, Function, InstructionSink, MemArg, PrimitiveValType, Section, ValType,
};
use wasmparser::Operator;

use super::module::{Image, PAGE};
use super::outline::{Counts, Outline};
use crate::edits::count;

/// Names of what is added, in the module and of the component.
pub(super) const PUT_BACK: &str = "selvedge-put-back";
pub(super) const ADDRESS: &str = "selvedge-address";
const MEMORY: &str = "selvedge-memory";

/// Numbers that a call of [`PUT_BACK`] takes, each two regions: as many as go without memory (canonical ABI, MAX_FLAT_PARAMS).
pub(super) const PARAMETERS: u32 = 16;

/// Pages side by side, as a call names them: which is the first in the lower 20 bits, how many in the 12 above. Zero is none.
pub(super) const FIRST_BITS: u32 = 20;

const MEMORY_INDEX: u32 = 0;

/// What is added to each section of a module: how many, and their bytes.
pub(super) struct Added {
    pub(super) types: (usize, Vec<u8>),
    pub(super) functions: (usize, Vec<u8>),
    pub(super) exports: (usize, Vec<u8>),
    pub(super) code: (usize, Vec<u8>),
    pub(super) data: (usize, Vec<u8>),
}

impl Added {
    /// To a module with so many types, functions and segments.
    pub(super) fn to(outline: &Outline<'_>, [types, functions, data]: [u32; 3], image: &Image) -> Self {
        let mut added = Self {
            types: (3, Vec::new()),
            functions: (3, Vec::new()),
            exports: (3, Vec::new()),
            code: (3, Vec::new()),
            data: (1, Vec::new()),
        };
        let [one, put_back, address] = [functions, functions + 1, functions + 2];
        let signatures: [(&[ValType], &[ValType]); 3] =
            [(&[ValType::I32], &[]), (&[ValType::I64; PARAMETERS as usize], &[]), (&[], &[ValType::I32])];
        for ((parameters, results), number) in signatures.into_iter().zip(types..) {
            /// A function, of these parameters and results.
            const FUNCTION: u8 = 0x60;
            added.types.1.push(FUNCTION);
            for values in [parameters, results] {
                values.len().encode(&mut added.types.1);
                values.iter().for_each(|value| value.encode(&mut added.types.1));
            }
            number.encode(&mut added.functions.1);
        }
        for (name, kind, number) in [
            (PUT_BACK, ExportKind::Func, put_back),
            (ADDRESS, ExportKind::Func, address),
            (MEMORY, ExportKind::Memory, MEMORY_INDEX),
        ] {
            name.encode(&mut added.exports.1);
            kind.encode(&mut added.exports.1);
            number.encode(&mut added.exports.1);
        }
        put_back_one(data, image).encode(&mut added.code.1);
        put_back_all(one, &outline.module.globals).encode(&mut added.code.1);
        tell_address().encode(&mut added.code.1);
        /// A segment that is there to be read.
        const PASSIVE: u32 = 1;
        PASSIVE.encode(&mut added.data.1);
        image.bytes.encode(&mut added.data.1);
        added
    }
}

/// Writes what was in some pages at first over what is there: bytes of the image, or zeros.
fn put_back_one(data: u32, image: &Image) -> Function {
    const REGION: u32 = 0;
    const AT: u32 = 1;
    const LENGTH: u32 = 2;
    let shift = PAGE.trailing_zeros().cast_signed();

    let mut function = Function::new([(2, ValType::I32)]);
    let code = &mut function.instructions();
    code.local_get(REGION).i32_eqz().if_(BlockType::Empty).return_().end();
    code.local_get(REGION).i32_const(shift).i32_shl().local_set(AT);
    code.local_get(REGION).i32_const(FIRST_BITS.cast_signed()).i32_shr_u();
    code.i32_const(shift).i32_shl().local_set(LENGTH);
    // Below the image the difference is larger than it, too.
    code.local_get(AT).i32_const(image.begin().cast_signed()).i32_sub();
    code.i32_const(count(image.bytes.len()).cast_signed()).i32_lt_u().if_(BlockType::Empty);
    code.local_get(AT);
    code.local_get(AT).i32_const(image.begin().cast_signed()).i32_sub();
    code.local_get(LENGTH).memory_init(MEMORY_INDEX, data);
    code.else_();
    code.local_get(AT).i32_const(0).local_get(LENGTH).memory_fill(MEMORY_INDEX);
    code.end().end();
    function
}

/// Puts back all regions that it is given, and all globals.
fn put_back_all(one: u32, globals: &[(u32, Operator<'_>)]) -> Function {
    let mut function = Function::new([]);
    let code = &mut function.instructions();
    for parameter in 0..PARAMETERS {
        code.local_get(parameter).i32_wrap_i64().call(one);
        code.local_get(parameter).i64_const(32).i64_shr_u().i32_wrap_i64().call(one);
    }
    for (global, value) in globals {
        number(code, value);
        code.global_set(*global);
    }
    code.end();
    function
}

fn number(code: &mut InstructionSink<'_>, value: &Operator<'_>) {
    match *value {
        Operator::I32Const { value } => code.i32_const(value),
        Operator::I64Const { value } => code.i64_const(value),
        Operator::F32Const { value } => code.f32_const(wasm_encoder::Ieee32::new(value.bits())),
        Operator::F64Const { value } => code.f64_const(wasm_encoder::Ieee64::new(value.bits())),
        Operator::V128Const { value } => code.v128_const(value.i128()),
        _ => code.unreachable(),
    };
}

/// The first byte of the memory as a list, whose address the host can see. What is written over for that is put back later.
fn tell_address() -> Function {
    let mut function = Function::new([]);
    let code = &mut function.instructions();
    for (at, value) in [(0, 0), (4, 1)] {
        let place = MemArg { offset: at, align: 2, memory_index: MEMORY_INDEX };
        code.i32_const(0).i32_const(value).i32_store(place);
    }
    code.i32_const(0).end();
    function
}

/// Sections at the end of a component that export the functions of its module's instance.
pub(super) fn exported(instance: u32, counts: &Counts) -> Vec<u8> {
    let mut aliases = ComponentAliasSection::new();
    for (kind, name) in
        [(ExportKind::Func, PUT_BACK), (ExportKind::Func, ADDRESS), (ExportKind::Memory, MEMORY)]
    {
        aliases.alias(Alias::CoreInstanceExport { instance, kind, name });
    }
    let mut types = ComponentTypeSection::new();
    let named: Vec<_> = (0..PARAMETERS).map(|number| (format!("p{number}"), PrimitiveValType::U64)).collect();
    types.function().params(named.iter().map(|(name, ty)| (name.as_str(), *ty))).result(None);
    types.defined_type().list(PrimitiveValType::U8);
    types
        .function()
        .params([] as [(&str, ComponentValType); 0])
        .result(Some(ComponentValType::Type(counts.types + 1)));
    let mut functions = CanonicalFunctionSection::new();
    functions.lift(counts.core_functions, counts.types, []);
    let memory = CanonicalOption::Memory(counts.memories);
    functions.lift(counts.core_functions + 1, counts.types + 2, [memory]);
    let mut exports = ComponentExportSection::new();
    exports.export(PUT_BACK, ComponentExportKind::Func, counts.functions, None);
    exports.export(ADDRESS, ComponentExportKind::Func, counts.functions + 1, None);
    let mut sections = Vec::new();
    aliases.append_to_component(&mut sections);
    types.append_to_component(&mut sections);
    functions.append_to_component(&mut sections);
    exports.append_to_component(&mut sections);
    sections
}

/// A section that says how many segments there are.
pub(super) fn data_count(count: u32) -> Vec<u8> {
    let mut section = Vec::new();
    DataCountSection { count }.append_to(&mut section);
    section
}
