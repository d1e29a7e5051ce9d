//! Requests that no honest viewer sends: refused at the door, and not one byte of them reaches the origin.

use tests::{Answer, RawConnection};

use crate::origin_and_node;

/// The node may also hang up without a word on what is not even HTTP.
const SILENCE: u16 = 0;

/// What is wrong, the request, and the statuses that may answer it. Nobody knows where such a request ends.
const MISFRAMED: &[(&str, &str, &[u16])] = &[
    (
        "length and chunks",
        "GET / HTTP/1.1\r\nHost: www.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "two lengths",
        "GET / HTTP/1.1\r\nHost: www.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        &[400],
    ),
    ("a list of lengths", "GET / HTTP/1.1\r\nHost: www.test\r\nContent-Length: 4, 5\r\n\r\nabcde", &[400]),
    ("a signed length", "GET / HTTP/1.1\r\nHost: www.test\r\nContent-Length: +5\r\n\r\nabcde", &[400]),
    ("a negative length", "GET / HTTP/1.1\r\nHost: www.test\r\nContent-Length: -1\r\n\r\n", &[400]),
    ("a hexadecimal length", "GET / HTTP/1.1\r\nHost: www.test\r\nContent-Length: 0x5\r\n\r\nabcde", &[400]),
    (
        "a huge length",
        "GET / HTTP/1.1\r\nHost: www.test\r\nContent-Length: 99999999999999999999\r\n\r\n",
        &[400, 413],
    ),
    (
        "an unknown coding",
        "GET / HTTP/1.1\r\nHost: www.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "chunked not last",
        "GET / HTTP/1.1\r\nHost: www.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "chunks in HTTP/1.0",
        "GET / HTTP/1.0\r\nHost: www.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    ("a folded line", "GET / HTTP/1.1\r\nHost: www.test\r\nX-Folded: a\r\n b\r\n\r\n", &[400]),
    (
        "a space before the colon",
        "GET / HTTP/1.1\r\nHost: www.test\r\nContent-Length : 4\r\n\r\nabcd",
        &[400],
    ),
    ("a space in a name", "GET / HTTP/1.1\r\nHost: www.test\r\nX Y: 1\r\n\r\n", &[400]),
    ("a null in a value", "GET / HTTP/1.1\r\nHost: www.test\r\nX: a\0b\r\n\r\n", &[400]),
    ("a carriage return in a value", "GET / HTTP/1.1\r\nHost: www.test\r\nX: a\rb\r\n\r\n", &[400]),
    ("no version", "GET /\r\n\r\n", &[400, SILENCE]),
    ("an unknown version", "GET / HTTP/3.7\r\nHost: www.test\r\n\r\n", &[400, 505, SILENCE]),
    ("TLS on the plain port", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n", &[400, SILENCE]),
    ("the greeting of another protocol", "SSH-2.0-x\r\n\r\n", &[400, SILENCE]),
];

/// Requests with a clear end that ask for what cannot be asked for.
const MISDIRECTED: &[(&str, &str, &[u16])] = &[
    ("no host", "GET / HTTP/1.1\r\n\r\n", &[400]),
    ("two hosts", "GET / HTTP/1.1\r\nHost: www.test\r\nHost: other.test\r\n\r\n", &[400]),
    ("an invalid host", "GET / HTTP/1.1\r\nHost: www.test/x@y\r\n\r\n", &[400]),
    ("an unknown host", "GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n", &[421]),
    (
        "an unknown host in the target",
        "GET http://unknown.test/ HTTP/1.1\r\nHost: www.test\r\n\r\n",
        &[400, 421],
    ),
    ("a target that is no path", "GET page HTTP/1.1\r\nHost: www.test\r\n\r\n", &[400]),
    ("above the root", "GET /../../etc/passwd HTTP/1.1\r\nHost: www.test\r\n\r\n", &[400]),
    ("above the root, escaped", "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: www.test\r\n\r\n", &[400]),
];

/// What must not be answered after a request without a clear end.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n";

fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    code.unwrap_or(SILENCE)
}

fn head_is_there(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|window| window == b"\r\n\r\n")
}

#[tokio::test]
async fn after_a_request_without_a_clear_end_the_connection_is_closed() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |_| Answer::cacheable("x"));

    let mut wrong = Vec::new();
    for (what, request, _) in MISFRAMED {
        let answer = RawConnection::exchange(node.http(), format!("{request}{HIDDEN}")).await;
        if answer.contains("HTTP/1.1 200") || answer.matches("HTTP/1.").count() > 1 {
            wrong.push(format!("{what}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(origin.bytes_received(), 0, "{:#?}", origin.requests());
}

#[tokio::test]
async fn malformed_requests_get_their_status_and_not_one_byte_reaches_the_origin() {
    let (origin, node) = origin_and_node().await;

    let mut wrong = Vec::new();
    for (what, request, statuses) in MISFRAMED.iter().chain(MISDIRECTED) {
        let mut connection = RawConnection::open(node.http()).await;
        connection.send(request).await;
        let answer = connection.read_bytes_until(what, head_is_there).await;
        let answer = String::from_utf8_lossy(answer);
        if !statuses.contains(&status(&answer)) {
            wrong.push(format!("{what}: {}", answer.lines().next().unwrap_or("no answer")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(origin.bytes_received(), 0);
}

#[tokio::test]
async fn a_request_framed_twice_behind_another_is_refused_too() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |_| Answer::cacheable("x"));
    let get = "GET /page HTTP/1.1\r\nHost: www.test\r\n\r\n";
    let (_, twice, _) = MISFRAMED[0];

    let answer = RawConnection::exchange(node.http(), format!("{get}{twice}{HIDDEN}")).await;

    let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).filter_map(|one| one.get(..3)).collect();
    assert_eq!(statuses.last(), Some(&"400"), "{answer}");
    assert!(origin.requests_for("/hidden").is_empty(), "{answer}");
}

#[tokio::test]
async fn a_request_framed_twice_behind_the_body_of_another_is_refused_too() {
    let origin = tests::Origin::start().await;
    origin.on("/upload", |request| Answer::ok(request.body()));
    origin.on("/page", |_| Answer::ok("x"));
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
    let node = tests::Node::start(&format!("{}{route}", crate::site(&origin))).await;
    let (_, twice, _) = MISFRAMED[0];
    // The body looks like the head that is refused, and is none.
    let post =
        format!("POST /upload HTTP/1.1\r\nHost: www.test\r\nContent-Length: {}\r\n\r\n{twice}", twice.len());
    let statuses = |answer: &str| -> Vec<String> {
        answer.split("HTTP/1.1 ").skip(1).filter_map(|one| Some(one.get(..3)?.to_owned())).collect()
    };

    let last = "GET /page HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n";
    let answer = RawConnection::exchange(node.http(), format!("{post}{post}{last}")).await;
    assert_eq!(statuses(&answer), ["200", "200", "200"], "{answer}");

    let answer = RawConnection::exchange(node.http(), format!("{post}{twice}{HIDDEN}")).await;
    assert_eq!(statuses(&answer).last().map(String::as_str), Some("400"), "{answer}");
    assert!(origin.requests_for("/hidden").is_empty(), "{answer}");
}

#[tokio::test]
async fn broken_chunks_are_never_passed_on_as_a_whole_body() {
    let origin = tests::Origin::start().await;
    origin.on("/upload", |request| Answer::ok(request.body()));
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
    let node = tests::Node::start(&format!("{}{route}", crate::site(&origin))).await;
    let head =
        "POST /upload HTTP/1.1\r\nHost: www.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

    for chunks in [
        "0x4\r\nabcd\r\n0\r\n\r\n",
        "+4\r\nabcd\r\n0\r\n\r\n",
        "4\r\nabcdX\r\n0\r\n\r\n",
        "4;a\nb\r\nabcd\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nabcd\r\n0\r\n\r\n",
        "4 \nabcd\r\n0\r\n\r\n",
    ] {
        let answer = RawConnection::exchange(node.http(), format!("{head}{chunks}")).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{chunks:?}: {answer}");
    }
}

#[tokio::test]
async fn a_request_hidden_in_the_body_of_another_is_never_processed() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("x"));
    origin.on("/hidden", |_| Answer::ok("hidden"));
    node.viewer().get("http://www.test/page").await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n";

    for (what, line, host) in [
        ("a hit", "GET /page", "www.test"),
        ("a refused method", "POST /page", "www.test"),
        ("an unknown host", "GET /page", "unknown.test"),
    ] {
        let request =
            format!("{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len());
        let mut connection = RawConnection::open(node.http()).await;
        connection.send(&request).await;
        connection.send("GET /page HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n").await;
        let answer = connection.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 "), "{what}: {answer}");
        assert!(origin.requests_for("/hidden").is_empty(), "after {what}: {answer}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_its_own_status() {
    let (origin, node) = origin_and_node().await;
    let host = "HTTP/1.1\r\nHost: www.test\r\n";
    let many: String = (0..1000).map(|index| format!("x-{index}: 1\r\n")).collect();
    let cases = [
        ("a long URL", format!("GET /{} {host}\r\n", "a".repeat(16 * 1024)), 414),
        ("a large field", format!("GET / {host}x: {}\r\n\r\n", "a".repeat(64 * 1024)), 431),
        ("many fields", format!("GET / {host}{many}\r\n"), 431),
    ];
    for (what, request, expected) in cases {
        let mut connection = RawConnection::open(node.http()).await;
        connection.send(&request).await;
        let answer = connection.read_bytes_until(what, head_is_there).await;
        let answer = String::from_utf8_lossy(answer);
        assert_eq!(status(&answer), expected, "{what}: {answer}");
    }
    assert_eq!(origin.bytes_received(), 0);
}

#[tokio::test]
async fn an_upgrade_that_the_origin_does_not_make_is_no_tunnel() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("x"));

    let answer = RawConnection::exchange(
        node.http(),
        "GET /page HTTP/1.1\r\nHost: www.test\r\nConnection: upgrade\r\nUpgrade: anything\r\n\r\n\
         GET /page HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n",
    )
    .await;

    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    for request in origin.requests() {
        assert_eq!(request.path(), "/page");
        assert_eq!(request.header("upgrade"), None);
    }
}
