//! What the core of a component consists of: modules, their instances, and from where each has what it imports.

use wasmparser::{
    BinaryReader, CanonicalFunction, CanonicalOption, ComponentAlias, ComponentAliasSectionReader,
    ComponentCanonicalSectionReader, ExternalKind, Instance, InstanceSectionReader, Result,
};

use super::super::sections::{CORE_MODULE, sections};

/// Sections of a component.
pub(super) const CORE_INSTANCES: u8 = 2;
pub(super) const ALIASES: u8 = 6;
pub(super) const CANONICALS: u8 = 8;

/// How many kinds of things modules import and export; each kind has its own numbers.
pub(super) const KINDS: usize = 5;

/// A kind's place among them.
pub(super) fn place(kind: ExternalKind) -> usize {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => 0,
        ExternalKind::Table => 1,
        ExternalKind::Memory => 2,
        ExternalKind::Global => 3,
        ExternalKind::Tag => 4,
    }
}

/// The core of a component.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    pub(super) modules: Vec<&'a [u8]>,
    pub(super) instances: Vec<CoreInstance<'a>>,
    /// By kind and number.
    items: [Vec<Item<'a>>; KINDS],
}

#[derive(Debug)]
pub(super) enum CoreInstance<'a> {
    /// Of a module, with the instances that have what it imports under a name.
    Module { module: u32, arguments: Vec<(&'a str, u32)> },
    /// Things under names.
    Names(Vec<(&'a str, ExternalKind, u32)>),
}

/// Something of the core that has a number.
#[derive(Debug, Clone, Copy)]
enum Item<'a> {
    /// What an instance exports.
    Export { instance: u32, name: &'a str },
    /// A function that the component makes, and whether it needs something of a module for that.
    Canonical { needs_module: bool },
}

/// Where something is in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Origin<'a> {
    /// What an instance of a module exports.
    Module { instance: u32, name: &'a str },
    /// A function that the component makes, by its number.
    Component { function: u32 },
}

impl<'a> Outline<'a> {
    pub(super) fn of(component: &'a [u8]) -> Result<Self> {
        let mut outline = Self::default();
        for (id, range) in sections(component)? {
            let section = &component[range];
            let reader = BinaryReader::new(section, 0);
            match id {
                CORE_MODULE => outline.modules.push(section),
                CORE_INSTANCES => {
                    for instance in InstanceSectionReader::new(reader)? {
                        outline.instances.push(CoreInstance::of(instance?));
                    }
                }
                ALIASES => {
                    for alias in ComponentAliasSectionReader::new(reader)? {
                        if let ComponentAlias::CoreInstanceExport { kind, instance_index, name } = alias? {
                            let item = Item::Export { instance: instance_index, name };
                            outline.items[place(kind)].push(item);
                        }
                    }
                }
                CANONICALS => {
                    for function in ComponentCanonicalSectionReader::new(reader)? {
                        outline.items[place(ExternalKind::Func)].extend(made(&function?));
                    }
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    /// Where the thing with this number is.
    pub(super) fn origin(&self, kind: ExternalKind, number: u32) -> Option<Origin<'a>> {
        match *self.items[place(kind)].get(number as usize)? {
            Item::Export { instance, name } => self.export(instance, name),
            Item::Canonical { .. } => Some(Origin::Component { function: number }),
        }
    }

    /// Where what an instance exports is.
    pub(super) fn export(&self, instance: u32, name: &'a str) -> Option<Origin<'a>> {
        match self.instances.get(instance as usize)? {
            CoreInstance::Module { .. } => Some(Origin::Module { instance, name }),
            CoreInstance::Names(names) => {
                let (_, kind, number) = names.iter().find(|(known, ..)| *known == name)?;
                self.origin(*kind, *number)
            }
        }
    }

    /// Whether the component can make the function before any module is there.
    pub(super) fn needs_no_module(&self, function: u32) -> bool {
        let item = self.items[place(ExternalKind::Func)].get(function as usize);
        matches!(item, Some(Item::Canonical { needs_module: false }))
    }
}

impl<'a> CoreInstance<'a> {
    fn of(instance: Instance<'a>) -> Self {
        match instance {
            Instance::Instantiate { module_index, args } => Self::Module {
                module: module_index,
                arguments: args.iter().map(|argument| (argument.name, argument.index)).collect(),
            },
            Instance::FromExports(exports) => {
                Self::Names(exports.iter().map(|export| (export.name, export.kind, export.index)).collect())
            }
        }
    }
}

/// The core function that this makes, if it makes one.
fn made(function: &CanonicalFunction) -> Option<Item<'static>> {
    let options = match function {
        CanonicalFunction::Lift { .. } => return None,
        CanonicalFunction::Lower { options, .. } => options,
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => return Some(Item::Canonical { needs_module: false }),
        _ => return Some(Item::Canonical { needs_module: true }),
    };
    let is_encoding = |option: &CanonicalOption| {
        matches!(option, CanonicalOption::UTF8 | CanonicalOption::UTF16 | CanonicalOption::CompactUTF16)
    };
    Some(Item::Canonical { needs_module: !options.iter().all(is_encoding) })
}
