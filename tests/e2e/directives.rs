//! What viewers ask of the cache, and what origins say of single header fields (RFC 9111 §5.2).

use tests::{Answer, Node, Origin};

use crate::{SITE, origin_and_node, site_with_policy};

#[tokio::test]
async fn a_viewer_may_ask_for_a_fresher_answer_than_the_stored_one() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| match request.header("if-none-match") {
        Some(_) => Answer::new(304).header("etag", "\"a\"").header("cache-control", "max-age=3600"),
        None => Answer::cacheable("x").header("etag", "\"a\""),
    });
    let url = format!("{SITE}/page");
    node.viewer().get(&url).await;

    for (control, asks) in
        [("no-cache", 1), ("max-age=0", 1), ("min-fresh=4000", 1), ("max-age=600", 0), ("foo", 0)]
    {
        let before = origin.requests().len();
        let reply = node.viewer().get_with(&url, &[("cache-control", control)]).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "x"), "{control}");
        assert_eq!(origin.requests().len() - before, asks, "{control}");
    }
    assert!(node.viewer().get(&url).await.is_hit());
}

#[tokio::test]
async fn under_a_policy_no_viewer_makes_the_edge_ask_for_what_it_has() {
    let origin = Origin::start().await;
    let node = Node::start(&site_with_policy(&origin, "")).await;
    let obedient = Node::start(&site_with_policy(&origin, "viewer-directives = \"obey\"")).await;
    origin.on("/page", |_| Answer::cacheable("x"));
    let url = format!("{SITE}/page");
    let insisting = [("cache-control", "no-cache, max-age=0")];

    for (node, is_heard) in [(&node, false), (&obedient, true)] {
        node.viewer().get(&url).await;
        let reply = node.viewer().get_with(&url, &insisting).await;
        assert_eq!(reply.is_hit(), !is_heard, "{}", reply.header("cache-status"));
    }
}

#[tokio::test]
async fn a_viewer_that_wants_a_stored_answer_or_none_gets_504() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("x"));
    let url = format!("{SITE}/page");
    let only = [("cache-control", "only-if-cached")];

    let none = node.viewer().get_with(&url, &only).await;
    assert_eq!(none.status, 504);
    assert!(none.header("proxy-status").contains("only-if-cached"), "{}", none.header("proxy-status"));
    assert!(origin.requests().is_empty());
    node.viewer().get(&url).await;
    assert_eq!(node.viewer().get_with(&url, &only).await.text(), "x");
}

#[tokio::test]
async fn what_a_viewer_does_not_want_kept_is_not() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("x"));
    let url = format!("{SITE}/page");

    node.viewer().get_with(&url, &[("cache-control", "no-store")]).await;
    assert!(!node.viewer().get(&url).await.is_hit());
    assert!(node.viewer().get_with(&url, &[("cache-control", "no-store")]).await.is_hit());
}

#[tokio::test]
async fn fields_that_are_one_viewers_own_are_not_stored() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| {
        Answer::ok("x")
            .header("cache-control", "max-age=60, private=\"set-cookie\", no-cache=\"x-trace\"")
            .header("set-cookie", "session=secret")
            .header("x-trace", "1")
            .header("x-kept", "2")
    });
    let url = format!("{SITE}/page");
    let own = |reply: &tests::Reply| ["set-cookie", "x-trace", "x-kept"].map(|name| reply.header(name));

    let cookie = [("cookie", "known=1")];
    assert_eq!(own(&node.viewer().get_with(&url, &cookie).await), ["session=secret", "1", "2"]);
    let hit = node.viewer().get_with(&url, &cookie).await;
    assert!(hit.is_hit());
    assert_eq!(own(&hit), ["", "", "2"]);
}

#[tokio::test]
async fn a_cookie_set_for_somebody_known_is_not_shared() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |_| Answer::cacheable("x").header("set-cookie", "session=secret"));
    for (path, request, shared) in [("/stranger", None, true), ("/known", Some(("cookie", "id=1")), false)] {
        let url = format!("{SITE}{path}");
        node.viewer().get_with(&url, request.as_slice()).await;
        assert_eq!(node.viewer().get(&url).await.is_hit(), shared, "{path}");
    }
}

#[tokio::test]
async fn answers_that_must_be_asked_for_each_time_are_not_shared_while_they_come() {
    let (origin, node) = origin_and_node().await;
    let gate = tests::Gate::closed();
    let held = gate.clone();
    origin.on("/page", move |request| {
        let name = request.header("cookie").unwrap_or_default();
        Answer::ok(name).header("cache-control", "no-cache").header("etag", "\"a\"").behind(&held)
    });

    let asked: Vec<_> = ["alice", "bob"]
        .map(|name| {
            let viewer = node.viewer();
            tokio::spawn(async move {
                (name, viewer.get_with(&format!("{SITE}/page"), &[("cookie", name)]).await)
            })
        })
        .into();
    origin.until("the first request", |requests| !requests.is_empty()).await;
    gate.open();
    for reply in asked {
        let (name, reply) = reply.await.unwrap();
        assert_eq!(reply.text(), name, "a page of somebody else");
    }
}

#[tokio::test]
async fn languages_are_compared_by_what_they_mean() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| {
        Answer::cacheable("Hallo").header("vary", "accept-language").header("content-language", "de")
    });
    let url = format!("{SITE}/page");
    node.viewer().get_with(&url, &[("accept-language", "en, de")]).await;

    for (language, same) in [("De ,EN", true), ("fr;q=0.5, de", true), ("fr, de;q=0.5", false)] {
        let reply = node.viewer().get_with(&url, &[("accept-language", language)]).await;
        assert_eq!(reply.is_hit(), same, "{language}");
    }
}
