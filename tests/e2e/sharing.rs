//! What one viewer sends, gets or breaks is never another viewer's.

use tests::{Answer, Gate, Node, Origin};

use crate::{SITE, origin_and_node, site, site_with_policy};

#[tokio::test]
async fn a_cookie_set_on_a_304_is_the_leaders_own() {
    let (origin, node) = origin_and_node().await;
    let gate = Gate::closed();
    let held = gate.clone();
    origin.on("/page", move |request| match request.header("if-none-match") {
        None => Answer::ok("x").header("cache-control", "max-age=0").header("etag", "\"a\""),
        Some(_) => {
            let owner = request.header("cookie").unwrap_or_default();
            Answer::new(304)
                .header("etag", "\"a\"")
                .header("set-cookie", &format!("of={owner}"))
                .behind(&held)
        }
    });
    let url = format!("{SITE}/page");
    node.viewer().get(&url).await;

    let asked: Vec<_> = ["alice", "bob"]
        .map(|owner| {
            let (viewer, url) = (node.viewer(), url.clone());
            tokio::spawn(async move { (owner, viewer.get_with(&url, &[("cookie", owner)]).await) })
        })
        .into();
    origin.until("a revalidation", |requests| requests.len() >= 2).await;
    gate.open();

    for reply in asked {
        let (owner, reply) = reply.await.unwrap();
        let cookie = reply.header("set-cookie").to_owned();
        assert!(cookie.is_empty() || cookie == format!("of={owner}"), "{owner} got {cookie}");
    }
}

#[tokio::test]
async fn a_field_that_connection_takes_away_is_not_in_the_key_either() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| {
        let language = request.header("accept-language").unwrap_or("none".into());
        Answer::cacheable(language).header("vary", "accept-language")
    });
    let url = format!("{SITE}/page");

    let trick = [("accept-language", "ko"), ("connection", "accept-language")];
    assert_eq!(node.viewer().get_with(&url, &trick).await.text(), "none");
    assert_eq!(node.viewer().get_with(&url, &[("accept-language", "ko")]).await.text(), "ko");
}

#[tokio::test]
async fn under_a_policy_nothing_unkeyed_reaches_the_origin() {
    let origin = Origin::start().await;
    let node = Node::start(&site_with_policy(&origin, "key = { headers = [\"X-Device\"] }")).await;
    origin.on("/page", |request| {
        let said = |name: &str| request.header(name).unwrap_or("-".into());
        Answer::ok(format!("{} {}", said("x-host"), said("x-device")))
    });
    let url = format!("{SITE}/page");

    node.viewer().get_with(&url, &[("x-host", "evil"), ("x-device", "phone")]).await;
    let clean = node.viewer().get_with(&url, &[("x-device", "phone")]).await;
    assert!(clean.is_hit());
    assert_eq!(clean.text(), "- phone");
}

#[tokio::test]
async fn one_error_does_not_keep_a_page_from_being_stored() {
    let (origin, node) = origin_and_node().await;
    let failing = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let fails = failing.clone();
    origin.on("/page", move |_| match fails.load(std::sync::atomic::Ordering::Relaxed) {
        true => Answer::new(500),
        false => Answer::cacheable("well").header("content-encoding", "gzip"),
    });
    let url = format!("{SITE}/page");
    let browser = [("accept-encoding", "gzip")];

    assert_eq!(node.viewer().get_with(&url, &browser).await.status, 500);
    failing.store(false, std::sync::atomic::Ordering::Relaxed);
    node.viewer().get_with(&url, &browser).await;
    assert!(node.viewer().get_with(&url, &browser).await.is_hit());
}

#[tokio::test]
async fn a_refused_variant_leaves_the_others_stored() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| match request.header("accept-language").as_deref() {
        Some("bad") => Answer::new(400),
        _ => Answer::cacheable("x").header("vary", "accept-language"),
    });
    let url = format!("{SITE}/page");

    node.viewer().get_with(&url, &[("accept-language", "de")]).await;
    assert_eq!(node.viewer().get_with(&url, &[("accept-language", "bad")]).await.status, 400);
    assert!(node.viewer().get_with(&url, &[("accept-language", "de")]).await.is_hit());
}

#[tokio::test]
async fn what_speaks_to_the_edge_stays_there() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |request| {
        let control = if request.path() == "/kept" { "max-age=60" } else { "private" };
        Answer::ok("x")
            .header("cache-control", control)
            .header("surrogate-key", "a b")
            .header("cache-tag", "c")
            .header("cdn-cache-control", control)
    });

    for path in ["/kept", "/kept", "/own"] {
        let reply = node.viewer().get(&format!("{SITE}{path}")).await;
        for name in ["surrogate-key", "cache-tag"] {
            assert_eq!(reply.header(name), "", "{path}");
        }
        let forbids = if path == "/own" { "private" } else { "" };
        assert_eq!(reply.header("cdn-cache-control"), forbids, "{path}: what forbids storing goes on");
    }
}

#[tokio::test]
async fn a_part_of_what_is_too_large_to_keep_is_fetched_as_a_part() {
    let origin = Origin::start().await;
    let limits = "[node.limits]\nmax-object = \"1KB\"\n";
    let node = Node::start(&format!("{}\n{limits}", site(&origin))).await;
    origin.on("/film", |request| match request.header("range").as_deref() {
        Some("bytes=10-19") => Answer::new(206)
            .header("content-range", "bytes 10-19/5000")
            .body("0123456789")
            .header("cache-control", "max-age=60"),
        _ => Answer::cacheable("x".repeat(5000)),
    });

    let reply = node.viewer().get_with(&format!("{SITE}/film"), &[("range", "bytes=10-19")]).await;
    assert_eq!((reply.status, reply.text().as_str()), (206, "0123456789"));
}

#[tokio::test]
async fn a_trusted_peer_tells_the_scheme_that_the_viewer_spoke() {
    let origin = Origin::start().await;
    let trusting = site(&origin).replace("[node]", "[node]\ntrust = [\"127.0.0.1\"]");
    let node = Node::start(&trusting).await;
    origin.on("/page", |request| Answer::cacheable(request.header("x-forwarded-proto").unwrap_or_default()));
    let url = format!("{SITE}/page");

    assert_eq!(node.viewer().get(&url).await.text(), "http");
    assert_eq!(node.viewer().get_with(&url, &[("x-forwarded-proto", "https")]).await.text(), "https");
}
