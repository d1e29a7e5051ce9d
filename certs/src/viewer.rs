//! TLS between viewers and the edge.

use crate::{CertificateStore, CertsError, files};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

/// TLS 1.3 and 1.2 with the certificates of `store`; HTTP/2 before HTTP/1.1 (ALPN, RFC 7301).
///
/// Sessions resume by tickets whose keys change every six hours and are never written down. Early data (0-RTT) is not
/// taken: it can be replayed (RFC 8446 section 8). The library knows neither renegotiation nor compression.
///
/// With `edges`, a PEM file of authorities, whoever connects is asked for a certificate and need not have one; one that none of
/// these has signed is refused.
///
/// # Errors
/// The file of authorities cannot be used, or the cryptography library fails, which it does only without random numbers.
pub fn viewer_tls(store: Arc<CertificateStore>, edges: Option<&Path>) -> Result<ServerConfig, CertsError> {
    let library =
        |cause: rustls::Error| CertsError::Library { action: "set up TLS", cause: cause.to_string() };
    let provider = Arc::new(files::provider());
    let verifier = match edges {
        Some(authorities) => signed_by(authorities, Arc::clone(&provider))?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(library)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(store);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().map_err(library)?;
    config.max_early_data_size = 0;
    Ok(config)
}

fn signed_by(
    authorities: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, CertsError> {
    let unusable = |cause: &dyn Display| files::unusable(authorities.display(), "certificate", cause);
    let mut roots = RootCertStore::empty();
    for certificate in files::read_chain(authorities)? {
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    verifier.allow_unauthenticated().build().map_err(|error| unusable(&error))
}
