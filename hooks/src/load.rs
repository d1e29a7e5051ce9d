//! From a file to a component that can be called, or to words that say what is wrong with it.

use std::borrow::Cow;

use crate::builtin;
use crate::components::{Ready, Unusable};
use crate::engine::Engine;
use crate::settings::WasmSource;

/// The file's bytes.
pub(crate) fn read(source: &WasmSource) -> Result<Cow<'static, [u8]>, String> {
    match source {
        WasmSource::File(path) => std::fs::read(path)
            .map(Cow::Owned)
            .map_err(|error| format!("cannot read {source}: {error}; build it, or correct `wasm`")),
        WasmSource::Builtin(name) => builtin::component(name)
            .map(Cow::Borrowed)
            .ok_or_else(|| format!("there is no {source}; this node carries builtin:thumbnail")),
    }
}

/// Compiles a hook and ties it to what the node offers hooks.
pub(crate) fn hook(engine: &Engine, source: &str, bytes: &[u8]) -> Result<Ready, String> {
    is_component(source, bytes)?;
    engine.component(bytes).map_err(|unusable| match unusable {
        Unusable::Component(error) => format!("{source} is not a usable component: {error:#}"),
        Unusable::Imports(error, _) => {
            format!("{source} imports something that this node does not offer (see hooks/wit): {error:#}")
        }
    })
}

fn is_component(source: &str, bytes: &[u8]) -> Result<(), String> {
    if !bytes.starts_with(b"\0asm") {
        return Err(format!("{source} is no WebAssembly file; build it for wasm32-wasip2"));
    }
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Err(format!(
            "{source} is a core module, not a component; build for wasm32-wasip2, or wrap it with `wasm-tools component new`"
        ));
    }
    Ok(())
}
