//! What a component consists of, as far as that decides whether it can be put back, and by which numbers it is known.

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind,
    ExternalKind, Instance, Parser, Payload, Result,
};

use super::module::Module;

/// A component with one module whose memory and globals change from call to call, and nothing else.
pub(super) struct Outline<'a> {
    pub(super) module: Module<'a>,
    /// The number of its instance.
    pub(super) instance: u32,
    pub(super) counts: Counts,
}

/// How many of each there are: what is added gets the next number.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) core_functions: u32,
    pub(super) memories: u32,
    pub(super) types: u32,
    pub(super) functions: u32,
}

/// A component that is being read.
#[derive(Default)]
struct Reading<'a> {
    modules: Vec<Module<'a>>,
    /// Of which module each instance is, if of any.
    instances: Vec<Option<u32>>,
    counts: Counts,
    /// Something that cannot be put back.
    is_beyond: bool,
}

/// Where in a component the parser is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Module,
    /// Another component.
    Component,
}

impl<'a> Outline<'a> {
    /// None of a component that has more state than a memory and globals, or in more than one module, or cannot be said.
    pub(super) fn of(component: &'a [u8]) -> Result<Option<Self>> {
        let (mut reading, mut within) = (Reading::default(), Vec::new());
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            match (&payload, within.last()) {
                (Payload::ModuleSection { unchecked_range: place, .. }, None) => {
                    reading.modules.push(Module::at(place.clone()));
                    within.push(Within::Module);
                }
                (Payload::ModuleSection { .. }, _) => return Ok(None),
                (Payload::ComponentSection { .. }, _) => within.push(Within::Component),
                (Payload::End(_), _) => drop(within.pop()),
                (_, Some(Within::Module)) => {
                    reading.modules.last_mut().map_or(Ok(()), |module| module.take_in(payload))?;
                }
                // One in it gives names to what this has, or is more than can be told here.
                (Payload::ComponentCanonicalSection(_), Some(Within::Component)) => return Ok(None),
                (_, Some(Within::Component)) => {}
                (_, None) => reading.take_in(payload)?,
            }
            if reading.is_beyond {
                return Ok(None);
            }
        }
        Ok(reading.end())
    }
}

impl<'a> Reading<'a> {
    fn take_in(&mut self, payload: Payload<'a>) -> Result<()> {
        let counts = &mut self.counts;
        match payload {
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    self.instances.push(match instance? {
                        Instance::Instantiate { module_index, .. } => Some(module_index),
                        Instance::FromExports(_) => None,
                    });
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    self.is_beyond |= !counts.alias(&alias?);
                }
            }
            Payload::ComponentTypeSection(types) => counts.types = counts.types.saturating_add(types.count()),
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    self.is_beyond |= !counts.canonical(&function?);
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    self.is_beyond |= !counts.component(import?.ty.kind());
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    self.is_beyond |= !counts.component(export?.kind);
                }
            }
            Payload::ComponentStartSection { .. } => self.is_beyond = true,
            _ => {}
        }
        Ok(())
    }

    fn end(mut self) -> Option<Outline<'a>> {
        let changing = self.modules.iter().position(|module| !module.is_constant())?;
        let others = self.modules.iter().enumerate().filter(|(at, _)| *at != changing);
        let module = &self.modules[changing];
        if !module.is_restorable() || others.into_iter().any(|(_, other)| !other.is_constant()) {
            return None;
        }
        let number = u32::try_from(changing).ok();
        let mut instances = self.instances.iter().zip(0..).filter(|(of, _)| **of == number);
        let ((_, instance), None) = (instances.next()?, instances.next()) else { return None };
        Some(Outline { module: self.modules.swap_remove(changing), instance, counts: self.counts })
    }
}

impl Counts {
    /// False of something that is not counted here.
    fn alias(&mut self, alias: &ComponentAlias<'_>) -> bool {
        match alias {
            ComponentAlias::InstanceExport { kind, .. } => self.component(*kind),
            ComponentAlias::CoreInstanceExport { kind, .. } => {
                match kind {
                    ExternalKind::Func | ExternalKind::FuncExact => self.core_functions += 1,
                    ExternalKind::Memory => self.memories += 1,
                    _ => {}
                }
                true
            }
            ComponentAlias::Outer { kind, .. } => {
                self.types += u32::from(*kind == ComponentOuterAliasKind::Type);
                *kind != ComponentOuterAliasKind::CoreModule
            }
        }
    }

    /// False of one that has a state, or may.
    fn canonical(&mut self, function: &CanonicalFunction) -> bool {
        match function {
            CanonicalFunction::Lift { .. } => self.functions += 1,
            // What goes on after a call has ended could write into the next.
            CanonicalFunction::Lower { options, .. } if options.contains(&CanonicalOption::Async) => {
                return false;
            }
            CanonicalFunction::Lower { .. } | CanonicalFunction::ResourceDrop { .. } => {
                self.core_functions += 1;
            }
            _ => return false,
        }
        true
    }

    /// False of a module: which is which would not be known.
    fn component(&mut self, kind: ComponentExternalKind) -> bool {
        match kind {
            ComponentExternalKind::Func => self.functions += 1,
            ComponentExternalKind::Type => self.types += 1,
            _ => {}
        }
        kind != ComponentExternalKind::Module
    }
}
