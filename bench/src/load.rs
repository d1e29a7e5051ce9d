//! The load: keep-alive connections, one request at a time on each, every answer checked.

use crate::answer::{Connection, Expected};
use crate::failure::Failure;
use crate::objects::Kind;
use crate::processor::Used;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How a program is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Connections, open all the time.
    pub(crate) connections: usize,
    /// Threads that make the load, each with its share of the connections.
    pub(crate) threads: usize,
    /// Different objects that are asked for in turn.
    pub(crate) objects: usize,
    /// Load before the measurement begins: connections open, processors wake up.
    pub(crate) warm_up: Duration,
    /// How long is measured.
    pub(crate) measured: Duration,
    /// How viewers want it.
    pub(crate) accept: Accept,
    /// Whether anybody has asked for an object before.
    pub(crate) asking: Asking,
}

/// Which objects are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// The plan's objects, over and over again.
    Again,
    /// One that nobody has asked for before, each time.
    Anew,
}

/// The number of the next object that nobody has asked for, in this run of the program.
static UNKNOWN: AtomicUsize = AtomicUsize::new(1 << 20);

/// How viewers want an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Accept {
    /// As it is.
    Identity,
    /// Compressed.
    Gzip,
}

impl Plan {
    fn expected(&self, kind: Kind) -> Expected {
        match self.accept {
            Accept::Identity => Expected::Plain(kind.size),
            Accept::Gzip => Expected::Gzip(kind.size),
        }
    }

    /// A request for each object, beginning with one of them.
    fn requests(&self, kind: Kind, first: usize) -> Vec<Vec<u8>> {
        let objects = (first..first + self.objects).map(|at| at % self.objects);
        objects.map(|at| self.expected(kind).request(&kind.path(at))).collect()
    }

    /// A request for an object that nobody has asked for.
    fn unknown(&self, kind: Kind) -> Vec<u8> {
        self.expected(kind).request(&kind.path(UNKNOWN.fetch_add(1, Relaxed)))
    }

    /// Asks for each object twice, so that the cache has all of them and has encoded what it encodes.
    async fn warm(&self, target: SocketAddr, kind: Kind) -> Result<(), Failure> {
        let mut connection = Connection::open(target, self.expected(kind)).await?;
        for request in self.requests(kind, 0).iter().flat_map(|request| [request, request]) {
            connection.ask(request).await?;
        }
        Ok(())
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Answers in the time measured.
    pub(crate) answers: u64,
    /// The time measured.
    pub(crate) elapsed: Duration,
    /// What the program under test had of the processors.
    pub(crate) used: Used,
}

impl Sample {
    /// Microseconds of processor time an answer.
    pub(crate) fn cost(&self) -> f64 {
        self.used.ran.as_secs_f64() * 1e6 / self.answers as f64
    }

    /// The share of the time in which somebody else was on the processor that the program wanted. All of it when the program had
    /// next to nothing to do: then it was the load that somebody else was in the way of.
    pub(crate) fn disturbance(&self) -> f64 {
        if self.used.ran < self.elapsed / 10 {
            return 1.0;
        }
        self.used.waited.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// Loads `target` after the plan. `used` tells the processor time that the program under test has used so far.
pub(crate) fn measure(
    target: SocketAddr,
    kind: Kind,
    plan: &Plan,
    used: impl Fn() -> Result<Used, Failure>,
) -> Result<Sample, Failure> {
    runtime()?.block_on(plan.warm(target, kind))?;
    let crew = Arc::new(Crew::default());
    let threads: Vec<_> = (0..plan.threads)
        .map(|number| {
            let (crew, plan) = (Arc::clone(&crew), *plan);
            thread::spawn(move || crew.work(number, target, kind, &plan))
        })
        .collect();
    let sample = runtime()?.block_on(async {
        sleep(plan.warm_up).await;
        let (before, began, already) = (used()?, Instant::now(), crew.answers.load(Relaxed));
        sleep(plan.measured).await;
        let (answers, elapsed) = (crew.answers.load(Relaxed) - already, began.elapsed());
        Ok(Sample { answers, elapsed, used: used()?.since(before) })
    });
    crew.over.store(true, Relaxed);
    for thread in threads {
        if thread.join().is_err() {
            return Err(Failure::Setup("a thread of the load broke down".to_owned()));
        }
    }
    match crew.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(failure) => Err(failure),
        None => sample,
    }
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::system("a runtime"))
}

/// What the threads of the load share.
#[derive(Debug, Default)]
struct Crew {
    answers: AtomicU64,
    over: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

impl Crew {
    fn work(self: &Arc<Self>, thread: usize, target: SocketAddr, kind: Kind, plan: &Plan) {
        let ended = runtime().and_then(|runtime| {
            runtime.block_on(async {
                let mut connections = tokio::task::JoinSet::new();
                for number in (thread..plan.connections).step_by(plan.threads) {
                    connections.spawn(Arc::clone(self).converse(target, kind, *plan, number));
                }
                while let Some(ended) = connections.join_next().await {
                    ended.map_err(|error| Failure::Setup(error.to_string()))??;
                }
                Ok(())
            })
        });
        if let Err(failure) = ended {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        }
    }

    async fn converse(
        self: Arc<Self>,
        target: SocketAddr,
        kind: Kind,
        plan: Plan,
        first: usize,
    ) -> Result<(), Failure> {
        let mut connection = Connection::open(target, plan.expected(kind)).await?;
        let requests = plan.requests(kind, first);
        let mut requests = requests.iter().cycle();
        while !self.over.load(Relaxed) {
            match (plan.asking, requests.next()) {
                (Asking::Again, Some(request)) => connection.ask(request).await?,
                _ => connection.ask(&plan.unknown(kind)).await?,
            };
            self.answers.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_costs_time_over_answers() {
        let second = Duration::from_secs(1);
        let sample =
            Sample { answers: 50_000, elapsed: second * 2, used: Used { ran: second, waited: second / 10 } };
        assert!((sample.cost() - 20.0).abs() < 1e-9);
        assert!((sample.disturbance() - 0.05).abs() < 1e-9);
        let idle = Sample { used: Used { ran: second / 10, waited: Duration::ZERO }, ..sample };
        assert!((idle.disturbance() - 1.0).abs() < 1e-9);
    }
}
