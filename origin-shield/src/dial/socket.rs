//! A TCP connection as origins get it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

use crate::settings::Algorithm;

/// How long a connection may be silent before the origin's system is asked whether it still knows it. Firewalls and address
/// translators on the way keep what they see used.
const ASK_AFTER: Duration = Duration::from_secs(20);
/// How long each answer may take, and how many may be missing before the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
const MISSING: u32 = 3;

/// Connects. What the system does not let a socket be told is not worth failing for.
pub(super) async fn connect(address: SocketAddr, algorithm: Algorithm) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let _ = algorithm.set_on(&socket);
    let asking = TcpKeepalive::new().with_time(ASK_AFTER).with_interval(PATIENCE).with_retries(MISSING);
    let _ = SockRef::from(&socket).set_tcp_keepalive(&asking);
    // A request's last piece must not wait for the acknowledgement of the one before it.
    socket.set_nodelay(true)?;
    socket.connect(address).await
}
