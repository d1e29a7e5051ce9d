//! An origin that the test plays by itself, byte by byte and connection by connection.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::{RawConnection, within};

/// Listens on 127.0.0.1 and does nothing by itself.
#[derive(Debug)]
pub struct BareOrigin {
    listener: TcpListener,
}

impl BareOrigin {
    /// Listens on a free port.
    pub async fn listen() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { listener: TcpListener::bind(address).await.expect("cannot listen") }
    }

    /// Its address as a config names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("a listener has an address"))
    }

    /// The next connection that the node opens.
    pub async fn accept(&self) -> RawConnection {
        let accepted = within("the node to connect to the origin", self.listener.accept()).await;
        RawConnection::accepted(accepted.expect("cannot accept").0)
    }

    /// Whether the node has opened a connection that was not accepted yet.
    pub async fn is_called(&self) -> bool {
        tokio::time::timeout(std::time::Duration::from_millis(100), self.listener.accept()).await.is_ok()
    }
}
