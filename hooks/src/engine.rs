//! The one place that configures wasmtime.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytesize::ByteSize;
use wasmtime::component::Linker;
use wasmtime::{
    Cache, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::components::{self, Components, Instances, Loaded, Ready, Unusable};
use crate::error::HookError;
use crate::figures::Figures;
use crate::host;
use crate::images::{ImageSettings, Images};
use crate::kv::Stores;
use crate::meter::Budget;
use crate::responder::{self, Serving};
use crate::state::CallState;
use crate::ticker::{Ticker, Ticking};
use crate::workers::Workers;

/// A Rust component is its module and two small ones that tie its knots; other languages bring an adapter too.
const CORE_PER_INSTANCE: u32 = 4;
/// The most that `limits.memory` may say.
pub(crate) const MAX_MEMORY: u64 = 4 << 30;
/// The most that `limits.trace` may say.
pub(crate) const MAX_TRACE: usize = 64;
/// Pages of a returned instance that are wiped in place instead of given back: measured, it halves the cost of a
/// fresh instance together with `pagemap_scan` (Linux 6.7).
const KEEP_RESIDENT: usize = 256 << 10;

/// What an engine reserves when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// Instances at the same time, over all hooks: those that run and those that wait for their next call. Each takes some
    /// 4 GiB of address space, and memory only for what it uses.
    pub instances: u32,
    /// Compiled components on disk; what was used longest ago goes first.
    pub compiled: ByteSize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { instances: 1000, compiled: ByteSize::gib(1) }
    }
}

/// Runs hooks: compiler, instance pool, epoch ticker, workers. One per node; clones share it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasmtime: wasmtime::Engine,
    linker: Linker<CallState>,
    components: Components<CallState>,
    responders: Responders,
    workers: Workers,
    ticker: Ticker,
    figures: Figures,
    stores: Stores,
    /// What instances hold, and those that wait for their next call.
    memory: Arc<Budget>,
    images: Arc<Images>,
}

/// Components that answer requests by themselves. A node without any never makes their linker.
struct Responders {
    linker: OnceLock<Linker<Serving>>,
    components: Components<Serving>,
}

impl Default for Responders {
    fn default() -> Self {
        Self { linker: OnceLock::new(), components: Components::new(Instances::Dropped) }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Reserves the instance pool and starts the ticker and the workers. Components are compiled anew at each start.
    ///
    /// # Errors
    /// [`HookError::Engine`] where the machine gives no address space or no threads.
    pub fn new() -> Result<Self, HookError> {
        Self::with(None, &EngineSettings::default())
    }

    /// As [`Self::new`]; what is compiled is kept in `folder`, which is made where it is missing and becomes the process's
    /// alone. Beside the engine: why nothing is kept there, if so; hooks run all the same, after a longer start.
    ///
    /// # Errors
    /// [`HookError::Engine`] where the machine gives no address space or no threads.
    pub fn keeping(folder: &Path, settings: &EngineSettings) -> Result<(Self, Option<String>), HookError> {
        let (kept, complaint) = match components::on_disk(folder, settings.compiled) {
            Ok(kept) => (Some(kept), None),
            Err(complaint) => (None, Some(complaint)),
        };
        Ok((Self::with(kept, settings)?, complaint))
    }

    fn with(kept: Option<Cache>, settings: &EngineSettings) -> Result<Self, HookError> {
        let wasmtime = wasmtime::Engine::new(config(settings.instances).cache(kept)).map_err(engine_error)?;
        let linker = host::linker(&wasmtime).map_err(engine_error)?;
        let ticker = Ticker::start(wasmtime.clone()).map_err(engine_error)?;
        let workers = Workers::start(ticker.beat()).map_err(engine_error)?;
        Ok(Self {
            inner: Arc::new(Inner {
                wasmtime,
                linker,
                components: Components::new(Instances::Restored),
                responders: Responders::default(),
                workers,
                ticker,
                figures: Figures::default(),
                stores: Stores::default(),
                memory: Arc::new(Budget::new(u64::MAX)),
                images: Arc::default(),
            }),
        })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.wasmtime
    }

    /// A component, compiled and tied to what the node offers.
    pub(crate) fn component(&self, bytes: &[u8]) -> Result<Ready, Unusable> {
        self.inner.components.get(&self.inner.linker, bytes)
    }

    /// A component that answers requests, compiled and tied to what the node offers such.
    pub(crate) fn responder(&self, bytes: &[u8]) -> Result<Arc<Loaded<Serving>>, Unusable> {
        let Responders { linker, components } = &self.inner.responders;
        let linker = match linker.get() {
            Some(linker) => linker,
            None => {
                let made = responder::linker(&self.inner.wasmtime).map_err(Unusable::Component)?;
                linker.get_or_init(|| made)
            }
        };
        components.get(linker, bytes)
    }

    /// How pictures are made from now on; those that are being made are finished as before.
    pub fn make_images(&self, settings: &ImageSettings) {
        self.inner.images.change(settings);
    }

    pub(crate) fn images(&self) -> &Arc<Images> {
        &self.inner.images
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.inner.figures
    }

    /// The figures that hooks keep of themselves, in Prometheus' text format.
    #[must_use]
    pub fn figures_text(&self) -> String {
        self.inner.figures.text()
    }

    /// The key-value stores of the node.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.inner.stores
    }

    /// Bytes that the memories of all instances may hold together; without it as many as there are places in the pool.
    pub fn limit_memory(&self, bytes: u64) {
        self.inner.memory.set_limit(bytes);
    }

    /// Instances that wait for their next call, of all hooks together: more make room.
    pub fn keep_idle(&self, instances: usize) {
        self.inner.memory.idle().keep(instances);
    }

    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.inner.memory
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.inner.workers
    }

    /// Keeps the epoch going while a call runs.
    pub(crate) fn ticking(&self) -> Ticking {
        self.inner.ticker.begin()
    }
}

fn engine_error(error: impl std::fmt::Display) -> HookError {
    HookError::Engine { cause: format!("{error:#}") }
}

pub(crate) fn config(instances: u32) -> Config {
    let core_instances = instances.saturating_mul(CORE_PER_INSTANCE);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(core_instances)
        .total_memories(instances)
        .total_tables(core_instances)
        .total_stacks(instances)
        .max_memory_size(usize::try_from(MAX_MEMORY).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(if cfg!(target_os = "linux") { Enabled::Auto } else { Enabled::No });
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_init_cow(true)
        .epoch_interruption(true)
        // The engine would look for lines of source at every trap, frame by frame: milliseconds (see `sources`).
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(MAX_TRACE))
        .parallel_compilation(true)
        .wasm_component_model(true);
    config
}
