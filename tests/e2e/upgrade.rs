//! Connections that change their protocol (RFC 9110 §7.8): a tunnel only once the origin has agreed, and an ordinary answer otherwise.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request};
use tests::{BareOrigin, Folder, LOOPBACK, Node, RawConnection, Signal, eventually, within};
use tokio::net::TcpStream;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: www.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket, h2c\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn origin_and_node(settings: &str) -> (BareOrigin, Node) {
    let origin = BareOrigin::listen().await;
    let node = Node::start(&config(&origin, settings)).await;
    (origin, node)
}

/// `settings` go into the site, or into tables that follow it.
fn config(origin: &BareOrigin, settings: &str) -> String {
    let node = LOOPBACK.replace("state = ", "log = \"requests\"\nstate = ");
    format!("{node}\n[site.\"www.test\"]\norigin = \"{}\"\n{settings}\n", origin.url())
}

/// A viewer and an origin with a tunnel between them.
async fn tunnel(origin: &BareOrigin, node: &Node) -> (RawConnection, RawConnection) {
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(ASK).await;
    let mut asked = origin.accept().await;
    asked.read_until("\r\n\r\n").await;
    asked.send(AGREED).await;
    viewer.read_until("\r\n\r\n").await;
    (viewer, asked)
}

#[tokio::test]
async fn once_the_origin_agrees_bytes_flow_both_ways_and_half_closes_are_kept() {
    let (origin, node) = origin_and_node("").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(ASK).await;

    let mut asked = origin.accept().await;
    let head = asked.read_until("\r\n\r\n").await.to_lowercase();
    assert!(head.contains("\r\nupgrade: websocket\r\n"), "the one that may pass: {head}");
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(head.contains("\r\nsec-websocket-key: dghlihnhbxbszsbub25jzq=="), "{head}");
    // The first bytes of the new protocol may come with the agreement.
    asked.send([AGREED.as_bytes(), b"hello"].concat()).await;
    let agreed = viewer.read_until("hello").await.to_lowercase();
    assert!(agreed.starts_with("http/1.1 101 "), "{agreed}");
    for field in ["upgrade: websocket", "connection: upgrade", "sec-websocket-accept: s3pp", "via: 1.1 edge1"]
    {
        assert!(agreed.contains(&format!("\r\n{field}")), "{field}: {agreed}");
    }

    viewer.send("up").await;
    asked.read_until("up").await;
    viewer.finish_sending().await;
    assert!(asked.read_to_end().await.ends_with("up"), "the viewer's end reaches the origin");
    asked.send(" and still down").await;
    drop(asked);
    assert!(viewer.read_to_end().await.ends_with("hello and still down"));

    let line = node.log_contains("tunnel id=").await;
    assert!(line.contains("site=www.test protocol=websocket to-viewer=20 to-origin=2 us="), "{line}");
    assert!(line.ends_with("end=closed"), "{line}");
    assert!(!origin.is_called().await, "one connection was enough");
}

#[tokio::test]
async fn nothing_behind_the_head_is_forwarded_before_the_origin_agrees() {
    let (origin, node) = origin_and_node("").await;
    let mut viewer = RawConnection::open(node.http()).await;
    // CVE-2026-2833: a request hidden where the tunnel would begin.
    viewer.send(format!("{ASK}GET /hidden HTTP/1.1\r\nHost: www.test\r\n\r\n")).await;
    let mut asked = origin.accept().await;
    assert!(asked.read_until("\r\n\r\n").await.ends_with("\r\n\r\n"), "the head alone");

    asked.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno").await;

    assert!(viewer.read_until("no").await.starts_with("HTTP/1.1 426"), "an ordinary answer");
    let all = asked.read_to_end().await;
    assert!(!all.contains("hidden"), "the connection is not used again: {all}");
    let mut next = origin.accept().await;
    assert!(next.read_until("\r\n\r\n").await.starts_with("GET /hidden"), "it is a request of its own");
}

#[tokio::test]
async fn a_change_to_another_protocol_than_was_asked_for_is_502() {
    let (origin, node) = origin_and_node("").await;
    for answer in [AGREED.replace("websocket", "irc"), AGREED.replace("Upgrade: websocket\r\n", "")] {
        let mut viewer = RawConnection::open(node.http()).await;
        viewer.send(ASK.replace("keep-alive,", "close,")).await;
        let mut asked = origin.accept().await;
        asked.read_until("\r\n\r\n").await;
        asked.send(&answer).await;
        let refused = viewer.read_to_end().await;
        assert!(refused.starts_with("HTTP/1.1 502"), "{refused}");
        assert!(refused.contains("error=http_protocol_error"), "{refused}");
    }
}

#[tokio::test]
async fn what_is_not_let_through_is_an_ordinary_request() {
    let policy = "[[site.\"www.test\".route]]\npath = \"/chat\"\ncache = \"p\"\n[cache-policy.p]\n";
    let none = "[[site.\"www.test\".route]]\npath = \"/chat\"\nupgrades = []\n";
    let asks = [
        (none, ASK.to_owned()),
        (policy, ASK.to_owned()),
        ("", ASK.replace("WebSocket, h2c", "h2c")),
        ("", ASK.replace("keep-alive, Upgrade", "keep-alive")),
        ("", ASK.replace("Sec-WebSocket-Version: 13", "Content-Length: 3")),
        ("", ASK.replace("HTTP/1.1", "HTTP/1.0")),
    ];
    for (settings, ask) in asks {
        let (origin, node) = origin_and_node(settings).await;
        let mut viewer = RawConnection::open(node.http()).await;
        viewer.send(&ask).await;
        let head = origin.accept().await.read_until("\r\n\r\n").await.to_lowercase();
        assert!(
            !head.contains("\r\nupgrade:") && !head.contains("\r\nconnection:"),
            "{settings} {ask} {head}"
        );
    }
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_and_too_many_are_refused() {
    let limits = "[node.limits]\ntunnels = 1\ntunnel-idle = \"400ms\"\n";
    let (origin, node) = origin_and_node(limits).await;
    let (mut viewer, mut asked) = tunnel(&origin, &node).await;
    let metrics = node.ask_admin("/metrics").await.text();
    assert!(metrics.contains("\nselvedge_tunnels 1\n"), "{metrics}");

    let mut second = RawConnection::open(node.http()).await;
    second.send(ASK.replace("keep-alive,", "close,")).await;
    let refused = second.read_to_end().await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("tunnels-busy"), "{refused}");

    viewer.read_to_end().await;
    asked.read_to_end().await;
    assert!(node.log_contains("tunnel id=").await.ends_with("end=idle"));
    eventually("the room to be free", async || {
        let metrics = node.ask_admin("/metrics").await.text();
        metrics.contains("\nselvedge_tunnels 0\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reload_closes_no_tunnel_and_a_drain_waits_for_it() {
    let (origin, mut node) = origin_and_node("").await;
    let (mut viewer, mut asked) = tunnel(&origin, &node).await;
    node.reconfigure(&config(&origin, "[site.\"other.test\"]\norigin = \"http://127.0.0.1:1\"\n")).await;
    node.log_contains("reloaded").await;
    viewer.send("after the reload").await;
    asked.read_until("after the reload").await;

    node.signal(Signal::Drain).await;
    node.await_refusal(node.http()).await;
    asked.send("while draining").await;
    viewer.read_until("while draining").await;
    drop((viewer, asked));
    assert_eq!(node.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_drain_that_takes_too_long_closes_tunnels() {
    let (origin, mut node) = origin_and_node("[node.limits]\ndrain = \"300ms\"\n").await;
    let (mut viewer, mut asked) = tunnel(&origin, &node).await;
    node.signal(Signal::Drain).await;
    viewer.read_to_end().await;
    asked.read_to_end().await;
    assert_eq!(node.exit_code().await, Some(0));
}

#[tokio::test]
async fn an_unsigned_request_opens_no_tunnel() {
    let folder = Folder::new();
    let keys = "openssl genrsa 2048 2>/dev/null | openssl pkey -pubout -out key.pem";
    let made =
        tokio::process::Command::new("sh").args(["-c", keys]).current_dir(folder.path("")).status().await;
    assert!(made.unwrap().success(), "this story needs openssl");
    let origin = BareOrigin::listen().await;
    let signed = "[[site.\"www.test\".route]]\npath = \"/*\"\nsigned = \"g\"\n[key.K]\npublic = { file = \"key.pem\" }\n\
         [key-group.g]\nkeys = [\"K\"]\naccept = [\"cloudfront\"]\n";
    let node = Node::start_in(folder, &config(&origin, signed)).await;
    let answer = RawConnection::exchange(node.http(), ASK.replace("keep-alive,", "close,")).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(!origin.is_called().await);
}

/// A viewer who speaks HTTP/2, once it knows that the node takes an extended CONNECT.
async fn stub(node: &Node) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(node.http()).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    eventually("the node's settings", async || sender.is_extended_connect_protocol_enabled().then_some(()))
        .await;
    sender
}

fn connect(protocol: &'static str) -> Request<()> {
    let mut request = Request::builder().method(Method::CONNECT).uri("http://www.test/chat?room=1");
    request = request.header("sec-websocket-version", "13").header("origin", "http://www.test");
    let mut request = request.body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static(protocol));
    request
}

#[tokio::test]
async fn an_extended_connect_of_http2_becomes_an_upgrade_at_the_origin() {
    let (origin, node) = origin_and_node("").await;
    let mut ready = stub(&node).await.ready().await.unwrap();
    let (response, mut sending) = ready.send_request(connect("websocket"), false).unwrap();
    let mut asked = origin.accept().await;
    let head = asked.read_until("\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("get /chat?room=1 http/1.1\r\n"), "{head}");
    for field in ["upgrade: websocket\r\n", "connection: upgrade\r\n", "sec-websocket-version: 13\r\n"] {
        assert!(head.contains(field), "{field}: {head}");
    }
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    assert_eq!(key.map(str::len), Some(24), "RFC 6455 §4.1: 16 bytes in base64");
    asked.send([AGREED.as_bytes(), b"hello"].concat()).await;

    let response = within("the agreement", response).await.unwrap();
    assert_eq!(response.status(), 200, "RFC 8441 §5");
    assert!(!response.headers().contains_key("sec-websocket-accept"), "{:?}", response.headers());
    let mut body = response.into_body();
    let hello = within("the first bytes", body.data()).await.unwrap().unwrap();
    assert_eq!(hello, "hello");
    sending.send_data(Bytes::from("up"), true).unwrap();
    assert!(
        asked.read_to_end().await.ends_with("up"),
        "the end of the stream is the end of what the origin hears"
    );
    asked.send("down").await;
    drop(asked);
    assert_eq!(within("the last bytes", body.data()).await.unwrap().unwrap(), "down");
    let end = within("the end", body.data()).await;
    assert!(matches!(&end, None | Some(Ok(_)) if body.is_end_stream()), "a clean end: {end:?}");
    assert!(node.log_contains("tunnel id=").await.contains("to-viewer=9 to-origin=2"));
}

#[tokio::test]
async fn an_origin_that_agrees_to_nothing_opens_nothing_for_http2() {
    let (origin, node) = origin_and_node("").await;
    let mut ready = stub(&node).await.ready().await.unwrap();
    let (response, _sending) = ready.send_request(connect("websocket"), false).unwrap();
    let mut asked = origin.accept().await;
    asked.read_until("\r\n\r\n").await;
    asked.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage").await;
    let response = within("the refusal", response).await.unwrap();
    assert_eq!(response.status(), 501, "any success would be the agreement (RFC 8441 §5)");
    node.log_contains("reason=not-upgraded").await;
}

#[tokio::test]
async fn any_other_connect_of_http2_is_refused() {
    let (origin, node) = origin_and_node("").await;
    let stub = stub(&node).await;
    let plain = Request::builder().method(Method::CONNECT).uri("www.test:80").body(()).unwrap();
    for request in [plain, connect("connect-udp")] {
        let (response, _sending) = stub.clone().ready().await.unwrap().send_request(request, false).unwrap();
        assert_eq!(within("the refusal", response).await.unwrap().status(), 405);
    }
    assert!(!origin.is_called().await);
}
