//! Viewers' connections: accept, TLS, HTTP/1.1 and HTTP/2, limits, drain.

mod flood;
mod framing;
mod interim;
mod patient;
mod tunnel;

use crate::body::{Body, BodyError};
use crate::config::Scheme;
use crate::facts;
use crate::node::{Current, Node};
use crate::pipeline;
use crate::upgrade::Agreed;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo};
use patient::{Busy, Pace, Patience, Patient};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tunnel::ViewerSide;

/// How long to wait before accepting again when the machine has run out of something (file descriptors, mostly).
const OUT_OF_RESOURCES: Duration = Duration::from_millis(50);
/// RFC 9113 §6.9.1.
const LARGEST_WINDOW: u32 = i32::MAX as u32;

/// What is known of a viewer's connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The other end of the connection: a viewer, or a proxy in front of one.
    pub peer: SocketAddr,
    /// How it is spoken to.
    pub scheme: Scheme,
    tls: Option<Arc<TlsFacts>>,
    pace: Arc<Pace>,
}

#[derive(Debug)]
struct TlsFacts {
    session: Arc<hooks::Tls>,
    /// The authorities of edges for one of whose certificates this is.
    certified_by: Option<u64>,
}

impl Viewer {
    /// A viewer that nobody is: for what would become of a request.
    #[must_use]
    pub fn imagined(peer: SocketAddr, scheme: Scheme) -> Self {
        Self { peer, scheme, tls: None, pace: Arc::default() }
    }

    /// The host that the viewer named in the TLS handshake (SNI), lower case.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.tls.as_ref()?.session.server_name.as_deref()
    }

    /// What was agreed on in the handshake; `None` over plain HTTP.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<hooks::Tls>> {
        self.tls.as_ref().map(|tls| &tls.session)
    }

    /// The authorities of `node.edges` that vouched for its certificate when the connection began; others are not let in.
    #[must_use]
    pub fn certified_by(&self) -> Option<u64> {
        self.tls.as_ref()?.certified_by
    }

    /// Writes the head of an interim response before the answer that the connection is waiting for. Only for HTTP/1.1.
    pub fn tell_before_answer(&self, head: &[u8]) {
        self.pace.interim.push(head);
    }

    /// Whether a head of this connection framed its body in two ways (RFC 9112 §6.1).
    #[must_use]
    pub fn framed_twice(&self) -> bool {
        self.pace.framed_twice.load(Relaxed)
    }
}

/// Tells connections to finish, and knows when all have.
#[derive(Debug, Clone)]
pub struct Drain {
    /// Turns true once.
    pub told: watch::Receiver<bool>,
    /// Held by every connection; the receiver ends when the last one has.
    pub alive: mpsc::Sender<Infallible>,
}

/// Accepts viewers until told to drain.
pub async fn accept(listener: TcpListener, scheme: Scheme, current: Arc<Current>, drain: Drain) {
    let mut told = drain.told.clone();
    let mut stop = pin!(told.wait_for(|told| *told));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::spawn(welcome(stream, peer, scheme, Arc::clone(&current), drain.clone()));
            }
            Err(_) => tokio::time::sleep(OUT_OF_RESOURCES).await,
        }
    }
}

async fn welcome(stream: TcpStream, peer: SocketAddr, scheme: Scheme, current: Arc<Current>, drain: Drain) {
    let node = current.load();
    // Small answers must not wait for more; a socket that cannot say so works all the same.
    let _ = stream.set_nodelay(true);
    match (scheme, node.tls.clone()) {
        (Scheme::Http, _) => {
            let viewer = Viewer { peer, scheme, tls: None, pace: Arc::default() };
            match begins_with_http2(&stream, &node, &drain).await {
                Some(true) => http2(stream, viewer, &node, current, drain).await,
                Some(false) => http1(stream, viewer, &node, current, drain).await,
                None => {}
            }
        }
        (Scheme::Https, Some(tls)) => {
            secure(stream, peer, TlsAcceptor::from(tls), &node, current, drain).await;
        }
        (Scheme::Https, None) => {}
    }
}

/// Whether a viewer without TLS speaks HTTP/2 with prior knowledge (RFC 9113 §3.3): its preface begins as no method does. `None`
/// when it said nothing while it was waited for. Three bytes tell; who cuts them apart is taken to speak HTTP/1.1.
async fn begins_with_http2(stream: &TcpStream, node: &Node, drain: &Drain) -> Option<bool> {
    let mut first = [0; 3];
    let mut told = drain.told.clone();
    tokio::select! {
        peeked = tokio::time::timeout(node.limits.idle_timeout, stream.peek(&mut first)) => {
            Some(peeked.ok()?.ok()? == first.len() && &first == b"PRI")
        }
        _ = told.wait_for(|told| *told) => None,
    }
}

async fn secure(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    node: &Node,
    current: Arc<Current>,
    drain: Drain,
) {
    let handshake = tokio::time::timeout(node.limits.header_timeout, acceptor.accept(stream));
    let Ok(Ok(stream)) = handshake.await else {
        node.observer.handshake_failed();
        return;
    };
    let session = stream.get_ref().1;
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let tls = Some(Arc::new(TlsFacts {
        session: Arc::new(facts::tls(session)),
        certified_by: session.peer_certificates().and_then(|_| node.edges.as_ref()?.authorities()),
    }));
    let viewer = Viewer { peer, scheme: Scheme::Https, tls, pace: Arc::default() };
    if is_http2 {
        http2(stream, viewer, node, current, drain).await;
    } else {
        http1(stream, viewer, node, current, drain).await;
    }
}

async fn http1<S>(stream: S, viewer: Viewer, node: &Node, current: Arc<Current>, drain: Drain)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = Patience::of(&node.limits);
    let stream = TokioIo::new(Patient::heads(stream, Arc::clone(&viewer.pace), patience));
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(node.limits.head)
        .max_headers(node.limits.header_count)
        .serve_connection(stream, Answerer { viewer, current, alive: drain.alive.clone() })
        .with_upgrades();
    let mut connection = pin!(connection);
    if ends_undrained(connection.as_mut(), &drain).await {
        return;
    }
    connection.as_mut().graceful_shutdown();
    // A connection that ends with an error has only its viewer to tell, who is gone.
    let _ = connection.await;
}

async fn http2<S>(stream: S, viewer: Viewer, node: &Node, current: Arc<Current>, drain: Drain)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = Patience::of(&node.limits);
    let stream = Patient::frames(stream, Arc::clone(&viewer.pace), patience, node.limits.h2_control);
    let stream = TokioIo::new(stream);
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(node.limits.h2_streams)
        .max_pending_accept_reset_streams(node.limits.h2_resets)
        .max_local_error_reset_streams(node.limits.h2_resets)
        .max_header_list_size(u32::try_from(node.limits.head).unwrap_or(u32::MAX))
        .initial_stream_window_size(node.limits.h2_window)
        .initial_connection_window_size((node.limits.h2_window * 2).min(LARGEST_WINDOW))
        .enable_connect_protocol()
        .serve_connection(stream, Answerer { viewer, current, alive: drain.alive.clone() });
    let mut connection = pin!(connection);
    if ends_undrained(connection.as_mut(), &drain).await {
        return;
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Whether a connection ends before it is told to drain.
///
/// It is told by waking its task, which needs to be asked for once: whether the word has come is cheaper to see than to wait for, and
/// every request comes by here.
async fn ends_undrained<C: Future>(mut connection: Pin<&mut C>, drain: &Drain) -> bool {
    let mut told = drain.told.clone();
    // Unconstrained, so that the first poll asks for it whatever the task has done before.
    let mut told = pin!(tokio::task::unconstrained(told.wait_for(|told| *told)));
    let mut is_asked_for = false;
    poll_fn(|context| {
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(true);
        }
        if is_asked_for && drain.told.has_changed().is_ok_and(|changed| !changed) {
            return Poll::Pending;
        }
        is_asked_for = true;
        told.as_mut().poll(context).map(|_| false)
    })
    .await
}

/// What hyper calls for each request of a connection.
struct Answerer {
    viewer: Viewer,
    current: Arc<Current>,
    alive: mpsc::Sender<Infallible>,
}

impl Service<http::Request<Incoming>> for Answerer {
    type Response = http::Response<Flow>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: http::Request<Incoming>) -> Answering {
        let busy = self.viewer.pace.begin();
        let upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let side = upgrade.map(|upgrade| ViewerSide { upgrade, alive: self.alive.clone() });
        let answered = pipeline::serve(self.current.load(), &self.viewer, request);
        Answering { answered: Box::pin(answered), busy: Some(busy), side }
    }
}

/// The pipeline at work on one request. Not a future around a future: that would be copied and allocated for each request.
struct Answering {
    answered: Pin<Box<dyn Future<Output = Box<http::Response<Body>>> + Send>>,
    /// Until the answer is there.
    busy: Option<Busy>,
    /// What may become a tunnel.
    side: Option<ViewerSide>,
}

impl Future for Answering {
    type Output = Result<http::Response<Flow>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(self.answered.as_mut().poll(context));
        let Some(mut busy) = self.busy.take() else { return Poll::Pending };
        if let Some(side) = self.side.take()
            && let Some(agreed) = response.extensions_mut().remove::<Agreed>()
        {
            tunnel::begin(side, agreed, busy.again());
        }
        busy.rest();
        Poll::Ready(Ok(response.map(|body| Flow { body, busy })))
    }
}

/// An answer's body that tells its connection when the viewer waits for the node (an origin that pauses, say): nobody is
/// idle then.
struct Flow {
    body: Body,
    busy: Busy,
}

impl HttpBody for Flow {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        match frame.is_pending() {
            true => this.busy.work(),
            false => this.busy.rest(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
