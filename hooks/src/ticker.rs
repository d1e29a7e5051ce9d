//! The epoch: how running guests notice that time passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, park, park_timeout};
use std::time::Duration;

/// How often a running guest is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// The parts of a tick that the epoch counts. While heavy calls run it counts them one by one, and such calls give way after each: a thread
/// that serves waits an eighth of a millisecond for the processor then, not a whole one.
pub(crate) const BEATS: u64 = 8;
const BEAT: Duration = Duration::from_micros(125);
/// Ticks without any call after which the ticker sleeps.
const IDLE_TICKS: u32 = 200;

/// A thread that advances the epoch while calls run and sleeps while none does.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    /// For how long the epoch is counted beat by beat, in beats.
    quick: AtomicU64,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// Held by a call from its begin to its end.
pub(crate) struct Ticking(Arc<Shared>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tells the ticker that a heavy call runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beat(Arc<Shared>);

impl Beat {
    /// For a tick and a little more the epoch is counted beat by beat.
    pub(crate) fn quicken(&self) {
        self.0.quick.store(BEATS + 1, Ordering::Relaxed);
    }
}

impl Shared {
    fn begin(&self, thread: &JoinHandle<()>) {
        self.running.fetch_add(1, Ordering::SeqCst);
        // Sleeping is announced before `running` is looked at, so either side sees the other.
        if self.asleep.load(Ordering::SeqCst) {
            thread.thread().unpark();
        }
    }

    fn is_idle(&self) -> bool {
        self.running.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst)
    }
}

impl Ticker {
    pub(crate) fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("selvedge-epoch".into())
            .spawn(move || tick(&engine, &theirs))?;
        Ok(Self { shared, thread })
    }

    pub(crate) fn beat(&self) -> Beat {
        Beat(Arc::clone(&self.shared))
    }

    /// Keeps the epoch going while a call runs.
    pub(crate) fn begin(&self) -> Ticking {
        self.shared.begin(&self.thread);
        Ticking(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
    }
}

fn tick(engine: &wasmtime::Engine, shared: &Shared) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.quick.load(Ordering::Relaxed) > 0 {
            shared.quick.fetch_sub(1, Ordering::Relaxed);
            park_timeout(BEAT);
            engine.increment_epoch();
        } else {
            park_timeout(TICK);
            (0..BEATS).for_each(|_| engine.increment_epoch());
        }
        idle = if shared.is_idle() { idle + 1 } else { 0 };
        if idle < IDLE_TICKS {
            continue;
        }
        shared.asleep.store(true, Ordering::SeqCst);
        while shared.is_idle() {
            park();
        }
        shared.asleep.store(false, Ordering::SeqCst);
        idle = 0;
    }
}
