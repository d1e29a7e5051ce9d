//! Listening sockets: one a worker for every address, sharing the port.

use super::StartError;
use crate::config::{Config, Listen, Scheme};
use origin_shield::Algorithm;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

/// Connections that wait to be accepted, per socket.
const BACKLOG: i32 = 1024;

/// An address that is listened on.
pub(super) struct Socket {
    pub(super) scheme: Scheme,
    address: SocketAddr,
    /// One a worker.
    pub(super) listeners: Vec<TcpListener>,
}

impl Socket {
    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme.as_str(), self.address)
    }
}

/// Binds what the config names; where it names nothing, 80 and 443, or 8080 and 8443 without the right to those. HTTPS is
/// only spoken by default where a site has a certificate.
pub(super) fn bind(config: &Config) -> Result<Vec<Socket>, StartError> {
    let workers = match config.node.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    // What cannot be had is told by `Config::refused_congestion`.
    let algorithm = config.node.algorithm().unwrap_or_default();
    if !config.node.listen.is_empty() {
        return config.node.listen.iter().map(|listen| bind_one(*listen, workers, &algorithm)).collect();
    }
    let with_tls = config.site.values().any(|site| site.tls_or_default() != certs::SiteTls::Off);
    let mut sockets = vec![bind_default(Scheme::Http, 80, 8080, workers, &algorithm)?];
    if with_tls {
        sockets.push(bind_default(Scheme::Https, 443, 8443, workers, &algorithm)?);
    }
    Ok(sockets)
}

fn bind_default(
    scheme: Scheme,
    first: u16,
    second: u16,
    workers: usize,
    algorithm: &Algorithm,
) -> Result<Socket, StartError> {
    let at = |port| Listen { scheme, address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port) };
    bind_one(at(first), workers, algorithm).or_else(|_| bind_one(at(second), workers, algorithm))
}

fn bind_one(listen: Listen, workers: usize, algorithm: &Algorithm) -> Result<Socket, StartError> {
    let failed = |error| StartError::Listen(listen.to_string(), error);
    // With SO_REUSEPORT alone a second node would quietly take half of the first one's connections.
    refuse_if_taken(listen.address).map_err(failed)?;
    let first = open(listen.address, algorithm).map_err(failed)?;
    // Port 0 has become a real one: the others share it.
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(open(address, algorithm).map_err(failed)?);
    }
    Ok(Socket { scheme: listen.scheme, address, listeners })
}

fn refuse_if_taken(address: SocketAddr) -> io::Result<()> {
    let probe = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    probe.set_reuse_address(true)?;
    probe.bind(&address.into())
}

fn open(address: SocketAddr, algorithm: &Algorithm) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // Every connection that it accepts has the same: told once, and nothing to do for each.
    let _ = algorithm.set_on(&socket);
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
