//! An origin that does exactly what a script says, byte by byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One thing that an origin does after it has read a request.
#[derive(Clone)]
pub(crate) enum Act {
    Send(Vec<u8>),
    /// Say nothing more, and keep the connection open.
    Hang,
    /// End the connection in good order.
    Close,
    /// End the connection with a reset.
    Reset,
}

/// Which request on which connection is to be answered, both counted from 0.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) connection: usize,
    pub(crate) request: usize,
}

pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(crate) async fn start(script: impl Fn(Place) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            ended: Arc::default(),
            requests: Arc::default(),
        };
        let (accepted, ended, requests) =
            (origin.accepted.clone(), origin.ended.clone(), origin.requests.clone());
        let script = Arc::new(script);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = accepted.fetch_add(1, Ordering::SeqCst);
                let (script, requests, ended) = (script.clone(), requests.clone(), ended.clone());
                tokio::spawn(async move {
                    serve(stream, connection, &*script, &requests).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        origin
    }

    /// Does the same after every request.
    pub(crate) async fn always(acts: &[Act]) -> Self {
        let acts = acts.to_vec();
        Self::start(move |_| acts.clone()).await
    }

    /// Answers every request with these bytes.
    pub(crate) async fn answering(bytes: impl AsRef<[u8]>) -> Self {
        Self::always(&[send(bytes)]).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were opened.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The requests so far, each with its head and body as received.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until so many connections have ended.
    pub(crate) async fn ended(&self, count: usize) {
        eventually(|| self.ended.load(Ordering::SeqCst) >= count).await;
    }
}

pub(crate) fn send(bytes: impl AsRef<[u8]>) -> Act {
    Act::Send(bytes.as_ref().to_vec())
}

/// A whole answer with `body`.
pub(crate) fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Looks until `done`, and fails when that takes too long.
pub(crate) async fn eventually(done: impl Fn() -> bool) {
    let looking = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), looking).await.expect("did not happen within 5 s");
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: &(impl Fn(Place) -> Vec<Act> + ?Sized),
    requests: &Mutex<Vec<String>>,
) {
    for request in 0.. {
        let Some(received) = read_request(&mut stream).await else { return };
        requests.lock().unwrap().push(received);
        for act in script(Place { connection, request }) {
            match act {
                Act::Send(bytes) => stream.write_all(&bytes).await.unwrap(),
                // The other side going away is all that can still happen.
                Act::Hang => drop(stream.read(&mut [0; 1]).await),
                Act::Close => return,
                Act::Reset => return stream.set_zero_linger().unwrap(),
            }
        }
    }
}

/// One request with its body; `None` when the connection ends before one.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received);
        if is_whole(&text) {
            return Some(text.into_owned());
        }
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => received.extend_from_slice(&piece[..count]),
        }
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}
