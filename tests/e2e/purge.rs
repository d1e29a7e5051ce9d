//! Purging: what is named is fetched or confirmed anew, at once and for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use serde_json::Value;
use tests::{Answer, Folder, Gate, Node, Origin, Outcome, Reply, Tap, Viewer, eventually};

use crate::{SITE, origin_and_node, site, site_with_policy};

/// Every answer for `path` is a new version, with a validator, good for an hour.
fn versions(origin: &Origin, path: &str, headers: &'static [(&'static str, &'static str)]) {
    let count = AtomicUsize::new(0);
    origin.on(path, move |_| {
        let version = count.fetch_add(1, Ordering::SeqCst) + 1;
        let answer =
            Answer::cacheable(format!("version {version}")).header("etag", &format!("\"{version}\""));
        headers.iter().fold(answer, |answer, (name, value)| answer.header(name, value))
    });
}

async fn get(node: &Node, path: &str) -> Reply {
    node.viewer().get(&format!("{SITE}{path}")).await
}

/// Runs `selvedge purge` and returns its receipt.
async fn purge(node: &Node, what: &[&str]) -> Value {
    let outcome = run(node, &[what, &["--json"]].concat()).await;
    assert_eq!(outcome.code, Some(0), "{what:?}: {}{}", outcome.stdout, outcome.stderr);
    serde_json::from_str(&outcome.stdout).expect("not JSON")
}

async fn run(node: &Node, what: &[&str]) -> Outcome {
    let admin = node.admin().to_string();
    node.folder().run(&[&["purge"], what, &["--admin", &admin]].concat()).await
}

async fn post(node: &Node, body: impl Into<Bytes>) -> Reply {
    let admin = node.admin();
    let request = http::Request::post(format!("http://{admin}/purge")).body(Full::new(body.into())).unwrap();
    Viewer::http(admin).send(request).await
}

fn matched(receipt: &Value) -> u64 {
    receipt["matched"].as_u64().expect("a receipt counts")
}

#[tokio::test]
async fn a_soft_purge_has_the_origin_asked_whether_it_changed() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| match request.header("if-none-match") {
        Some(_) => Answer::new(304).header("etag", "\"1\"").header("cache-control", "max-age=3600"),
        None => Answer::cacheable("the page").header("etag", "\"1\""),
    });
    get(&node, "/page").await;
    assert!(get(&node, "/page").await.is_hit());

    let receipt = purge(&node, &[&format!("{SITE}/page")]).await;
    let (confirmed, after) = (get(&node, "/page").await, get(&node, "/page").await);

    assert_eq!((matched(&receipt), &receipt["hard"]), (1, &Value::Bool(false)), "{receipt}");
    assert!(
        confirmed.header("cache-status").contains("fwd=stale; fwd-status=304"),
        "{:?}",
        confirmed.headers
    );
    assert_eq!((confirmed.text().as_str(), after.text().as_str()), ("the page", "the page"));
    assert!(after.is_hit());
    assert_eq!(origin.requests_for("/page").len(), 2);
}

#[tokio::test]
async fn a_hard_purge_leaves_nothing_to_ask_about() {
    let (origin, node) = origin_and_node().await;
    versions(&origin, "/page", &[]);
    get(&node, "/page").await;

    let receipt = purge(&node, &["--hard", &format!("{SITE}/page")]).await;
    let after = get(&node, "/page").await;

    assert_eq!((matched(&receipt), &receipt["hard"]), (1, &Value::Bool(true)), "{receipt}");
    assert_eq!(after.text(), "version 2");
    assert!(!after.is_hit());
    assert_eq!(origin.requests_for("/page")[1].header("if-none-match"), None);
}

#[tokio::test]
async fn what_may_be_served_stale_still_is_after_a_soft_purge() {
    let (origin, node) = origin_and_node().await;
    let count = Arc::new(AtomicUsize::new(0));
    let served = Arc::clone(&count);
    origin.on("/page", move |_| {
        let version = served.fetch_add(1, Ordering::SeqCst) + 1;
        let control = "max-age=3600, stale-while-revalidate=600";
        Answer::ok(format!("version {version}")).header("cache-control", control)
    });
    get(&node, "/page").await;

    purge(&node, &[&format!("{SITE}/page")]).await;
    let stale = get(&node, "/page").await;

    assert_eq!(stale.text(), "version 1");
    let status = stale.header("cache-status");
    assert!(status.contains("hit; ttl=-"), "{status}");
    eventually("the page to be revalidated", async || {
        (get(&node, "/page").await.text() == "version 2").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_failing_origin_is_stood_in_for_after_a_soft_purge_only() {
    let (mut origin, node) = origin_and_node().await;
    for path in ["/soft", "/hard"] {
        origin.on(path, |_| Answer::ok("old").header("cache-control", "max-age=3600, stale-if-error=600"));
        get(&node, path).await;
    }

    purge(&node, &[&format!("{SITE}/soft")]).await;
    purge(&node, &["--hard", &format!("{SITE}/hard")]).await;
    origin.stop().await;
    let (soft, hard) = (get(&node, "/soft").await, get(&node, "/hard").await);

    assert_eq!((soft.status, soft.text().as_str()), (200, "old"));
    assert!(soft.header("cache-status").contains("stale-if-error"), "{:?}", soft.headers);
    assert_eq!(hard.status, 502);
}

#[tokio::test]
async fn a_url_goes_with_all_its_variants() {
    let origin = Origin::start().await;
    let policy = r#"key = { query = ["v"], headers = ["X-Device"], cookies = ["theme"] }"#;
    let node = Node::start(&site_with_policy(&origin, policy)).await;
    let count = AtomicUsize::new(0);
    origin.on("/page", move |_| {
        Answer::cacheable(format!("version {}", count.fetch_add(1, Ordering::SeqCst)))
            .header("vary", "Accept-Language")
    });
    let variants: [&[(&str, &str)]; 4] =
        [&[], &[("accept-language", "de")], &[("x-device", "phone")], &[("cookie", "theme=dark")]];
    let url = format!("{SITE}/page?v=1&utm_source=mail");
    for headers in variants {
        node.viewer().get_with(&url, headers).await;
    }
    node.viewer().get(&format!("{SITE}/page?v=2")).await;
    let before = origin.requests_for("/page").len();

    let receipt = purge(&node, &["--hard", &format!("{SITE}/page?utm_medium=web&v=1")]).await;

    assert_eq!(receipt["variants"].as_u64(), Some(before as u64 - 1), "{receipt}");
    assert!(receipt["bytes"].as_u64() > Some(0), "{receipt}");
    for headers in variants {
        let reply = node.viewer().get_with(&url, headers).await;
        assert!(!reply.is_hit(), "{headers:?}: {}", reply.header("cache-status"));
    }
    assert!(node.viewer().get(&format!("{SITE}/page?v=2")).await.is_hit());
}

#[tokio::test]
async fn a_url_may_be_written_in_any_of_its_forms() {
    let (origin, node) = origin_and_node().await;
    versions(&origin, "/a/b~c%C3%9F", &[]);
    for url in [
        "http://WWW.test:80/a/b~c%C3%9F",
        "http://www.test/x/../a/./b%7ec%c3%9f",
        "http://www.test/a/b~cß",
        "HTTP://www.test/a/b~cß#part",
    ] {
        get(&node, "/a/b~c%C3%9F").await;
        assert_eq!(matched(&purge(&node, &["--hard", url]).await), 1, "{url}");
        assert!(!get(&node, "/a/b~c%C3%9F").await.is_hit(), "{url}");
    }
    for url in ["https://www.test/a/b~cß", "http://www.test:81/a/b~cß", "http://www.test/a/b~cß?x"] {
        assert_eq!(matched(&purge(&node, &["--hard", url]).await), 0, "{url}");
    }
    assert!(get(&node, "/a/b~c%C3%9F").await.is_hit());
}

#[tokio::test]
async fn a_tag_takes_its_objects_and_no_others() {
    let (origin, node) = origin_and_node().await;
    for (path, headers) in [
        ("/groups", &[("cache-groups", r#""news", "other""#)][..]),
        ("/keys", &[("surrogate-key", "other news")]),
        ("/tags", &[("cache-tag", "other, news")]),
        ("/other", &[("cache-tag", "other")]),
        ("/newsletter", &[("surrogate-key", "newsletter")]),
        ("/none", &[]),
    ] {
        versions(&origin, path, headers);
        get(&node, path).await;
    }

    let receipt = purge(&node, &["--tag", "news"]).await;

    assert_eq!((matched(&receipt), receipt["variants"].as_u64()), (3, Some(3)), "{receipt}");
    for (path, kept) in [
        ("/groups", false),
        ("/keys", false),
        ("/tags", false),
        ("/other", true),
        ("/newsletter", true),
        ("/none", true),
    ] {
        assert_eq!(get(&node, path).await.is_hit(), kept, "{path}");
    }
    let receipt = purge(&node, &["--hard", "--tag", "other", "--tag", "news", "--tag", "unknown"]).await;
    assert_eq!(matched(&receipt), 4, "an object of two tags is one object: {receipt}");
}

#[tokio::test]
async fn only_the_variant_that_bears_a_tag_goes() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |request| {
        let language = request.header("accept-language").unwrap_or_default();
        Answer::cacheable("page").header("vary", "Accept-Language").header("cache-tag", &language)
    });
    let ask = async |language: &str| {
        node.viewer().get_with(&format!("{SITE}/page"), &[("accept-language", language)]).await.is_hit()
    };
    for language in ["de", "ko"] {
        ask(language).await;
    }

    let receipt = purge(&node, &["--hard", "--tag", "de"]).await;

    assert_eq!((matched(&receipt), receipt["variants"].as_u64()), (1, Some(1)), "{receipt}");
    assert!(ask("ko").await);
    assert!(!ask("de").await);
}

#[tokio::test]
async fn an_object_bears_the_tags_of_its_latest_answer() {
    let (origin, node) = origin_and_node().await;
    let count = AtomicUsize::new(0);
    origin.on("/page", move |_| {
        let tag = if count.fetch_add(1, Ordering::SeqCst) == 0 { "old" } else { "new" };
        Answer::cacheable("page").header("cache-tag", tag)
    });
    get(&node, "/page").await;
    assert_eq!(matched(&purge(&node, &["--tag", "old"]).await), 1);
    get(&node, "/page").await;

    assert_eq!(matched(&purge(&node, &["--tag", "old"]).await), 0);
    assert_eq!(matched(&purge(&node, &["--tag", "new", "--dry-run"]).await), 1);
    assert!(get(&node, "/page").await.is_hit());
}

#[tokio::test]
async fn a_prefix_takes_what_begins_so() {
    let (origin, node) = origin_and_node().await;
    origin.on("*", |_| Answer::cacheable("x"));
    for (prefix, taken, kept) in [
        ("http://www.test/img/", &["/img/", "/img/a", "/img/b/c?w=1"][..], &["/img", "/image", "/"][..]),
        ("www.test/img", &["/img", "/img/a", "/imgs"], &["/im", "/"]),
        ("WWW.test:80/a/../img/b", &["/img/b/c?w=1"], &["/img/a"]),
        ("http://www.test", &["/", "/img/a"], &[]),
        ("https://www.test/", &[], &["/", "/img/a"]),
    ] {
        for path in taken.iter().chain(kept) {
            get(&node, path).await;
        }
        let receipt = purge(&node, &["--hard", "--prefix", prefix]).await;
        for path in taken {
            assert!(!get(&node, path).await.is_hit(), "{prefix} leaves {path}: {receipt}");
        }
        for path in kept {
            assert!(get(&node, path).await.is_hit(), "{prefix} takes {path}: {receipt}");
        }
    }
}

#[tokio::test]
async fn a_site_is_taken_whole_and_alone() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::cacheable("x").header("etag", "\"1\""));
    let other = format!("[site.other]\nhosts = [\"other.test\"]\norigin = \"{}\"\n", origin.url());
    let node = Node::start(&format!("{}{other}", site(&origin))).await;
    for url in ["http://www.test/a", "http://www.test/b", "http://other.test/a"] {
        node.viewer().get(url).await;
    }

    let receipt = purge(&node, &["--site", "www.test"]).await;

    assert_eq!(matched(&receipt), 2, "{receipt}");
    for (url, kept) in
        [("http://www.test/a", false), ("http://www.test/b", false), ("http://other.test/a", true)]
    {
        assert_eq!(node.viewer().get(url).await.is_hit(), kept, "{url}");
    }
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let (origin, node) = origin_and_node().await;
    versions(&origin, "/page", &[("cache-tag", "news")]);
    get(&node, "/page").await;
    let url = format!("{SITE}/page");

    for what in [&[&*url][..], &["--prefix", SITE], &["--tag", "news"], &["--site", "www.test"]] {
        for hard in [&[][..], &["--hard"]] {
            let receipt = purge(&node, &[what, hard, &["--dry-run"]].concat()).await;
            assert_eq!(
                (matched(&receipt), &receipt["dry_run"]),
                (1, &Value::Bool(true)),
                "{what:?}: {receipt}"
            );
            assert_eq!(receipt["hard"], !hard.is_empty(), "{what:?}: {receipt}");
        }
    }
    assert!(get(&node, "/page").await.is_hit());
}

#[tokio::test]
async fn what_was_asked_for_before_is_not_fresh_after() {
    let (origin, node) = origin_and_node().await;
    let url = |path: &str| format!("{SITE}{path}");
    for (number, hard) in [(0, false), (1, true)] {
        let paths = ["url", "prefix", "tag", "site"].map(|kind| format!("/{kind}/{number}"));
        for (path, what) in paths.iter().zip([
            vec![url(&paths[0])],
            vec!["--prefix".to_owned(), url("/prefix/")],
            vec!["--tag".to_owned(), "news".to_owned()],
            vec!["--site".to_owned(), "www.test".to_owned()],
        ]) {
            let gate = Gate::closed();
            let held = gate.clone();
            let count = AtomicUsize::new(0);
            origin.on(path, move |_| {
                let version = count.fetch_add(1, Ordering::SeqCst) + 1;
                let answer = Answer::cacheable(format!("version {version}"));
                answer.header("cache-tag", "news").header("etag", &format!("\"{version}\"")).behind(&held)
            });
            let (viewer, asked) = (node.viewer(), url(path));
            let before = tokio::spawn(async move { viewer.get(&asked).await });
            origin
                .until("the request", |requests| requests.iter().any(|request| request.path() == path))
                .await;

            let mut words: Vec<&str> = what.iter().map(String::as_str).collect();
            words.extend(hard.then_some("--hard"));
            purge(&node, &words).await;
            gate.open();

            assert_eq!(before.await.unwrap().text(), "version 1", "{words:?}");
            let after = get(&node, path).await;
            assert_eq!(after.text(), "version 2", "{words:?}: {}", after.header("cache-status"));
            assert!(get(&node, path).await.is_hit(), "{words:?}");
        }
    }
}

#[tokio::test]
async fn who_comes_after_a_purge_does_not_share_what_began_before() {
    let (origin, node) = origin_and_node().await;
    for (number, what) in [["--tag", "news"], ["--site", "www.test"]].into_iter().enumerate() {
        let path = format!("/slow/{number}");
        let (old, new) = (Tap::new(), Tap::new());
        let (first, second) = (old.clone(), new.clone());
        let count = AtomicUsize::new(0);
        origin.on(&path, move |_| {
            let tap = if count.fetch_add(1, Ordering::SeqCst) == 0 { &first } else { &second };
            Answer::streamed(tap).header("cache-control", "max-age=3600").header("cache-tag", "news")
        });
        let url = format!("{SITE}{path}");
        old.send("old ");
        new.send("new ");
        let mut before = node.viewer().open_get(&url).await;
        before.read(4).await;

        purge(&node, &what).await;
        let mut after = node.viewer().open_get(&url).await;

        assert_eq!(after.read(4).await, b"new ", "{what:?}");
        old.send("page");
        old.end();
        new.send("page");
        new.end();
        assert_eq!(before.finish().await.unwrap().text(), "page");
        assert_eq!(after.finish().await.unwrap().text(), "page");
        assert_eq!(node.viewer().get(&url).await.text(), "new page", "{what:?}");
    }
}

#[tokio::test]
async fn purging_nothing_is_no_failure() {
    let (_origin, node) = origin_and_node().await;

    for what in [&["http://www.test/none"][..], &["--prefix", SITE], &["--tag", "x"], &["--site", "www.test"]]
    {
        let outcome = run(&node, what).await;
        assert_eq!(outcome.code, Some(0), "{what:?}: {}", outcome.stderr);
        assert!(outcome.stdout.contains("0 objects"), "{what:?}: {}", outcome.stdout);
    }
}

#[tokio::test]
async fn the_receipt_is_a_sentence_for_people_and_json_for_scripts() {
    let (origin, node) = origin_and_node().await;
    versions(&origin, "/page", &[]);
    get(&node, "/page").await;

    let told = run(&node, &["--site", "www.test"]).await;
    let receipt = purge(&node, &["--site", "www.test"]).await;

    assert!(told.stdout.starts_with("purged 1 object (1 variant, "), "{}", told.stdout);
    assert_eq!(receipt["node"], "edge1", "{receipt}");
    assert!(receipt["micros"].is_u64() && receipt["bytes"].as_u64() > Some(8), "{receipt}");
}

#[tokio::test]
async fn what_cannot_be_purged_is_refused_with_the_reason() {
    let (_origin, node) = origin_and_node().await;
    for (body, words) in [
        (r"", "send for example"),
        (r"[]", "send for example"),
        (r#"{"url": 7}"#, "a text or a list of texts"),
        (r#"{"tag": "a", "hrad": true}"#, "`hrad`"),
        (r#"{"tag": "a", "hard": "yes"}"#, "boolean"),
        (r#"{"hard": true}"#, "one of `url`, `prefix`, `tag` or `site`"),
        (r#"{"tag": []}"#, "one of `url`, `prefix`, `tag` or `site`"),
        (r#"{"tag": "a", "site": "www.test"}"#, "send two"),
        (r#"{"url": "/page"}"#, "https://www.example.com/page"),
        (r#"{"url": "ftp://www.test/page"}"#, "https://www.example.com/page"),
        (r#"{"url": "any://www.test:80/page"}"#, "https://www.example.com/page"),
        (r#"{"url": "http://me@www.test/page"}"#, "https://www.example.com/page"),
        (r#"{"url": "http://nobody.test/page"}"#, "nobody.test"),
        (r#"{"url": "http://www.test/../up"}"#, "above the root"),
        (r#"{"url": "http://www.test/a%2"}"#, "hexadecimal"),
        (r#"{"prefix": "/img/"}"#, "host and path"),
        (r#"{"prefix": "http://www.test/img/*"}"#, "leave it out"),
        (r#"{"prefix": "nobody.test/img/"}"#, "nobody.test"),
        (r#"{"tag": ""}"#, "at least one character"),
        (r#"{"site": "www.tst"}"#, "did you mean `www.test`"),
        (r#"{"site": "elsewhere"}"#, "selvedge status"),
    ] {
        let reply = post(&node, body).await;
        let value: Value = serde_json::from_slice(&reply.body).expect(body);
        let said = value["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(reply.status, 400, "{body}: {said}");
        assert!(said.contains(words), "{body}: {said}");
    }
    let many = serde_json::json!({ "tag": vec!["a"; 1001] }).to_string();
    assert_eq!(post(&node, many).await.status, 400);
    let reply = post(&node, vec![b' '; 1 << 20]).await;
    assert_eq!(reply.status, 413, "{}", reply.text());
    let admin = node.admin();
    assert_eq!(Viewer::http(admin).get(&format!("http://{admin}/purge")).await.status, 405);
}

#[tokio::test]
async fn the_verb_ends_as_verbs_do() {
    let (_origin, node) = origin_and_node().await;
    for (what, code, words) in [
        (&["--site", "www.tst"][..], 2, "did you mean `www.test`"),
        (&["http://nobody.test/"], 2, "nobody.test"),
        (&["/page"], 2, "https://"),
        (&[], 2, "--tag"),
        (&["--tag", "a", "--site", "b"], 2, "cannot be used with"),
    ] {
        let outcome = run(&node, what).await;
        assert_eq!(outcome.code, Some(code), "{what:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{what:?}: {}", outcome.stderr);
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let outcome = Folder::new().run(&["purge", "--tag", "a", "--admin", &closed]).await;
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
}

#[tokio::test]
async fn purges_are_logged_without_queries_and_counted() {
    let (origin, node) = origin_and_node().await;
    versions(&origin, "/page", &[]);
    node.viewer().get(&format!("{SITE}/page?token=secret")).await;

    purge(&node, &[&format!("{SITE}/page?token=secret")]).await;

    let line = node.log_contains("purge url=").await;
    assert!(line.contains("\"http://www.test/page\" effect=soft objects=1 variants=1"), "{line}");
    assert!(!node.log().contains("secret"), "{}", node.log());
    let metrics = node.ask_admin("/metrics").await.text();
    for line in ["selvedge_purges_total{kind=\"url\"} 1", "selvedge_purged_objects_total{effect=\"soft\"} 1"]
    {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn a_policy_may_name_tag_headers_of_its_own_which_viewers_do_not_get() {
    let origin = Origin::start().await;
    let node = Node::start(&site_with_policy(&origin, r#"tags = ["X-Tags"]"#)).await;
    versions(&origin, "/page", &[("x-tags", "news, de"), ("cache-tag", "other"), ("x-kept", "yes")]);

    for kind in ["first", "stored"] {
        let reply = get(&node, "/page").await;
        assert_eq!(reply.header("x-kept"), "yes", "{kind}");
        for name in ["x-tags", "cache-tag"] {
            assert_eq!(reply.header(name), "", "{kind}: {name}");
        }
    }
    assert_eq!(matched(&purge(&node, &["--tag", "other"]).await), 0);
    assert_eq!(matched(&purge(&node, &["--tag", "news"]).await), 1);
}

#[tokio::test]
async fn tags_beyond_the_limits_are_dropped_and_counted() {
    let origin = Origin::start().await;
    let config = site(&origin).replace("[site.", "[node.limits]\ntags = 2\ntag-length = 4\n[site.");
    let node = Node::start(&config).await;
    versions(&origin, "/page", &[("cache-tag", "aaaa, bbbbb, cccc, dddd")]);
    get(&node, "/page").await;

    for (tag, count) in [("aaaa", 1), ("cccc", 1), ("bbbbb", 0), ("dddd", 0)] {
        assert_eq!(matched(&purge(&node, &["--tag", tag, "--dry-run"]).await), count, "{tag}");
    }
    let metrics = node.ask_admin("/metrics").await.text();
    assert!(metrics.contains("selvedge_tags_dropped_total 2\n"), "{metrics}");
    assert!(metrics.contains("selvedge_tag_index_entries 2\n"), "{metrics}");
}

#[tokio::test]
async fn an_answer_to_a_post_may_invalidate_groups_of_its_origin() {
    let origin = Origin::start().await;
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
    let other = format!("[site.other]\nhosts = [\"other.test\"]\norigin = \"{}\"\n", origin.url());
    let node = Node::start(&format!("{}{route}{other}", site(&origin))).await;
    for path in ["/list", "/item", "/else"] {
        let group = if path == "/else" { "\"else\"" } else { "\"items\"" };
        origin.on(path, move |_| Answer::cacheable("x").header("cache-groups", group));
    }
    origin.on("/add", |_| Answer::ok("added").header("cache-group-invalidation", "\"items\", \"more\""));
    let urls =
        ["http://www.test/list", "http://www.test/item", "http://www.test/else", "http://other.test/list"];
    for url in urls {
        node.viewer().get(url).await;
    }

    let added = node.viewer().ask("POST", "http://www.test/add", &[]).await;

    assert_eq!((added.status, added.header("cache-group-invalidation").as_str()), (200, ""));
    for (url, kept) in urls.into_iter().zip([false, false, true, true]) {
        assert_eq!(node.viewer().get(url).await.is_hit(), kept, "{url}");
    }
}
