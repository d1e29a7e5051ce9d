//! The programmable edge: WebAssembly components that answer four events of a request's life.
//!
//! The contract is `hooks/wit/`; `hooks/README.md` is the guide for those who write hooks. This room is the
//! only one that knows wasmtime. It decides nothing about the request: each event returns what the hook wants.
#![forbid(unsafe_code)]

mod bindings;
mod body;
mod bounds;
mod builtin;
mod bulk;
mod call;
mod components;
mod doubts;
mod edits;
mod engine;
mod error;
mod event;
mod events;
mod facts;
mod figures;
mod headers;
mod held;
mod hook;
mod host;
mod idle;
mod images;
mod inspect;
mod instance;
mod kv;
mod load;
mod log;
mod meter;
mod outcome;
mod outside;
mod own;
mod places;
mod registry;
mod report;
mod responder;
mod restore;
mod secrets;
mod settings;
mod sources;
mod state;
mod ticker;
mod trace;
mod transform;
mod watch;
mod weight;
mod workers;

pub use body::{BodyError, HookBody};
pub use doubts::Doubt;
pub use engine::{Engine, EngineSettings};
pub use error::{CallReport, Called, HookError};
pub use event::Event;
pub use facts::{Facts, Grant, Locality, Place, Places, Storing, Tls};
pub use held::Held;
pub use hook::Hook;
pub use images::ImageSettings;
pub use inspect::Inspection;
pub use kv::{KvSettings, Refusal as KvRefusal, Store, Stores, Teller, is_store_name};
pub use log::{LogLevel, LogLine};
pub use outcome::{
    Caching, Keeping, OriginRequestOutcome, OriginResponseFailure, OriginResponseOutcome, RequestFailure,
    RequestOutcome,
};
pub use outside::{Fetch, FetchError, Fetching, Outside, Passing, Streaming};
pub use registry::{
    Asking, CallsReport, CanaryReport, CanarySettings, Change, Chosen, Comparison, Dress, Ended, HeaderMatch,
    RampSettings, Rate, Refusal, Registry, RegistryParts, RollbackSettings, Slot, SlotReport, Slowness,
    Sticky, Terms, Underway, VersionError, VersionId, VersionReport, VersionSettings, What,
};
pub use responder::{Asked, Granted, Responder, ResponderBody, ResponderSettings};
pub use secrets::Material;
pub use settings::{Fresh, HookSettings, LimitSettings, OnError, ReuseSettings, WasmSource};
pub use transform::Transform;
pub use watch::{CallRecord, Lineage, Watch};
