//! What is kept, for how long, and how it is asked for again (RFC 9111).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tests::{Answer, Gate, Node, Origin, Reply, eventually};

use crate::{SITE, origin_and_node, site_with_policy};

type Headers = &'static [(&'static str, &'static str)];

/// Headers of an answer, and whether a second request for it may be answered from the cache.
const KEPT_OR_NOT: &[(&str, Headers, bool)] = &[
    ("max-age", &[("cache-control", "max-age=3600")], true),
    ("public", &[("cache-control", "public, max-age=3600")], true),
    ("s-maxage beats max-age", &[("cache-control", "max-age=0, s-maxage=3600")], true),
    ("s-maxage=0 beats max-age", &[("cache-control", "max-age=3600, s-maxage=0")], false),
    (
        "RFC 9213: the CDN's own field wins",
        &[("cache-control", "no-store"), ("cdn-cache-control", "max-age=3600")],
        true,
    ),
    (
        "RFC 9213 §2.1: what is no structured field is ignored",
        &[("cache-control", "no-store"), ("cdn-cache-control", "max-age=3600, &&&&&")],
        false,
    ),
    (
        "RFC 9213: the other way round",
        &[("cache-control", "max-age=3600"), ("cdn-cache-control", "no-store")],
        false,
    ),
    ("Expires", &[("expires", "Fri, 01 Jan 2100 00:00:00 GMT")], true),
    ("Expires in the past", &[("expires", "Thu, 01 Jan 1970 00:00:00 GMT")], false),
    ("Expires: 0", &[("expires", "0")], false),
    ("no-store", &[("cache-control", "no-store, max-age=3600")], false),
    ("private", &[("cache-control", "private, max-age=3600")], false),
    ("no-cache", &[("cache-control", "no-cache, max-age=3600")], false),
    ("RFC 9111 §7.3: Set-Cookie", &[("cache-control", "max-age=3600"), ("set-cookie", "theme=dark")], true),
    ("Set-Cookie without a lifetime", &[("set-cookie", "session=secret")], false),
    ("nothing said", &[], false),
    ("only a validator", &[("etag", "\"1\"")], false),
    ("RFC 9111 §4.2.3: already too old", &[("cache-control", "max-age=60"), ("age", "61")], false),
    ("RFC 9111 §5.1: an Age that is no number", &[("cache-control", "max-age=60"), ("age", "abc")], true),
    ("RFC 9111 §5.2.2.3", &[("cache-control", "max-age=60, no-store, must-understand")], true),
    ("directive names know no case", &[("cache-control", "MAX-AGE=3600")], true),
    ("a negative lifetime", &[("cache-control", "max-age=-5")], false),
];

#[tokio::test]
async fn the_origins_headers_decide_what_is_kept() {
    let (origin, node) = origin_and_node().await;
    for (index, (_, headers, _)) in KEPT_OR_NOT.iter().enumerate() {
        origin.on(&format!("/{index}"), move |_| {
            headers.iter().fold(Answer::ok("body"), |answer, (name, value)| answer.header(name, value))
        });
    }

    let mut wrong = Vec::new();
    for (index, (rule, _, kept)) in KEPT_OR_NOT.iter().enumerate() {
        let url = format!("{SITE}/{index}");
        node.viewer().get(&url).await;
        let second = node.viewer().get(&url).await;
        let asked = origin.requests_for(&format!("/{index}")).len();
        if second.is_hit() != *kept || asked != if *kept { 1 } else { 2 } {
            wrong.push(format!("{rule}: {} after {asked} requests", second.header("cache-status")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn what_is_meant_for_caches_is_not_sent_to_viewers() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| {
        Answer::ok("x").header("cache-control", "max-age=5").header("cdn-cache-control", "max-age=3600")
    });

    let reply = node.viewer().get(&format!("{SITE}/page")).await;

    assert_eq!(reply.header("cdn-cache-control"), "");
    assert_eq!(reply.header("cache-control"), "max-age=5");
}

#[tokio::test]
async fn a_stale_answer_is_revalidated_and_a_304_refreshes_it() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| match request.header("if-none-match").as_deref() {
        Some("\"v1\"") => {
            let refreshed = Answer::new(304).header("etag", "\"v1\"").header("x-generation", "2");
            refreshed.header("cache-control", "max-age=3600")
        }
        _ => {
            let first = Answer::ok("the body").header("etag", "\"v1\"").header("x-generation", "1");
            first.header("cache-control", "max-age=1")
        }
    });
    let url = format!("{SITE}/page");
    node.viewer().get(&url).await;

    let revalidated = eventually("the answer to become stale", async || {
        let reply = node.viewer().get(&url).await;
        (!reply.is_hit()).then_some(reply)
    })
    .await;
    let hit = node.viewer().get(&url).await;

    assert_eq!((revalidated.status, revalidated.text().as_str()), (200, "the body"));
    assert_eq!((hit.status, hit.text().as_str()), (200, "the body"));
    assert!(hit.is_hit(), "RFC 9111 §4.3.4: a 304 renews what is stored: {}", hit.header("cache-status"));
    assert_eq!(hit.header("x-generation"), "2", "RFC 9111 §3.2: and its header fields");
    assert_eq!(origin.requests_for("/page").len(), 2);
}

#[tokio::test]
async fn a_changed_answer_replaces_the_stale_one() {
    let (origin, node) = origin_and_node().await;
    let version = Arc::new(AtomicUsize::new(0));
    origin.on("/page", move |_| {
        let version = version.fetch_add(1, Ordering::SeqCst);
        let lifetime = if version == 0 { "max-age=1" } else { "max-age=3600" };
        Answer::ok(format!("v{version}"))
            .header("etag", &format!("\"{version}\""))
            .header("cache-control", lifetime)
    });
    let url = format!("{SITE}/page");
    assert_eq!(node.viewer().get(&url).await.text(), "v0");

    let changed = eventually("the second version", async || {
        let reply = node.viewer().get(&url).await;
        (reply.text() != "v0").then_some(reply)
    })
    .await;

    assert_eq!(changed.text(), "v1");
    assert_eq!(node.viewer().get(&url).await.text(), "v1");
}

#[tokio::test]
async fn a_policy_gives_a_lifetime_where_the_origin_gives_none() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::ok("x"));
    origin.on("/private", |_| Answer::ok("x").header("cache-control", "private"));
    let node = Node::start(&site_with_policy(&origin, "ttl = { min = \"10s\", default = \"1h\" }")).await;

    for path in ["/page", "/private"] {
        node.viewer().get(&format!("{SITE}{path}")).await;
    }

    assert!(node.viewer().get(&format!("{SITE}/page")).await.is_hit());
    assert!(!node.viewer().get(&format!("{SITE}/private")).await.is_hit(), "no policy beats private");
}

#[tokio::test]
async fn the_policy_says_which_parameters_are_part_of_the_key() {
    let origin = Origin::start().await;
    origin.on("/page", |request| Answer::cacheable(request.target.clone()));
    let node = Node::start(&site_with_policy(&origin, "key = { query = [\"v\"] }")).await;
    let viewer = node.viewer();

    let first = viewer.get(&format!("{SITE}/page?v=1&campaign=a")).await;
    let same = viewer.get(&format!("{SITE}/page?campaign=b&v=1")).await;
    let other = viewer.get(&format!("{SITE}/page?v=2")).await;

    assert!(!first.is_hit() && same.is_hit() && !other.is_hit());
    assert_eq!(first.text(), "/page?v=1", "what is not in the key is not sent to the origin");
}

#[tokio::test]
async fn an_answer_to_a_request_with_authorization_is_kept_for_nobody_else() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::cacheable("for alice"));
    let url = format!("{SITE}/page");

    node.viewer().get_with(&url, &[("authorization", "Basic YWxpY2U6")]).await;
    let other = node.viewer().get(&url).await;

    // RFC 9111 §3.5
    assert!(!other.is_hit(), "{}", other.header("cache-status"));
    assert_eq!(origin.requests_for("/page").len(), 2);
}

#[tokio::test]
async fn server_errors_are_not_kept() {
    let (origin, node) = origin_and_node().await;
    origin.on("/broken", |_| Answer::new(500).body("oops"));
    let url = format!("{SITE}/broken");

    node.viewer().get(&url).await;
    let second = node.viewer().get(&url).await;

    assert!(!second.is_hit());
    assert_eq!(origin.requests_for("/broken").len(), 2);
}

#[tokio::test]
async fn a_policy_keeps_a_missing_page_for_a_moment() {
    let origin = Origin::start().await;
    let node = Node::start(&site_with_policy(&origin, "")).await;
    let url = format!("{SITE}/missing");

    node.viewer().get(&url).await;
    let second = node.viewer().get(&url).await;

    assert_eq!(second.status, 404);
    assert!(second.is_hit(), "{}", second.header("cache-status"));
    assert_eq!(origin.requests_for("/missing").len(), 1);
}

/// Asks until the answer is no longer a fresh one, and returns the first such answer.
async fn first_after_expiry(node: &Node, url: &str) -> Reply {
    eventually("the answer to become stale", async || {
        let reply = node.viewer().get(url).await;
        let status = reply.header("cache-status");
        (!reply.is_hit() || status.contains("ttl=-") || status.contains("stale")).then_some(reply)
    })
    .await
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_a_dead_origin_unless_the_policy_says_no() {
    let mut origin = Origin::start().await;
    origin.on("/page", |_| Answer::ok("old").header("cache-control", "max-age=1"));
    let lenient = Node::start(&site_with_policy(&origin, "")).await;
    let strict = Node::start(&site_with_policy(&origin, "stale = { if-error = \"0s\" }")).await;
    let url = format!("{SITE}/page");
    for node in [&lenient, &strict] {
        node.viewer().get(&url).await;
    }
    origin.stop().await;

    let stale = first_after_expiry(&lenient, &url).await;
    let error = first_after_expiry(&strict, &url).await;

    assert_eq!((stale.status, stale.text().as_str()), (200, "old"), "{:?}", stale.headers);
    let status = stale.header("cache-status");
    assert!(status.contains("hit; ttl=-") && status.contains("detail=stale-if-error"), "{status}");
    assert!(!status.contains("fwd"), "RFC 9211 §2.2: {status}");
    assert_eq!(error.status, 502, "{:?}", error.headers);
}

#[tokio::test]
async fn a_stale_answer_is_served_at_once_while_it_is_revalidated_when_the_policy_says_so() {
    let origin = Origin::start().await;
    let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Gate::closed());
    let held = gate.clone();
    origin.on("/page", move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::ok("old").header("cache-control", "max-age=1"),
        _ => Answer::cacheable("new").behind(&held),
    });
    let node = Node::start(&site_with_policy(&origin, "stale = { while-revalidate = \"1h\" }")).await;
    let url = format!("{SITE}/page");
    node.viewer().get(&url).await;

    let stale = first_after_expiry(&node, &url).await;
    assert_eq!((stale.status, stale.text().as_str()), (200, "old"));
    origin.until("the revalidation", |requests| requests.len() == 2).await;
    gate.open();

    eventually("the new version", async || (node.viewer().get(&url).await.text() == "new").then_some(()))
        .await;
    assert_eq!(origin.requests_for("/page").len(), 2, "however many ask, one revalidation is enough");
}

#[tokio::test]
async fn the_rule_that_forbids_storing_is_told_to_viewers_log_and_metrics() {
    let origin = Origin::start().await;
    let node = Node::start(&crate::site(&origin).replace("[node]", "[node]\nlog = \"requests\"")).await;
    for (path, control, status, reason) in [
        ("/private", "private", 200, "private"),
        ("/no-store", "no-store", 200, "no-store"),
        ("/silent", "public", 200, "no-freshness"),
        ("/refused", "max-age=60", 403, "status"),
    ] {
        origin.on(path, move |_| Answer::new(status).header("cache-control", control));
        let reply = node.viewer().get(&format!("{SITE}{path}")).await;
        let said = reply.header("cache-status");
        assert!(said.ends_with(&format!("; detail={reason}")), "{path}: {said}");
        let line = format!("unstored={reason}");
        eventually("the log line", async || node.log().contains(&line).then_some(())).await;
        let metrics = node.ask_admin("/metrics").await.text();
        assert!(metrics.contains(&format!("selvedge_unstored_total{{reason=\"{reason}\"}} 1")), "{metrics}");
    }
}
