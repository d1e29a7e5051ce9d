//! Reading HTTP/1.1 requests as they come off the socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A request as it reached the origin. Its body grows while it is still arriving.
#[derive(Debug, Clone)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The request target, with its query.
    pub target: String,
    /// Header fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    body: Arc<Mutex<Vec<u8>>>,
}

impl Received {
    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The values of a header, joined by a comma; `None` when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let fits = |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
        let values: Vec<&str> = self.headers.iter().filter(fits).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The part of the body that has arrived.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.body.lock().unwrap().clone()
    }

    /// The head of a request that came in frames.
    pub(super) fn framed(request: &http::request::Parts) -> Self {
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self {
            method: request.method.to_string(),
            target: request.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            headers: request.headers.iter().map(field).collect(),
            body: Arc::default(),
        }
    }

    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut request_line = lines.next()?.split(' ');
        let method = request_line.next()?.to_owned();
        let target = request_line.next()?.to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Some(Self { method, target, headers: lines.filter_map(header).collect(), body: Arc::default() })
    }
}

/// A connection with what has been read ahead of need.
pub(super) struct Wire<'script> {
    stream: TcpStream,
    ahead: Vec<u8>,
    bytes: &'script AtomicUsize,
}

impl<'script> Wire<'script> {
    pub(super) fn new(stream: TcpStream, bytes: &'script AtomicUsize) -> Self {
        Self { stream, ahead: Vec::new(), bytes }
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The next request's head; `None` when the peer has gone or speaks no HTTP.
    pub(super) async fn read_head(&mut self) -> Option<Received> {
        let end = self.find(b"\r\n\r\n").await?;
        let head = self.take(end + 4);
        Received::parse(std::str::from_utf8(&head[..end]).ok()?)
    }

    /// Reads the body into `request`, calling `arrived` after each piece. A body cut short stays as it is.
    pub(super) async fn read_body(&mut self, request: &Received, arrived: impl Fn()) {
        let chunked = request.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        if chunked {
            while let Some(size) = self.read_chunk_size().await {
                if size == 0 || self.read_exactly(size, request, &arrived).await.is_none() {
                    break;
                }
                let _ = self.find(b"\r\n").await;
                self.take(2);
            }
            let _ = self.find(b"\r\n").await;
            self.take(2);
            return;
        }
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let _ = self.read_exactly(length, request, &arrived).await;
    }

    async fn read_chunk_size(&mut self) -> Option<usize> {
        let end = self.find(b"\r\n").await?;
        let line = self.take(end + 2);
        usize::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()
    }

    async fn read_exactly(
        &mut self,
        mut length: usize,
        request: &Received,
        arrived: &impl Fn(),
    ) -> Option<()> {
        while length > 0 {
            if self.ahead.is_empty() {
                self.read_more().await?;
            }
            let piece = self.take(length.min(self.ahead.len()));
            length -= piece.len();
            request.body.lock().unwrap().extend_from_slice(&piece);
            arrived();
        }
        Some(())
    }

    async fn find(&mut self, needle: &[u8]) -> Option<usize> {
        loop {
            if let Some(position) = self.ahead.windows(needle.len()).position(|window| window == needle) {
                return Some(position);
            }
            self.read_more().await?;
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let length = length.min(self.ahead.len());
        self.ahead.drain(..length).collect()
    }

    async fn read_more(&mut self) -> Option<()> {
        self.ahead.reserve(16 * 1024);
        match self.stream.read_buf(&mut self.ahead).await {
            Ok(count) if count > 0 => {
                self.bytes.fetch_add(count, Ordering::SeqCst);
                Some(())
            }
            _ => None,
        }
    }
}
