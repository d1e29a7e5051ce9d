//! The second tier: what was stored is there after a restart, and after a crash whatever was written whole.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tests::{Answer, Folder, Node, Origin, Reply, Viewer, eventually};
use tokio::task::JoinSet;

use crate::{SITE, site};

fn config(origin: &Origin, size: &str) -> String {
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
    format!("{}\n{route}\n[cache]\ndisk = {{ path = \"tier\", size = \"{size}\" }}\n", site(origin))
}

async fn start(origin: &Origin) -> Node {
    Node::start(&config(origin, "64MiB")).await
}

async fn start_again(folder: Folder, origin: &Origin) -> Node {
    Node::start_in(folder, &config(origin, "64MiB")).await
}

async fn get(node: &Node, path: &str) -> Reply {
    node.viewer().get(&format!("{SITE}{path}")).await
}

fn is_from_disk(reply: &Reply) -> bool {
    let status = reply.header("cache-status");
    status.contains("; hit; ") && status.contains("detail=disk")
}

async fn figures(node: &Node) -> Value {
    let status: Value = serde_json::from_str(&node.ask_admin("/status").await.text()).unwrap();
    status["disk"].clone()
}

/// Waits until so many objects were written since the start.
async fn written(node: &Node, count: u64) {
    eventually("the objects to be written", async || {
        let figures = figures(node).await;
        (figures["written"].as_u64() >= Some(count) && figures["queued_bytes"] == 0).then_some(())
    })
    .await;
}

async fn purge(node: &Node, what: Value) -> Value {
    let admin = node.admin();
    let request = http::Request::post(format!("http://{admin}/purge"));
    let reply = Viewer::http(admin).send(request.body(what.to_string().into()).unwrap()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_str(&reply.text()).unwrap()
}

fn segments(folder: &Folder) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.path("state/tier")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "segment")).collect()
}

/// Of a length and with bytes that only this page has.
fn body_of(page: usize) -> String {
    format!("page {page} ").repeat(100 + page * 37 % 2_000)
}

fn pages(origin: &Origin) {
    origin.on("*", |request| match request.path().trim_start_matches('/').parse() {
        Ok(page) => Answer::cacheable(body_of(page)),
        Err(_) => Answer::new(404),
    });
}

#[tokio::test]
async fn hits_come_at_once_after_a_restart_and_never_touch_the_origin() {
    let mut origin = Origin::start().await;
    pages(&origin);
    origin.on("/de", |_| Answer::cacheable("hallo").header("vary", "accept-language").header("x-mine", "é"));
    let node = start(&origin).await;
    for page in 0..50 {
        get(&node, &format!("/{page}")).await;
    }
    let german = [("accept-language", "de")];
    let before = node.viewer().get_with(&format!("{SITE}/de"), &german).await;
    let folder = node.stop().await;
    origin.stop().await;

    let node = start_again(folder, &origin).await;
    for page in 0..50 {
        let reply = get(&node, &format!("/{page}")).await;
        assert!(is_from_disk(&reply), "{page}: {:?}", reply.headers);
        assert_eq!(reply.text(), body_of(page));
    }
    let after = node.viewer().get_with(&format!("{SITE}/de"), &german).await;
    assert!(is_from_disk(&after), "{:?}", after.headers);
    assert_eq!((after.text(), after.header("x-mine")), (before.text(), before.header("x-mine")));
    assert!(!after.header("age").is_empty());

    let again = get(&node, "/7").await;
    assert!(again.is_hit() && !is_from_disk(&again), "{:?}", again.headers);
    let other = node.viewer().get_with(&format!("{SITE}/de"), &[("accept-language", "ko")]).await;
    assert_eq!(other.status, 502, "another variant is not on disk");
}

#[tokio::test]
async fn a_crash_in_a_storm_of_writes_loses_nothing_that_was_whole_and_serves_nothing_that_was_not() {
    let origin = Origin::start().await;
    pages(&origin);
    let node = Arc::new(start(&origin).await);
    for page in 0..60 {
        get(&node, &format!("/{page}")).await;
    }
    written(&node, 60).await;
    let mut storm = JoinSet::new();
    for first in 60..90 {
        let address = node.http();
        storm.spawn(async move {
            let mut connection = Viewer::http(address).connect().await.unwrap();
            // Until the node is gone.
            for page in (first..3_000).step_by(30) {
                if connection.get(&format!("{SITE}/{page}")).await.is_err() {
                    return;
                }
            }
        });
    }
    // In the middle of it.
    let last = origin.requests().len() + 700;
    origin.until("the storm to rage", |requests| requests.len() >= last).await;
    let folder = Arc::into_inner(node).unwrap().kill().await;
    storm.join_all().await;

    let node = start_again(folder, &origin).await;
    let mut from_disk = 0;
    for page in 0..1_000 {
        let reply = get(&node, &format!("/{page}")).await;
        assert!(reply.text() == body_of(page), "page {page} is not what the origin gave");
        assert!(page >= 60 || is_from_disk(&reply), "page {page} was whole: {:?}", reply.headers);
        from_disk += usize::from(is_from_disk(&reply));
    }
    assert!((100..1_000).contains(&from_disk), "{from_disk} of 1000 pages were on disk");
    assert_eq!(figures(&node).await["damaged"], 0);
}

#[tokio::test]
async fn the_tier_never_takes_more_than_its_size_and_forgets_the_oldest() {
    let origin = Origin::start().await;
    origin.on("*", |request| Answer::cacheable(request.path().repeat(4_000)));
    let node = Node::start(&config(&origin, "2MiB")).await;
    for page in 100..400 {
        get(&node, &format!("/{page}")).await;
        if page % 50 == 0 {
            let bytes = figures(&node).await["bytes"].as_u64().unwrap();
            assert!(bytes <= 2 << 20, "{bytes} bytes");
        }
    }
    written(&node, 300).await;
    let folder = node.kill().await;
    let bytes: u64 = segments(&folder).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!((1 << 20..=2 << 20).contains(&bytes), "{bytes} bytes");

    let node = Node::start_in(folder, &config(&origin, "2MiB")).await;
    assert!(is_from_disk(&get(&node, "/399").await));
    assert!(figures(&node).await["records"].as_u64().unwrap() < 150);
}

#[tokio::test]
async fn a_bad_disk_costs_a_fetch_and_nothing_else() {
    let origin = Origin::start().await;
    pages(&origin);
    let node = start(&origin).await;
    for page in 0..3 {
        get(&node, &format!("/{page}")).await;
    }
    let folder = node.stop().await;
    for segment in segments(&folder) {
        let mut bytes = fs::read(&segment).unwrap();
        let inside = bytes.windows(7).position(|window| window == b"page 1 ").unwrap();
        bytes[inside + 5] = b'2';
        fs::write(&segment, bytes).unwrap();
    }

    let node = start_again(folder, &origin).await;
    for page in 0..3 {
        let reply = get(&node, &format!("/{page}")).await;
        assert_eq!((reply.text(), is_from_disk(&reply)), (body_of(page), page != 1), "page {page}");
    }
    assert_eq!(figures(&node).await["damaged"], 1);
    assert_eq!(origin.requests_for("/1").len(), 2);
}

#[tokio::test]
async fn what_was_purged_stays_purged_after_a_crash() {
    let origin = Origin::start().await;
    origin.on("*", |request| match request.header("if-none-match") {
        Some(_) => Answer::new(304).header("cache-control", "max-age=3600"),
        None => Answer::cacheable("old").header("etag", "\"1\"").header("cache-tag", &request.path()[1..]),
    });
    let node = start(&origin).await;
    let pages = ["/url", "/tag", "/img/a", "/soft", "/changed", "/kept"];
    for page in pages {
        get(&node, page).await;
    }
    written(&node, pages.len() as u64).await;
    let posted = node.viewer().ask("POST", &format!("{SITE}/changed"), &[]).await;
    assert_eq!(posted.status, 200);
    for what in [
        json!({ "url": format!("{SITE}/url"), "hard": true }),
        json!({ "tag": "tag", "hard": true }),
        json!({ "prefix": format!("{SITE}/img/"), "hard": true }),
        json!({ "tag": "soft" }),
    ] {
        assert_eq!(purge(&node, what.clone()).await["durable"], true, "{what}");
    }
    let folder = node.kill().await;

    let node = start_again(folder, &origin).await;
    for page in pages {
        let reply = get(&node, page).await;
        let asked: Vec<_> =
            origin.requests_for(page).into_iter().filter(|asked| asked.method == "GET").collect();
        let conditions = asked.iter().filter(|asked| asked.header("if-none-match").is_some()).count();
        let expected = match page {
            "/kept" => (1, 0),
            "/soft" => (2, 1),
            _ => (2, 0),
        };
        assert_eq!((asked.len(), conditions), expected, "{page}: {:?}", reply.headers);
    }
}

#[tokio::test]
async fn what_is_stale_after_a_restart_is_validated_and_kept() {
    let origin = Origin::start().await;
    origin.on("/page", |request| match request.header("if-none-match") {
        Some(_) => Answer::new(304).header("cache-control", "max-age=3600"),
        // As old as it may become, when it comes.
        None => Answer::ok("page")
            .header("cache-control", "max-age=60")
            .header("age", "60")
            .header("etag", "\"1\""),
    });
    let node = start(&origin).await;
    get(&node, "/page").await;
    let node = start_again(node.stop().await, &origin).await;
    let validated = get(&node, "/page").await;
    let node = start_again(node.stop().await, &origin).await;
    let after = get(&node, "/page").await;

    assert!(
        validated.header("cache-status").contains("fwd=stale; fwd-status=304"),
        "{:?}",
        validated.headers
    );
    assert_eq!((validated.text().as_str(), after.text().as_str()), ("page", "page"));
    assert!(is_from_disk(&after), "{:?}", after.headers);
    assert_eq!(origin.requests_for("/page").len(), 2);
}

#[tokio::test]
async fn a_large_object_comes_back_slice_by_slice() {
    let mut origin = Origin::start().await;
    let film: String = (0..300_000).map(|number| format!("{number:06}\n")).collect();
    let whole = film.clone();
    origin.on("/film", move |_| {
        let answer = Answer::cacheable(whole.clone()).header("etag", "\"1\"");
        answer.header("accept-ranges", "bytes")
    });
    let config = format!("{}slice = {{ size = \"64KiB\", over = \"256KiB\" }}\n", config(&origin, "64MiB"));
    let node = Node::start(&config).await;
    assert!(get(&node, "/film").await.text() == film);
    // The record and its slices.
    written(&node, 1 + film.len().div_ceil(64 << 10) as u64).await;
    let folder = node.kill().await;
    origin.stop().await;

    let node = Node::start_in(folder, &config).await;
    let range = [("range", "bytes=1000000-1000006")];
    let part = node.viewer().get_with(&format!("{SITE}/film"), &range).await;
    assert_eq!((part.status, part.text().as_str()), (206, &film[1_000_000..=1_000_006]));
    let all = get(&node, "/film").await;
    assert!(all.text() == film && all.header("cache-status").contains("; hit"), "{:?}", all.headers);
}

#[tokio::test]
async fn a_folder_belongs_to_one_node_and_holds_nothing_else() {
    let origin = Origin::start().await;
    let node = start(&origin).await;
    let check = node.folder().run(&["check", "selvedge.toml"]).await;
    assert_eq!(check.code, Some(0), "a check disturbs nobody: {}", check.stderr);
    let second = node.folder().run(&["run", "--config", "selvedge.toml"]).await;
    assert_eq!(second.code, Some(3));
    assert!(second.stderr.contains("is used by another node"), "{}", second.stderr);

    let folder = Folder::new();
    folder.write("state/tier/thesis.txt", "years of work");
    folder.write("selvedge.toml", config(&origin, "64MiB"));
    for verb in [&["check", "selvedge.toml"][..], &["run", "--config", "selvedge.toml"]] {
        let outcome = folder.run(verb).await;
        assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("choose another folder"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("selvedge.toml:"), "{}", outcome.stderr);
    }
    assert_eq!(fs::read_dir(folder.path("state/tier")).unwrap().count(), 1);
}

#[tokio::test]
async fn the_tier_outlives_a_reload_and_cannot_change_with_it() {
    let origin = Origin::start().await;
    pages(&origin);
    let node = start(&origin).await;
    get(&node, "/1").await;
    node.reconfigure(&format!("{}\n[site.other]\norigin = \"{}\"\n", config(&origin, "64MiB"), origin.url()))
        .await;
    node.log_contains("reloaded").await;
    get(&node, "/2").await;
    written(&node, 2).await;
    node.reconfigure(&config(&origin, "32MiB")).await;
    node.log_contains("[cache] disk cannot change while the node runs").await;

    let metrics = node.ask_admin("/metrics").await.text();
    assert!(metrics.lines().any(|line| line == "selvedge_disk_objects 2"), "{metrics}");
    let admin = node.admin().to_string();
    let status = node.folder().run(&["status", "--admin", &admin]).await;
    assert!(status.stdout.contains("disk 2 objects"), "{}", status.stdout);
}

#[tokio::test]
async fn explain_tells_what_is_on_disk_and_reads_nothing() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::cacheable("kept"));
    let node = start(&origin).await;
    get(&node, "/page").await;
    written(&node, 1).await;
    let node = start_again(node.stop().await, &origin).await;
    let told = async |path: &str| -> Value {
        let answer = node.ask_admin(&format!("/explain?url={SITE}{path}")).await.text();
        serde_json::from_str::<Value>(&answer).unwrap()["cache"].clone()
    };

    let before = figures(&node).await;
    let page = told("/page").await;
    assert_eq!((page["stored"].is_null(), page["on_disk"].as_bool()), (true, Some(true)), "{page}");
    assert_eq!(told("/other").await["on_disk"], false);
    let after = figures(&node).await;
    for figure in ["hits", "misses", "records"] {
        assert_eq!(before[figure], after[figure], "{figure}");
    }
    assert!(is_from_disk(&get(&node, "/page").await), "{}", node.log());

    purge(&node, json!({ "url": format!("{SITE}/page"), "hard": true })).await;
    assert_eq!(told("/page").await["on_disk"], false);
    assert_eq!(origin.requests_for("/page").len(), 1);
}
