//! Kept connections to origins that end at the worst moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tests::{Answer, LOOPBACK, Node, Origin, pki::Authority};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{SITE, origin_and_node};

/// What a keep-alive timer does at the worst moment: answers the first request of each connection, then closes just as the next one
/// has arrived, without a word.
async fn closing_on_reuse(answered: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                if read_head(&mut stream).await {
                    let answer = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok";
                    stream.write_all(answer).await.unwrap();
                    answered.fetch_add(1, Ordering::SeqCst);
                    read_head(&mut stream).await;
                }
            });
        }
    });
    port
}

async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

#[tokio::test]
async fn a_thousand_requests_on_connections_that_end_as_they_are_used_again_all_succeed() {
    let answered = Arc::new(AtomicUsize::new(0));
    let port = closing_on_reuse(Arc::clone(&answered)).await;
    let node =
        Node::start(&format!("{LOOPBACK}[site.\"www.test\"]\norigin = \"http://127.0.0.1:{port}\"\n")).await;
    let mut viewer = node.viewer().connect().await.unwrap();
    for count in 0..1000 {
        let reply = viewer.get(&format!("{SITE}/{count}")).await.unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "request {count}: {}", node.log());
    }
    assert_eq!(answered.load(Ordering::SeqCst), 1000);
    assert!(!node.log().contains("failed="), "this is no failure of the origin: {}", node.log());
}

#[tokio::test]
async fn steady_misses_use_their_connections_again() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |_| Answer::ok("x").header("cache-control", "no-store"));
    let mut viewer = node.viewer().connect().await.unwrap();
    for count in 0..1000 {
        assert_eq!(viewer.get(&format!("{SITE}/{count}")).await.unwrap().status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

/// RFC 9113 section 6.8: what came before GOAWAY is answered, what comes after goes to another connection.
#[tokio::test]
async fn an_origin_that_says_goodbye_over_http2_gets_its_next_requests_on_a_new_connection() {
    let authority = Authority::new();
    let origin = Origin::start_http2_leaving(&authority, 3).await;
    origin.on("*", |_| Answer::ok("x").header("cache-control", "no-store"));
    let folder = tests::Folder::new();
    folder.write("ca.pem", authority.root());
    let config = format!(
        "{LOOPBACK}[origin.app]\nurl = \"{}\"\ntls = {{ ca = \"ca.pem\" }}\n[site.\"www.test\"]\norigin = \"app\"\n",
        origin.url()
    );
    let node = Node::start_in(folder, &config).await;
    for count in 0..60 {
        let reply = node.viewer().get(&format!("{SITE}/{count}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "x"), "request {count}: {}", node.log());
    }
    assert!(origin.connections() >= 20, "{}", origin.connections());
    assert!(!node.log().contains("failed="), "{}", node.log());
}
