//! What is told of each call to whoever watches a hook: its log lines to operators, what it used to its author.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::HookError;
use crate::event::Event;
use crate::log::{CallLog, LogLine};
use crate::meter::{Meter, thread_time};

/// A call that has ended.
#[derive(Debug, Clone, Copy)]
pub struct CallRecord<'a> {
    /// The event that was answered; `None` of a component that answers requests.
    pub event: Option<Event>,
    /// Of the request.
    pub request_id: &'a str,
    /// The last lines that the hook logged, oldest first.
    pub lines: &'a [LogLine],
    /// Lines that came before these and were not kept.
    pub dropped: u64,
    /// How it came by its instance; `None` where none is known, as of a call that found no place.
    pub lineage: Option<Lineage>,
    /// Processor time, for [`Watch::calls`] only: making the instance or putting it back, running, the calls into the host.
    pub cpu: Duration,
    /// Bytes of the instance's memories at the end; 0 of a call that was cut off.
    pub memory: u64,
    /// Why the call failed.
    pub error: Option<&'a HookError>,
}

/// How a call came by its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lineage {
    /// It was made for the call.
    Made,
    /// It has answered others, and was put back to what it was when it was made.
    Restored,
    /// It has answered others, and remembers what it likes.
    Reused,
}

type Told = Arc<dyn Fn(&CallRecord<'_>) + Send + Sync>;

/// Somebody who is told of a hook's calls, on the thread of each call. Clones tell the same.
#[derive(Clone)]
pub struct Watch {
    extent: Extent,
    told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Calls that log or fail.
    Words,
    /// All calls, with the processor time that they took.
    Calls,
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watch").field("extent", &self.extent).finish_non_exhaustive()
    }
}

impl Watch {
    /// Tells of calls that log something or fail; the others cost nothing.
    pub fn words(told: impl Fn(&CallRecord<'_>) + Send + Sync + 'static) -> Self {
        Self { extent: Extent::Words, told: Arc::new(told) }
    }

    /// Tells of every call, and measures it.
    pub fn calls(told: impl Fn(&CallRecord<'_>) + Send + Sync + 'static) -> Self {
        Self { extent: Extent::Calls, told: Arc::new(told) }
    }

    /// Tells of a call, with what it has logged.
    pub(crate) fn tell(&self, log: &CallLog, record: CallRecord<'_>) {
        let (lines, dropped) = log.kept();
        if self.extent == Extent::Calls || !lines.is_empty() || record.error.is_some() {
            (self.told)(&CallRecord { lines: &lines, dropped, ..record });
        }
    }
}

/// Runs a call; for a watch of calls with its processor time: what it takes of this thread, and of a worker once it is heavy.
pub(crate) async fn running<T>(
    watch: Option<&Watch>,
    call: impl Future<Output = T>,
    meter: &Meter,
) -> (T, Duration) {
    if watch.is_none_or(|watch| watch.extent == Extent::Words) {
        return (call.await, Duration::ZERO);
    }
    let mut call = pin!(call);
    let mut here = 0;
    let answer = poll_fn(|context| {
        let begun = thread_time();
        let polled = call.as_mut().poll(context);
        here += thread_time().saturating_sub(begun);
        polled
    })
    .await;
    (answer, Duration::from_nanos(here) + meter.used_apart())
}
