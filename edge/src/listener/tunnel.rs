//! Connections that speak another protocol now: bytes both ways, until both sides have ended or neither says anything.

use super::patient::Busy;
use crate::observe::{TunnelEnd, TunnelRecord};
use crate::upgrade::Agreed;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// How often a tunnel is looked at within the time that it may be silent.
const LOOKS: u32 = 4;

/// The viewer's side of a tunnel, and what keeps its connection and the node alive.
pub(super) struct ViewerSide {
    pub(super) upgrade: OnUpgrade,
    /// The node waits for it when it drains.
    pub(super) alive: mpsc::Sender<Infallible>,
}

/// Opens the tunnel as soon as the agreement is written. `busy` keeps the connection from being taken for an idle one.
pub(super) fn begin(viewer: ViewerSide, agreed: Agreed, busy: Busy) {
    tokio::spawn(async move {
        let ViewerSide { upgrade, alive } = viewer;
        // A viewer who has left before, or an origin that has, leaves nothing to tell of.
        if let (Ok(viewer), Ok(origin)) = (upgrade.await, agreed.origin.clone().open().await) {
            run(TokioIo::new(viewer), origin, &agreed).await;
        }
        drop((agreed, busy, alive));
    });
}

async fn run(viewer: impl Line, origin: impl Line, agreed: &Agreed) {
    let began = Instant::now();
    let (to_origin, to_viewer) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let mut viewer = Counted { line: viewer, read: Arc::clone(&to_origin) };
    let mut origin = Counted { line: origin, read: Arc::clone(&to_viewer) };
    let counts = [&*to_origin, &*to_viewer];
    // A side that ends is an end for the other, which may go on in its own direction.
    let end = tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut viewer, &mut origin) => match copied {
            Ok(_) => TunnelEnd::Closed,
            Err(_) => TunnelEnd::Broken,
        },
        () = silence(&counts, agreed.idle) => TunnelEnd::Idle,
    };
    agreed.slot.ended(&TunnelRecord {
        request: &agreed.request,
        site: &agreed.site,
        protocol: &agreed.protocol,
        to_viewer: to_viewer.load(Relaxed),
        to_origin: to_origin.load(Relaxed),
        lasted: began.elapsed(),
        end,
    });
}

/// Ends when nothing has been said for so long, and at most a quarter of it later.
async fn silence(counts: &[&AtomicU64], limit: Duration) {
    let total = || counts.iter().map(|count| count.load(Relaxed)).sum::<u64>();
    let (mut before, mut silent) = (total(), 0);
    while silent < LOOKS {
        sleep(limit / LOOKS).await;
        let now = total();
        silent = if now == before { silent + 1 } else { 0 };
        before = now;
    }
}

trait Line: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Line for S {}

/// One side, which counts what it says.
struct Counted<L> {
    line: L,
    read: Arc<AtomicU64>,
}

impl<L: Line> AsyncRead for Counted<L> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.line).poll_read(context, buffer))?;
        self.read.fetch_add((buffer.filled().len() - before) as u64, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<L: Line> AsyncWrite for Counted<L> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.line).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_byte_on() {
        let (said, limit) = (Arc::<AtomicU64>::default(), Duration::from_secs(60));
        let began = Instant::now();
        let speaker = Arc::clone(&said);
        tokio::spawn(async move {
            for _ in 0..5 {
                sleep(Duration::from_secs(40)).await;
                speaker.fetch_add(1, Relaxed);
            }
        });
        silence(&[&said], limit).await;
        let waited = began.elapsed().as_secs() - 200;
        assert!((60..=75).contains(&waited), "{waited}");
    }
}
