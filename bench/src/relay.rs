//! The floor of passing through: hyper on both sides and the simplest pool between, and nothing else happens. What an edge costs
//! above this is its own; what a peer costs below it no edge on hyper can reach.

use crate::failure::Failure;
use crate::load::runtime;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;
use tokio::net::TcpStream;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(long)]
    address: SocketAddr,
    /// Where answers come from
    #[arg(long)]
    origin: SocketAddr,
    /// Who uses a kept connection again
    #[arg(long, value_enum)]
    pool: Pool,
    /// Threads that serve, each with a runtime and a socket of its own
    #[arg(long)]
    threads: usize,
}

/// Who uses a kept connection again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pool {
    /// The thread that opened it
    PerCore,
    /// Any thread; the one that opened it goes on reading and writing it
    Shared,
}

/// Serves until it is killed.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shared = Kept::default();
    let mut threads = Vec::new();
    for _ in 0..arguments.threads {
        let socket = crate::bare::bind(arguments.address)?;
        let kept = match arguments.pool {
            Pool::PerCore => Kept::default(),
            Pool::Shared => shared.clone(),
        };
        let origin = arguments.origin;
        threads.push(thread::spawn(move || runtime()?.block_on(accept(socket, origin, kept))));
    }
    for thread in threads {
        thread.join().map_err(|_| Failure::Setup("a thread broke down".to_owned()))??;
    }
    Ok(())
}

type Sender = SendRequest<Empty<Bytes>>;

/// Connections to the origin that nobody uses just now, the last one used on top.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<Sender>>>);

impl Kept {
    fn idle(&self) -> MutexGuard<'_, Vec<Sender>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&self, origin: SocketAddr) -> Result<Sender, Error> {
        loop {
            let Some(mut sender) = self.idle().pop() else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(origin).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn accept(listener: TcpListener, origin: SocketAddr, kept: Kept) -> Result<(), Failure> {
    let failed = || Failure::system("accepting");
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed())?;
    loop {
        let (stream, _) = listener.accept().await.map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        let kept = kept.clone();
        tokio::spawn(async move {
            let pass = service_fn(|request| pass(request, origin, &kept));
            // A connection that ends with an error has only its viewer to tell, who is gone.
            let _ =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), pass).await;
        });
    }
}

async fn pass(
    request: Request<Incoming>,
    origin: SocketAddr,
    kept: &Kept,
) -> Result<Response<Returning>, Error> {
    let mut sender = kept.take(origin).await?;
    let response = sender.send_request(request.map(|_| Empty::new())).await?;
    Ok(response.map(|body| Returning { body, home: Some((sender, kept.clone())) }))
}

/// An origin's body; its end gives the connection back.
struct Returning {
    body: Incoming,
    home: Option<(Sender, Kept)>,
}

impl Body for Returning {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if self.body.is_end_stream() || frame.is_none() {
            self.give_back();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Returning {
    fn give_back(&mut self) {
        if let Some((sender, kept)) = self.home.take() {
            kept.idle().push(sender);
        }
    }
}
