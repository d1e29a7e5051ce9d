//! Where calls run.
//!
//! The node has one runtime per core, and a cache hit must not wait behind a thumbnail. Most calls need microseconds:
//! they begin and end on the core that asks, without a hand-off. A call that is still computing at its first epoch tick
//! (1 to 2 ms) is heavy: the engine makes it yield there, and the rest of it moves to this room's own threads, one per
//! core and nicer than the cores' own, where heavy calls share the time tick by tick, and give way to the cores' own
//! threads beat by beat (see `ticker`). So an unlucky neighbour waits 2 ms once, not 30. What has moved a moment ago is expected to be heavy again and begins there (see `weight`),
//! so that a hundred thumbnails in flight leave the cores to the operating system's fair share.
//!
//! What a heavy call leaves, an instance with much memory, takes milliseconds to give back: its answer goes first, and no core
//! that serves does it.

use std::future::{pending, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::available_parallelism;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::meter::{Meter, thread_time};
use crate::ticker::Beat;
use crate::weight::Weight;

/// Niceness of the workers, as of the threads for pictures: about a ninth of the weight of a core's own thread when both want the
/// processor.
const NICENESS: i32 = 10;

/// The threads for heavy calls.
#[derive(Debug)]
pub(crate) struct Workers {
    beat: Beat,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

/// How a call can end without an answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The wall clock ran out.
    Timeout,
    /// Its task panicked or was cancelled, in these words.
    Task(String),
}

/// A call: its answer, and what it leaves to be dropped when that is on its way.
type Call<T, R> = Pin<Box<dyn Future<Output = (T, Option<R>)> + Send>>;

impl Workers {
    pub(crate) fn start(beat: Beat) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(available_parallelism().map_or(1, usize::from))
            .thread_name("selvedge-hook")
            .on_thread_start(|| {
                // Without the right to be nicer the work is done all the same.
                let _ = rustix::process::nice(NICENESS);
            })
            .enable_time()
            .build()?;
        Ok(Self { beat, runtime: Some(runtime) })
    }

    /// Runs a call to its end or until the deadline, beginning where calls of this weight do; dropping the future ends the call
    /// at its next tick.
    pub(crate) async fn run<T: Send + 'static, R: Send + 'static>(
        &self,
        deadline: Instant,
        meter: &Arc<Meter>,
        weight: &Weight,
        mut call: Call<T, R>,
    ) -> Result<T, Lost> {
        if weight.is_heavy() {
            let answer = timeout_at(deadline, self.apart(call, meter)).await.unwrap_or(Err(Lost::Timeout));
            weight.note(meter);
            return answer;
        }
        // Most calls end where they begin, and need no timer.
        if let Poll::Ready((answer, remains)) =
            poll_fn(|context| Poll::Ready(poll_here(&mut call, meter, context))).await
        {
            self.leave(remains);
            weight.note(meter);
            return Ok(answer);
        }
        // Whoever waits runs in pieces, and the time between them is not its own.
        meter.count_everything();
        let mut here = Here { call, meter, workers: self };
        let rest = async {
            let begun = here.begin().await;
            // At once, and not when the call has ended: others begin meanwhile.
            weight.note(meter);
            match begun {
                Begun::Ended(answer) => Ok(answer),
                Begun::Heavy(call) => self.apart(call, meter).await,
            }
        };
        timeout_at(deadline, rest).await.unwrap_or(Err(Lost::Timeout))
    }

    /// Runs a call, or the rest of it, on the workers.
    async fn apart<T: Send + 'static, R: Send + 'static>(
        &self,
        call: Call<T, R>,
        meter: &Arc<Meter>,
    ) -> Result<T, Lost> {
        let Some(runtime) = &self.runtime else { return Ok(call.await.0) };
        let (tell, told) = oneshot::channel();
        let (meter, beat) = (Arc::clone(meter), self.beat.clone());
        let task = runtime.spawn(async move {
            let (answer, remains) = metered(call, meter, beat).await;
            let _ = tell.send(answer);
            drop(remains);
        });
        Heavy(task).answer(told).await
    }

    /// Drops what takes its time where it keeps nobody waiting.
    pub(crate) fn leave<R: Send + 'static>(&self, remains: Option<R>) {
        if let (Some(remains), Some(runtime)) = (remains, &self.runtime) {
            runtime.spawn(async move { drop(remains) });
        }
    }

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

/// A call that runs in pieces on the core that asks. When nobody waits for it any more and its memory is large, the workers drop it.
struct Here<'a, T: Send + 'static, R: Send + 'static> {
    call: Call<T, R>,
    meter: &'a Meter,
    workers: &'a Workers,
}

/// How far a call came on the core that asks.
enum Begun<T, R> {
    Ended(T),
    /// The rest of it.
    Heavy(Call<T, R>),
}

impl<T: Send + 'static, R: Send + 'static> Here<'_, T, R> {
    /// Runs the call here until it ends, or until it is heavy.
    async fn begin(&mut self) -> Begun<T, R> {
        poll_fn(|context| {
            if self.meter.is_heavy() {
                return Poll::Ready(Begun::Heavy(self.take()));
            }
            match poll_here(&mut self.call, self.meter, context) {
                Poll::Ready((answer, remains)) => {
                    drop(self.take());
                    self.workers.leave(remains);
                    Poll::Ready(Begun::Ended(answer))
                }
                Poll::Pending if self.meter.is_heavy() => Poll::Ready(Begun::Heavy(self.take())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn take(&mut self) -> Call<T, R> {
        mem::replace(&mut self.call, Box::pin(pending()))
    }
}

impl<T: Send + 'static, R: Send + 'static> Drop for Here<'_, T, R> {
    fn drop(&mut self) {
        if self.meter.is_large() {
            self.workers.leave(Some(self.take()));
        }
    }
}

/// Polls the call on the core that asks. Its time is counted only once it is known to need any.
fn poll_here<T, R>(call: &mut Call<T, R>, meter: &Meter, context: &mut Context<'_>) -> Poll<(T, Option<R>)> {
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
async fn metered<T, R>(mut call: Call<T, R>, meter: Arc<Meter>, beat: Beat) -> (T, Option<R>) {
    meter.move_apart();
    poll_fn(|context| {
        beat.quicken();
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
struct Heavy(JoinHandle<()>);

impl Heavy {
    async fn answer<T>(mut self, told: oneshot::Receiver<T>) -> Result<T, Lost> {
        if let Ok(answer) = told.await {
            return Ok(answer);
        }
        let failed = (&mut self.0).await.err();
        Err(Lost::Task(failed.map_or_else(|| "it has no answer".to_owned(), |error| error.to_string())))
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Tells on which thread it was dropped, and whether the word that it waits for had come.
    struct Remains {
        word: mpsc::Receiver<()>,
        dropped: mpsc::Sender<(String, bool)>,
    }

    impl Drop for Remains {
        fn drop(&mut self) {
            let has_come = self.word.recv_timeout(Duration::from_secs(20)).is_ok();
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            let _ = self.dropped.send((thread, has_come));
        }
    }

    fn on_a_core<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_heavy_call_answers_before_what_it_leaves_is_dropped_on_the_workers() {
        let (workers, meter) =
            (Workers::start(Beat::default()).unwrap(), Arc::new(Meter::new(Duration::from_secs(9))));
        let ((tell, word), (dropped, told)) = (mpsc::channel(), mpsc::channel());
        let counted = Arc::clone(&meter);
        let call = Box::pin(async move {
            counted.tick(thread_time).unwrap();
            tokio::task::yield_now().await;
            (7, Some(Remains { word, dropped }))
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let answer = on_a_core(workers.run(deadline, &meter, &Weight::default(), call));
        tell.send(()).unwrap();
        assert_eq!(answer.unwrap(), 7);
        assert_eq!(told.recv().unwrap(), ("selvedge-hook".to_owned(), true));
    }

    #[test]
    fn a_call_with_much_memory_that_is_cut_off_while_it_waits_is_dropped_on_the_workers() {
        let (workers, meter) =
            (Workers::start(Beat::default()).unwrap(), Arc::new(Meter::new(Duration::from_secs(9))));
        let ((tell, word), (dropped, told)) = (mpsc::channel(), mpsc::channel());
        let remains = Remains { word, dropped };
        let counted = Arc::clone(&meter);
        let call = Box::pin(async move {
            counted.count_from(|| 0);
            pending::<()>().await;
            (7, Some(remains))
        });
        let deadline = Instant::now() + Duration::from_millis(5);
        let answer = on_a_core(workers.run(deadline, &meter, &Weight::default(), call));
        tell.send(()).unwrap();
        assert!(matches!(answer, Err(Lost::Timeout)));
        assert_eq!(told.recv().unwrap(), ("selvedge-hook".to_owned(), true));
    }
}
