//! The origin at the far end: bodies that nobody has asked for before, sent as fast as its congestion control lets it.

use crate::failure::Failure;
use socket2::{Domain, Socket, Type};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Bytes of an object, as the seed's.
pub(crate) const SIZE: usize = 10 << 20;
/// Bytes with which an answer begins that is made slowly, and how long the rest takes.
const BEGINNING: usize = 1 << 10;
const REST_AFTER: Duration = Duration::from_millis(500);
/// Bytes of such an answer.
pub(crate) const SLOW_SIZE: usize = 64 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(long)]
    address: SocketAddr,
    /// The algorithm that decides how fast is sent
    #[arg(long)]
    congestion: String,
}

/// Serves until it is killed: `/cold/…` at once, `/slow/…` in two pieces.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { address, congestion } = arguments;
    let listener =
        listen(*address, congestion).map_err(Failure::system(format!("{address} with {congestion}")))?;
    for stream in listener.incoming().flatten() {
        // Whoever closes its connection ends the thread with an error that concerns nobody.
        thread::spawn(move || drop(converse(&stream)));
    }
    Ok(())
}

fn listen(address: SocketAddr, congestion: &str) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_congestion(congestion.as_bytes())?;
    socket.bind(&address.into())?;
    socket.listen(64)?;
    Ok(socket.into())
}

#[allow(clippy::disallowed_methods, reason = "that the rest takes a while is what is asked for")]
fn converse(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next() {
        let request = request?;
        for line in lines.by_ref() {
            if line?.is_empty() {
                break;
            }
        }
        let is_slow = request.split(' ').nth(1).is_some_and(|path| path.starts_with("/slow/"));
        let (size, beginning) = if is_slow { (SLOW_SIZE, BEGINNING) } else { (SIZE, SIZE) };
        let body = vec![b'x'; size];
        // Not a text: nobody compresses it.
        let head = "content-type: video/mp4\r\ncache-control: public, max-age=3600";
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n{head}\r\n\r\n");
        let mut stream = stream;
        stream.write_all(&[head.as_bytes(), &body[..beginning]].concat())?;
        if is_slow {
            thread::sleep(REST_AFTER);
            stream.write_all(&body[beginning..])?;
        }
    }
    Ok(())
}
