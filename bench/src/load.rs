//! The load: keep-alive connections, one request at a time on each, every answer checked.

use crate::failure::Failure;
use crate::objects::Kind;
use crate::processor::Used;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// More than any head that a program under test sends.
const HEAD: usize = 4096;

/// How a program is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Connections, open all the time.
    pub(crate) connections: usize,
    /// Threads that make the load, each with its share of the connections.
    pub(crate) threads: usize,
    /// Different objects that are asked for in turn.
    pub(crate) objects: usize,
    /// Load before the measurement begins: connections open, caches fill.
    pub(crate) warm_up: Duration,
    /// How long is measured.
    pub(crate) measured: Duration,
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

    /// The share of the time in which somebody else was on the processor that the program wanted.
    pub(crate) fn disturbance(&self) -> f64 {
        self.used.waited.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}

/// Loads `target` after the plan. `used` tells the processor time that the program under test has used so far.
pub(crate) fn measure(
    target: SocketAddr,
    kind: Kind,
    plan: &Plan,
    used: impl Fn() -> Result<Used, Failure>,
) -> Result<Sample, Failure> {
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
                    connections.spawn(Arc::clone(self).converse(target, kind, plan.objects, number));
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
        objects: usize,
        first: usize,
    ) -> Result<(), Failure> {
        let requests: Vec<_> = (first..first + objects).map(|at| request(&kind.path(at % objects))).collect();
        let failed = || Failure::system(format!("a connection to {target}"));
        let mut stream = TcpStream::connect(target).await.map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        let mut buffer = vec![0; HEAD + kind.size];
        for request in requests.iter().cycle() {
            if self.over.load(Relaxed) {
                break;
            }
            stream.write_all(request).await.map_err(failed())?;
            let (mut filled, mut expected) = (0, None);
            while expected != Some(filled) {
                let read = stream.read(&mut buffer[filled..]).await.map_err(failed())?;
                filled += read;
                expected = match expected {
                    None => whole_length(&buffer[..filled], kind.size).map_err(Failure::Answer)?,
                    known => known,
                };
                if read == 0 || expected.is_some_and(|expected| filled > expected) {
                    return Err(Failure::Answer(format!("{filled} bytes where {expected:?} were promised")));
                }
            }
            self.answers.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

/// The length of head and body together, once the head is there; an error unless it is the answer expected.
fn whole_length(answer: &[u8], body: usize) -> Result<Option<usize>, String> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end]).map_err(|error| error.to_string())?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(head.lines().next().unwrap_or_default().to_owned());
    }
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match length.and_then(|(_, length)| length.parse::<usize>().ok()) {
        Some(length) if length == body => Ok(Some(end + 4 + body)),
        other => Err(format!("content-length {other:?} where {body} bytes were asked for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_expected_counts() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nAge: 1\r\n\r\nabc";
        assert_eq!(whole_length(answer, 3), Ok(Some(answer.len())));
        assert_eq!(whole_length(&answer[..20], 3), Ok(None));
        assert!(whole_length(answer, 4).is_err());
        assert!(whole_length(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\n", 3).is_err());
        assert!(whole_length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 3).is_err());
    }

    #[test]
    fn a_sample_costs_time_over_answers() {
        let second = Duration::from_secs(1);
        let sample =
            Sample { answers: 50_000, elapsed: second * 2, used: Used { ran: second, waited: second / 10 } };
        assert!((sample.cost() - 20.0).abs() < 1e-9);
        assert!((sample.rate() - 25_000.0).abs() < 1e-9);
        assert!((sample.disturbance() - 0.05).abs() < 1e-9);
    }
}
