//! Fields after a body (RFC 9110 §6.5), over HTTP/1.1 on both sides; `grpc.rs` tells of HTTP/2.

use tests::{Answer, BareOrigin, LOOPBACK, Node, Origin, RawConnection};

use crate::origin_and_node;

const WITH_TRAILERS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n\
     4\r\nbody\r\n0\r\nX-Sum: 4\r\nSet-Cookie: late=1\r\n\r\n";

fn get(te: &str) -> String {
    format!("GET /page HTTP/1.1\r\nHost: www.test\r\n{te}\r\n")
}

#[tokio::test]
async fn trailers_reach_the_viewer_who_takes_them() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::raw(WITH_TRAILERS));
    let asking = get("TE: trailers\r\nConnection: TE, close\r\n");

    let answer = RawConnection::exchange(node.http(), asking).await;

    assert!(answer.ends_with("4\r\nbody\r\n0\r\nx-sum: 4\r\n\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\ntrailer: x-sum"), "RFC 9110 §6.6.2: {answer}");
    let asked = &origin.requests()[0];
    assert_eq!(asked.header("te").as_deref(), None, "what may be stored is asked for everybody");
}

#[tokio::test]
async fn who_does_not_take_trailers_gets_the_body_alone() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::raw(WITH_TRAILERS));
    let answer = RawConnection::exchange(node.http(), get("Connection: close\r\n")).await;
    assert!(answer.ends_with("4\r\nbody\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn stored_answers_announce_no_trailers() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| {
        Answer::raw(WITH_TRAILERS.replace("\r\n\r\n4", "\r\nCache-Control: max-age=60\r\n\r\n4"))
    });
    for hit in [false, true] {
        let reply = node.viewer().get("http://www.test/page").await;
        assert_eq!((reply.is_hit(), reply.text().as_str()), (hit, "body"));
        assert_eq!(reply.header("trailer"), "", "RFC 9111 §3: trailers are not stored");
    }
}

#[tokio::test]
async fn a_viewers_trailers_reach_the_origin_but_for_those_that_may_not() {
    let origin = BareOrigin::listen().await;
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
    let site = format!("{LOOPBACK}\n[site.\"www.test\"]\norigin = \"{}\"\n{route}", origin.url());
    let node = Node::start(&site).await;
    let mut viewer = RawConnection::open(node.http()).await;

    viewer
        .send(
            "PUT /page HTTP/1.1\r\nHost: www.test\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Sum, Host\r\n\
             Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 4\r\nHost: other\r\nX-Unsaid: 1\r\n\r\n",
        )
        .await;

    let mut asked = origin.accept().await;
    let received = asked.read_until("x-sum: 4\r\n\r\n").await.to_lowercase();
    assert!(received.ends_with("4\r\nbody\r\n0\r\nx-sum: 4\r\n\r\n"), "{received}");
    assert!(received.contains("te: trailers\r\n") && received.contains("connection: te\r\n"), "{received}");
}

#[tokio::test]
async fn endless_trailers_end_the_connection() {
    let origin = Origin::start().await;
    let node = Node::start(&crate::site(&origin)).await;
    let endless = "X-Sum: 1\r\n".repeat(20_000);
    origin.on("/page", move |_| {
        Answer::raw(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n{endless}\r\n"
        ))
    });
    let answer = RawConnection::exchange(node.http(), get("Connection: close\r\n")).await;
    assert!(!answer.ends_with("0\r\n\r\n"), "no clean end: {answer}");
}
