//! TLS between viewers and the edge.

use crate::{CertificateStore, CertsError, files};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

/// TLS 1.3 and 1.2 with the certificates of `store`; HTTP/2 before HTTP/1.1 (ALPN, RFC 7301).
///
/// Sessions resume by tickets whose keys change every six hours and are never written down. Early data (0-RTT) is not
/// taken: it can be replayed (RFC 8446 section 8). The library knows neither renegotiation nor compression.
///
/// # Errors
/// The cryptography library fails, which it does only without random numbers.
pub fn viewer_tls(store: Arc<CertificateStore>) -> Result<ServerConfig, CertsError> {
    let library =
        |cause: rustls::Error| CertsError::Library { action: "set up TLS", cause: cause.to_string() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(files::provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(library)?
        .with_no_client_auth()
        .with_cert_resolver(store);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().map_err(library)?;
    config.max_early_data_size = 0;
    Ok(config)
}
