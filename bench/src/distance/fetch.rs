//! A viewer's fetch, on a connection of its own: when the first byte comes, and when the last.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to connect
    #[arg(long)]
    address: SocketAddr,
    /// What to ask for
    #[arg(long)]
    path: String,
    /// The bytes that must come
    #[arg(long)]
    size: usize,
}

/// Milliseconds from the moment at which the viewer begins to connect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// Until the first byte of the body.
    pub(crate) first: f64,
    /// Until the last.
    pub(crate) last: f64,
}

/// Fetches and says the times as JSON.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let times = fetch(arguments).map_err(Failure::system(format!("a fetch from {}", arguments.address)))?;
    println!("{}", serde_json::to_string(&times).map_err(|error| Failure::Setup(error.to_string()))?);
    Ok(())
}

fn fetch(arguments: &Arguments) -> io::Result<Times> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let begun = Instant::now();
    let mut stream = TcpStream::connect(arguments.address)?;
    stream.set_nodelay(true)?;
    let path = &arguments.path;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench.test\r\nAccept: */*\r\nConnection: close\r\n\r\n")?;
    let (mut answer, mut first, mut body) = (Vec::new(), None, None);
    let mut piece = vec![0; 64 << 10];
    let mut seen = 0;
    while body.is_none_or(|begins| seen < begins + arguments.size) {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(wrong(format!("{seen} bytes and no more")));
        }
        seen += read;
        if body.is_none() {
            answer.extend_from_slice(&piece[..read]);
            body = memchr::memmem::find(&answer, b"\r\n\r\n").map(|end| end + 4);
            if body.is_some() && !answer.starts_with(b"HTTP/1.1 200 ") {
                let head = String::from_utf8_lossy(&answer);
                return Err(wrong(head.lines().next().unwrap_or_default().to_owned()));
            }
        }
        if first.is_none() && body.is_some_and(|begins| seen > begins) {
            first = Some(begun.elapsed());
        }
    }
    let millis = |elapsed: std::time::Duration| elapsed.as_secs_f64() * 1e3;
    Ok(Times { first: millis(first.unwrap_or_default()), last: millis(begun.elapsed()) })
}
