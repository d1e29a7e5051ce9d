//! What a component is, before anybody says what it is for.

use crate::engine::Engine;
use crate::error::HookError;
use crate::event::Event;
use crate::load;
use crate::settings::WasmSource;

/// What a component file offers and wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The events that it answers.
    pub events: Vec<Event>,
    /// Interfaces that it imports, as `package:name/interface@version`.
    pub imports: Vec<String>,
    /// Its size.
    pub bytes: u64,
}

impl Inspection {
    /// Compiles a component and looks at it.
    ///
    /// # Errors
    /// [`HookError::Load`] when it cannot be read or is no component that this node can run.
    pub fn of(engine: &Engine, name: &str, source: &WasmSource) -> Result<Self, HookError> {
        let refuse = |cause: String| HookError::Load { hook: name.to_owned(), cause };
        let bytes = load::read(source).map_err(refuse)?;
        let ready = load::hook(engine, &source.to_string(), &bytes).map_err(refuse)?;
        let component = ready.tied.component().component_type();
        let exported: Vec<_> =
            component.exports(engine.wasmtime()).map(|(name, _)| name.to_owned()).collect();
        let imported = component.imports(engine.wasmtime()).map(|(name, _)| name.to_owned());
        let answers = |event: &Event| exported.contains(&format!("selvedge:edge/{event}@0.1.0"));
        Ok(Self {
            events: Event::ALL.into_iter().filter(answers).collect(),
            imports: imported.collect(),
            bytes: bytes.len() as u64,
        })
    }
}
