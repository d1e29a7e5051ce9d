//! Joins the modules of a component that work in one memory into one module.
//!
//! Tools for languages with a large runtime link a component as a system links shared libraries: a module for each library,
//! another with the memory, the table of functions and a variable for each address that one has of another. An engine ties
//! them together anew for every instance, entry by entry, which takes longer than most hooks run. In one module, all that
//! is known when it is compiled, and an instance costs little more than the pages that it writes.
//!
//! What the component makes itself keeps its place; only what concerns the core is written anew. A component of another
//! shape is left as it is.

mod module;
mod outline;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;

use wasm_encoder::reencode::{self, Reencode, ReencodeComponent};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, ComponentAliasSection, ComponentSection, ExportKind, ExportSection,
    InstanceSection, ModuleArg, RawSection,
};
use wasmparser::{
    BinaryReader, CanonicalFunction, ComponentAlias, ComponentAliasSectionReader,
    ComponentCanonicalSectionReader, ExternalKind, InstanceSectionReader,
};

use super::sections::{COMPONENT, CORE_MODULE, PREAMBLE, sections};
use module::{IMPORTED, Interface, Joined, Part, kind};
use outline::{ALIASES, CANONICALS, CORE_INSTANCES, CoreInstance, KINDS, Origin, Outline, place};

/// Names of what is in the binary, which have other numbers then.
const CUSTOM: u8 = 0;

pub(super) type Error = reencode::Error<Dangling>;

/// Something refers to what is not there, or not before it.
#[derive(Debug)]
pub(super) struct Dangling;

impl fmt::Display for Dangling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("it refers to something that is not there before it")
    }
}

impl std::error::Error for Dangling {}

/// The component with its modules joined, and those of components in it; `None` if there is nothing to join.
pub(super) fn joined(component: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let outline = Outline::of(component)?;
    let parts = parts(&outline)?;
    if parts.len() < 2 {
        return within(component);
    }
    Rewrite::new(&outline, Joined::of(parts)?).component(component).map(Some)
}

/// The component with the components in it joined.
fn within(component: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut whole = component[..PREAMBLE].to_vec();
    let mut has_changed = false;
    for (id, range) in sections(component)? {
        let old = &component[range];
        let new = if id == COMPONENT { joined(old)? } else { None };
        has_changed |= new.is_some();
        RawSection { id, data: new.as_deref().unwrap_or(old) }.append_to_component(&mut whole);
    }
    Ok(has_changed.then_some(whole))
}

/// The modules that can be one: those that work in a memory and need nothing that needs one of them first.
fn parts<'a>(outline: &Outline<'a>) -> Result<Vec<Part<'a>>, Error> {
    let mut parts = Vec::new();
    let mut before = HashSet::new();
    for (instance, number) in outline.instances.iter().zip(0..) {
        let CoreInstance::Module { module, arguments } = instance else { continue };
        let module = *outline.modules.get(*module as usize).ok_or(Error::UserError(Dangling))?;
        let interface = Interface::of(module)?;
        let origin = |from: &str, name| {
            let (_, argument) = arguments.iter().find(|(known, _)| *known == from)?;
            outline.export(*argument, name)
        };
        let origins: Option<Vec<_>> =
            interface.imports.iter().map(|(from, name, _)| origin(from, name)).collect();
        let origins = origins.ok_or(Error::UserError(Dangling))?;
        let comes_first = |origin: &Origin<'_>| match origin {
            Origin::Module { instance, .. } => before.contains(instance),
            Origin::Component { function } => outline.needs_no_module(*function),
        };
        if !origins.iter().all(comes_first) {
            continue;
        }
        before.insert(number);
        if interface.has_memory() {
            if !interface.can_be_part() {
                return Ok(Vec::new());
            }
            parts.push(Part { instance: number, module, interface, origins });
        }
    }
    Ok(parts)
}

/// A component as it is written anew.
struct Rewrite<'o, 'a> {
    outline: &'o Outline<'a>,
    one: Joined<'a>,
    /// What of it is needed outside, under its kind and number.
    exports: ExportSection,
    exported: HashSet<(usize, u32)>,
    sections: Vec<u8>,
    /// Where in them the one module comes, and which number it has.
    module: Option<(usize, u32)>,
    /// Its instance, once that is written.
    instance: Option<u32>,
    modules: Numbers<u32>,
    instances: Numbers<u32>,
    /// By kind.
    items: [Numbers<Origin<'a>>; KINDS],
    /// How many functions the component had until here.
    functions: u32,
}

/// How many there are by now, and which number each has.
#[derive(Debug)]
struct Numbers<T> {
    count: u32,
    of: HashMap<T, u32>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { count: 0, of: HashMap::new() }
    }
}

impl<T: Eq + Hash> Numbers<T> {
    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count - 1
    }

    fn define(&mut self, what: T) -> u32 {
        let number = self.next();
        self.of.insert(what, number);
        number
    }

    fn find(&self, what: &T) -> Result<u32, Error> {
        self.of.get(what).copied().ok_or(Error::UserError(Dangling))
    }
}

impl<'o, 'a> Rewrite<'o, 'a> {
    fn new(outline: &'o Outline<'a>, one: Joined<'a>) -> Self {
        Self {
            outline,
            one,
            exports: ExportSection::new(),
            exported: HashSet::new(),
            sections: Vec::new(),
            module: None,
            instance: None,
            modules: Numbers::default(),
            instances: Numbers::default(),
            items: Default::default(),
            functions: 0,
        }
    }

    fn component(mut self, component: &[u8]) -> Result<Vec<u8>, Error> {
        let (mut modules, mut instances) = (0.., 0..);
        for (id, range) in sections(component)? {
            let section = &component[range];
            let reader = BinaryReader::new(section, 0);
            match id {
                CORE_MODULE => modules.by_ref().take(1).for_each(|number| self.core_module(number, section)),
                CORE_INSTANCES => {
                    for (_, number) in InstanceSectionReader::new(reader)?.into_iter().zip(instances.by_ref())
                    {
                        self.core_instance(number)?;
                    }
                }
                ALIASES => {
                    for alias in ComponentAliasSectionReader::new(reader)? {
                        self.alias(alias?)?;
                    }
                }
                CANONICALS => {
                    for function in ComponentCanonicalSectionReader::new(reader)? {
                        self.canonical(function?)?;
                    }
                }
                CUSTOM => {}
                _ => self.write(&RawSection { id, data: section }),
            }
        }
        let (place, _) = self.module.ok_or(Error::UserError(Dangling))?;
        let mut whole = component[..PREAMBLE].to_vec();
        whole.extend(&self.sections[..place]);
        RawSection { id: CORE_MODULE, data: &self.one.finish(&self.exports) }.append_to_component(&mut whole);
        whole.extend(&self.sections[place..]);
        Ok(whole)
    }

    fn write(&mut self, section: &impl ComponentSection) {
        section.append_to_component(&mut self.sections);
    }

    /// The one comes where the first of its parts was.
    fn core_module(&mut self, number: u32, module: &[u8]) {
        let is_part = self.outline.instances.iter().zip(0..).any(|(instance, at)| {
            matches!(instance, CoreInstance::Module { module, .. } if *module == number)
                && self.one.is_part(at)
        });
        if !is_part {
            self.write(&RawSection { id: CORE_MODULE, data: module });
            self.modules.define(number);
        } else if self.module.is_none() {
            self.module = Some((self.sections.len(), self.modules.next()));
        }
    }

    /// Instances of names are written when something needs them.
    fn core_instance(&mut self, number: u32) -> Result<(), Error> {
        let outline = self.outline;
        let Some(CoreInstance::Module { module, arguments }) = outline.instances.get(number as usize) else {
            return Ok(());
        };
        if self.one.is_part(number) {
            return Ok(());
        }
        let mut given = Vec::new();
        for (name, instance) in arguments {
            let instance = match &outline.instances[*instance as usize] {
                CoreInstance::Names(names) => self.names(*instance, names)?,
                CoreInstance::Module { .. } if self.one.is_part(*instance) => {
                    self.of_part(*module, name, *instance)?
                }
                CoreInstance::Module { .. } => self.instances.find(instance)?,
            };
            given.push((*name, ModuleArg::Instance(instance)));
        }
        let mut section = InstanceSection::new();
        section.instantiate(self.modules.find(module)?, given);
        self.write(&section);
        self.instances.define(number);
        Ok(())
    }

    /// An instance that gives names to things.
    fn names(&mut self, number: u32, names: &[(&'a str, ExternalKind, u32)]) -> Result<u32, Error> {
        if let Ok(known) = self.instances.find(&number) {
            return Ok(known);
        }
        let mut items = Vec::new();
        for (name, kind, item) in names {
            items.push((*name, ExportKind::from(*kind), self.item(*kind, *item)?));
        }
        let mut section = InstanceSection::new();
        section.export_items(items);
        self.write(&section);
        Ok(self.instances.define(number))
    }

    /// What a module imports, under the name `from`, of an instance that is part of the one.
    fn of_part(&mut self, module: u32, from: &str, instance: u32) -> Result<u32, Error> {
        let module = *self.outline.modules.get(module as usize).ok_or(Error::UserError(Dangling))?;
        let mut items = Vec::new();
        for (_, name, ty) in Interface::of(module)?.imports.iter().filter(|(known, ..)| *known == from) {
            let number = self.found(kind(ty), Origin::Module { instance, name })?;
            items.push((*name, ExportKind::from(kind(ty)), number));
        }
        let mut section = InstanceSection::new();
        section.export_items(items);
        self.write(&section);
        Ok(self.instances.next())
    }

    fn alias(&mut self, alias: ComponentAlias<'_>) -> Result<(), Error> {
        if let ComponentAlias::CoreInstanceExport { kind, .. } = alias {
            // Written when something needs it.
            self.functions += u32::from(place(kind) == place(ExternalKind::Func));
            return Ok(());
        }
        let mut section = ComponentAliasSection::new();
        section.alias(self.component_alias(alias)?);
        self.write(&section);
        Ok(())
    }

    fn canonical(&mut self, function: CanonicalFunction) -> Result<(), Error> {
        let is_core = !matches!(function, CanonicalFunction::Lift { .. });
        let mut section = CanonicalFunctionSection::new();
        self.parse_component_canonical(&mut section, function)?;
        self.write(&section);
        if is_core {
            let origin = Origin::Component { function: self.functions };
            self.items[place(ExternalKind::Func)].define(origin);
            self.functions += 1;
        }
        Ok(())
    }

    /// The number now of what had this number.
    fn item(&mut self, kind: ExternalKind, before: u32) -> Result<u32, Error> {
        let origin = self.outline.origin(kind, before).ok_or(Error::UserError(Dangling))?;
        self.found(kind, origin)
    }

    /// The number of what is there; an alias is written for what instances export.
    fn found(&mut self, kind: ExternalKind, origin: Origin<'a>) -> Result<u32, Error> {
        if let Ok(known) = self.items[place(kind)].find(&origin) {
            return Ok(known);
        }
        let Origin::Module { instance, name } = origin else { return Err(Error::UserError(Dangling)) };
        let (instance, name) = match self.one.number(instance, name) {
            Some(number) => (self.instance()?, self.export(kind, number)),
            None => (self.instances.find(&instance)?, name.to_owned()),
        };
        let mut section = ComponentAliasSection::new();
        section.alias(Alias::CoreInstanceExport { instance, kind: kind.into(), name: &name });
        self.write(&section);
        Ok(self.items[place(kind)].define(origin))
    }

    /// Has the one module export what has this number, and says under which name.
    fn export(&mut self, kind: ExternalKind, number: u32) -> String {
        let name = format!("{}-{number}", place(kind));
        if self.exported.insert((place(kind), number)) {
            self.exports.export(&name, kind.into(), number);
        }
        name
    }

    /// The instance of the one module, which is written when something first needs it: all that it imports is there then.
    fn instance(&mut self) -> Result<u32, Error> {
        if let Some(instance) = self.instance {
            return Ok(instance);
        }
        let (_, module) = self.module.ok_or(Error::UserError(Dangling))?;
        let mut names = Vec::new();
        for (position, origin) in self.one.imported.clone().into_iter().enumerate() {
            names.push((position.to_string(), ExportKind::Func, self.found(ExternalKind::Func, origin)?));
        }
        let mut section = InstanceSection::new();
        section.export_items(names);
        section.instantiate(module, [(IMPORTED, ModuleArg::Instance(self.instances.next()))]);
        self.write(&section);
        let instance = self.instances.next();
        self.instance = Some(instance);
        Ok(instance)
    }
}

/// Canonical functions name what they need of modules by number.
impl Reencode for Rewrite<'_, '_> {
    type Error = Dangling;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        self.item(ExternalKind::Func, function)
    }

    fn memory_index(&mut self, memory: u32) -> Result<u32, Error> {
        self.item(ExternalKind::Memory, memory)
    }

    fn table_index(&mut self, table: u32) -> Result<u32, Error> {
        self.item(ExternalKind::Table, table)
    }
}

impl ReencodeComponent for Rewrite<'_, '_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        CodeSection, Component, ConstExpr, ElementSection, Elements, EntityType, Function, FunctionSection,
        GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType, Module, ModuleSection, RefType,
        StartSection, TableSection, TableType, TypeSection, ValType,
    };

    const CONSTANT: GlobalType = GlobalType { val_type: ValType::I32, mutable: false, shared: false };
    const MEMORY: MemoryType =
        MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
    const TABLE: TableType = TableType {
        element_type: RefType::FUNCREF,
        minimum: 8,
        maximum: None,
        table64: false,
        shared: false,
    };

    /// The module of a program: a memory, a table, and the place in it that a library's functions get.
    fn program() -> Module {
        let mut module = Module::new();
        module.section(TableSection::new().table(TABLE));
        module.section(MemorySection::new().memory(MEMORY));
        module.section(GlobalSection::new().global(CONSTANT, &ConstExpr::i32_const(5)));
        let mut exports = ExportSection::new();
        exports.export("table", ExportKind::Table, 0).export("memory", ExportKind::Memory, 0);
        module.section(exports.export("base", ExportKind::Global, 0));
        module
    }

    /// The module of a library: it imports all three, puts its function there, and calls it.
    fn library(has_start: bool) -> Module {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        module.section(&types);
        let mut imports = ImportSection::new();
        imports.import("env", "memory", MEMORY).import("env", "table", TABLE);
        module.section(imports.import("env", "base", EntityType::Global(CONSTANT)));
        module.section(FunctionSection::new().function(0));
        module.section(ExportSection::new().export("run", ExportKind::Func, 0));
        if has_start {
            module.section(&StartSection { function_index: 0 });
        }
        let entries = Elements::Functions([0].as_slice().into());
        module.section(ElementSection::new().active(None, &ConstExpr::global_get(0), entries));
        let mut function = Function::new([]);
        function.instructions().global_get(0).call_indirect(0, 0).end();
        module.section(CodeSection::new().function(&function));
        module
    }

    /// A component of the two, and something that names the library's function.
    fn component(program: &Module, library: &Module) -> Vec<u8> {
        let mut component = Component::new();
        component.section(&ModuleSection(program));
        component.section(&ModuleSection(library));
        let mut instances = InstanceSection::new();
        instances.instantiate(0, [] as [(&str, ModuleArg); 0]);
        component.section(instances.instantiate(1, [("env", ModuleArg::Instance(0))]));
        let mut aliases = ComponentAliasSection::new();
        let run = Alias::CoreInstanceExport { instance: 1, kind: ExportKind::Func, name: "run" };
        component.section(aliases.alias(run));
        component.section(InstanceSection::new().export_items([("run", ExportKind::Func, 0)]));
        // Takes a function of the core by its number.
        let mut functions = CanonicalFunctionSection::new();
        component.section(functions.lift(0, 0, []));
        component.finish()
    }

    #[test]
    fn modules_that_share_a_memory_become_one_whose_table_is_known_beforehand() {
        let joined = joined(&component(&program(), &library(false))).unwrap().unwrap();
        let outline = Outline::of(&joined).unwrap();
        let [module] = outline.modules[..] else { panic!("{} modules", outline.modules.len()) };
        assert!(Interface::of(module).unwrap().imports.is_empty());
        let elements = sections(module).unwrap().into_iter().find(|(id, _)| *id == 9).unwrap().1;
        let elements =
            wasmparser::ElementSectionReader::new(BinaryReader::new(&module[elements], 0)).unwrap();
        let [element] = &elements.into_iter().map(Result::unwrap).collect::<Vec<_>>()[..] else {
            panic!("one library fills the table")
        };
        let wasmparser::ElementKind::Active { offset_expr, .. } = &element.kind else {
            panic!("it is active")
        };
        let first = offset_expr.get_operators_reader().read().unwrap();
        assert!(matches!(first, wasmparser::Operator::I32Const { value: 5 }), "{first:?}");
        // The component lifts the same function, which comes from the one module's only instance.
        assert!(matches!(outline.origin(ExternalKind::Func, 0), Some(Origin::Module { instance: 1, .. })));
        assert_eq!(outline.instances.len(), 2);
    }

    #[test]
    fn components_in_components_are_joined() {
        let inner = component(&program(), &library(false));
        let mut outer = inner[..PREAMBLE].to_vec();
        RawSection { id: COMPONENT, data: &inner }.append_to_component(&mut outer);
        let joined_outer = joined(&outer).unwrap().unwrap();
        let inside = sections(&joined_outer).unwrap().remove(0).1;
        assert_eq!(joined_outer[inside], joined(&inner).unwrap().unwrap());
    }

    #[test]
    fn what_would_lose_something_stays_as_it_is() {
        assert!(joined(&component(&program(), &library(true))).unwrap().is_none());
        assert!(joined(&component(&Module::new(), &Module::new())).unwrap().is_none());
        assert!(joined(&Component::new().finish()).unwrap().is_none());
    }

    #[test]
    fn a_component_that_is_broken_anywhere_is_refused_or_joined_and_nothing_else() {
        let whole = component(&program(), &library(false));
        for length in 0..whole.len() {
            let _ = joined(&whole[..length]);
        }
        let mut outcomes = [0; 2];
        for position in 0..whole.len() {
            for flipped in [0x01, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[position] ^= flipped;
                outcomes[usize::from(joined(&broken).is_ok())] += 1;
            }
        }
        assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
    }
}
