//! A well-behaved viewer: HTTP/1.1 or HTTP/2, over TCP or TLS.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{handshake, within};

/// Someone who asks a node for things. Each request goes on a connection of its own, unless made by [`Viewer::connect`].
#[derive(Debug, Clone)]
pub struct Viewer {
    address: SocketAddr,
    tls: Option<Tls>,
    protocol: Protocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

#[derive(Debug, Clone)]
struct Tls {
    root: String,
    name: String,
}

impl Viewer {
    /// Speaks HTTP/1.1 over plain TCP to whatever listens at `address`, whatever host the URLs name.
    #[must_use]
    pub fn http(address: SocketAddr) -> Self {
        Self { address, tls: None, protocol: Protocol::Http1 }
    }

    /// Speaks HTTP/1.1 over TLS, naming `name` in the handshake and trusting only `root` (PEM).
    #[must_use]
    pub fn https(address: SocketAddr, root: &str, name: &str) -> Self {
        let tls = Tls { root: root.to_owned(), name: name.to_owned() };
        Self { address, tls: Some(tls), protocol: Protocol::Http1 }
    }

    /// Speaks HTTP/2 instead: chosen by ALPN, so only over TLS.
    #[must_use]
    pub fn http2(self) -> Self {
        Self { protocol: Protocol::Http2, ..self }
    }

    /// Gets `url` and reads the whole answer.
    pub async fn get(&self, url: &str) -> Reply {
        self.send(request("GET", url, &[])).await
    }

    /// Gets `url` with these header fields.
    pub async fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(request("GET", url, headers)).await
    }

    /// Asks for `url` with any method.
    pub async fn ask(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(request(method, url, headers)).await
    }

    /// Sends any request and reads the whole answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        self.open(request).await.finish().await.expect("the answer was cut short")
    }

    /// Gets `url` and returns as soon as the head of the answer is there.
    pub async fn open_get(&self, url: &str) -> Streaming {
        self.open(request("GET", url, &[])).await
    }

    async fn open(&self, request: Request<Full<Bytes>>) -> Streaming {
        let mut connection = self.connect().await.expect("cannot connect");
        connection.open(request).await.expect("no answer")
    }

    /// Opens a connection for several requests.
    ///
    /// # Errors
    /// When TCP, TLS or HTTP cannot be established.
    pub async fn connect(&self) -> io::Result<Connection> {
        // Boxed: the states of a TLS handshake would make every story's own future large.
        within("a connection", Box::pin(self.dial())).await
    }

    async fn dial(&self) -> io::Result<Connection> {
        let Some(tls) = &self.tls else {
            return self.speak(handshake::plain(self.address).await?).await;
        };
        let protocol = match self.protocol {
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "h2",
        };
        self.speak(handshake::tls(self.address, &tls.root, &tls.name, protocol).await?).await
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> io::Result<Connection> {
        let stream = TokioIo::new(stream);
        match self.protocol {
            Protocol::Http1 => {
                let (sender, driver) = http1::handshake(stream).await.map_err(io::Error::other)?;
                tokio::spawn(driver);
                Ok(Connection::Http1(sender))
            }
            Protocol::Http2 => {
                let (sender, driver) =
                    http2::handshake(TokioExecutor::new(), stream).await.map_err(io::Error::other)?;
                tokio::spawn(driver);
                Ok(Connection::Http2(sender))
            }
        }
    }
}

fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).expect("not a valid request")
}

/// One connection of a viewer.
#[derive(Debug)]
pub enum Connection {
    /// HTTP/1.1.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Gets `url` on this connection and reads the whole answer.
    ///
    /// # Errors
    /// When the connection ends before the answer does.
    pub async fn get(&mut self, url: &str) -> hyper::Result<Reply> {
        self.open(request("GET", url, &[])).await?.finish().await
    }

    /// Sends a request with an absolute URL and returns when the head of the answer is there.
    ///
    /// # Errors
    /// When the connection ends before that.
    pub async fn open(&mut self, mut request: Request<Full<Bytes>>) -> hyper::Result<Streaming> {
        let response = match self {
            Self::Http1(sender) => {
                to_origin_form(&mut request);
                within("the connection to be ready", sender.ready()).await?;
                within("the head of an answer", sender.send_request(request)).await?
            }
            Self::Http2(sender) => {
                within("the connection to be ready", sender.ready()).await?;
                within("the head of an answer", sender.send_request(request)).await?
            }
        };
        Ok(Streaming::new(response))
    }
}

/// HTTP/1.1 sends the host in its own field and only the path in the request line.
fn to_origin_form(request: &mut Request<Full<Bytes>>) {
    let uri = request.uri().clone();
    if let Some(authority) = uri.authority() {
        let host = authority.as_str().parse().expect("an authority is a header value");
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    *request.uri_mut() = Uri::try_from(target).expect("a path is a URI");
}

/// An answer whose body is still arriving. Dropping it is a viewer who goes away.
#[derive(Debug)]
pub struct Streaming {
    /// The status code.
    pub status: u16,
    /// The protocol that carried it.
    pub version: Version,
    /// The header fields.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Streaming {
    fn new(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status.as_u16(), version: head.version, headers: head.headers, body }
    }

    /// Reads until at least `length` bytes have come, which is to be less than the whole body.
    pub async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while read.len() < length {
            let frame = within("the next piece of a body", self.body.frame()).await;
            let frame = frame.expect("the body ended early").expect("the body was cut short");
            if let Ok(data) = frame.into_data() {
                read.extend_from_slice(&data);
            }
        }
        read
    }

    /// Reads the rest of the answer.
    ///
    /// # Errors
    /// When it is cut short.
    pub async fn finish(self) -> hyper::Result<Reply> {
        let body = within("the end of a body", self.body.collect()).await?.to_bytes();
        Ok(Reply { status: self.status, version: self.version, headers: self.headers, body })
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The protocol that carried it.
    pub version: Version,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The values of a header joined by a comma; empty when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter();
        values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Whether it came from the cache without asking the origin (RFC 9211 §2.1: `hit`).
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.header("cache-status").split([';', ',']).any(|part| part.trim() == "hit")
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
