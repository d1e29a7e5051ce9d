//! Opening a connection to an origin: name, TCP, TLS, all within one timeout, some times.

mod line;
mod resolve;
mod socket;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

pub(crate) use line::Line;
pub(crate) use resolve::Resolver;
pub(crate) use tls::Tls;

use crate::failure::{Cause, Failure};
use crate::settings::{Algorithm, OriginSettings, OriginUrl, Protocol};

/// RFC 8305 section 8, "Connection Attempt Delay": how long one address is waited for before the next one is tried beside it.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// How one origin is connected to.
#[derive(Debug)]
pub(crate) struct Dialer {
    host: String,
    port: u16,
    tls: Option<Tls>,
    protocol: Protocol,
    connect_timeout: Duration,
    attempts: u32,
    algorithm: Algorithm,
}

impl Dialer {
    pub(crate) fn new(url: &OriginUrl, settings: &OriginSettings, tls: Option<Tls>) -> Self {
        Self {
            host: url.host().to_owned(),
            port: url.port(),
            tls,
            protocol: settings.protocol,
            connect_timeout: settings.connect_timeout,
            attempts: settings.attempts,
            algorithm: settings.congestion.resolve().unwrap_or_default(),
        }
    }

    /// Whether a connection to this origin may turn out to be one that many requests share.
    pub(crate) fn may_speak_http2(&self) -> bool {
        match self.protocol {
            Protocol::Auto => self.tls.is_some(),
            Protocol::Http1 => false,
            Protocol::Http2 => true,
        }
    }

    /// Whether HTTP/2 is spoken on this connection: chosen in TLS (RFC 9113 section 3.2), or known before (section 3.3).
    pub(crate) fn speaks_http2(&self, line: &Line) -> Result<bool, Cause> {
        match line {
            Line::Plain(_) => Ok(self.protocol == Protocol::Http2),
            Line::Tls(_) if line.chose_http2() => Ok(true),
            Line::Tls(_) if self.protocol == Protocol::Http2 => {
                Err(Cause::new(Failure::TlsProtocol, "the origin did not choose HTTP/2 in TLS (ALPN)"))
            }
            Line::Tls(_) => Ok(false),
        }
    }

    pub(crate) fn resolver(&self) -> Resolver {
        Resolver::new(self.connect_timeout)
    }

    /// Attempts to connect as often as the settings say; the last failure is the answer.
    pub(crate) async fn dial(&self, resolver: &Resolver) -> Result<Line, Cause> {
        let mut attempt = 1;
        loop {
            match self.attempt(resolver).await {
                Err(cause) if cause.failure.may_pass() && attempt < self.attempts => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&self, resolver: &Resolver) -> Result<Line, Cause> {
        let deadline = Instant::now() + self.connect_timeout;
        let late = |failure, what: &str| {
            Cause::new(failure, format!("{what} took longer than {:?}", self.connect_timeout))
        };
        let addresses = timeout_at(deadline, resolver.addresses(&self.host, self.port))
            .await
            .map_err(|_| late(Failure::DnsTimeout, "the name"))??;
        let stream = timeout_at(deadline, connect_any(addresses, &self.algorithm))
            .await
            .map_err(|_| late(Failure::ConnectionTimeout, "TCP"))?
            .map_err(|error| Cause::of_connect(&error))?;
        let Some(tls) = &self.tls else {
            return Ok(Line::Plain(TokioIo::new(stream)));
        };
        let handshake = TlsConnector::from(tls.config.clone()).connect(tls.name.clone(), stream);
        let stream = timeout_at(deadline, handshake)
            .await
            .map_err(|_| late(Failure::ConnectionTimeout, "the TLS handshake"))?
            .map_err(|error| Cause::of_handshake(&error))?;
        Ok(Line::Tls(Box::new(TokioIo::new(stream))))
    }
}

/// RFC 8305 section 5: one address after another, each with a head start, the first that connects wins.
async fn connect_any(addresses: Vec<SocketAddr>, algorithm: &Algorithm) -> io::Result<TcpStream> {
    if let [only] = addresses[..] {
        return socket::connect(only, algorithm.clone()).await;
    }
    let mut waiting = addresses.into_iter();
    let mut racing = JoinSet::new();
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let next = waiting.next();
        let is_last = next.is_none();
        if let Some(address) = next {
            racing.spawn(socket::connect(address, algorithm.clone()));
        }
        let finished = if is_last {
            racing.join_next().await
        } else {
            match timeout(NEXT_ADDRESS_AFTER, racing.join_next()).await {
                Ok(finished) => finished,
                Err(_) => continue,
            }
        };
        match finished {
            None => return Err(last_error),
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => last_error = error,
            Some(Err(error)) => last_error = io::Error::other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn refused() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = alive.local_addr().unwrap();
        let stream = connect_any(vec![refused().await, refused().await, address], &Algorithm::default())
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn when_every_address_refuses_the_refusal_is_the_answer() {
        let error =
            connect_any(vec![refused().await, refused().await], &Algorithm::default()).await.unwrap_err();
        assert_eq!(Cause::of_connect(&error).failure, Failure::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_an_error_and_not_a_wait() {
        let error = connect_any(Vec::new(), &Algorithm::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "the name has no address");
    }
}
