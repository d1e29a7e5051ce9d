//! Mends what componentize-qjs 0.4 makes: its components give back the request and response that they are lent only after
//! the call (in `post-return`), where the component model wants them back with the answer, and engines refuse the call.
//!
//! The module that ties the script to the contract gets a wrapper around each event, which gives back what was lent as the
//! event ends, and remembers it, so that the later return does nothing. What is given back in time is left alone, and so are
//! components of other tools.

use wasm_encoder::{
    BlockType, ConstExpr, ElementSection, Elements, Encode, Function, InstructionSink, RawSection, Section,
};
use wasmparser::{
    BinaryReader, ElementItems, ElementKind, ElementSectionReader, Error, ImportSectionReader, TypeRef,
};

use super::sections::{COMPONENT, CORE_MODULE, PREAMBLE, sections};

/// Sections of a module.
const TYPES: u8 = 1;
const IMPORTS: u8 = 2;
const FUNCTIONS: u8 = 3;
const GLOBALS: u8 = 6;
const EXPORTS: u8 = 7;
const ELEMENTS: u8 = 9;
const CODE: u8 = 10;

/// What gives back a request, and a response.
const DROPS: [&str; 2] = ["[resource-drop]request", "[resource-drop]response"];
/// The events, and how many of the two they are lent.
const EVENTS: [(&str, usize); 4] = [
    ("selvedge:edge/viewer-request@0.1.0#on-viewer-request", 1),
    ("selvedge:edge/origin-request@0.1.0#on-origin-request", 1),
    ("selvedge:edge/origin-response@0.1.0#on-origin-response", 2),
    ("selvedge:edge/viewer-response@0.1.0#on-viewer-response", 2),
];
/// Of functions, in binary: that take a handle; that take one or two and answer with where their result is.
const FUNCTION_TYPES: [&[u8]; 3] =
    [&[0x60, 1, 0x7f, 0], &[0x60, 1, 0x7f, 1, 0x7f], &[0x60, 2, 0x7f, 0x7f, 1, 0x7f]];
/// A variable that begins as 0, in binary. No handle is 0.
const VARIABLE: &[u8] = &[0x7f, 1, 0x41, 0, 0x0b];

/// The component, mended where it needs it; the error says what of it cannot be read.
pub(super) fn mended(component: &[u8]) -> Result<Vec<u8>, Error> {
    let mut mended = component.get(..PREAMBLE).unwrap_or_default().to_vec();
    for (id, place) in sections(component)? {
        let old = &component[place];
        let new = match id {
            CORE_MODULE => mended_module(old)?,
            COMPONENT => Some(self::mended(old)?),
            _ => None,
        };
        RawSection { id, data: new.as_deref().unwrap_or(old) }.append_to(&mut mended);
    }
    Ok(mended)
}

/// Something that is lent for the time of a call, by the numbers of functions and variables.
#[derive(Clone, Copy)]
struct Lent {
    /// Gives a handle back.
    drop: u32,
    /// Gives it back unless that is done: what the script's engine calls instead.
    drop_once: u32,
    /// The variable with the handle that the running call is lent.
    held: u32,
    /// The variable with the handle that was given back when the call ended.
    returned: u32,
}

/// The module with its wrappers; `None` where it is not the one that ties the script to the contract.
fn mended_module(module: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let sections = sections(module)?;
    let contents = |wanted| {
        let found = sections.iter().find(|(id, _)| *id == wanted);
        found.map_or(&[0_u8] as &[u8], |(_, place)| &module[place.clone()])
    };
    let Some(imports) = imports(contents(IMPORTS))? else { return Ok(None) };
    let types = count(contents(TYPES))?;
    let first_function = imports.functions + count(contents(FUNCTIONS))?;
    let first_variable = imports.globals + count(contents(GLOBALS))?;
    let lent = [0, 1].map(|number: u32| Lent {
        drop: imports.drops[number as usize],
        drop_once: first_function + number,
        held: first_variable + 2 * number,
        returned: first_variable + 2 * number + 1,
    });
    let (exports, events) = exports(contents(EXPORTS), first_function + 2)?;
    let mut kinds = vec![types; 2];
    let mut bodies: Vec<Function> = lent.iter().map(drop_once).collect();
    for Event { function, lent: count } in events {
        kinds.push(types + u32::try_from(count).unwrap_or_default());
        bodies.push(wrapper(function, &lent[..count]));
    }
    let kinds: Vec<_> = kinds.iter().map(encoded).collect();
    let bodies: Vec<_> = bodies.iter().map(encoded).collect();
    let mut mended = module[..PREAMBLE].to_vec();
    for (id, place) in &sections {
        let old = &module[place.clone()];
        let new = match *id {
            TYPES => longer(old, &FUNCTION_TYPES)?,
            FUNCTIONS => longer(old, &kinds)?,
            GLOBALS => longer(old, &[VARIABLE; 4])?,
            EXPORTS => exports.clone(),
            ELEMENTS => elements(old, &lent)?,
            CODE => longer(old, &bodies)?,
            _ => old.to_vec(),
        };
        if *id == EXPORTS && !sections.iter().any(|(id, _)| *id == GLOBALS) {
            RawSection { id: GLOBALS, data: &longer(&[0], &[VARIABLE; 4])? }.append_to(&mut mended);
        }
        RawSection { id: *id, data: &new }.append_to(&mut mended);
    }
    Ok(Some(mended))
}

/// How many functions and variables a module imports, and which functions give back.
struct Imports {
    functions: u32,
    globals: u32,
    drops: [u32; 2],
}

/// The imports of the module that ties the script to the contract; `None` for others.
fn imports(section: &[u8]) -> Result<Option<Imports>, Error> {
    let (mut functions, mut globals) = (0, 0);
    let (mut drops, mut is_tie) = ([None; 2], false);
    for import in ImportSectionReader::new(BinaryReader::new(section, 0))?.into_imports() {
        let import = import?;
        match import.ty {
            TypeRef::Func(_) => {
                is_tie |= import.name == "wit_dylib_export_finish";
                if let Some(number) = DROPS.iter().position(|name| *name == import.name) {
                    drops[number] = Some(functions);
                }
                functions += 1;
            }
            TypeRef::Global(_) => globals += 1,
            _ => {}
        }
    }
    Ok(match drops {
        [Some(request), Some(response)] if is_tie => {
            Some(Imports { functions, globals, drops: [request, response] })
        }
        _ => None,
    })
}

/// A function that answers an event, and how much it is lent.
struct Event {
    function: u32,
    lent: usize,
}

/// The exports, those of events changed to functions from the number `first` on; and what they were.
fn exports(section: &[u8], first: u32) -> Result<(Vec<u8>, Vec<Event>), Error> {
    let mut reader = BinaryReader::new(section, 0);
    let mut events = Vec::new();
    let mut changed = Vec::new();
    let count = reader.read_var_u32()?;
    count.encode(&mut changed);
    for _ in 0..count {
        let (name, kind, index) = (reader.read_string()?, reader.read_u8()?, reader.read_var_u32()?);
        let event = EVENTS.iter().find(|(event, _)| *event == name);
        let index = event.map_or(index, |(_, lent)| {
            events.push(Event { function: index, lent: *lent });
            first + u32::try_from(events.len() - 1).unwrap_or_default()
        });
        name.encode(&mut changed);
        changed.push(kind);
        index.encode(&mut changed);
    }
    Ok((changed, events))
}

/// The pointers to functions, those that give back replaced.
fn elements(section: &[u8], lent: &[Lent]) -> Result<Vec<u8>, Error> {
    let mut changed = ElementSection::new();
    for element in ElementSectionReader::new(BinaryReader::new(section, 0))? {
        let element = element?;
        match (element.kind, element.items) {
            (ElementKind::Active { table_index, offset_expr }, ElementItems::Functions(functions)) => {
                let functions = functions.into_iter().map(|function| {
                    let function = function?;
                    Ok(lent.iter().find(|lent| lent.drop == function).map_or(function, |lent| lent.drop_once))
                });
                let functions: Vec<u32> = functions.collect::<Result<_, Error>>()?;
                let mut offset = offset_expr.get_binary_reader();
                let offset = offset.read_bytes(offset.bytes_remaining())?;
                // The encoder puts the end behind it.
                let offset = ConstExpr::raw(offset.iter().copied().take(offset.len() - 1));
                changed.active(table_index, &offset, Elements::Functions(functions.into()));
            }
            _ => {
                changed.raw(&section[element.range]);
            }
        }
    }
    let mut bytes = Vec::new();
    changed.encode(&mut bytes);
    // Its length is written when it becomes a section.
    let mut reader = BinaryReader::new(&bytes, 0);
    reader.read_var_u32()?;
    Ok(bytes[reader.current_position()..].to_vec())
}

/// A function that gives a handle back unless the end of its call has done so.
fn drop_once(lent: &Lent) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.local_get(0).global_get(lent.returned).i32_eq().if_(BlockType::Empty);
    code.i32_const(0).global_set(lent.returned).return_().end();
    code.local_get(0).global_get(lent.held).i32_eq().if_(BlockType::Empty);
    code.i32_const(0).global_set(lent.held).end();
    code.local_get(0).call(lent.drop).end();
    function
}

/// A function that calls `event` and gives back what it still holds.
fn wrapper(event: u32, lent: &[Lent]) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    for (parameter, lent) in (0..).zip(lent) {
        code.i32_const(0).global_set(lent.returned).local_get(parameter).global_set(lent.held);
    }
    for (parameter, _) in (0..).zip(lent) {
        code.local_get(parameter);
    }
    code.call(event);
    for (parameter, lent) in (0..).zip(lent) {
        give_back(&mut code, parameter, lent);
    }
    code.end();
    function
}

fn give_back(code: &mut InstructionSink<'_>, parameter: u32, lent: &Lent) {
    code.global_get(lent.held).if_(BlockType::Empty);
    code.local_get(parameter).call(lent.drop);
    code.local_get(parameter).global_set(lent.returned);
    code.i32_const(0).global_set(lent.held).end();
}

/// A section that begins with a count, with more behind what it has.
fn longer(section: &[u8], more: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, Error> {
    let mut reader = BinaryReader::new(section, 0);
    let count = reader.read_var_u32()?;
    let mut longer = Vec::new();
    (count as usize + more.len()).encode(&mut longer);
    longer.extend_from_slice(&section[reader.current_position()..]);
    more.iter().for_each(|item| longer.extend_from_slice(item.as_ref()));
    Ok(longer)
}

fn count(section: &[u8]) -> Result<u32, Error> {
    BinaryReader::new(section, 0).read_var_u32()
}

fn encoded(what: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    what.encode(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_tools_have_made_is_left_as_it_is() {
        // A component with a section of its own, a core module without sections, and an empty component.
        let component = [
            b"\0asm\x0d\0\x01\0" as &[u8],
            b"\0\x03\x01xy",
            b"\x01\x08\0asm\x01\0\0\0",
            b"\x04\x08\0asm\x0d\0\x01\0",
        ]
        .concat();
        assert_eq!(mended(&component).unwrap(), component);
        assert!(mended(b"\0asm").is_err());
        assert!(mended(&component[..component.len() - 1]).is_err());
    }
}
