//! What crosses two tiers in answers, and how both caches understand it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tests::{Answer, BareOrigin, Folder, LOOPBACK, Node, Origin, RawConnection, Reply, Tap, within};

use super::{EDGES, KEY, asking, node, two_tiers, url};
use crate::SITE;

async fn get(node: &Node, path: &str) -> Reply {
    node.viewer().get(&format!("{SITE}{path}")).await
}

async fn purge(node: &Node, what: &[&str]) {
    let admin = node.admin().to_string();
    let done = node.folder().run(&[&["purge"], what, &["--admin", &admin]].concat()).await;
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
}

#[tokio::test]
async fn both_tiers_say_what_they_did_in_order() {
    let (origin, shield, edge) = two_tiers().await;
    origin.on("/page", |_| Answer::cacheable("x").header("age", "100"));

    let cold = get(&edge, "/page").await;
    assert_eq!(cold.header("cache-status"), "shield1; fwd=uri-miss; stored, edge1; fwd=uri-miss; stored");
    assert!(cold.header("via").ends_with("1.1 shield1, 1.1 edge1"), "{cold:?}");

    purge(&edge, &["--hard", &format!("{SITE}/page")]).await;
    let reply = get(&edge, "/page").await;

    let status = reply.header("cache-status");
    let (of_shield, of_edge) = status.split_once(", ").unwrap();
    assert!(of_shield.starts_with("shield1; hit") && of_edge.starts_with("edge1; fwd"), "{status}");
    assert!(reply.header("age").parse::<u64>().unwrap() >= 100, "the age is that since the origin");
    assert!(shield.viewer().get(&format!("{SITE}/page")).await.is_hit());
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn what_the_origin_says_to_caches_reaches_the_edge_and_no_viewer() {
    let origin = Origin::start().await;
    origin.on("/page", |_| {
        Answer::ok("x")
            .header("cache-control", "max-age=0")
            .header("cdn-cache-control", "max-age=600")
            .header("surrogate-key", "news")
            .header("x-tags", "sports")
    });
    let policy = "[cache-policy.tagged]\ntags = [\"Surrogate-Key\", \"X-Tags\"]\n\
                  [[site.\"www.test\".route]]\npath = \"/*\"\ncache = \"tagged\"\n";
    let site = format!("{EDGES}[site.\"www.test\"]\norigin = \"{}\"\n{policy}", origin.url());
    let shield = node("shield1", &site).await;
    let edge = node("edge1", &format!("{}{policy}", asking(&[url(&shield)]))).await;

    let first = get(&edge, "/page").await;
    assert!(get(&edge, "/page").await.is_hit(), "the edge knows the lifetime that is for caches");
    let at_shield = get(&shield, "/page").await;
    for reply in [&first, &at_shield] {
        for name in ["cdn-cache-control", "surrogate-key", "x-tags"] {
            assert_eq!(reply.header(name), "", "{name} reached a viewer");
        }
    }

    for tag in ["news", "sports"] {
        purge(&edge, &["--hard", "--tag", tag]).await;
        let again = get(&edge, "/page").await.header("cache-status");
        assert!(again.starts_with("shield1; hit"), "the edge does not know the tag {tag}: {again}");
    }
    purge(&shield, &["--hard", "--tag", "news"]).await;
    purge(&edge, &["--hard", "--tag", "news"]).await;
    get(&edge, "/page").await;
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn an_edge_asks_its_shield_whether_something_changed_and_the_origin_is_left_alone() {
    let (origin, _shield, edge) = two_tiers().await;
    origin.on("/page", |_| Answer::cacheable("x").header("etag", "\"1\""));
    get(&edge, "/page").await;

    purge(&edge, &[&format!("{SITE}/page")]).await;
    let reply = get(&edge, "/page").await;

    assert!(reply.header("cache-status").ends_with("edge1; fwd=stale; fwd-status=304"), "{reply:?}");
    assert!(get(&edge, "/page").await.is_hit());
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn while_the_origin_is_down_the_shield_answers_for_it() {
    let (mut origin, shield, edge) = two_tiers().await;
    origin.on("/page", |_| Answer::cacheable("x"));
    get(&edge, "/page").await;
    origin.stop().await;
    purge(&shield, &[&format!("{SITE}/page")]).await;
    purge(&edge, &["--hard", &format!("{SITE}/page")]).await;

    let reply = get(&edge, "/page").await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "x"));
    assert!(reply.header("cache-status").contains("detail=stale-if-error"), "{reply:?}");
}

#[tokio::test]
async fn the_first_byte_is_passed_on_by_both_tiers_while_the_origin_waits() {
    let (origin, _shield, edge) = two_tiers().await;
    let tap = Tap::new();
    let held = tap.clone();
    origin.on("/slow", move |_| Answer::streamed(&held).header("cache-control", "max-age=60"));

    let asking = edge.viewer();
    tap.send("x");
    let mut reply = asking.open_get(&format!("{SITE}/slow")).await;
    assert_eq!(within("the first byte", reply.read(1)).await, b"x");
    tap.send("y");
    assert_eq!(within("the second byte", reply.read(1)).await, b"y");
    tap.end();
    assert_eq!(reply.finish().await.unwrap().text(), "");
}

#[tokio::test]
async fn an_edge_takes_the_slices_of_a_large_object_from_a_shield_that_slices_it_too() {
    const SLICES: &str = "[cache]\nslice = { size = \"64KiB\", over = \"128KiB\" }\n";
    const TOTAL: usize = 1 << 20;
    let bytes: Arc<Vec<u8>> = Arc::new((0..TOTAL).map(|at| (at / 7) as u8).collect());
    let origin = Origin::start().await;
    let (content, sent) = (Arc::clone(&bytes), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&sent);
    origin.on("/film", move |request| {
        let range = request.header("range").expect("slices are asked for");
        let (from, to) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap();
        let (from, to) = (from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap().min(TOTAL - 1));
        counted.fetch_add(to + 1 - from, Ordering::SeqCst);
        Answer::new(206)
            .header("content-range", &format!("bytes {from}-{to}/{TOTAL}"))
            .header("etag", "\"film\"")
            .header("cache-control", "max-age=60")
            .body(content[from..=to].to_vec())
    });
    let start = async |name: &str, config: String| {
        let folder = Folder::new();
        folder.write("shield.key", KEY);
        Node::start_in(folder, &format!("{}\n{config}{SLICES}", LOOPBACK.replace("edge1", name))).await
    };
    let site = format!("{EDGES}[site.\"www.test\"]\norigin = \"{}\"\n", origin.url());
    let shield = start("shield1", site).await;
    let edges =
        [start("edge1", asking(&[url(&shield)])).await, start("edge2", asking(&[url(&shield)])).await];

    for edge in &edges {
        for (from, to) in [(300_000, 300_099), (300_000, 600_000), (TOTAL - 10, TOTAL - 1)] {
            let range = format!("bytes={from}-{to}");
            let reply = edge.viewer().get_with(&format!("{SITE}/film"), &[("range", &range)]).await;
            assert_eq!(reply.status, 206, "{range}");
            assert!(reply.body == bytes[from..=to], "{range}");
        }
    }

    let sent = sent.load(Ordering::SeqCst);
    assert!(sent <= 7 * 65_536, "the origin sent {sent} bytes for less than seven slices");
}

#[tokio::test]
async fn a_tunnel_goes_through_both_tiers() {
    let origin = BareOrigin::listen().await;
    let site = format!("[site.\"www.test\"]\norigin = \"{}\"\nedges-only = true\n", origin.url());
    let shield = node("shield1", &format!("{EDGES}{site}")).await;
    let edge = node("edge1", &asking(&[url(&shield)])).await;
    let mut viewer = RawConnection::open(edge.http()).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    viewer.send(format!("GET /chat HTTP/1.1\r\nHost: www.test\r\n{upgrade}\r\n")).await;
    let mut asked = origin.accept().await;
    asked.read_until("\r\n\r\n").await;

    asked.send(format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\nhello")).await;
    viewer.read_until("hello").await;
    viewer.send("up").await;
    asked.read_until("up").await;
}
