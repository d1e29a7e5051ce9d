//! Viewers and crowds that take their time: they cost others nothing.

use std::time::{Duration, Instant};

use http::Request;
use http_body_util::Full;
use tests::{Answer, Folder, Node, Origin, RawConnection, Tap, Viewer, pki::Authority};

use crate::{SITE, site};

async fn impatient(origin: &Origin) -> Node {
    let limits =
        "limits = { header-timeout = \"300ms\", idle-timeout = \"300ms\", body-timeout = \"300ms\" }";
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
    let config = site(origin).replace("[node]", &format!("[node]\n{limits}"));
    Node::start(&format!("{config}{route}")).await
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let origin = Origin::start().await;
    let node = impatient(&origin).await;

    for beginning in ["", "GET /", "GET / HTTP/1.1\r\nHost: www.test\r\nX-Slow: a"] {
        let mut connection = RawConnection::open(node.http()).await;
        connection.send(beginning).await;
        let answer = connection.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{beginning:?}: {answer}");
    }
    assert_eq!(origin.bytes_received(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::ok("x"));
    let node = impatient(&origin).await;
    let mut connection = RawConnection::open(node.http()).await;
    connection.send("GET /page HTTP/1.1\r\nHost: www.test\r\n\r\n").await;

    let answer = connection.read_to_end().await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_in_the_middle_is_given_up() {
    let origin = Origin::start().await;
    origin.on("/upload", |_| Answer::ok("x"));
    let node = impatient(&origin).await;
    let mut connection = RawConnection::open(node.http()).await;
    connection.send("POST /upload HTTP/1.1\r\nHost: www.test\r\nContent-Length: 10\r\n\r\nhalf").await;

    let answer = connection.read_to_end().await;

    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
}

#[tokio::test]
async fn a_viewer_who_takes_nothing_holds_up_nobody_else() {
    let origin = Origin::start().await;
    let tap = Tap::new();
    let played = tap.clone();
    origin.on("/large", move |_| Answer::streamed(&played).header("cache-control", "max-age=3600"));
    let node = Node::start(&site(&origin)).await;
    let mut stubborn = RawConnection::open(node.http()).await;
    stubborn.send("GET /large HTTP/1.1\r\nHost: www.test\r\n\r\n").await;
    origin.until("the request to reach the origin", |requests| !requests.is_empty()).await;

    for _ in 0..16 {
        tap.send(vec![b'x'; 1024 * 1024]);
    }
    tap.end();
    let begun = Instant::now();
    let reply = node.viewer().get(&format!("{SITE}/large")).await;

    assert_eq!(reply.body.len(), 16 * 1024 * 1024);
    assert!(begun.elapsed() < tests::DEADLINE / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_too_large_to_keep_streams_through_past_a_viewer_who_takes_nothing() {
    let origin = Origin::start().await;
    let body = vec![b'x'; 16 * 1024 * 1024];
    origin.on("/huge", move |_| Answer::cacheable(body.clone()));
    let limits = "[node]\nlimits = { max-object = \"1MiB\", body-timeout = \"500ms\" }";
    let node = Node::start(&site(&origin).replace("[node]", limits)).await;
    let mut stubborn = RawConnection::open(node.http()).await;
    stubborn.send("GET /huge HTTP/1.1\r\nHost: www.test\r\n\r\n").await;
    origin.until("the request to reach the origin", |requests| !requests.is_empty()).await;

    let first = node.viewer().get(&format!("{SITE}/huge")).await;
    let second = node.viewer().get(&format!("{SITE}/huge")).await;

    for reply in [first, second] {
        assert_eq!((reply.status, reply.body.len()), (200, 16 * 1024 * 1024));
        assert!(!reply.is_hit(), "{}", reply.header("cache-status"));
    }
}

#[tokio::test]
async fn an_answer_that_pauses_in_the_middle_is_not_idle() {
    let origin = Origin::start().await;
    let tap = Tap::new();
    let played = tap.clone();
    origin.on("/events", move |_| Answer::streamed(&played).header("cache-control", "no-store"));
    let (authority, folder) = (Authority::new(), Folder::new());
    let identity = authority.issue(&["www.test"]);
    folder.write("site.pem", identity.certificate);
    folder.write("site.key", identity.key);
    let limits = "[node]\nlimits = { idle-timeout = \"200ms\" }";
    let listen = "[\"http://127.0.0.1:0\", \"https://";
    let config = site(&origin).replace("[node]", limits).replace("[\"http://", listen);
    let tls = "tls = { cert = \"site.pem\", key = { file = \"site.key\" } }\n";
    let node = Node::start_in(folder, &format!("{config}{tls}")).await;
    tap.send("first ");

    let plain = node.viewer();
    let secure = Viewer::https(node.https(), authority.root(), "www.test").http2();
    let mut streams = Vec::new();
    for (viewer, url) in [(plain, format!("{SITE}/events")), (secure, "https://www.test/events".to_owned())] {
        // Held, so that it is the node that would close it.
        let mut connection = viewer.connect().await.unwrap();
        let request = Request::get(url).body(Full::default()).unwrap();
        let mut stream = connection.open(request).await.unwrap();
        stream.read(6).await;
        streams.push((connection, stream));
    }
    // Not for a state: the pause is what is tested.
    tokio::time::sleep(Duration::from_secs(1)).await;
    tap.send("second");
    tap.end();

    for (_connection, stream) in streams {
        let version = stream.version;
        let reply = stream.finish().await.unwrap_or_else(|error| panic!("{version:?}: {error}"));
        assert_eq!(reply.text(), "second", "{version:?}");
    }
}
