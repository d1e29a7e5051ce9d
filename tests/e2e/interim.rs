//! What an origin says before its answer (RFC 9110 §15.2) reaches the viewer who is waiting, and nobody else.

use tests::{Answer, Gate, RawConnection};

use crate::origin_and_node;

const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-own\r\nX-Own: 1\r\n\r\n";
const TOLD: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";

fn get(path: &str, version: &str) -> String {
    format!("GET {path} HTTP/{version}\r\nHost: www.test\r\n\r\n")
}

#[tokio::test]
async fn early_hints_come_before_the_answer_is_ready_and_are_not_stored() {
    let (origin, node) = origin_and_node().await;
    let gate = Gate::closed();
    let held = gate.clone();
    origin.on("/page", move |_| Answer::cacheable("hello").after(HINTS).behind(&held));
    let mut viewer = RawConnection::open(node.http()).await;

    viewer.send(get("/page", "1.1")).await;
    let early = viewer.read_until("preload\r\n\r\n").await;
    assert_eq!(early, TOLD, "RFC 9110 §7.6.1: without what ends at this hop");
    gate.open();
    let answer = viewer.read_until("hello").await;
    assert!(answer.starts_with(&format!("{TOLD}HTTP/1.1 200")), "{answer}");
    assert_eq!(answer.matches("link:").count(), 1, "hints are no part of the answer: {answer}");

    viewer.send(get("/page", "1.1")).await;
    let both = viewer.read_until("; hit").await;
    assert_eq!(both.matches("103 Early Hints").count(), 1, "RFC 9111 §3: only answers are stored: {both}");
}

#[tokio::test]
async fn all_that_comes_with_the_answer_keeps_its_order() {
    let (origin, node) = origin_and_node().await;
    let said = ["HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", HINTS].concat();
    origin.on("*", move |_| Answer::cacheable("hello").after(&said));
    let mut viewer = RawConnection::open(node.http()).await;

    // Two requests at once: the second is taken up when the first has its answer.
    viewer.send([get("/a", "1.1"), get("/b", "1.1")].concat()).await;
    let enough = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("hello").count() == 2;
    let both = String::from_utf8_lossy(viewer.read_bytes_until("two answers", enough).await).into_owned();
    let answers: Vec<&str> = both.split_inclusive("hello").collect();
    for answer in answers {
        let told = format!("HTTP/1.1 102 Processing\r\n\r\n{TOLD}HTTP/1.1 200");
        assert!(answer.starts_with(&told), "100 is between the edge and the origin: {both}");
    }
}

#[tokio::test]
async fn who_speaks_an_older_http_is_told_nothing_before_the_answer() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("hello").after(HINTS));
    let answer = RawConnection::exchange(node.http(), get("/page", "1.0")).await;
    assert!(answer.starts_with("HTTP/1.0 200"), "RFC 9110 §15.2: {answer}");
}
