//! Connections, with or without TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A TCP connection.
///
/// # Errors
/// Nobody listens there.
pub async fn plain(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A TLS connection that names `name`, trusts only `root` (PEM) and speaks only `protocol` (an ALPN name).
///
/// # Errors
/// There is no connection, or no handshake.
pub async fn tls(
    address: SocketAddr,
    root: &str,
    name: &str,
    protocol: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let root = CertificateDer::from_pem_slice(root.as_bytes()).expect("the root is no PEM certificate");
    let name = ServerName::try_from(name.to_owned()).expect("not a name that TLS can carry");
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("not a root certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider speaks TLS 1.2 and 1.3");
    let mut settings = builder.with_root_certificates(roots).with_no_client_auth();
    settings.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(settings)).connect(name, plain(address).await?).await
}
