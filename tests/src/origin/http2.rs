//! The script over HTTP/2 (RFC 9113). Bodies of requests are not read.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Script;
use super::answer::Asked;
use super::wire::Received;
use crate::pki::Identity;

pub(super) fn tls(identity: &Identity) -> Arc<ServerConfig> {
    let certificate =
        CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("no certificate");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("no key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider speaks TLS 1.2 and 1.3").with_no_client_auth();
    let mut config =
        builder.with_single_cert(vec![certificate], key).expect("the key is not the certificate's");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

pub(super) async fn serve(script: Arc<Script>, stream: TcpStream, tls: Arc<ServerConfig>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut answers = JoinSet::new();
    let mut left = script.leaves_after.load(Ordering::SeqCst);
    while let Some(Ok((request, respond))) = connection.accept().await {
        let request = Received::framed(&request.into_parts().0);
        script.record(request.clone());
        let asked = if request.method == "HEAD" { Asked::Head } else { Asked::Whole };
        // A stream that the node has given up concerns nobody.
        answers.spawn(script.answer(&request).play_framed(respond, asked));
        left -= 1;
        if left == 0 {
            connection.graceful_shutdown();
        }
    }
}
