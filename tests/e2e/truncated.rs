//! Bodies that break off: nobody takes a part for the whole, whatever both sides speak, and nothing of it is kept.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tests::{Answer, Folder, Node, Origin, Tap, Viewer, pki::Authority};

use crate::site;

const WHOLE: &str = "half and half";

/// How the first answer ends after its first five bytes.
#[derive(Debug, Clone, Copy)]
enum Break {
    /// HTTP/1.1: the connection closes before the length that was declared (RFC 9112 §8).
    ShortOfLength,
    /// HTTP/1.1: the connection closes before the last chunk.
    NoLastChunk,
    /// HTTP/2: the stream is reset.
    Reset,
    /// HTTP/2: the stream ends before the length that was declared (RFC 9113 §8.1.1).
    ShortStream,
}

/// An origin whose first answer for each path breaks off when its tap says so, and whose later ones are whole.
struct Breaking {
    origin: Origin,
    taps: Arc<Mutex<Vec<Tap>>>,
}

impl Breaking {
    async fn start(how: Break, authority: &Authority) -> Self {
        let origin = match how {
            Break::ShortOfLength | Break::NoLastChunk => Origin::start().await,
            Break::Reset | Break::ShortStream => Origin::start_http2(authority).await,
        };
        let taps: Arc<Mutex<Vec<Tap>>> = Arc::default();
        for path in ["/one", "/two"] {
            let (asked, taps) = (AtomicUsize::new(0), Arc::clone(&taps));
            origin.on(path, move |_| {
                if asked.fetch_add(1, Ordering::SeqCst) > 0 {
                    return Answer::cacheable(WHOLE);
                }
                let tap = Tap::new();
                tap.send("half ");
                taps.lock().unwrap().push(tap.clone());
                let answer = Answer::streamed(&tap).header("cache-control", "max-age=3600");
                match how {
                    Break::ShortOfLength | Break::ShortStream => {
                        answer.header("content-length", &WHOLE.len().to_string())
                    }
                    Break::NoLastChunk | Break::Reset => answer,
                }
            });
        }
        Self { origin, taps }
    }

    fn break_off(&self, how: Break) {
        for tap in self.taps.lock().unwrap().drain(..) {
            match how {
                Break::ShortStream => tap.end(),
                _ => tap.cut(),
            }
        }
    }
}

/// A node that speaks HTTP/1.1 and, over TLS, HTTP/2, and trusts origins with certificates of `authority`.
async fn node_before(origin: &Origin, authority: &Authority) -> Node {
    let (folder, identity) = (Folder::new(), authority.issue(&["www.test"]));
    folder.write("ca.pem", authority.root());
    folder.write("site.pem", identity.certificate);
    folder.write("site.key", identity.key);
    let listen = "[\"http://127.0.0.1:0\", \"https://127.0.0.1:0\"]";
    let config = site(origin).replace("[\"http://127.0.0.1:0\"]", listen);
    let config = config.replace(&format!("\"{}\"", origin.url()), "\"breaking\"");
    let tls = "tls = { cert = \"site.pem\", key = { file = \"site.key\" } }";
    let trust = if origin.url().starts_with("https") { "tls = { ca = \"ca.pem\" }" } else { "" };
    let origin = format!("[origin.breaking]\nurl = \"{}\"\n{trust}", origin.url());
    Node::start_in(folder, &format!("{config}{tls}\n{origin}\n")).await
}

async fn nobody_takes_a_part_for_the_whole(how: Break) {
    let authority = Authority::new();
    let breaking = Breaking::start(how, &authority).await;
    let node = node_before(&breaking.origin, &authority).await;
    let secure = Viewer::https(node.https(), authority.root(), "www.test").http2();
    for (viewer, url) in [(node.viewer(), "http://www.test/one"), (secure, "https://www.test/two")] {
        let mut leader = viewer.open_get(url).await;
        assert_eq!(leader.read(5).await, b"half ", "{how:?}");
        let mut follower = viewer.open_get(url).await;
        assert_eq!(follower.read(5).await, b"half ", "{how:?}");
        breaking.break_off(how);

        for unlucky in [leader, follower] {
            let version = unlucky.version;
            let ended = unlucky.finish().await.map(|reply| reply.text());
            assert!(
                ended.is_err(),
                "{how:?}, {version:?}: half a body looked whole, and ended with {ended:?}"
            );
        }
        for is_hit in [false, true] {
            let next = viewer.get(url).await;
            assert_eq!((next.status, next.text().as_str()), (200, WHOLE), "{how:?}");
            assert_eq!(next.is_hit(), is_hit, "{how:?}: {}", next.header("cache-status"));
        }
    }
    assert_eq!(breaking.origin.requests().len(), 4, "{how:?}: followers ask nothing themselves");
}

#[tokio::test]
async fn a_connection_that_closes_before_the_declared_length_breaks_the_body() {
    nobody_takes_a_part_for_the_whole(Break::ShortOfLength).await;
}

#[tokio::test]
async fn a_connection_that_closes_before_the_last_chunk_breaks_the_body() {
    nobody_takes_a_part_for_the_whole(Break::NoLastChunk).await;
}

#[tokio::test]
async fn a_stream_that_is_reset_breaks_the_body() {
    nobody_takes_a_part_for_the_whole(Break::Reset).await;
}

#[tokio::test]
async fn a_stream_that_ends_before_the_declared_length_breaks_the_body() {
    nobody_takes_a_part_for_the_whole(Break::ShortStream).await;
}
