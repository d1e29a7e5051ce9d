//! Opening a connection to an origin: name, TCP, TLS, all within one timeout, some times.

mod line;
mod memory;
mod names;
mod place;
mod race;
mod resolve;
mod service;
mod socket;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

pub(crate) use line::Line;
pub use names::Names;
pub(crate) use place::Whither;
pub(crate) use tls::Tls;

use crate::failure::{Cause, Failure};
use crate::settings::{Algorithm, OriginSettings, OriginUrl, Protocol};
use place::{Candidates, Place};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Requests, in the best HTTP that the origin speaks.
    Requests,
    /// One change of protocol, which only HTTP/1.1 knows (RFC 9110 section 7.8).
    Upgrade,
}

/// How one origin is connected to.
#[derive(Debug)]
pub(crate) struct Dialer {
    place: Place,
    tls: Option<Tls>,
    protocol: Protocol,
    connect_timeout: Duration,
    attempts: u32,
    algorithm: Algorithm,
}

impl Dialer {
    pub(crate) fn new(
        url: &OriginUrl,
        settings: &OriginSettings,
        tls: Option<Tls>,
        names: &Arc<Names>,
    ) -> Self {
        Self {
            place: Place::new(names, url.host(), url.port(), settings.srv.as_deref()),
            tls,
            protocol: settings.protocol,
            connect_timeout: settings.connect_timeout,
            attempts: settings.attempts,
            algorithm: settings.algorithm().unwrap_or_default(),
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

    /// Whether a connection to this origin can change its protocol.
    pub(crate) fn may_upgrade(&self) -> bool {
        self.protocol != Protocol::Http2
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

    /// Whether a kept connection still leads to the origin. Costs one load while no name has moved.
    pub(crate) fn holds(&self, whither: &Whither) -> bool {
        self.place.holds(whither)
    }

    /// That connections are kept: the origin's name is asked after meanwhile.
    pub(crate) fn touch(&self) {
        self.place.touch();
    }

    /// Tells when some name has moved; `None` for an origin that cannot move.
    pub(crate) fn changes(&self) -> Option<watch::Receiver<()>> {
        self.place.changes()
    }

    /// Attempts to connect as often as the settings say; the last failure is the answer.
    pub(crate) async fn dial(&self, purpose: Purpose) -> Result<(Line, Whither), Cause> {
        let mut attempt = 1;
        loop {
            match self.attempt(purpose).await {
                Err(cause) if cause.failure.may_pass() && attempt < self.attempts => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&self, purpose: Purpose) -> Result<(Line, Whither), Cause> {
        let deadline = Instant::now() + self.connect_timeout;
        let late = |failure, what: &str| {
            Cause::new(failure, format!("{what} took longer than {:?}", self.connect_timeout))
        };
        let generation = self.place.generation();
        let candidates = timeout_at(deadline, self.place.candidates())
            .await
            .map_err(|_| late(Failure::DnsTimeout, "the name"))??;
        let (stream, address) = timeout_at(deadline, self.connect(candidates))
            .await
            .map_err(|_| late(Failure::ConnectionTimeout, "TCP"))??;
        let whither = Whither::new(address, generation);
        let Some(tls) = &self.tls else {
            return Ok((Line::Plain(TokioIo::new(stream)), whither));
        };
        let handshake = TlsConnector::from(tls.config(purpose)).connect(tls.name.clone(), stream);
        let stream = timeout_at(deadline, handshake)
            .await
            .map_err(|_| late(Failure::ConnectionTimeout, "the TLS handshake"))?
            .map_err(|error| Cause::of_handshake(&error))?;
        Ok((Line::Tls(Box::new(TokioIo::new(stream))), whither))
    }

    /// The first connection of all addresses. Who failed or was overtaken is tried last for a while.
    async fn connect(&self, candidates: Candidates) -> Result<(TcpStream, std::net::SocketAddr), Cause> {
        let Candidates { ready, late } = candidates;
        if let ([only], None) = (&ready[..], &late) {
            let connected = socket::connect(*only, self.algorithm.clone()).await;
            return Ok((connected.map_err(|error| Cause::of_connect(&error))?, *only));
        }
        let late = async move {
            let (entry, port) = late?;
            Some(place::addresses(&entry.records().await.ok()?, port).collect())
        };
        let outcome =
            race::connect_any(&self.algorithm, ready, async { late.await.unwrap_or_default() }).await;
        let now = Instant::now();
        outcome.losers.into_iter().for_each(|address| self.place.avoid(address, now));
        let (stream, address) = outcome.result.map_err(|error| Cause::of_connect(&error))?;
        self.place.forgive(address);
        Ok((stream, address))
    }
}
