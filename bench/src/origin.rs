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
    pub(crate) fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::system("the origin's socket"))?;
        let address = listener.local_addr().map_err(Failure::system("the origin's address"))?;
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                // A cache that closes its connection ends the thread with an error that concerns nobody.
                thread::spawn(move || drop(converse(&stream, &counter)));
            }
        });
        Ok(Self { address, answered })
    }

    /// Requests answered so far: while hits are measured it must not move.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }
}

fn converse(stream: &TcpStream, answered: &AtomicU64) -> std::io::Result<()> {
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
        (&*stream).write_all(&answer(path))?;
    }
    Ok(())
}

fn answer(path: &str) -> Vec<u8> {
    let Some(kind) = Kind::of_path(path) else {
        return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
    };
    let mut head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", kind.size);
    for (name, value) in kind.headers() {
        // Writing to a String cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    let mut answer = head.into_bytes();
    answer.extend_from_slice(&kind.body());
    answer
}
