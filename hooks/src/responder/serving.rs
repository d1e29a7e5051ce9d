//! All that an instance of a component sees of the host: it is made for one request and dropped with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::outward::{PIECE, Way};
use crate::bounds::Bounds;
use crate::instance::Bounded;
use crate::log::CallLog;
use crate::meter::MemoryLimit;

/// The data of a call's store.
pub(crate) struct Serving {
    /// Dropped before the table and the bodies in it, so that who reads one sees why it ends.
    fate: Fate,
    table: Table,
    http: WasiHttpCtx,
    way: Way,
    /// Made when the guest first asks for something of WASI beside its messages.
    wasi: Option<Box<WasiCtx>>,
    environment: Arc<[(String, String)]>,
    log: CallLog,
    memory: MemoryLimit,
    bounds: Bounds,
}

/// What a guest holds. A body that it has neither finished nor dropped when it goes is broken off: without a word its reader would
/// take what has come for all of it.
struct Table(ResourceTable);

impl Drop for Table {
    fn drop(&mut self) {
        for entry in self.0.iter_mut() {
            if let Some(body) = entry.downcast_mut::<HostOutgoingBody>() {
                let (nothing, _) = HostOutgoingBody::new(StreamContext::Request, None, 1, 1);
                std::mem::replace(body, nothing).abort();
            }
        }
    }
}

/// Tells how an instance went: broken off, unless it came to its end.
pub(super) struct Fate {
    broken: Arc<AtomicBool>,
    is_well: bool,
}

impl Fate {
    pub(super) fn new(broken: &Arc<AtomicBool>) -> Self {
        Self { broken: Arc::clone(broken), is_well: false }
    }
}

impl Fate {
    fn tell(&self) {
        if !self.is_well {
            self.broken.store(true, Ordering::Release);
        }
    }
}

impl Drop for Fate {
    fn drop(&mut self) {
        self.tell();
    }
}

/// All that a component can import: `wasi:http`, and of WASI 0.2 what a standard library needs.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Serving>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Ok(linker)
}

impl Serving {
    pub(super) fn new(
        fate: Fate,
        environment: Arc<[(String, String)]>,
        way: Way,
        memory: MemoryLimit,
        bounds: Bounds,
        log: CallLog,
    ) -> Self {
        let (mut table, mut http) = (ResourceTable::new(), WasiHttpCtx::new());
        table.set_max_capacity(bounds.handles);
        http.set_field_size_limit(bounds.head.bytes);
        Self { fate, table: Table(table), http, way, wasi: None, environment, log, memory, bounds }
    }

    /// The guest has come to an end: who reads its body learns how.
    pub(super) fn end(&mut self, is_well: bool) {
        self.fate.is_well = is_well;
        self.fate.tell();
        self.table = Table(ResourceTable::new());
    }

    /// What it remembers of memory that it could not have.
    pub(super) fn refused(&self) -> MemoryLimit {
        self.memory.of_nothing()
    }
}

impl Bounded for Serving {
    fn carried(&self) -> usize {
        PIECE
    }

    fn handles(&self) -> usize {
        self.bounds.handles
    }

    fn memory(&mut self) -> &mut MemoryLimit {
        &mut self.memory
    }
}

impl WasiHttpView for Serving {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.way, table: &mut self.table.0, ctx: &mut self.http }
    }
}

impl WasiView for Serving {
    /// Clock, random numbers, the environment of the settings, and output to the log: no files, no sockets, no arguments.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (environment, log) = (&self.environment, &self.log);
        let wasi = self.wasi.get_or_insert_with(|| {
            let context = WasiCtx::builder()
                .envs(environment)
                .stdout(log.clone())
                .stderr(log.clone())
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .max_random_size(1 << 20)
                .build();
            Box::new(context)
        });
        WasiCtxView { ctx: wasi, table: &mut self.table.0 }
    }
}
