//! An instance of a component: made for one call, or kept for others where the hook's settings say so.

use std::sync::Arc;

use tokio::time::Instant;
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline, component};

use crate::call::Exports;
use crate::idle::Waiting;
use crate::log::CallLog;
use crate::meter::{Budget, MemoryLimit, Meter, thread_time};
use crate::restore::{self, Restorer, Restoring};
use crate::settings::{Fresh, HookSettings, ReuseSettings};
use crate::state::CallState;
use crate::ticker::BEATS;
use crate::watch::Lineage;

/// Beats of the epoch before the first look at a call: two ticks, so that even the unluckiest begin has a whole one.
const FIRST_LOOK: u64 = 2 * BEATS;

/// Beats that never come, and that can be added to those that have.
const NEVER: u64 = u64::MAX / 2;

/// An instance, or what one will be made in.
pub(crate) struct Instance {
    pub(crate) store: Store<CallState>,
    /// `None` until the first call makes it.
    pub(crate) made: Option<component::Instance>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) log: CallLog,
    condition: Condition,
    /// What it is put back with, once it was.
    pub(crate) restoring: Option<Restoring>,
    calls: u32,
    born: Instant,
}

/// What of earlier calls is in an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// What they have left.
    Used,
    /// Nothing: it was put back after the last.
    Restored,
}

/// What a store of this kind tells of its bounds.
pub(crate) trait Bounded: Send + 'static {
    /// Bytes of a body that may pass to the host in one call.
    fn carried(&self) -> usize;

    /// Handles that the guest may hold at once.
    fn handles(&self) -> usize;

    /// What bounds its memory.
    fn memory(&mut self) -> &mut MemoryLimit;
}

/// A store that holds what runs in it to its limits.
pub(crate) fn bounded<T: Bounded>(engine: &wasmtime::Engine, state: T, meter: &Arc<Meter>) -> Store<T> {
    /// What any one call to the host may carry beside a body: names, values, log lines.
    const SMALL_CALL_BYTES: usize = 1 << 20;

    let carried = state.carried().saturating_add(SMALL_CALL_BYTES);
    let handles = state.handles();
    let mut store = Store::new(engine, state);
    store.data_mut().memory().counted(meter);
    store.limiter(|state| state.memory());
    store.set_hostcall_fuel(carried);
    store.set_max_component_handles(handles);
    store.set_epoch_deadline(FIRST_LOOK);
    let ticked = Arc::clone(meter);
    let mut beats = 0;
    store.epoch_deadline_callback(move |_| {
        ticked.tick(thread_time)?;
        if ticked.is_apart() {
            // To threads that serve: the system lets a thread that computes go on for a while, however nice it is.
            std::thread::yield_now();
            beats = (beats + 1) % BEATS;
            if beats > 0 {
                return Ok(UpdateDeadline::Continue(1));
            }
        }
        // At every tick other calls get their turn, and one that nobody waits for any more ends here.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

/// Makes an instance in a store; those that only wait for a call make room for one that is wanted now.
pub(crate) async fn made<T: Bounded>(
    tied: &component::InstancePre<T>,
    store: &mut Store<T>,
) -> wasmtime::Result<component::Instance> {
    /// Another call may be quicker at what became free.
    const TRIES: u32 = 4;

    for _ in 1..TRIES {
        match tied.instantiate_async(&mut *store).await {
            Err(error)
                if error.is::<PoolConcurrencyLimitError>() && store.data_mut().memory().make_room() => {}
            done => return done,
        }
    }
    tied.instantiate_async(store).await
}

impl Instance {
    /// A store that holds its calls to their limits.
    pub(crate) fn new(engine: &wasmtime::Engine, state: CallState, meter: Meter, now: Instant) -> Self {
        let (meter, log) = (Arc::new(meter), state.log.clone());
        let store = bounded(engine, state, &meter);
        Self {
            store,
            made: None,
            meter,
            log,
            condition: Condition::Used,
            restoring: None,
            calls: 0,
            born: now,
        }
    }

    /// Begins another call in a kept instance.
    pub(crate) fn begin(&mut self, state: CallState) {
        self.condition = Condition::Used;
        self.store.data_mut().exchange(state);
        self.meter.begin(&self.store.data().memory);
        self.go_on();
    }

    /// Puts it back to what it was when it was made, after a call that ended well; or leaves it to be dropped, where that fails or
    /// would take longer.
    pub(crate) async fn restore(&mut self, restorer: &Restorer, new: restore::NewPages, given: u32) {
        let state = self.store.data();
        let is_as_large = state.memory.used() == restorer.memory() && state.memory.refused().is_none();
        let Some(made) = self.made.filter(|_| is_as_large && !state.has_handles(given)) else { return };
        if self.meter.is_heavy() {
            return;
        }
        // The answer is there, and what is left is a copy of some pages: no limit may end that, and nobody's turn divide it.
        self.store.set_epoch_deadline(NEVER);
        let done = restorer.put_back(&mut self.store, &made, &mut self.restoring, new).await;
        if matches!(done, Ok(true)) {
            self.store.data_mut().forget_wasi();
            self.condition = Condition::Restored;
        }
    }

    /// Gives the guest its first ticks, at the begin of a call or of the next piece of a body.
    pub(crate) fn go_on(&mut self) {
        self.meter.go_on();
        self.store.set_epoch_deadline(FIRST_LOOK);
    }
}

/// The instances of a hook that wait for their next call, on the shelf of all hooks.
pub(crate) struct Kept {
    settings: ReuseSettings,
    condition: Condition,
    number: u64,
    budget: Arc<Budget>,
}

impl Kept {
    /// Keeps them on the shelf of `budget`: as their calls leave them where the settings say so, else those that can be put back.
    pub(crate) fn of(settings: &HookSettings, exports: &Exports, budget: Arc<Budget>) -> Option<Self> {
        let (settings, condition) = match &settings.reuse {
            Some(reuse) => (reuse.clone(), Condition::Used),
            None if settings.fresh == Fresh::Restored && exports.component().restorer.is_some() => {
                (ReuseSettings::default(), Condition::Restored)
            }
            None => return None,
        };
        Some(Self { settings, condition, number: budget.idle().number(), budget })
    }

    /// Whether they are put back after each call.
    pub(crate) fn are_restored(&self) -> bool {
        self.condition == Condition::Restored
    }

    /// How a call comes by this one.
    pub(crate) fn lineage(&self, instance: &Instance) -> Lineage {
        match (instance.calls, self.condition) {
            (0, _) => Lineage::Made,
            (_, Condition::Restored) => Lineage::Restored,
            (_, Condition::Used) => Lineage::Reused,
        }
    }

    /// The one that was used last: the others grow old, and are dropped.
    pub(crate) fn take(&self, now: Instant) -> Option<Instance> {
        self.budget.idle().take(self.number, now)
    }

    /// Whether the instance may answer another call.
    pub(crate) fn wants(&self, instance: &Instance) -> bool {
        instance.condition == self.condition
            && instance.calls.saturating_add(1) < self.settings.calls
            && instance.store.data().memory.used() <= self.settings.memory.as_u64()
            && instance.store.data().memory.refused().is_none()
    }

    /// Keeps an instance that has come to the end of a call, whose state is no longer in it.
    pub(crate) fn put(&self, mut instance: Instance) {
        instance.calls += 1;
        let (born, age) = (instance.born, self.settings.age);
        self.budget.idle().put(Waiting { hook: self.number, born, age, what: instance }, Instant::now());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.idle().forget(self.number);
    }
}
