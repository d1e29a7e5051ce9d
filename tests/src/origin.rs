//! A scripted origin: real sockets, HTTP/1.1 by hand so that it may also misbehave, or HTTP/2 over TLS, and a record of all
//! it was asked.

mod answer;
mod bare;
mod http2;
mod wire;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::pki::Authority;
use crate::within;
use answer::{After, Asked};
pub use answer::{Answer, Gate, Tap};
pub use bare::BareOrigin;
pub use wire::Received;
use wire::Wire;

type Route = Arc<dyn Fn(&Received) -> Answer + Send + Sync>;

/// An origin on 127.0.0.1. It answers 404 until it is told what to answer.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    script: Arc<Script>,
    /// What it speaks TLS with; it speaks HTTP/2 then.
    tls: Option<Arc<ServerConfig>>,
    accepting: Option<JoinHandle<()>>,
}

/// What it answers and what it has seen.
struct Script {
    routes: Mutex<Vec<(String, Route)>>,
    requests: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    bytes: AtomicUsize,
    /// After how many requests of one HTTP/2 connection it says GOAWAY.
    leaves_after: AtomicUsize,
    changed: watch::Sender<()>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Script").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Origin {
    /// Listens on a free port and speaks HTTP/1.1.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Listens on a free port and speaks HTTP/2 over TLS, with a certificate for `127.0.0.1` by this authority.
    pub async fn start_http2(authority: &Authority) -> Self {
        Self::start_with(Some(http2::tls(&authority.issue(&["127.0.0.1"])))).await
    }

    /// The same over HTTP/2, but ends every connection in good order (GOAWAY) after so many requests.
    pub async fn start_http2_leaving(authority: &Authority, requests: usize) -> Self {
        let origin = Self::start_http2(authority).await;
        origin.script.leaves_after.store(requests, Ordering::SeqCst);
        origin
    }

    /// Listens at this address and speaks HTTP/1.1.
    pub async fn start_at(address: SocketAddr) -> Self {
        let mut origin = Self::unstarted(address, None);
        origin.restart().await;
        origin
    }

    async fn start_with(tls: Option<Arc<ServerConfig>>) -> Self {
        let mut origin = Self::unstarted(SocketAddr::from(([127, 0, 0, 1], 0)), tls);
        origin.restart().await;
        origin
    }

    fn unstarted(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let script = Arc::new(Script {
            routes: Mutex::default(),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            leaves_after: AtomicUsize::new(usize::MAX),
            changed: watch::Sender::new(()),
        });
        Self { address, script, tls, accepting: None }
    }

    /// Answers `path` (whatever its query) by `route`. A later call for the same path replaces the earlier one;
    /// the path `*` is asked when no other fits.
    pub fn on(&self, path: &str, route: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        self.script.routes.lock().unwrap().push((path.to_owned(), Arc::new(route)));
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a config names it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Stops listening and cuts every connection: from here on its port refuses.
    pub async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    /// Listens again on the port that it had.
    pub async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("cannot listen");
        self.address = listener.local_addr().expect("a listener has an address");
        self.accepting = Some(tokio::spawn(accept(listener, Arc::clone(&self.script), self.tls.clone())));
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.script.requests.lock().unwrap().clone()
    }

    /// The requests for `path`, whatever their query.
    #[must_use]
    pub fn requests_for(&self, path: &str) -> Vec<Received> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.script.connections.load(Ordering::SeqCst)
    }

    /// How many bytes have reached it, in whatever shape.
    #[must_use]
    pub fn bytes_received(&self) -> usize {
        self.script.bytes.load(Ordering::SeqCst)
    }

    /// Waits until `ready` holds of the requests so far, heads and the parts of bodies that have arrived.
    pub async fn until(&self, what: &str, ready: impl Fn(&[Received]) -> bool) {
        let mut changed = self.script.changed.subscribe();
        within(what, async {
            while !ready(&self.requests()) {
                changed.changed().await.expect("the origin holds the sender");
            }
        })
        .await;
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

/// Serves until aborted; the connections die with it.
async fn accept(listener: TcpListener, script: Arc<Script>, tls: Option<Arc<ServerConfig>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        script.connections.fetch_add(1, Ordering::SeqCst);
        let script = Arc::clone(&script);
        match tls.clone() {
            None => connections.spawn(async move { script.serve(stream).await }),
            Some(tls) => connections.spawn(http2::serve(script, stream, tls)),
        };
        while connections.try_join_next().is_some() {}
    }
}

impl Script {
    async fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut wire = Wire::new(stream, &self.bytes);
        while let Some(request) = wire.read_head().await {
            self.record(request.clone());
            wire.read_body(&request, || {
                self.changed.send_replace(());
            })
            .await;
            let asked = if request.method == "HEAD" { Asked::Head } else { Asked::Whole };
            match self.answer(&request).play(wire.stream(), asked).await {
                Ok(After::Keep) => {}
                Ok(After::Close) | Err(_) => return,
            }
        }
    }

    fn record(&self, request: Received) {
        self.requests.lock().unwrap().push(request);
        self.changed.send_replace(());
    }

    fn answer(&self, request: &Received) -> Answer {
        let routes = self.routes.lock().unwrap();
        let exact = routes.iter().rev().find(|(path, _)| path == request.path());
        let route = exact
            .or_else(|| routes.iter().rev().find(|(path, _)| path == "*"))
            .map(|(_, route)| Arc::clone(route));
        drop(routes);
        route.map_or_else(|| Answer::new(404).body("the origin has no such page"), |route| route(request))
    }
}
