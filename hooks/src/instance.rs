//! An instance of a component: made for one call, or kept for others where the hook's settings say so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use wasmtime::{Store, UpdateDeadline, component};

use crate::log::CallLog;
use crate::meter::Meter;
use crate::settings::ReuseSettings;
use crate::state::CallState;

/// Epoch ticks before the first look at a call, so that even the unluckiest begin has a whole tick.
const FIRST_LOOK: u64 = 2;
/// Instances that wait for their next call, of all hooks together: the others of the pool are for calls.
const MOST_KEPT: usize = 400;

/// An instance, or what one will be made in.
pub(crate) struct Instance {
    pub(crate) store: Store<CallState>,
    /// `None` until the first call makes it.
    pub(crate) made: Option<component::Instance>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) log: CallLog,
    calls: u32,
    born: Instant,
}

impl Instance {
    /// A store that holds its calls to their limits.
    pub(crate) fn new(engine: &wasmtime::Engine, state: CallState, meter: Meter, now: Instant) -> Self {
        /// Handles that a guest may hold at once.
        const MAX_HANDLES: usize = 1024;
        /// What any one call to the host may carry beside a body: names, values, log lines.
        const SMALL_CALL_BYTES: usize = 1 << 20;

        let (meter, log) = (Arc::new(meter), state.log.clone());
        let carried = state.output.saturating_add(SMALL_CALL_BYTES);
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(carried);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(FIRST_LOOK);
        let ticked = Arc::clone(&meter);
        store.epoch_deadline_callback(move |_| {
            ticked.tick()?;
            // At every tick others get their turn, and a call that nobody waits for any more ends here.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        Self { store, made: None, meter, log, calls: 0, born: now }
    }

    /// Begins another call in a kept instance.
    pub(crate) fn begin(&mut self, state: CallState) {
        self.meter.begin();
        self.store.data_mut().exchange(state);
        self.go_on();
    }

    /// Gives the guest its first ticks, at the begin of a call or of the next piece of a body.
    pub(crate) fn go_on(&mut self) {
        self.store.set_epoch_deadline(FIRST_LOOK);
    }
}

/// The instances of a hook that wait for their next call.
pub(crate) struct Kept {
    settings: ReuseSettings,
    idle: Mutex<Vec<Instance>>,
    everywhere: Arc<AtomicUsize>,
}

impl Kept {
    /// `everywhere` counts those of all hooks.
    pub(crate) fn new(settings: ReuseSettings, everywhere: Arc<AtomicUsize>) -> Self {
        Self { settings, idle: Mutex::default(), everywhere }
    }

    /// The one that was used last: the others grow old, and are dropped.
    pub(crate) fn take(&self, now: Instant) -> Option<Instance> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let instance = idle.pop()?;
        self.everywhere.fetch_sub(1, Ordering::Relaxed);
        // All that lie deeper were used longer ago, but not all are older.
        let is_young = |instance: &Instance| now.saturating_duration_since(instance.born) < self.settings.age;
        if is_young(&instance) {
            return Some(instance);
        }
        let before = idle.len();
        idle.retain(is_young);
        self.everywhere.fetch_sub(before - idle.len(), Ordering::Relaxed);
        None
    }

    /// Whether the instance may answer another call.
    pub(crate) fn wants(&self, instance: &Instance) -> bool {
        instance.calls.saturating_add(1) < self.settings.calls
            && instance.store.data().memory.used() <= self.settings.memory.as_u64()
            && instance.store.data().memory.refused().is_none()
    }

    /// Keeps an instance that has come to the end of a call, whose state is no longer in it.
    pub(crate) fn put(&self, mut instance: Instance) {
        if self.everywhere.fetch_add(1, Ordering::Relaxed) >= MOST_KEPT {
            self.everywhere.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        instance.calls += 1;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let idle = self.idle.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.everywhere.fetch_sub(idle.len(), Ordering::Relaxed);
    }
}
