//! From a file to a component that can be called, or to words that say what is wrong with it.

use std::borrow::Cow;
use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

use crate::builtin;
use crate::components::{Loaded, Ready, Unusable};
use crate::engine::Engine;
use crate::event::Event;
use crate::responder::Serving;
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
        Unusable::Imports(_, component) if Nature::of(engine, &component).is_responder() => format!(
            "{source} answers requests by itself (it exports wasi:http/incoming-handler), so it is an origin and no \
             hook; name it under `wasm` of an [origin.NAME] and leave the hook out"
        ),
        Unusable::Imports(error, _) => {
            format!("{source} imports something that this node does not offer (see hooks/wit): {error:#}")
        }
    })
}

/// A component that answers requests by itself: where in it that begins, and itself.
type Responding = (ProxyIndices, Arc<Loaded<Serving>>);

/// Compiles a component that answers requests by itself and ties it to what the node offers such.
pub(crate) fn responder(engine: &Engine, source: &str, bytes: &[u8]) -> Result<Responding, String> {
    is_component(source, bytes)?;
    let ready = engine.responder(bytes).map_err(|unusable| match unusable {
        Unusable::Component(error) => format!("{source} is not a usable component: {error:#}"),
        Unusable::Imports(error, component) => match Nature::of(engine, &component) {
            Nature::Responder => format!(
                "{source} imports something that this node does not offer; it has wasi:http 0.2 and, of WASI 0.2, \
                 clocks, random numbers, environment and output: {error:#}"
            ),
            other => other.complaint(source),
        },
    })?;
    let component = ready.tied.component().clone();
    let refused = |error: wasmtime::Error| match Nature::of(engine, &component) {
        Nature::Responder => format!(
            "{source} exports another wasi:http/incoming-handler than `handle` of wasi:http 0.2: {error:#}"
        ),
        other => other.complaint(source),
    };
    let begins = ProxyIndices::new(&ready.tied).map_err(refused)?;
    Ok((begins, ready))
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

/// What a component is made for, by what it exports.
enum Nature {
    /// A hook, for these events.
    Hook(Vec<Event>),
    /// It answers requests: `wasi:http/incoming-handler` 0.2.
    Responder,
    /// The same for WASI 0.3.
    Newer,
    /// Something else; the names of its exports.
    Other(Vec<String>),
}

impl Nature {
    fn of(engine: &Engine, component: &Component) -> Self {
        let exports: Vec<String> =
            component.component_type().exports(engine.wasmtime()).map(|(name, _)| name.to_owned()).collect();
        let answers = |event: &Event| {
            let interface = format!("selvedge:edge/{event}@");
            exports.iter().any(|name| name.starts_with(&interface))
        };
        let events: Vec<Event> = Event::ALL.into_iter().filter(answers).collect();
        let has = |interface: &str| exports.iter().any(|name| name.starts_with(interface));
        match events.is_empty() {
            _ if has("wasi:http/incoming-handler@0.2") => Self::Responder,
            false => Self::Hook(events),
            true if has("wasi:http/handler@0.3") => Self::Newer,
            true => Self::Other(exports),
        }
    }

    fn is_responder(&self) -> bool {
        matches!(self, Self::Responder)
    }

    /// What to say where this should be a responder.
    fn complaint(&self, source: &str) -> String {
        match self {
            Self::Responder => format!("{source} cannot be used"),
            Self::Hook(events) => {
                let events: Vec<_> = events.iter().map(|event| event.as_str()).collect();
                format!(
                    "{source} is a hook (it answers {}) and no origin; name it under `wasm` of a [hook.NAME]",
                    events.join(", ")
                )
            }
            Self::Newer => format!(
                "{source} is made for wasi:http 0.3, and this node runs 0.2; build it for the world wasi:http/proxy@0.2"
            ),
            Self::Other(exports) => format!(
                "{source} does not export wasi:http/incoming-handler@0.2, so nothing in it answers requests; it \
                 exports {}; build it for the world wasi:http/proxy",
                if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") }
            ),
        }
    }
}
