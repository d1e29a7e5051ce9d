//! What changes something at the origin makes stored copies of it unfit (RFC 9111 §4.4).

use tests::{Answer, Node, Origin};

use crate::{SITE, site};

async fn node_for_all_methods() -> (Origin, Node) {
    let origin = Origin::start().await;
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
    let node = Node::start(&format!("{}\n{route}", site(&origin))).await;
    (origin, node)
}

#[tokio::test]
async fn a_change_forgets_the_target_and_what_the_answer_names_at_the_same_origin() {
    let (origin, node) = node_for_all_methods().await;
    let pages = ["/shop/cart", "/shop/list", "/shop/sum?all", "/other", "/far"];
    for page in ["/shop/cart", "/shop/list", "/shop/sum", "/other", "/far"] {
        origin.on(page, |request| match request.method.as_str() {
            "GET" => Answer::cacheable("x"),
            _ => Answer::new(204)
                .header("location", "list")
                .header("content-location", "http://WWW.test/shop/sum?all#top"),
        });
    }
    for (method, changed) in
        [("POST", true), ("PUT", true), ("DELETE", true), ("PURGE-ME", true), ("OPTIONS", false)]
    {
        for page in pages {
            node.viewer().get(&format!("{SITE}{page}")).await;
        }
        node.viewer().ask(method, &format!("{SITE}/shop/cart"), &[]).await;
        for page in pages {
            let hit = node.viewer().get(&format!("{SITE}{page}")).await.is_hit();
            assert_eq!(hit, !changed || !page.starts_with("/shop"), "{method} {page}");
        }
    }
}

#[tokio::test]
async fn another_origins_pages_and_failed_changes_stay() {
    let (origin, node) = node_for_all_methods().await;
    origin.on("/page", |_| Answer::cacheable("x"));
    for (path, status, location) in [
        ("/elsewhere", 201, "http://evil.test/page"),
        ("/scheme", 201, "https://www.test/page"),
        ("/network", 201, "//evil.test/page"),
        ("/failed", 500, "/page"),
        ("/broken", 201, "/../../page"),
    ] {
        origin.on(path, move |_| Answer::new(status).header("location", location));
        let url = format!("{SITE}/page");
        node.viewer().get(&url).await;
        node.viewer().ask("POST", &format!("{SITE}{path}"), &[]).await;
        assert!(node.viewer().get(&url).await.is_hit(), "{path}");
    }
}

#[tokio::test]
async fn an_answer_to_post_that_names_its_target_is_kept_for_get() {
    let (origin, node) = node_for_all_methods().await;
    for (path, location, control, kept) in [
        ("/same", "/same", "max-age=60", true),
        ("/absolute", "http://www.test/absolute", "max-age=60", true),
        ("/other", "/same", "max-age=60", false),
        ("/silent", "/silent", "public", false),
    ] {
        origin.on(path, move |request| {
            Answer::ok(request.method.clone())
                .header("cache-control", control)
                .header("content-location", location)
        });
        let url = format!("{SITE}{path}");
        assert_eq!(node.viewer().ask("POST", &url, &[("if-none-match", "*")]).await.text(), "POST");
        let reply = node.viewer().get(&url).await;
        assert_eq!(reply.text(), if kept { "POST" } else { "GET" }, "{path}");
    }
}
