//! Error pages of a site's own.

use tests::{Answer, Folder, Node, Origin};

use crate::{SITE, site};

const OOPS: &str = "<h1>Back in a moment</h1>";

/// A node whose site shows its own pages; `errors` are the lines of its table, `more` further lines of the config.
async fn node(origin: &Origin, errors: &str, more: &str) -> Node {
    let errors = format!("[site.\"www.test\".errors]\n{errors}\n");
    Node::start_in(Folder::new(), &format!("{}{errors}{more}", site(origin))).await
}

/// An origin with the page, which says how long it may be kept.
async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.on("/errors/oops.html", |_| {
        Answer::cacheable(OOPS).header("content-type", "text/html").header("etag", "\"page\"")
    });
    origin
}

const ANY: &str = "\"5xx\" = { page = \"/errors/oops.html\" }\n\"4xx\" = { page = \"/errors/oops.html\" }";

#[tokio::test]
async fn a_refused_signature_shows_the_page_which_nobody_has_to_sign_for() {
    let origin = origin().await;
    let folder = Folder::new();
    let key = folder.run(&["key", "new"]).await.stdout;
    let config = format!(
        "{}[site.\"www.test\".errors]\n{ANY}\n[[site.\"www.test\".route]]\npath = \"/*\"\nsigned = \"premium\"\n{key}",
        site(&origin)
    );
    let node = Node::start_in(folder, &config).await;

    let reply = node.viewer().get(&format!("{SITE}/private/film")).await;

    assert_eq!((reply.status, reply.text().as_str()), (403, OOPS));
    assert_eq!((reply.header("content-type").as_str(), reply.header("etag").as_str()), ("text/html", ""));
    assert_eq!(reply.header("cache-control"), "no-store", "it is an error, however long the page is kept");
    assert!(reply.header("proxy-status").contains("signature-missing"), "{}", reply.header("proxy-status"));
    let line = node.log_contains("reason=signature-missing").await;
    assert!(line.contains("status=403") && line.contains("page=shown"), "{line}");
    let again = node.viewer().get(&format!("{SITE}/private/film")).await;
    assert_eq!((again.status, origin.requests().len()), (403, 1), "the page is fetched once for all");
}

#[tokio::test]
async fn an_origin_that_is_gone_shows_the_page_that_was_kept() {
    let mut origin = origin().await;
    // The page says nothing of its lifetime, and no policy does.
    origin.on("/errors/oops.html", |_| Answer::ok(OOPS));
    origin.on("/broken", |_| Answer::new(500).body("Traceback: at line 7"));
    let node = node(&origin, ANY, "").await;
    let broken = node.viewer().get(&format!("{SITE}/broken")).await;
    assert_eq!((broken.status, broken.text().as_str()), (500, OOPS), "an origin's own words stay behind");

    origin.stop().await;
    let down = node.viewer().get(&format!("{SITE}/any")).await;

    assert_eq!((down.status, down.text().as_str()), (502, OOPS));
    assert!(down.header("proxy-status").contains("connection_refused"), "{}", down.header("proxy-status"));
    let head = node.viewer().ask("HEAD", &format!("{SITE}/any"), &[]).await;
    assert_eq!((head.status, head.text().as_str()), (502, ""));
    assert_eq!(head.header("content-length"), OOPS.len().to_string());
}

#[tokio::test]
async fn a_page_that_cannot_be_had_is_the_nodes_own_and_no_page_is_asked_for_a_page() {
    let origin = Origin::start().await;
    origin.on("/broken", |_| Answer::new(500).body("Traceback: at line 7"));
    let node = node(&origin, ANY, "").await;

    let reply = node.viewer().get(&format!("{SITE}/broken")).await;

    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("<h1>500 Internal Server Error</h1>"), "{}", reply.text());
    assert!(!reply.text().contains("Traceback"), "{}", reply.text());
    let asked: Vec<String> = origin.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(asked, ["/broken", "/errors/oops.html"], "once each");
    node.log_contains("page=not-200").await;
    // Asked for by itself it is a page like any other, whose 404 has the same page, which is missing.
    assert_eq!(node.viewer().get(&format!("{SITE}/errors/oops.html")).await.status, 404);
}

#[tokio::test]
async fn an_application_of_one_page_answers_every_path_with_200() {
    let origin = Origin::start().await;
    origin.on("/index.html", |_| Answer::cacheable("x".repeat(2000)).header("content-type", "text/html"));
    let node = node(&origin, "404 = { page = \"/index.html\", status = 200 }", "").await;

    let plain = node.viewer().get(&format!("{SITE}/deep/link")).await;
    let packed = node.viewer().get_with(&format!("{SITE}/deep/link"), &[("accept-encoding", "gzip")]).await;
    let part = node.viewer().get_with(&format!("{SITE}/deep/link"), &[("range", "bytes=0-9")]).await;

    assert_eq!((plain.status, plain.text().len()), (200, 2000));
    assert_eq!(plain.header("cache-control"), "no-store", "it is not what is at this URL");
    assert_eq!((packed.status, packed.header("content-encoding").as_str()), (200, "gzip"));
    assert_eq!((part.status, part.text().len()), (200, 2000), "a part of an error is no part of its page");
    let posted = node.viewer().ask("OPTIONS", &format!("{SITE}/deep/link"), &[]).await;
    assert_eq!(posted.status, 404, "programs get the origin's words");
}

#[tokio::test]
async fn an_error_is_kept_as_long_as_the_site_says_where_it_may_be_kept() {
    let origin = origin().await;
    origin.on("/failing", |_| Answer::new(500));
    origin.on("/never", |_| Answer::new(500).header("cache-control", "no-store"));
    let node = node(&origin, "5xx = { page = \"/errors/oops.html\", ttl = \"1h\" }", "").await;

    for path in ["/failing", "/failing", "/never", "/never"] {
        let reply = node.viewer().get(&format!("{SITE}{path}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (500, OOPS), "{path}");
        assert_eq!(reply.header("cdn-cache-control"), "");
    }

    assert_eq!((origin.requests_for("/failing").len(), origin.requests_for("/never").len()), (1, 2));
}

#[tokio::test]
async fn an_error_that_may_be_about_one_viewer_is_nobody_elses_whatever_the_site_says() {
    let origin = origin().await;
    origin.on("/login", |_| Answer::new(500).header("set-cookie", "session=1"));
    origin.on("/account", |_| Answer::new(500));
    let node = node(&origin, "5xx = { ttl = \"1h\" }", "").await;

    for _ in 0..2 {
        node.viewer().get(&format!("{SITE}/login")).await;
        node.viewer().get_with(&format!("{SITE}/account"), &[("cookie", "session=2")]).await;
    }

    assert_eq!((origin.requests_for("/login").len(), origin.requests_for("/account").len()), (2, 2));
}

#[tokio::test]
async fn a_page_that_breaks_off_stands_for_nothing() {
    let origin = Origin::start().await;
    origin.on("/errors/oops.html", |_| Answer::cacheable(OOPS).header("content-length", "5000"));
    let node = node(&origin, ANY, "").await;

    let reply = node.viewer().get(&format!("{SITE}/missing")).await;

    assert!(reply.status == 404 && reply.text().contains("404 Not Found"), "{}", reply.text());
}

#[tokio::test]
async fn a_page_that_is_larger_than_the_node_allows_stands_for_nothing() {
    let origin = Origin::start().await;
    let page = |bytes: usize| Answer::cacheable("x".repeat(bytes));
    origin.on("/errors/oops.html", move |_| page(4097));
    let large = node(&origin, ANY, "[node.limits]\nerror-page-size = \"4KiB\"\n").await;
    for _ in 0..2 {
        let reply = large.viewer().get(&format!("{SITE}/missing")).await;
        assert!(reply.status == 404 && reply.text().contains("404 Not Found"), "{}", reply.text());
    }
    large.log_contains("page=broken-or-too-large").await;

    let allowed = node(&origin, ANY, "[node.limits]\nerror-page-size = \"4097B\"\n").await;
    assert_eq!(allowed.viewer().get(&format!("{SITE}/missing")).await.text().len(), 4097);
}

#[tokio::test]
async fn a_page_that_takes_too_long_is_not_waited_for() {
    let origin = Origin::start().await;
    let gate = tests::Gate::closed();
    let held = gate.clone();
    origin.on("/errors/oops.html", move |_| Answer::cacheable(OOPS).behind(&held));
    let more = "[node.limits]\nerror-page = \"50ms\"\n";
    let node = node(&origin, ANY, more).await;

    let early = node.viewer().get(&format!("{SITE}/missing")).await;
    assert!(early.status == 404 && early.text().contains("404 Not Found"), "{}", early.text());
    node.log_contains("page=late").await;
    gate.open();
    // The fetch went on without its viewer, and is there for the next.
    tests::eventually("the page to be kept", async || {
        (node.viewer().get(&format!("{SITE}/missing")).await.text() == OOPS).then_some(())
    })
    .await;
}
