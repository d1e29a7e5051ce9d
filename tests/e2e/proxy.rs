//! The main job: fetch once, serve many, and say so.

use tests::{Answer, Folder, Node, Origin, RawConnection};

use crate::{SITE, origin_and_node};

#[tokio::test]
async fn a_miss_is_fetched_and_a_hit_is_served_without_asking_the_origin() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("hello").header("content-type", "text/plain"));

    let miss = node.viewer().get(&format!("{SITE}/page")).await;
    let hit = node.viewer().get(&format!("{SITE}/page")).await;

    assert_eq!((miss.status, miss.text().as_str()), (200, "hello"));
    assert_eq!((hit.status, hit.text().as_str()), (200, "hello"));
    assert_eq!(hit.header("content-type"), "text/plain");
    assert!(
        !miss.is_hit() && miss.header("cache-status").contains("miss"),
        "{}",
        miss.header("cache-status")
    );
    assert!(hit.is_hit(), "{}", hit.header("cache-status"));
    assert_eq!(origin.requests_for("/page").len(), 1);
}

#[tokio::test]
async fn cache_status_names_the_node_and_the_time_that_is_left() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("hello"));
    node.viewer().get(&format!("{SITE}/page")).await;

    let hit = node.viewer().get(&format!("{SITE}/page")).await;

    // RFC 9211 §2: the cache's name, then its parameters.
    let status = hit.header("cache-status");
    assert!(status.starts_with("edge1;"), "{status}");
    let ttl = status.split("ttl=").nth(1).and_then(|rest| rest.split(';').next()?.trim().parse::<u32>().ok());
    assert!(ttl.is_some_and(|ttl| (3500..=3600).contains(&ttl)), "{status}");
}

#[tokio::test]
async fn every_answer_carries_via_and_a_request_id_of_its_own() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("hello"));

    let first = node.viewer().get(&format!("{SITE}/page")).await;
    let second = node.viewer().get(&format!("{SITE}/page")).await;
    let missing = node.viewer().get(&format!("{SITE}/missing")).await;

    for reply in [&first, &second, &missing] {
        assert!(reply.header("via").contains("1.1 edge1"), "{:?}", reply.headers);
        assert!(!reply.header("x-request-id").is_empty(), "{:?}", reply.headers);
        assert!(!reply.header("date").is_empty(), "{:?}", reply.headers);
    }
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}

#[tokio::test]
async fn age_tells_how_long_ago_the_origin_made_it() {
    let (origin, node) = origin_and_node().await;
    origin.on("/old", |_| Answer::cacheable("old").header("age", "100"));
    node.viewer().get(&format!("{SITE}/old")).await;

    let hit = node.viewer().get(&format!("{SITE}/old")).await;

    assert!(hit.is_hit(), "{}", hit.header("cache-status"));
    let age: u32 = hit.header("age").parse().expect("RFC 9111 §5.1: Age on what comes from a cache");
    assert!((100..130).contains(&age), "{age}");
}

#[tokio::test]
async fn the_origins_errors_pass_through() {
    let (origin, node) = origin_and_node().await;
    origin.on("/teapot", |_| Answer::new(418).body("short and stout"));
    origin.on("/broken", |_| Answer::new(500).body("oops"));

    let teapot = node.viewer().get(&format!("{SITE}/teapot")).await;
    let broken = node.viewer().get(&format!("{SITE}/broken")).await;

    assert_eq!((teapot.status, teapot.text().as_str()), (418, "short and stout"));
    assert_eq!((broken.status, broken.text().as_str()), (500, "oops"));
}

#[tokio::test]
async fn query_and_escapes_reach_the_origin_as_the_viewer_sent_them() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |request| Answer::ok(request.target.clone()));

    let target = "/a%20b/c+d?q=%C3%A9&empty=&q=2";
    let reply = node.viewer().get(&format!("{SITE}{target}")).await;

    assert_eq!(reply.text(), target);
}

#[tokio::test]
async fn two_hosts_never_share_an_entry() {
    let origin = Origin::start().await;
    origin.on("/page", |request| Answer::cacheable(request.header("x-forwarded-host").unwrap_or_default()));
    let config = format!("{}\n[site.\"other.test\"]\norigin = \"{}\"\n", crate::site(&origin), origin.url());
    let node = Node::start(&config).await;

    node.viewer().get("http://www.test/page").await;
    let other = node.viewer().get("http://other.test/page").await;

    assert!(!other.is_hit(), "{}", other.header("cache-status"));
    assert_eq!(other.text(), "other.test");
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn the_proxy_verb_caches_without_a_config_file() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::cacheable("hello"));
    let arguments = ["proxy", "--from", "127.0.0.1:0", "--to", &origin.url()];
    let node = Node::spawn(Folder::new(), &arguments).await;

    let miss = node.viewer().get("http://anything.test/page").await;
    let hit = node.viewer().get("http://anything.test/page").await;

    assert_eq!((miss.status, miss.text().as_str()), (200, "hello"));
    assert!(hit.is_hit(), "{}", hit.header("cache-status"));
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn the_key_and_the_origin_see_one_form_of_a_path() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |request| Answer::cacheable(request.target.clone()));
    let ask = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n");
        RawConnection::exchange(node.http(), request).await
    };

    for same in [
        "/shop/account",
        "/shop/./account",
        "/shop/x/../account",
        "/shop/%61ccount",
        "/shop/x/%2e%2e/account",
    ] {
        let answer = ask(same).await;
        assert!(answer.ends_with("\r\n\r\n/shop/account"), "{same}: {answer}");
    }
    assert_eq!(origin.requests().len(), 1, "{:#?}", origin.requests());
    for other in ["/shop%2faccount", "/shop/account;x.css", "/shop/account/", "/Shop/account"] {
        let answer = ask(other).await;
        assert!(!answer.ends_with("\r\n\r\n/shop/account"), "{other}: {answer}");
    }
}

#[tokio::test]
async fn a_page_that_pretends_to_be_a_file_is_not_kept_for_others() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |_| Answer::ok("alice's account").header("cache-control", "private"));

    for path in ["/account/x.css", "/account%2fx.css", "/account;x.css", "/static/..%2faccount"] {
        node.viewer().get(&format!("{SITE}{path}")).await;
        let second = node.viewer().get(&format!("{SITE}{path}")).await;
        assert!(!second.is_hit(), "{path}");
    }
}
