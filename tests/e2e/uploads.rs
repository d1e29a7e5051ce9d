//! Bodies on their way to the origin: asked for before they are read, as large as they like, never half of them for the whole.

use std::time::Duration;

use tests::{BareOrigin, Gate, LOOPBACK, Node, RawConnection};
use tokio::time::Instant;

const MIB: usize = 1024 * 1024;

async fn origin_and_node(settings: &str) -> (BareOrigin, Node) {
    let origin = BareOrigin::listen().await;
    let config = format!(
        r#"{LOOPBACK}
[origin.app]
url = "{}"
{settings}

[site."www.test"]
origin = "app"

[[site."www.test".route]]
path = "/*"
methods = "all"
"#,
        origin.url()
    );
    let node = Node::start(&config).await;
    (origin, node)
}

fn put(fields: &str) -> String {
    format!("PUT /file HTTP/1.1\r\nHost: www.test\r\n{fields}\r\n")
}

fn answer(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok")
}

const EXPECTING: &str = "Expect: 100-continue\r\nContent-Length: 4\r\n";

#[tokio::test]
async fn a_body_is_asked_for_only_when_the_origin_wants_it() {
    let (origin, node) = origin_and_node("continue-timeout = \"1h\"\nresponse-timeout = \"1h\"").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(put(EXPECTING)).await;
    let mut asked = origin.accept().await;
    let head = asked.read_until("\r\n\r\n").await.to_lowercase();
    assert!(head.contains("expect: 100-continue\r\n"), "RFC 9110 §10.1.1: said on: {head}");

    asked.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(viewer.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    viewer.send("body").await;
    asked.read_until("body").await;
    // The origin's connection ends with it, and the node does not try it again.
    asked.send(answer("201 Created\r\nConnection: close")).await;
    viewer.read_until("201 Created").await;
    viewer.read_until("ok").await;

    // The viewer's connection goes on.
    drop(asked);
    viewer.send(put("Content-Length: 4\r\n") + "more").await;
    origin.accept().await.read_until("more").await;
}

#[tokio::test]
async fn an_origin_that_knows_no_100_gets_the_body_after_a_short_wait() {
    let (origin, node) = origin_and_node("continue-timeout = \"300ms\"").await;
    let mut viewer = RawConnection::open(node.http()).await;
    let began = Instant::now();
    viewer.send(put(EXPECTING)).await;
    let mut asked = origin.accept().await;
    asked.read_until("\r\n\r\n").await;
    viewer.read_until("100 Continue\r\n\r\n").await;
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    viewer.send("body").await;
    asked.read_until("body").await;
}

#[tokio::test]
async fn an_answer_that_comes_first_reaches_the_viewer_and_nothing_of_the_body_is_read() {
    for status in ["417 Expectation Failed", "401 Unauthorized", "413 Content Too Large", "200 OK"] {
        let (origin, node) = origin_and_node("continue-timeout = \"1h\"\nresponse-timeout = \"1h\"").await;
        let mut viewer = RawConnection::open(node.http()).await;
        viewer.send(put(EXPECTING)).await;
        let mut asked = origin.accept().await;
        asked.read_until("\r\n\r\n").await;
        // In two pieces: the connection must hold until the answer is whole.
        let answer = answer(status);
        let (first, second) = answer.split_at(answer.len() - 1);
        asked.send(first).await;
        let head = viewer.read_until("\r\n\r\n").await;
        asked.send(second).await;

        let all = viewer.read_to_end().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "no 100 before it: {head}");
        assert!(all.ends_with("\r\n\r\nok") && all.contains("connection: close\r\n"), "{all}");
        let asked = asked.read_to_end().await;
        assert!(asked.ends_with("\r\n\r\n"), "the head alone, and no further request: {asked}");
    }
}

#[tokio::test]
async fn a_viewer_that_aborts_leaves_the_origin_with_a_broken_request() {
    for (framing, half) in
        [("Content-Length: 100\r\n", "half"), ("Transfer-Encoding: chunked\r\n", "4\r\nhalf\r\n")]
    {
        let (origin, node) = origin_and_node("").await;
        let mut viewer = RawConnection::open(node.http()).await;
        viewer.send(put(framing) + half).await;
        let mut asked = origin.accept().await;
        asked.read_until("half").await;
        drop(viewer);
        let all = asked.read_to_end().await;
        assert!(all.trim_end().ends_with("half"), "{framing}: half a body was given an end: {all}");
        assert!(!origin.is_called().await, "and nothing is asked again");
    }
}

#[tokio::test]
async fn an_origin_that_answers_early_is_heard_while_the_body_flows_on() {
    let (origin, node) = origin_and_node("").await;
    let mut viewer = RawConnection::open(node.http()).await;
    viewer.send(put("Content-Length: 12\r\n") + "first ").await;
    let mut asked = origin.accept().await;
    asked.read_until("first ").await;
    asked.send(answer("202 Accepted")).await;
    assert!(viewer.read_until("ok").await.starts_with("HTTP/1.1 202"));

    // Another request must not be sent into the middle of this body.
    let mut other = RawConnection::open(node.http()).await;
    other.send(put("Content-Length: 5\r\n") + "other").await;
    let mut second = origin.accept().await;
    second.read_until("other").await;
    viewer.send("second").await;
    let first = asked.read_until("second").await;
    assert!(first.ends_with("\r\n\r\nfirst second"), "{first}");
}

#[tokio::test]
async fn an_origin_that_stops_reading_is_late() {
    let (origin, node) = origin_and_node("response-timeout = \"500ms\"").await;
    let mut viewer = RawConnection::open(node.http()).await;
    let sending = tokio::spawn(async move {
        viewer.send(put(&format!("Content-Length: {}\r\n", 64 * MIB))).await;
        // More than all buffers on the way hold together.
        viewer.send_while_taken(&vec![0; MIB], 64).await
    });
    let mut asked = origin.accept().await;
    asked.read_until("\r\n\r\n").await;
    let taken = sending.await.unwrap();
    assert!(taken < 64, "the viewer is not left waiting");
    assert!(node.log_contains("http_response_timeout").await.contains("status=504"));
}

#[tokio::test]
async fn a_large_body_passes_through_little_memory() {
    const PIECES: usize = 256;
    let (origin, node) = origin_and_node("").await;
    let gate = Gate::closed();
    let mut viewer = RawConnection::open(node.http()).await;
    let held = gate.clone();
    let before = node.resident_bytes();
    let sending = tokio::spawn(async move {
        viewer.send(put("Transfer-Encoding: chunked\r\n")).await;
        let piece = [b"100000\r\n".to_vec(), vec![0; MIB], b"\r\n".to_vec()].concat();
        for _ in 0..PIECES {
            viewer.send(&piece).await;
        }
        held.wait().await;
        viewer.send("0\r\n\r\n").await;
        viewer.read_until("ok").await
    });
    let mut asked = origin.accept().await;
    asked.read_until("\r\n\r\n").await;
    let read = asked.discard(PIECES * MIB).await;
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB as u64, "{} MiB more after {} MiB", grown / MIB as u64, read / MIB);
    gate.open();
    asked.read_until("0\r\n\r\n").await;
    asked.send(answer("201 Created")).await;
    assert!(sending.await.unwrap().contains("201 Created"));
}

#[tokio::test]
async fn what_makes_uploads_resumable_passes_untouched() {
    let (origin, node) = origin_and_node("").await;
    let mut viewer = RawConnection::open(node.http()).await;
    let fields = "Content-Range: bytes 4-7/8\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 4\r\nUpload-Complete: ?1\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 4\r\n";
    viewer.send(put(fields).replace("PUT", "PATCH") + "body").await;
    let mut asked = origin.accept().await;
    let head = asked.read_until("body").await.to_lowercase();
    for field in fields.to_lowercase().lines() {
        assert!(head.contains(field), "{field}: {head}");
    }
    asked
        .send(
            "HTTP/1.1 104 Upload Resumption Supported\r\nLocation: /upload/b530\r\nUpload-Offset: 6\r\n\r\n",
        )
        .await;
    let interim = viewer.read_until("\r\n\r\n").await.to_lowercase();
    assert!(interim.starts_with("http/1.1 104 "), "{interim}");
    assert!(
        interim.contains("location: /upload/b530\r\n") && interim.contains("upload-offset: 6\r\n"),
        "{interim}"
    );
    asked.send("HTTP/1.1 204 No Content\r\nUpload-Offset: 8\r\nTus-Resumable: 1.0.0\r\n\r\n").await;
    let answer = viewer.read_until("204 No Content").await + &viewer.read_until("tus-resumable: 1.0.0").await;
    assert!(answer.contains("upload-offset: 8"), "{answer}");

    drop(asked);
    viewer.send("HEAD /file HTTP/1.1\r\nHost: www.test\r\nTus-Resumable: 1.0.0\r\n\r\n").await;
    let mut asked = origin.accept().await;
    assert!(asked.read_until("\r\n\r\n").await.contains("tus-resumable: 1.0.0"));
}
