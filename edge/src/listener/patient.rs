//! A connection with limited patience: for heads that drip, for silence between requests, for viewers that take nothing.
//!
//! One lazy timer a connection serves all three. It is never reset by a request: when it fires it looks whether somebody
//! has really been waited for so long, and otherwise goes on sleeping. A quick request costs no timer work at all.

use super::flood::{FloodWatch, GOAWAY};
use super::framing::FramingScan;
use super::interim::{Turn, Waiting};
use crate::node::Limits;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    head: Duration,
    idle: Duration,
    body: Duration,
}

impl Patience {
    pub(super) fn of(limits: &Limits) -> Self {
        Self { head: limits.header_timeout, idle: limits.idle_timeout, body: limits.body_timeout }
    }
}

/// What the requests of a connection tell its stream.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Requests whose head was complete.
    requests: AtomicU64,
    /// How often the node began to work for the viewer, and how often it stopped.
    begun: AtomicU64,
    rested: AtomicU64,
    /// A head of the connection had `Content-Length` and `Transfer-Encoding`: none that comes after is trusted.
    pub(super) framed_twice: AtomicBool,
    /// What is to be said before the next answer.
    pub(super) interim: Waiting,
}

impl Pace {
    /// A request has come whole, and the node begins to work.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Relaxed);
        let mut busy = Busy { pace: Arc::clone(self), working: false };
        busy.work();
        busy
    }

    fn is_working(&self) -> bool {
        self.begun.load(Relaxed) != self.rested.load(Relaxed)
    }
}

/// A request that is being answered: at work while its viewer waits for the node, at rest while the node waits for its viewer.
#[derive(Debug)]
pub(super) struct Busy {
    pace: Arc<Pace>,
    working: bool,
}

impl Busy {
    /// Another one at work, of the same connection.
    pub(super) fn again(&self) -> Self {
        let mut other = Self { pace: Arc::clone(&self.pace), working: false };
        other.work();
        other
    }

    pub(super) fn work(&mut self) {
        if !self.working {
            self.working = true;
            self.pace.begun.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn rest(&mut self) {
        if self.working {
            self.working = false;
            self.pace.rested.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.rest();
    }
}

/// A stream that gives up.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    pace: Arc<Pace>,
    patience: Patience,
    timer: Option<Pin<Box<Sleep>>>,
    /// The last time that anything useful happened; `None` when that was just before anybody next looks. Nobody reads a clock
    /// for what goes well.
    lively: Option<Instant>,
    /// How often the node had stopped working by then.
    rested: u64,
    speech: Speech,
    /// Since when the viewer takes nothing.
    stuck: Option<Instant>,
    turn: Turn,
}

/// What is watched for in what the viewer says.
#[derive(Debug)]
enum Speech {
    /// HTTP/1.1: the head being read.
    Heads(Head),
    /// HTTP/2: frames that cost nothing.
    Frames(FloodWatch),
}

#[derive(Debug, Default)]
struct Head {
    /// Since when; `None` when that is just before anybody next looks, or no head was ever begun.
    began: Option<Instant>,
    is_begun: bool,
    /// The requests there were when it did: one more means that the head is complete.
    requests: u64,
    scan: FramingScan,
}

impl<S> Patient<S> {
    /// A stream of HTTP/1.1 heads.
    pub(super) fn heads(stream: S, pace: Arc<Pace>, patience: Patience) -> Self {
        Self::new(stream, pace, patience, Speech::Heads(Head::default()))
    }

    /// A stream of HTTP/2 frames, whose protocol paces heads itself; `control` such frames are allowed in a minute.
    pub(super) fn frames(stream: S, pace: Arc<Pace>, patience: Patience, control: u32) -> Self {
        Self::new(stream, pace, patience, Speech::Frames(FloodWatch::new(control)))
    }

    fn new(stream: S, pace: Arc<Pace>, patience: Patience, speech: Speech) -> Self {
        let turn = Turn::default();
        Self { stream, pace, patience, timer: None, lively: None, rested: 0, speech, stuck: None, turn }
    }

    /// Whether what was heard is too much.
    fn heard(&mut self, bytes: &[u8]) -> bool {
        let head = match &mut self.speech {
            Speech::Frames(watch) => return watch.overflows(bytes),
            Speech::Heads(head) => head,
        };
        let requests = self.pace.requests.load(Relaxed);
        if !self.pace.is_working() && (!head.is_begun || head.requests != requests) {
            (head.is_begun, head.began) = (true, None);
            head.requests = requests;
            head.scan.resume();
        }
        if head.scan.finds_both(bytes) {
            self.pace.framed_twice.store(true, Relaxed);
        }
        false
    }

    /// When waiting for the viewer becomes too long; `None` while the node itself is at work.
    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let lively = *self.lively.get_or_insert(now);
        let stuck = self.stuck.map(|since| since + self.patience.body);
        if self.pace.is_working() {
            return stuck;
        }
        let answered = self.pace.requests.load(Relaxed);
        let silence = match &mut self.speech {
            Speech::Heads(head) if head.is_begun && head.requests == answered => {
                *head.began.get_or_insert(now) + self.patience.head
            }
            _ => lively + self.patience.idle,
        };
        Some(stuck.map_or(silence, |stuck| stuck.min(silence)))
    }

    /// Pending until the deadline; an error after it.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        // While the node is at work nobody is late: it is enough that a timer is set, and looks again.
        let is_set = self.timer.as_ref().is_some_and(|timer| !timer.is_elapsed());
        if is_set && self.stuck.is_none() && self.pace.is_working() {
            return Poll::Pending;
        }
        loop {
            // Look again when the shortest patience could be over.
            let now = Instant::now();
            let rested = self.pace.rested.load(Relaxed);
            if rested != self.rested {
                (self.rested, self.lively) = (rested, Some(now));
            }
            let deadline = self.deadline(now).unwrap_or(now + self.patience.head);
            if now >= deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            timer.as_mut().reset(deadline);
        }
    }

    fn wrote(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.stuck = None;
            self.lively = None;
            return outcome;
        }
        self.stuck.get_or_insert_with(Instant::now);
        self.poll_patience(context).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    /// Writes what comes before the answer; ready when nothing (more) does.
    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let requests = self.pace.requests.load(Relaxed);
        while let head = self.turn.next(&self.pace.interim, requests)
            && !head.is_empty()
        {
            let outcome = Pin::new(&mut self.stream).poll_write(context, head);
            if let Poll::Ready(Ok(written)) = outcome {
                head.drain(..written);
            }
            if ready!(self.wrote(outcome, context))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                if this.heard(&buffer.filled()[before..]) {
                    // A word of farewell; whoever floods may not be listening.
                    let _ = Pin::new(&mut this.stream).poll_write(context, &GOAWAY);
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => this.poll_patience(context).map(Err),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_interim(context))?;
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.wrote(outcome, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_interim(context))?;
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.wrote(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Whoever flushes has written all that it had.
        this.turn.is_clear(this.pace.requests.load(Relaxed));
        ready!(this.poll_interim(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        body: Duration::from_secs(30),
    };

    async fn waited(work: impl Future<Output = io::Error>) -> (Duration, io::ErrorKind) {
        let began = Instant::now();
        let error = work.await;
        (began.elapsed(), error.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_between_requests_ends_after_the_idle_timeout() {
        let (near, _far) = tokio::io::duplex(64);
        let mut patient = Patient::heads(near, Arc::default(), PATIENCE);
        let (elapsed, kind) = waited(async { patient.read_u8().await.unwrap_err() }).await;
        assert_eq!((elapsed.as_secs(), kind), (60, io::ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_head_ends_after_the_header_timeout() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut patient = Patient::heads(near, Arc::default(), PATIENCE);
        let drip = tokio::spawn(async move {
            while far.write_all(b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
        });
        let (elapsed, kind) = waited(async {
            loop {
                if let Err(error) = patient.read_u8().await {
                    return error;
                }
            }
        })
        .await;
        assert_eq!((elapsed.as_secs(), kind), (10, io::ErrorKind::TimedOut));
        drop(patient);
        drip.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_nodes_own_work_counts_against_nobody() {
        let (near, mut far) = tokio::io::duplex(64);
        let pace = Arc::<Pace>::default();
        let mut patient = Patient::heads(near, Arc::clone(&pace), PATIENCE);
        far.write_all(b"G").await.unwrap();
        patient.read_u8().await.unwrap();
        let busy = pace.begin();
        let slow = tokio::time::timeout(Duration::from_secs(300), patient.read_u8());
        assert!(slow.await.is_err(), "still open after five minutes of work");
        drop(busy);
        let (elapsed, kind) = waited(async { patient.read_u8().await.unwrap_err() }).await;
        assert_eq!(
            (elapsed.as_secs(), kind),
            (60, io::ErrorKind::TimedOut),
            "idle from the end of the work on"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_that_takes_nothing_is_left() {
        let (near, _far) = tokio::io::duplex(64);
        let pace = Arc::<Pace>::default();
        let _busy = pace.begin();
        let mut patient = Patient::heads(near, pace, PATIENCE);
        let (elapsed, kind) = waited(async { patient.write_all(&[0; 1000]).await.unwrap_err() }).await;
        assert_eq!((elapsed.as_secs(), kind), (30, io::ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn a_head_with_two_framings_is_noticed() {
        for (head, expected) in [
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", false),
        ] {
            let (near, mut far) = tokio::io::duplex(256);
            let pace = Arc::<Pace>::default();
            let mut patient = Patient::heads(near, Arc::clone(&pace), PATIENCE);
            far.write_all(head.as_bytes()).await.unwrap();
            let mut buffer = vec![0; head.len()];
            patient.read_exact(&mut buffer).await.unwrap();
            assert_eq!(pace.framed_twice.load(Relaxed), expected, "{head}");
        }
    }
}
