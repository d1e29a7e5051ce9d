//! HEAD, and requests with conditions (RFC 9110 §13), answered from what is stored.

use tests::{Answer, Node, Origin};

use crate::{SITE, origin_and_node};

const MODIFIED: &str = "Wed, 01 Jan 2025 00:00:00 GMT";

/// A node that has `/page` in its cache.
async fn warm() -> (Origin, Node, String) {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| {
        Answer::cacheable("hello").header("etag", "\"v1\"").header("last-modified", MODIFIED)
    });
    let url = format!("{SITE}/page");
    node.viewer().get(&url).await;
    (origin, node, url)
}

#[tokio::test]
async fn head_is_answered_from_a_stored_get() {
    let (origin, node, url) = warm().await;

    let head = node.viewer().ask("HEAD", &url, &[]).await;

    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), "5");
    assert!(head.is_hit(), "{}", head.header("cache-status"));
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn head_of_something_cold_does_not_spoil_the_get() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("hello"));
    let url = format!("{SITE}/page");

    let head = node.viewer().ask("HEAD", &url, &[]).await;
    let get = node.viewer().get(&url).await;

    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!((get.status, get.text().as_str()), (200, "hello"));
}

#[tokio::test]
async fn a_viewer_who_has_the_same_version_gets_304() {
    let (origin, node, url) = warm().await;

    for condition in [
        ("if-none-match", "\"v1\""),
        ("if-none-match", "W/\"v1\""),
        ("if-none-match", "\"v0\", \"v1\""),
        ("if-none-match", "*"),
        ("if-modified-since", MODIFIED),
    ] {
        let reply = node.viewer().get_with(&url, &[condition]).await;
        assert_eq!((reply.status, reply.body.len()), (304, 0), "{condition:?}");
        assert_eq!(reply.header("etag"), "\"v1\"", "RFC 9110 §15.4.5: {condition:?}");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_viewer_who_has_another_version_gets_200() {
    let (origin, node, url) = warm().await;

    let entity = node.viewer().get_with(&url, &[("if-none-match", "\"v0\"")]).await;
    let date = node.viewer().get_with(&url, &[("if-modified-since", "Tue, 31 Dec 2024 00:00:00 GMT")]).await;
    // RFC 9110 §13.1.3: If-None-Match makes If-Modified-Since irrelevant.
    let both =
        node.viewer().get_with(&url, &[("if-none-match", "\"v0\""), ("if-modified-since", MODIFIED)]).await;

    for reply in [entity, date, both] {
        assert_eq!((reply.status, reply.text().as_str()), (200, "hello"));
        assert!(reply.is_hit());
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_viewers_condition_does_not_turn_a_cold_object_into_a_304_for_others() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| match request.header("if-none-match") {
        Some(_) => Answer::new(304).header("etag", "\"v1\"").header("cache-control", "max-age=3600"),
        None => Answer::cacheable("hello").header("etag", "\"v1\""),
    });
    let url = format!("{SITE}/page");

    let conditional = node.viewer().get_with(&url, &[("if-none-match", "\"v1\"")]).await;
    let plain = node.viewer().get(&url).await;

    assert_eq!(conditional.status, 304);
    assert_eq!((plain.status, plain.text().as_str()), (200, "hello"));
}
