//! The floor: hyper answers from Moka, and nothing else happens. What an edge costs above this is its own.

use crate::failure::Failure;
use crate::load::runtime;
use crate::objects::{KINDS, Kind};
use bytes::Bytes;
use http::header::{AGE, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use std::convert::Infallible;
use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use tokio::net::TcpStream;

/// Pending connections a socket.
const BACKLOG: i32 = 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(long)]
    address: SocketAddr,
    /// How tasks meet threads
    #[arg(long, value_enum)]
    model: Model,
    /// Threads that serve
    #[arg(long)]
    threads: usize,
    /// Different objects of each kind
    #[arg(long)]
    objects: usize,
}

/// How tasks meet threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Model {
    /// A current-thread runtime and a socket of its own for each thread; the kernel deals connections out
    PerCore,
    /// One runtime and one socket for all threads; tasks move to whichever is free
    WorkStealing,
}

/// Serves until it is killed.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let store = filled(arguments.objects);
    match arguments.model {
        Model::PerCore => {
            let sockets: Vec<_> =
                (0..arguments.threads).map(|_| bind(arguments.address)).collect::<Result<_, _>>()?;
            let mut threads = Vec::new();
            for socket in sockets {
                let store = store.clone();
                threads.push(thread::spawn(move || runtime()?.block_on(accept(socket, store))));
            }
            for thread in threads {
                thread.join().map_err(|_| Failure::Setup("a thread broke down".to_owned()))??;
            }
            Ok(())
        }
        Model::WorkStealing => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(arguments.threads)
                .enable_all()
                .build()
                .map_err(Failure::system("a work-stealing runtime"))?;
            let socket = bind(arguments.address)?;
            // On a worker: a socket's readiness must not have to wake the thread that only waits for the end.
            let accepting = runtime.spawn(accept(socket, store));
            runtime.block_on(accepting).map_err(|error| Failure::Setup(error.to_string()))?
        }
    }
}

/// Status, headers and body of an object.
#[derive(Debug)]
struct Stored {
    headers: HeaderMap,
    body: Bytes,
}

type Store = moka::sync::Cache<String, Arc<Stored>>;

fn filled(objects: usize) -> Store {
    let store = Store::builder()
        .max_capacity(1 << 30)
        .weigher(|key, stored: &Arc<Stored>| {
            u32::try_from(key.len() + stored.body.len() + 512).unwrap_or(u32::MAX)
        })
        .build();
    for kind in KINDS {
        let body = Bytes::from(kind.body());
        for number in 0..objects {
            let stored = Stored { headers: headers(kind), body: body.clone() };
            store.insert(kind.path(number), Arc::new(stored));
        }
    }
    store
}

fn headers(kind: Kind) -> HeaderMap {
    let fields = kind.headers().into_iter();
    let fields = fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    fields.collect()
}

pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let socket = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    socket().map_err(Failure::system(format!("cannot listen on {address}")))
}

async fn accept(listener: TcpListener, store: Store) -> Result<(), Failure> {
    let failed = || Failure::system("accepting");
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed())?;
    loop {
        let (stream, _) = listener.accept().await.map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        tokio::spawn(serve(stream, store.clone()));
    }
}

async fn serve(stream: TcpStream, store: Store) {
    let answer = service_fn(|request| ready(Ok::<_, Infallible>(answer(&store, &request))));
    // A connection that ends with an error has only its viewer to tell, who is gone.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

fn answer(store: &Store, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let Some(stored) = store.get(request.uri().path()) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Full::new(stored.body.clone()));
    *response.headers_mut() = stored.headers.clone();
    response.headers_mut().insert(AGE, HeaderValue::from_static("1"));
    response
}
