//! Origins that break: alone, each gives a clear 502 or 504 within the configured time and its name in `Proxy-Status`; in a group,
//! the next member gives its right answer; and nothing broken is ever stored.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tests::pki::{Authority, Identity};
use tests::{Answer, Folder, LOOPBACK, Node, Origin, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

/// How long the origins of these stories may take, and how much longer a busy machine may.
const PATIENCE: Duration = Duration::from_millis(700);
const LENIENCE: Duration = Duration::from_secs(5);

/// How an origin breaks.
#[derive(Clone)]
enum Breach {
    /// Nobody listens.
    Gone,
    /// It accepts and never answers.
    Hang,
    /// It ends the connection without an answer, with a reset.
    Reset,
    /// It says that it has said all, and waits.
    HalfClose,
    /// A byte of the head now and then.
    Drip,
    /// These bytes, then the end.
    Says(&'static str),
    /// TLS with this certificate.
    Tls(Arc<ServerConfig>),
}

async fn origin(breach: Breach) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let scheme = if matches!(breach, Breach::Tls(_)) { "https" } else { "http" };
    let task = tokio::spawn(async move {
        if matches!(breach, Breach::Gone) {
            return drop(listener);
        }
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(break_off(stream, breach.clone()));
        }
    });
    (format!("{scheme}://{address}"), task)
}

async fn break_off(mut stream: TcpStream, breach: Breach) {
    if let Breach::Tls(config) = breach {
        let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await else { return };
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbroken").await;
        return drop(stream.read(&mut [0; 1]).await);
    }
    if stream.read(&mut [0; 4096]).await.is_err() {
        return;
    }
    match breach {
        Breach::Gone | Breach::Tls(_) => {}
        Breach::Hang => drop(stream.read(&mut [0; 1]).await),
        Breach::Reset => stream.set_zero_linger().unwrap(),
        Breach::HalfClose => {
            let _ = stream.shutdown().await;
            drop(stream.read(&mut [0; 1]).await);
        }
        Breach::Drip => {
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Long: ".iter().chain(&[b'a'; 1000]) {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                // A pace, not a wait: each byte comes well within the patience.
                sleep(PATIENCE / 10).await;
            }
        }
        Breach::Says(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
        }
    }
}

/// A node with a site for the broken origin alone, and one for a group of it and an origin that works.
struct Stage {
    node: Node,
    _second: Origin,
}

async fn stage(breach: Breach) -> Stage {
    let (broken, _task) = origin(breach).await;
    let second = Origin::start().await;
    second.on("*", |_| Answer::cacheable("right"));
    let folder = Folder::new();
    folder.write("ca.pem", Authority::new().root());
    stage_in(folder, &broken, second).await
}

async fn stage_in(folder: Folder, broken: &str, second: Origin) -> Stage {
    let tls = if broken.starts_with("https") { "tls = { ca = \"ca.pem\" }" } else { "" };
    let config = format!(
        r#"{LOOPBACK}
[origin.broken]
url = "{broken}"
connect-timeout = "{patience}ms"
response-timeout = "{patience}ms"
attempts = 1
{tls}

[origin.second]
url = "{second}"

[origin-group.both]
members = ["broken", "second"]
remember = "1ms"

[site."alone.test"]
origin = "broken"

[site."both.test"]
origin = "both"
"#,
        second = second.url(),
        patience = PATIENCE.as_millis(),
    );
    Stage { node: Node::start_in(folder, &config).await, _second: second }
}

impl Stage {
    async fn get(&self, host: &str) -> (Reply, Duration) {
        let began = Instant::now();
        let reply = self.node.viewer().get(&format!("http://{host}/page")).await;
        (reply, began.elapsed())
    }
}

async fn is_told(breach: Breach, status: u16, error: &str) {
    is_told_on(&stage(breach).await, status, error).await;
}

async fn is_told_on(stage: &Stage, status: u16, error: &str) {
    for _ in 0..2 {
        let (alone, took) = stage.get("alone.test").await;
        let said = alone.header("proxy-status");
        assert_eq!(alone.status, status, "{said}");
        assert!(said.starts_with("edge1; ") && said.contains(&format!("error={error}")), "{said}");
        assert!(!alone.is_hit(), "a failure is not stored: {}", alone.header("cache-status"));
        assert!(took < PATIENCE + LENIENCE, "{took:?}");
    }
    for hit in [false, true] {
        let (both, took) = stage.get("both.test").await;
        assert_eq!((both.status, both.text().as_str(), both.is_hit()), (200, "right", hit));
        assert!(took < PATIENCE + LENIENCE, "{took:?}");
    }
}

#[tokio::test]
async fn killed() {
    is_told(Breach::Gone, 502, "connection_refused").await;
}

#[tokio::test]
async fn hanging() {
    is_told(Breach::Hang, 504, "http_response_timeout").await;
}

#[tokio::test]
async fn resetting() {
    is_told(Breach::Reset, 502, "connection_terminated").await;
}

#[tokio::test]
async fn half_closing() {
    is_told(Breach::HalfClose, 502, "connection_terminated").await;
}

#[tokio::test]
async fn dripping_its_head() {
    is_told(Breach::Drip, 504, "http_response_timeout").await;
}

#[tokio::test]
async fn speaking_no_http() {
    is_told(Breach::Says("220 mail.test ESMTP\r\n"), 502, "http_protocol_error").await;
}

#[tokio::test]
async fn contradicting_itself_about_its_length() {
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\nbroken";
    is_told(Breach::Says(two), 502, "http_protocol_error").await;
    let none = "HTTP/1.1 200 OK\r\nContent-Length: six\r\n\r\nbroken";
    is_told(Breach::Says(none), 502, "http_protocol_error").await;
}

fn tls(identity: &Identity) -> Breach {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Breach::Tls(Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()))
}

async fn is_told_of_tls(breach: Breach, trusted: &Authority, status: u16, error: &str) {
    let (broken, _task) = origin(breach).await;
    let second = Origin::start().await;
    second.on("*", |_| Answer::cacheable("right"));
    let folder = Folder::new();
    folder.write("ca.pem", trusted.root());
    let stage = stage_in(folder, &broken.replace("http://", "https://"), second).await;
    is_told_on(&stage, status, error).await;
}

#[tokio::test]
async fn signed_by_nobody_who_is_trusted() {
    let trusted = Authority::new();
    let other = Authority::new().issue(&["127.0.0.1"]);
    is_told_of_tls(tls(&other), &trusted, 502, "tls_certificate_error").await;
}

#[tokio::test]
async fn bearing_another_name() {
    let trusted = Authority::new();
    let other = trusted.issue(&["other.test"]);
    is_told_of_tls(tls(&other), &trusted, 502, "tls_certificate_error").await;
}

#[tokio::test]
async fn expired() {
    let trusted = Authority::new();
    let old = trusted.issue_expired(&["127.0.0.1"]);
    is_told_of_tls(tls(&old), &trusted, 502, "tls_certificate_error").await;
}

#[tokio::test]
async fn speaking_plainly_where_tls_is_expected() {
    let plain = Breach::Says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    is_told_of_tls(plain, &Authority::new(), 502, "tls_protocol_error").await;
}

#[tokio::test]
async fn shaking_hands_for_ever() {
    is_told_of_tls(Breach::Hang, &Authority::new(), 504, "connection_timeout").await;
}

#[tokio::test]
async fn giving_less_than_it_has_promised() {
    let short = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf";
    let stage = stage(Breach::Says(short)).await;
    for _ in 0..2 {
        let reply = stage.node.viewer().open_get("http://alone.test/page").await;
        assert!(!reply.headers["cache-status"].to_str().unwrap().contains("; hit"));
        assert_eq!(reply.status, 200);
        assert!(reply.finish().await.is_err(), "half of it is no clean end");
    }
    stage.node.log_contains("reason=body-truncated").await;
}

#[tokio::test]
async fn giving_more_than_it_has_promised() {
    let long = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nwholeHTTP/1.1 200 OK\r\n\r\n";
    let stage = stage(Breach::Says(long)).await;
    for _ in 0..2 {
        let (reply, _) = stage.get("alone.test").await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "whol"), "the rest is nobody's answer");
    }
}

#[tokio::test]
async fn a_byte_at_a_time_is_slow_but_right() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n5\r\nright\r\n0\r\n\r\n";
            for byte in answer.as_bytes() {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let stage = stage_in(Folder::new(), &broken, Origin::start().await).await;
    for hit in [false, true] {
        let (reply, _) = stage.get("alone.test").await;
        assert_eq!((reply.status, reply.text().as_str(), reply.is_hit()), (200, "right", hit));
    }
}
