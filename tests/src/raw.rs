//! A viewer that sends exactly the bytes it is told to: for malformed and hostile requests.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{handshake, within};

/// A bare connection.
pub struct RawConnection {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl RawConnection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = within("a connection", handshake::plain(address)).await.expect("cannot connect");
        Self { stream: Box::new(stream), received: Vec::new() }
    }

    /// The other end of a connection that was accepted.
    pub(crate) fn accepted(stream: TcpStream) -> Self {
        Self { stream: Box::new(stream), received: Vec::new() }
    }

    /// Says that nothing more will be sent, and goes on listening.
    pub async fn finish_sending(&mut self) {
        within("the end to be sent", self.stream.shutdown()).await.expect("the connection has ended already");
    }

    /// Connects with TLS, to speak HTTP/2 frames by hand.
    pub async fn open_http2(address: SocketAddr, root: &str, name: &str) -> Self {
        let stream = within("a handshake", Box::pin(handshake::tls(address, root, name, "h2"))).await;
        Self { stream: Box::new(stream.expect("no handshake")), received: Vec::new() }
    }

    /// Sends `bytes` on a connection of their own and returns all that came back until the node closed it.
    pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
        let mut connection = Self::open(address).await;
        connection.send(bytes).await;
        connection.read_to_end().await
    }

    /// Sends bytes. A peer that has already hung up is no failure: its answer still tells why.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let write = async {
            let _ = self.stream.write_all(bytes.as_ref()).await;
            let _ = self.stream.flush().await;
        };
        within("the node to take what is sent", write).await;
    }

    /// Sends `bytes` so many times, or until the node ends the connection. How often they were sent.
    pub async fn send_while_taken(&mut self, bytes: &[u8], times: usize) -> usize {
        for sent in 0..times {
            if within("the node to take what is sent", self.stream.write_all(bytes)).await.is_err() {
                return sent;
            }
        }
        times
    }

    /// Reads at least so many bytes and forgets them. How many they were.
    pub async fn discard(&mut self, length: usize) -> usize {
        let (mut buffer, mut read) = (vec![0; 256 * 1024], 0);
        while read < length {
            match within("more of what is sent", self.stream.read(&mut buffer)).await {
                Ok(count @ 1..) => read += count,
                ended => panic!("only {read} of {length} bytes came: {ended:?}"),
            }
        }
        read
    }

    /// Reads until what has come in so far contains `needle`, and returns all of it.
    pub async fn read_until(&mut self, needle: &str) -> String {
        let found = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        let complete = found(self.read_bytes_until(&format!("{needle:?} to arrive"), found).await);
        assert!(complete, "the connection ended before {needle:?}; it said:\n{}", self.text());
        self.text()
    }

    /// Reads until what has come in so far is `enough`, or the connection ends.
    pub async fn read_bytes_until(&mut self, what: &str, enough: impl Fn(&[u8]) -> bool) -> &[u8] {
        within(what, async {
            while !enough(&self.received) {
                self.received.reserve(4096);
                if !matches!(self.stream.read_buf(&mut self.received).await, Ok(1..)) {
                    break;
                }
            }
        })
        .await;
        &self.received
    }

    /// Reads until the node closes or resets the connection, and returns all that ever came in.
    pub async fn read_to_end(&mut self) -> String {
        self.read_bytes_to_end().await;
        self.text()
    }

    /// The same for what is no text.
    pub async fn read_bytes_to_end(&mut self) -> &[u8] {
        let mut rest = Vec::new();
        let _ = within("the node to close the connection", self.stream.read_to_end(&mut rest)).await;
        self.received.extend_from_slice(&rest);
        &self.received
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}
