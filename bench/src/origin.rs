//! The origin behind the caches: a thread a connection, no more than the scenario needs.

use crate::failure::Failure;
use crate::objects::Kind;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

/// A running origin; it ends with the process.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl Origin {
    /// Answers what [`Kind::of_path`] knows.
    pub(crate) fn start() -> Result<Self, Failure> {
        Self::scripted(answer)
    }

    /// Answers paths by `script`, which may take its time: head and body, as they are sent.
    pub(crate) fn scripted(script: fn(&str) -> Vec<u8>) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::system("the origin's socket"))?;
        let address = listener.local_addr().map_err(Failure::system("the origin's address"))?;
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                // A cache that closes its connection ends the thread with an error that concerns nobody.
                thread::spawn(move || drop(converse(&stream, &counter, script)));
            }
        });
        Ok(Self { address, answered })
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
