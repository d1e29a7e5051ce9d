//! The origin's side of a connection that has changed its protocol (RFC 9110 section 7.8).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Extensions;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Found among the extensions of a 101 answer: the connection that speaks another protocol now. It is nobody else's and never
/// goes back to a pool.
#[derive(Debug, Clone)]
pub struct Tunnel(OnUpgrade);

impl Tunnel {
    /// Out of the extensions of an answer; `None` where the connection has not changed.
    pub(crate) fn take(extensions: &mut Extensions) -> Option<Self> {
        extensions.remove().map(Self)
    }

    /// The bytes of the new protocol, in both directions.
    ///
    /// # Errors
    /// The connection ended meanwhile.
    pub async fn open(self) -> io::Result<TunnelStream> {
        let upgraded = self.0.await.map_err(io::Error::other)?;
        Ok(TunnelStream(TokioIo::new(upgraded)))
    }
}

/// What the origin says and hears in the new protocol.
#[derive(Debug)]
pub struct TunnelStream(TokioIo<Upgraded>);

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
