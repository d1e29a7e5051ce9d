//! TLS and HTTP/2 towards the origin.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use origin_shield::{Failure, Group, GroupSettings, Halt, Material, Origin, OriginTls, RetryBudget};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::scripted::{Act, Scripted, answer, send};
use crate::{failures, get, settings, text};

/// A certificate authority of our own, with its files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Certificate and key for `name`, in PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn certify(&self, name: &str, protocols: &[&[u8]], viewers: Viewers) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (certificate, key) = self.issue(name);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match viewers {
            Viewers::Anybody => builder.with_no_client_auth(),
            Viewers::Certified => {
                let mut roots = RootCertStore::empty();
                roots.add(self.issuer.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }
}

#[derive(Clone, Copy)]
enum Viewers {
    Anybody,
    Certified,
}

/// An origin behind TLS that tells how it was asked.
struct TlsOrigin {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl TlsOrigin {
    async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            connections: Arc::default(),
        };
        let (accepted, connections) = (origin.accepted.clone(), origin.connections.clone());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                connections.lock().unwrap().spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let (stream, service) = (TokioIo::new(stream), service_fn(describe));
                    // How a connection ends is the business of the test at the other end.
                    if is_http2 {
                        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        drop(builder.serve_connection(stream, service).await);
                    } else {
                        let builder = hyper::server::conn::http1::Builder::new();
                        drop(builder.serve_connection(stream, service).await);
                    }
                });
            }
        });
        origin
    }

    /// Ends every connection at once, without a word.
    fn drop_connections(&self) {
        self.connections.lock().unwrap().abort_all();
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    fn group(&self, host: &str, tls: OriginTls) -> Group {
        let mut settings = settings(&format!("https://{host}:{}", self.address.port()));
        settings.tls = Some(tls);
        Group::single(Origin::build("app", &settings).unwrap())
    }
}

async fn describe(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let authority = request.uri().authority().map(ToString::to_string);
    let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
    let path = request.uri().path_and_query().unwrap();
    let text = format!("{:?} {path} authority={authority:?} host={host:?}", request.version());
    Ok(Response::new(Full::new(Bytes::from(text))))
}

fn trusting(authority: &Authority) -> OriginTls {
    OriginTls { ca: Some(authority.ca()), ..OriginTls::default() }
}

async fn failure(group: &Group) -> Failure {
    let exhausted = get(group).await.unwrap_err();
    assert_eq!(exhausted.attempts.len(), 1, "{exhausted}");
    exhausted.failure().unwrap()
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_told() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(authority.certify("localhost", &[b"http/1.1"], Viewers::Anybody)).await;
    let group = origin.group("localhost", trusting(&authority));
    let port = origin.address.port();
    let expected = format!("HTTP/1.1 /thing?x=1 authority=None host=Some(\"localhost:{port}\")");
    for _ in 0..3 {
        assert_eq!(text(get(&group).await.unwrap()).await, expected);
    }
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_not_for_this_name_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let origin = TlsOrigin::start(authority.certify("localhost", &[], Viewers::Anybody)).await;
    let strange = failure(&origin.group("localhost", trusting(&other))).await;
    assert_eq!((strange, strange.token()), (Failure::TlsCertificate, "tls_certificate_error"));
    let misnamed = failure(&origin.group("127.0.0.1", trusting(&authority))).await;
    assert_eq!(misnamed, Failure::TlsCertificate);
    assert_eq!(origin.accepted(), 2, "a wrong certificate does not get better by asking again");
}

#[tokio::test]
async fn another_name_can_be_asked_for_than_the_host_of_the_url() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(authority.certify("app.example.com", &[], Viewers::Anybody)).await;
    let sni = Some("app.example.com".to_owned());
    let group = origin.group("127.0.0.1", OriginTls { sni, ..trusting(&authority) });
    assert!(text(get(&group).await.unwrap()).await.contains("host=Some(\"127.0.0.1:"));
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_those_who_want_one() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(authority.certify("localhost", &[], Viewers::Certified)).await;
    assert_eq!(failure(&origin.group("localhost", trusting(&authority))).await, Failure::TlsAlert);

    let (certificate, key) = authority.issue("edge");
    let (cert_path, key_path) =
        (authority.folder.path().join("edge.pem"), authority.folder.path().join("edge.key"));
    std::fs::write(&cert_path, certificate).unwrap();
    std::fs::write(&key_path, key).unwrap();
    let tls = OriginTls {
        client_cert: Some(cert_path),
        client_key: Some(Material::File(key_path)),
        ..trusting(&authority)
    };
    assert!(text(get(&origin.group("localhost", tls)).await.unwrap()).await.starts_with("HTTP/1.1"));
}

#[tokio::test]
async fn http2_is_spoken_where_offered_and_shared_by_all_requests() {
    let authority = Authority::new();
    let origin =
        TlsOrigin::start(authority.certify("localhost", &[b"h2", b"http/1.1"], Viewers::Anybody)).await;
    let group = Arc::new(origin.group("localhost", trusting(&authority)));
    let expected =
        format!("HTTP/2.0 /thing?x=1 authority=Some(\"localhost:{}\") host=None", origin.address.port());
    // All at once and cold: they wait for the one connection that the first of them opens.
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let group = group.clone();
            tokio::spawn(async move { text(get(&group).await.unwrap()).await })
        })
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap(), expected);
    }
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn a_shared_connection_that_dies_is_replaced_without_a_failure() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(authority.certify("localhost", &[b"h2"], Viewers::Anybody)).await;
    let group = origin.group("localhost", trusting(&authority));
    for round in 1..=5 {
        let reply = get(&group).await.unwrap();
        assert!(reply.attempts.is_empty());
        assert!(text(reply).await.starts_with("HTTP/2.0"));
        assert_eq!(origin.accepted(), round);
        // The next request may be on its way before the end of its connection is seen.
        origin.drop_connections();
    }
}

#[tokio::test]
async fn http1_requests_that_waited_for_a_shared_connection_open_their_own() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(authority.certify("localhost", &[b"http/1.1"], Viewers::Anybody)).await;
    let group = origin.group("localhost", trusting(&authority));
    let (a, b, c) = tokio::join!(get(&group), get(&group), get(&group));
    for reply in [a, b, c] {
        assert!(text(reply.unwrap()).await.starts_with("HTTP/1.1"));
    }
}

#[tokio::test]
async fn requests_that_wait_for_one_connection_fail_together() {
    let authority = Authority::new();
    let mute = Scripted::always(&[Act::Hang]).await;
    let mut settings = settings(&format!("https://localhost:{}", mute.address.port()));
    settings.tls = Some(trusting(&authority));
    settings.connect_timeout = Duration::from_millis(200);
    settings.attempts = 1;
    let group = Group::single(Origin::build("app", &settings).unwrap());
    let (a, b) = tokio::join!(get(&group), get(&group));
    for outcome in [a, b] {
        let exhausted = outcome.unwrap_err();
        assert_eq!(failures(&exhausted), [("app", Failure::ConnectionTimeout)]);
        assert_eq!(exhausted.status(), 504);
    }
    assert_eq!(mute.accepted(), 1, "one waited for the other, and then for itself");
}

#[tokio::test]
async fn an_origin_whose_handshake_is_late_had_work() {
    let mute = Scripted::always(&[Act::Hang]).await;
    let second = Scripted::answering(answer("200 OK", "second")).await;
    let build = |name: &str, url: &str| {
        let mut settings = settings(url);
        (settings.connect_timeout, settings.attempts) = (Duration::from_millis(100), 1);
        Origin::build(name, &settings).unwrap()
    };
    let mut settings = GroupSettings::new(vec!["a".to_owned(), "b".to_owned()]);
    settings.retry_budget = RetryBudget { share: 0.0, min_per_second: 0, ..RetryBudget::default() };
    let first = format!("https://127.0.0.1:{}", mute.address.port());
    let group = Group::build("main", &settings, vec![build("a", &first), build("b", &second.url())]);
    let exhausted = get(&group).await.unwrap_err();
    assert_eq!(failures(&exhausted), [("a", Failure::ConnectionTimeout)]);
    assert_eq!(exhausted.attempts[0].halt, Some(Halt::Budget));
}

#[tokio::test]
async fn what_does_not_speak_tls_is_said_to() {
    let authority = Authority::new();
    let talker = talking_plainly().await;
    let mut settings = settings(&format!("https://localhost:{}", talker.port()));
    settings.tls = Some(trusting(&authority));
    let group = Group::single(Origin::build("app", &settings).unwrap());
    assert_eq!(failure(&group).await, Failure::TlsProtocol);
}

/// Answers whatever comes with plain HTTP.
async fn talking_plainly() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        let Act::Send(bytes) = send(answer("400 Bad Request", "this is not TLS")) else { return };
        stream.write_all(&bytes).await.unwrap();
        std::future::pending::<()>().await;
    });
    address
}

#[tokio::test]
async fn a_connection_is_attempted_as_often_as_the_settings_say() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&format!("https://localhost:{}", listener.local_addr().unwrap().port()));
    settings.tls = Some(trusting(&authority));
    settings.attempts = 3;
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = accepted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    let group = Group::single(Origin::build("app", &settings).unwrap());
    assert_eq!(failure(&group).await, Failure::ConnectionTerminated);
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
}
