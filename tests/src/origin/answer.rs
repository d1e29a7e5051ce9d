//! What an origin answers, well-formed or not.

mod http2;

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// One answer of the script.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    gate: Option<Gate>,
    interim: String,
}

#[derive(Debug, Clone)]
enum Body {
    Whole(Bytes),
    Streamed(Tap),
    Raw(Bytes),
}

/// Whether the request wants a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Head,
    Whole,
}

/// What becomes of the connection.
#[derive(Debug)]
pub(super) enum After {
    Keep,
    Close,
}

impl Answer {
    /// An empty answer with this status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Whole(Bytes::new()),
            gate: None,
            interim: String::new(),
        }
    }

    /// 200 with a body.
    #[must_use]
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::new(200).body(body)
    }

    /// 200 with a body that may be kept for an hour.
    #[must_use]
    pub fn cacheable(body: impl Into<Bytes>) -> Self {
        Self::ok(body).header("cache-control", "max-age=3600")
    }

    /// 200 whose body is what the test sends into `tap`: chunked, unless a content-length header is set.
    #[must_use]
    pub fn streamed(tap: &Tap) -> Self {
        Self { body: Body::Streamed(tap.clone()), ..Self::new(200) }
    }

    /// Exactly these bytes in place of a response, then the end of the connection.
    #[must_use]
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self { body: Body::Raw(bytes.into()), ..Self::new(200) }
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }

    /// With one more header. A content-length that is not the body's is sent as it is, and the connection then closed.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Says this before it, without waiting for a gate: the head of an interim response. Over HTTP/1.1 only.
    #[must_use]
    pub fn after(mut self, interim: &str) -> Self {
        self.interim.push_str(interim);
        self
    }

    /// Not one byte of it is sent before the gate opens.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn declared_length(&self) -> Option<&str> {
        let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        found.map(|(_, value)| value.as_str())
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            _ if self.declared_length().is_some() || self.status == 304 || self.status == 204 => {}
            Body::Whole(body) => head.push_str(&format!("content-length: {}\r\n", body.len())),
            Body::Streamed(_) => head.push_str("transfer-encoding: chunked\r\n"),
            Body::Raw(_) => {}
        }
        head + "\r\n"
    }

    pub(super) async fn play(self, stream: &mut TcpStream, asked: Asked) -> io::Result<After> {
        stream.write_all(self.interim.as_bytes()).await?;
        if let Some(gate) = &self.gate {
            gate.wait().await;
        }
        if let Body::Raw(bytes) = &self.body {
            stream.write_all(bytes).await?;
            return close(stream).await;
        }
        stream.write_all(self.head().as_bytes()).await?;
        if asked == Asked::Head || self.status == 304 {
            return Ok(After::Keep);
        }
        match &self.body {
            Body::Whole(body) => {
                stream.write_all(body).await?;
                match self.declared_length() {
                    Some(length) if length != body.len().to_string() => close(stream).await,
                    _ => Ok(After::Keep),
                }
            }
            Body::Streamed(tap) => {
                let framing =
                    if self.declared_length().is_some() { Framing::Plain } else { Framing::Chunked };
                tap.play(stream, framing).await
            }
            Body::Raw(_) => unreachable!("sent above"),
        }
    }
}

async fn close(stream: &mut TcpStream) -> io::Result<After> {
    stream.shutdown().await?;
    Ok(After::Close)
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Plain,
    Chunked,
}

/// A gate that the test opens: an answer behind it waits until then.
#[derive(Debug, Clone)]
pub struct Gate {
    open: watch::Sender<bool>,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed() -> Self {
        Self { open: watch::Sender::new(false) }
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Until it is open.
    pub async fn wait(&self) {
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

/// A body under the test's control. Each request for it gets all pieces from the first on.
#[derive(Debug, Clone)]
pub struct Tap {
    pieces: Arc<Mutex<Vec<Piece>>>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Clone)]
enum Piece {
    Bytes(Bytes),
    End,
    Cut,
}

impl Default for Tap {
    fn default() -> Self {
        Self::new()
    }
}

impl Tap {
    /// A body of which nothing has come yet.
    #[must_use]
    pub fn new() -> Self {
        Self { pieces: Arc::default(), count: watch::Sender::new(0) }
    }

    /// Sends the next piece.
    pub fn send(&self, bytes: impl Into<Bytes>) {
        self.push(Piece::Bytes(bytes.into()));
    }

    /// Ends the body properly.
    pub fn end(&self) {
        self.push(Piece::End);
    }

    /// Ends the connection in the middle of the body; over HTTP/2, resets the stream.
    pub fn cut(&self) {
        self.push(Piece::Cut);
    }

    fn push(&self, piece: Piece) {
        self.pieces.lock().unwrap().push(piece);
        self.count.send_modify(|count| *count += 1);
    }

    async fn piece(&self, index: usize) -> Piece {
        let _ = self.count.subscribe().wait_for(|count| *count > index).await;
        self.pieces.lock().unwrap()[index].clone()
    }

    async fn play(&self, stream: &mut TcpStream, framing: Framing) -> io::Result<After> {
        for index in 0.. {
            match (self.piece(index).await, framing) {
                (Piece::Bytes(bytes), Framing::Plain) => stream.write_all(&bytes).await?,
                (Piece::Bytes(bytes), Framing::Chunked) => {
                    stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                    stream.write_all(&bytes).await?;
                    stream.write_all(b"\r\n").await?;
                }
                (Piece::End, Framing::Plain) => return Ok(After::Keep),
                (Piece::End, Framing::Chunked) => {
                    stream.write_all(b"0\r\n\r\n").await?;
                    return Ok(After::Keep);
                }
                (Piece::Cut, _) => return close(stream).await,
            }
        }
        Ok(After::Close)
    }
}
