//! The origin behind the programs under test, no more than the scenario needs.

use crate::failure::Failure;
use crate::load::runtime;
use crate::objects::Kind;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A running origin; it ends with the process.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    answered: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
}

impl Origin {
    /// Answers what [`Kind::of_path`] knows, all connections on one thread: for loads of which each request reaches it.
    pub(crate) fn quick() -> Result<Self, Failure> {
        let (listener, origin) = Self::listen()?;
        listener.set_nonblocking(true).map_err(Failure::system("the origin's socket"))?;
        let counters = (Arc::clone(&origin.connections), Arc::clone(&origin.answered));
        thread::spawn(move || {
            runtime()?.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)
                    .map_err(Failure::system("the origin's socket"))?;
                while let Ok((stream, _)) = listener.accept().await {
                    counters.0.fetch_add(1, Relaxed);
                    let answered = Arc::clone(&counters.1);
                    tokio::spawn(async move { drop(converse_quickly(stream, &answered).await) });
                }
                Ok::<_, Failure>(())
            })
        });
        Ok(origin)
    }

    /// Answers what [`Kind::of_path`] knows.
    pub(crate) fn start() -> Result<Self, Failure> {
        Self::scripted(answer)
    }

    /// Answers paths by `script`, which may take its time: head and body, as they are sent.
    pub(crate) fn scripted(script: fn(&str) -> Vec<u8>) -> Result<Self, Failure> {
        let (listener, origin) = Self::listen()?;
        let counters = (Arc::clone(&origin.connections), Arc::clone(&origin.answered));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counters.0.fetch_add(1, Relaxed);
                let counter = Arc::clone(&counters.1);
                // A cache that closes its connection ends the thread with an error that concerns nobody.
                thread::spawn(move || drop(converse(&stream, &counter, script)));
            }
        });
        Ok(origin)
    }

    fn listen() -> Result<(TcpListener, Self), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::system("the origin's socket"))?;
        let address = listener.local_addr().map_err(Failure::system("the origin's address"))?;
        Ok((listener, Self { address, answered: Arc::default(), connections: Arc::default() }))
    }

    /// Connections that have been opened so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Requests that have come so far: while hits are measured it must not move.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }
}

fn converse(stream: &TcpStream, answered: &AtomicU64, script: fn(&str) -> Vec<u8>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next() {
        let request = request?;
        for line in lines.by_ref() {
            if line?.is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        answered.fetch_add(1, Relaxed);
        (&*stream).write_all(&script(path))?;
    }
    Ok(())
}

/// One request at a time, as a pool sends them.
async fn converse_quickly(mut stream: tokio::net::TcpStream, answered: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
    let mut known: Option<(Kind, Vec<u8>)> = None;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        filled += read;
        if read == 0 {
            return Ok(());
        }
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        let path = buffer[..filled].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let kind = std::str::from_utf8(path).ok().and_then(Kind::of_path);
        filled = 0;
        answered.fetch_add(1, Relaxed);
        match (kind, &known) {
            (Some(kind), Some((same, answer))) if kind == *same => stream.write_all(answer).await?,
            (Some(kind), _) => {
                let answer = ok(&kind.headers(), &kind.body());
                stream.write_all(&answer).await?;
                known = Some((kind, answer));
            }
            (None, _) => stream.write_all(&not_found()).await?,
        }
    }
}

fn answer(path: &str) -> Vec<u8> {
    match Kind::of_path(path) {
        Some(kind) => ok(&kind.headers(), &kind.body()),
        None => not_found(),
    }
}

/// A 200 with these header fields and its length.
pub(crate) fn ok(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        // Writing to a String cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    let mut answer = head.into_bytes();
    answer.extend_from_slice(body);
    answer
}

pub(crate) fn not_found() -> Vec<u8> {
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()
}
