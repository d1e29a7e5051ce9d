//! Where calls run.
//!
//! The node has one runtime per core, and a cache hit must not wait behind a thumbnail. Most calls need microseconds:
//! they begin and end on the core that asks, without a hand-off. A call that is still computing at its first epoch tick
//! (1 to 2 ms) is heavy: the engine makes it yield there, and the rest of it moves to this room's own threads, one per
//! core and a little nicer than the cores' own, where heavy calls share the time tick by tick. So an unlucky neighbour
//! waits 2 ms once, not 30. What has moved a moment ago is expected to be heavy again and begins there (see `weight`),
//! so that a hundred thumbnails in flight leave the cores to the operating system's fair share.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::available_parallelism;

use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout_at};

use crate::meter::{Meter, thread_time};
use crate::weight::Weight;

/// Niceness of the workers: about a third of the weight of a core's own thread when both want the processor.
const NICENESS: i32 = 5;

/// The threads for heavy calls.
#[derive(Debug)]
pub(crate) struct Workers {
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

/// How a call can end without an answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The wall clock ran out.
    Timeout,
    /// Its task panicked or was cancelled.
    Task(JoinError),
}

type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Workers {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(available_parallelism().map_or(1, usize::from))
            .thread_name("selvedge-hook")
            .on_thread_start(|| {
                // Without the right to be nicer the work is done all the same.
                let _ = rustix::process::nice(NICENESS);
            })
            .enable_time()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs a call to its end or until the deadline, beginning where calls of this weight do; dropping the future ends the call
    /// at its next tick.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        meter: &Arc<Meter>,
        weight: &Weight,
        mut call: Call<T>,
    ) -> Result<T, Lost> {
        if weight.is_heavy() {
            let answer = timeout_at(deadline, self.apart(call, meter)).await.unwrap_or(Err(Lost::Timeout));
            weight.note(meter);
            return answer;
        }
        // Most calls end where they begin, and need no timer.
        if let Poll::Ready(answer) =
            poll_fn(|context| Poll::Ready(poll_here(&mut call, meter, context))).await
        {
            weight.note(meter);
            return Ok(answer);
        }
        // Whoever waits runs in pieces, and the time between them is not its own.
        meter.count_everything();
        let rest = async {
            let begun = begin(&mut call, meter).await;
            // At once, and not when the call has ended: others begin meanwhile.
            weight.note(meter);
            match begun {
                Some(answer) => Ok(answer),
                None => self.apart(call, meter).await,
            }
        };
        timeout_at(deadline, rest).await.unwrap_or(Err(Lost::Timeout))
    }

    /// Runs a call, or the rest of it, on the workers.
    async fn apart<T: Send + 'static>(&self, call: Call<T>, meter: &Arc<Meter>) -> Result<T, Lost> {
        match &self.runtime {
            Some(runtime) => Heavy(runtime.spawn(metered(call, Arc::clone(meter)))).answer().await,
            None => Ok(call.await),
        }
    }
}

impl Workers {
    /// Does something that takes a moment where it keeps no request of others waiting.
    pub(crate) async fn beside(&self, work: impl FnOnce() + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            // Whatever becomes of it, who waits goes on without it.
            let _ = runtime.spawn(async move { work() }).await;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs the call here until it ends, or until it is heavy (`None`).
async fn begin<T>(call: &mut Call<T>, meter: &Meter) -> Option<T> {
    poll_fn(|context| {
        if meter.is_heavy() {
            return Poll::Ready(None);
        }
        match poll_here(call, meter, context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if meter.is_heavy() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Polls the call on the core that asks. Its time is counted only once it is known to need any.
fn poll_here<T>(call: &mut Call<T>, meter: &Meter, context: &mut Context<'_>) -> Poll<T> {
    if meter.counts() {
        meter.resume(thread_time());
    }
    let answer = call.as_mut().poll(context);
    if meter.counts() {
        meter.pause(thread_time());
    }
    answer
}

/// The call with all its processor time counted, on whichever worker polls it.
async fn metered<T>(mut call: Call<T>, meter: Arc<Meter>) -> T {
    meter.count_everything();
    poll_fn(|context| {
        let begun = thread_time();
        meter.resume(begun);
        let answer = call.as_mut().poll(context);
        let now = thread_time();
        meter.pause(now);
        meter.add_apart(now.saturating_sub(begun));
        answer
    })
    .await
}

/// A heavy call's task; ends it when nobody waits any more.
struct Heavy<T>(JoinHandle<T>);

impl<T> Heavy<T> {
    async fn answer(mut self) -> Result<T, Lost> {
        (&mut self.0).await.map_err(Lost::Task)
    }
}

impl<T> Drop for Heavy<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
