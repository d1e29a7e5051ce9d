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

use std::io;
use std::net::SocketAddr;
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
        let generation = self.place.generation();
        let candidates = timeout_at(deadline, self.place.candidates())
            .await
            .map_err(|_| self.late(Failure::DnsTimeout, "the name"))??;
        let (stream, address) = self.connect(candidates, deadline).await?;
        let whither = Whither::new(address, generation);
        let Some(tls) = &self.tls else {
            self.place.forgive(address);
            return Ok((Line::Plain(TokioIo::new(stream)), whither));
        };
        let handshake = TlsConnector::from(tls.config(purpose)).connect(tls.name.clone(), stream);
        let Ok(shaken) = timeout_at(deadline, handshake).await else {
            self.place.avoid(address, Instant::now());
            // Handshakes are the dearest work there is.
            return Err(self.late(Failure::ConnectionTimeout, "the TLS handshake").with_work());
        };
        let stream = shaken.map_err(|error| Cause::of_handshake(&error))?;
        self.place.forgive(address);
        Ok((Line::Tls(Box::new(TokioIo::new(stream))), whither))
    }

    fn late(&self, failure: Failure, what: &str) -> Cause {
        Cause::new(failure, format!("{what} took longer than {:?}", self.connect_timeout))
    }

    /// The first connection of all addresses. Who failed, was overtaken or late is tried last for a while.
    async fn connect(
        &self,
        candidates: Candidates,
        deadline: Instant,
    ) -> Result<(TcpStream, SocketAddr), Cause> {
        let late_tcp = || self.late(Failure::ConnectionTimeout, "TCP");
        let Candidates { ready, late } = candidates;
        if let ([only], None) = (&ready[..], &late) {
            let connecting = socket::connect(*only, self.algorithm.clone());
            let connected = timeout_at(deadline, connecting).await.map_err(|_| late_tcp())?;
            return Ok((connected.map_err(|error| Cause::of_connect(&error))?, *only));
        }
        let late = async move {
            let (entry, port) = late?;
            Some(place::addresses(&entry.records().await.ok()?, port).collect())
        };
        let late = async { late.await.unwrap_or_default() };
        let outcome = race::connect_any(&self.algorithm, ready, late, deadline).await;
        let now = Instant::now();
        outcome.losers.into_iter().for_each(|address| self.place.avoid(address, now));
        outcome.result.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut if deadline <= now => late_tcp(),
            _ => Cause::of_connect(&error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_address_that_connects_but_does_not_shake_hands_is_tried_last() {
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = mute.local_addr().unwrap();
        let url: OriginUrl = format!("https://localhost:{}", address.port()).parse().unwrap();
        let mut settings = OriginSettings::new(url.clone());
        (settings.connect_timeout, settings.attempts) = (Duration::from_millis(100), 1);
        let tls = Tls::build(&"app".into(), &url, &settings).unwrap();
        let dialer = Dialer::new(&url, &settings, Some(tls), &Names::new(&[], Duration::ZERO));
        let first = async || dialer.place.candidates().await.unwrap().ready[0];
        assert_eq!(first().await, address);
        let cause = dialer.dial(Purpose::Requests).await.unwrap_err();
        assert_eq!(cause.failure, Failure::ConnectionTimeout);
        assert_ne!(first().await, address);
    }
}
