//! Bodies of requests that a hook looks into.

use tests::{BareOrigin, LOOPBACK, Node, RawConnection};

use crate::guest;

async fn origin_and_node(task: &str, settings: &str) -> (BareOrigin, Node) {
    let origin = BareOrigin::listen().await;
    let config = format!(
        r#"{LOOPBACK}
[site."www.test"]
origin = "{}"

[[site."www.test".route]]
path = "/*"
methods = "all"
hooks = ["reader"]

[hook.reader]
wasm = "{}"
on = ["viewer-request", "origin-request"]
reads-body = true
{settings}
config = {{ do = "{task}" }}
"#,
        origin.url(),
        guest::outward().display()
    );
    let node = Node::start(&config).await;
    (origin, node)
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /form HTTP/1.1\r\nHost: www.test\r\n{fields}\r\n{body}")
}

fn of_length(body: &str) -> String {
    post(&format!("Content-Length: {}\r\n", body.len()), body)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn what_a_hook_has_read_reaches_the_origin_whole() {
    let (origin, node) = origin_and_node("inspect", "").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(of_length("harmless")).await;
    let mut asked = origin.accept().await;
    let said = asked.read_until("harmless").await.to_lowercase();
    assert!(said.contains("content-length: 8\r\n") && said.contains("x-body: 8\r\n"), "{said}");
    asked.send(OK).await;
    viewer.read_until("ok").await;

    // In chunks, and without a body at all, on the same connections.
    viewer.send(post("Transfer-Encoding: chunked\r\n", "4\r\npeac\r\n4\r\neful\r\n0\r\n\r\n")).await;
    asked.read_until("eful").await;
}

#[tokio::test]
async fn an_early_answer_never_lets_a_hidden_request_through() {
    let hidden = "GET /hidden HTTP/1.1\r\nHost: www.test\r\n\r\n";
    for task in ["refuse-unread", "inspect"] {
        let (origin, node) = origin_and_node(task, "").await;
        let mut viewer = RawConnection::open(node.http()).await;
        viewer.send(of_length(&format!("attack {hidden}"))).await;
        viewer.read_until("HTTP/1.1 ").await;
        // What is asked after it is answered for itself, or not at all.
        viewer.send(of_length("attack")).await;
        viewer.finish_sending().await;
        let all = viewer.read_to_end().await;
        assert!(all.matches("HTTP/1.1 ").count() <= 2, "{task}: {all}");
        assert!(!all.contains("404"), "{task}: {all}");
        assert!(!origin.is_called().await, "{task}: the hidden request went on");
    }
}

#[tokio::test]
async fn a_viewer_that_waits_is_told_to_send_when_the_hook_reads() {
    let (origin, node) = origin_and_node("inspect", "").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(post("Expect: 100-continue\r\nContent-Length: 8\r\n", "")).await;
    viewer.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    viewer.send("harmless").await;
    let mut asked = origin.accept().await;
    asked.read_until("\r\n\r\n").await;
    asked.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    asked.read_until("harmless").await;
    asked.send(OK).await;
    viewer.read_until("ok").await;

    // One that is refused unread is not.
    let (_origin, node) = origin_and_node("refuse-unread", "").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(post("Expect: 100-continue\r\nContent-Length: 8\r\n", "")).await;
    assert!(viewer.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_rest_of_a_body_that_is_only_begun_streams_on() {
    let (origin, node) = origin_and_node("peek", "").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(post("Content-Length: 1000004\r\n", "head")).await;
    let mut asked = origin.accept().await;
    let said = asked.read_until("\r\n\r\nhead").await;
    assert!(said.contains("x-body: head\r\n"), "it came before the rest was sent: {said}");
    viewer.send("x".repeat(1_000_000)).await;
    asked.discard(1_000_000).await;
    asked.send(OK).await;
    viewer.read_until("ok").await;
}

#[tokio::test]
async fn another_body_goes_to_the_origin_under_its_own_length() {
    let (origin, node) = origin_and_node("exchange", "").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(post("Transfer-Encoding: chunked\r\n", "4\r\nharm\r\n4\r\nless\r\n0\r\n\r\n")).await;
    let mut asked = origin.accept().await;
    let said = asked.read_until("HARMLESS").await.to_lowercase();
    assert!(said.contains("content-length: 8\r\n") && !said.contains("transfer-encoding"), "{said}");
    asked.send(OK).await;
    viewer.read_until("ok").await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_let_pass_or_refused_as_the_settings_say() {
    let (origin, node) = origin_and_node("inspect", "on-error = \"pass\"\nlimits = { body = \"4B\" }").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(of_length("harmless")).await;
    let mut asked = origin.accept().await;
    asked.read_until("harmless").await;
    asked.send(OK).await;
    viewer.read_until("ok").await;

    let (_origin, node) = origin_and_node("inspect", "limits = { body = \"4B\" }").await;
    let answer = RawConnection::exchange(
        node.http(),
        of_length("harmless").replace("Host", "Connection: close\r\nHost"),
    );
    assert!(answer.await.starts_with("HTTP/1.1 502"));
}
