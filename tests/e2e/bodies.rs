//! Requests that carry a body, and methods that a route does not take.

use tests::{Answer, Node, Origin, RawConnection};

use crate::{SITE, origin_and_node, site};

/// A node whose one site takes every method.
async fn all_methods(origin: &Origin) -> Node {
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
    Node::start(&format!("{}{route}", site(origin))).await
}

#[tokio::test]
async fn a_body_streams_through_before_it_is_complete() {
    let origin = Origin::start().await;
    origin.on("/upload", |request| Answer::ok(format!("got {} bytes", request.body().len())));
    let node = all_methods(&origin).await;
    let mut viewer = RawConnection::open(node.http()).await;

    viewer.send("POST /upload HTTP/1.1\r\nHost: www.test\r\nContent-Length: 12\r\nConnection: close\r\n\r\nfirst ").await;
    origin
        .until("the first half of the body", |requests| {
            requests.first().is_some_and(|post| post.body() == b"first ")
        })
        .await;
    viewer.send("second").await;

    let answer = viewer.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("got 12 bytes"), "{answer}");
    assert_eq!(origin.requests()[0].body(), b"first second");
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let origin = Origin::start().await;
    origin.on("/upload", |request| Answer::ok(request.body()));
    let node = all_methods(&origin).await;

    let answer = RawConnection::exchange(
        node.http(),
        "PUT /upload HTTP/1.1\r\nHost: www.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         6\r\nfirst \r\n6;ignored=1\r\nsecond\r\n0\r\n\r\n",
    )
    .await;

    assert!(answer.contains("first second"), "{answer}");
    assert_eq!(origin.requests()[0].method, "PUT");
}

#[tokio::test]
async fn answers_to_requests_that_change_things_are_not_kept() {
    let origin = Origin::start().await;
    origin.on("/form", |_| Answer::cacheable("done"));
    let node = all_methods(&origin).await;
    let url = format!("{SITE}/form");

    for _ in 0..2 {
        let reply = node.viewer().ask("POST", &url, &[]).await;
        assert!(!reply.is_hit());
    }
    assert!(!node.viewer().get(&url).await.is_hit());
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn a_change_makes_what_is_stored_invalid() {
    let origin = Origin::start().await;
    origin.on("/form", |_| Answer::cacheable("x"));
    let node = all_methods(&origin).await;
    let url = format!("{SITE}/form");
    node.viewer().get(&url).await;
    assert!(node.viewer().get(&url).await.is_hit());

    assert_eq!(node.viewer().ask("POST", &url, &[]).await.status, 200);

    // RFC 9111 §4.4
    assert!(!node.viewer().get(&url).await.is_hit());
}

#[tokio::test]
async fn a_method_that_the_route_does_not_take_is_405() {
    let (origin, node) = origin_and_node().await;

    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let reply = node.viewer().ask(method, &format!("{SITE}/page"), &[]).await;
        assert_eq!(reply.status, 405, "{method}");
        assert!(reply.header("allow").contains("GET"), "RFC 9110 §15.5.6: {method} {:?}", reply.headers);
    }
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn trace_and_connect_are_never_forwarded() {
    let origin = Origin::start().await;
    let node = all_methods(&origin).await;

    for request in [
        "TRACE / HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n",
        "CONNECT www.test:80 HTTP/1.1\r\nHost: www.test:80\r\nConnection: close\r\n\r\n",
    ] {
        let answer = RawConnection::exchange(node.http(), request).await;
        assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 501"), "{answer}");
    }
    assert_eq!(origin.bytes_received(), 0);
}
