//! What hooks are offered beside messages: parts of the cache key, tags, secrets, figures, key-value stores, facts.

use tests::{Answer, Folder, Node, Origin, Outcome, Reply, Viewer, eventually};

use crate::{SITE, guest, site, site_with_policy};

/// The hook `offered`, told to do this at these events, with more settings (TOML lines).
fn hook(told: &str, on: &str, settings: &str) -> String {
    let wasm = guest::offered().display();
    format!("[hook.offered]\nwasm = \"{wasm}\"\non = {on}\nconfig = {{ do = \"{told}\" }}\n{settings}\n")
}

/// A node that stores by a policy, with that hook on every path.
async fn storing(origin: &Origin, told: &str, on: &str) -> Node {
    let config = site_with_policy(origin, "").replacen(
        "cache = \"static\"",
        "cache = \"static\"\nhooks = [\"offered\"]",
        1,
    );
    Node::start(&format!("{config}{}", hook(told, on, ""))).await
}

/// A node whose every path the hook answers.
fn answering(origin: &Origin, told: &str, settings: &str) -> String {
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nhooks = [\"offered\"]\n";
    format!("{}\n{route}\n{}", site(origin), hook(told, "\"viewer-request\"", settings))
}

async fn get(node: &Node, path: &str) -> Reply {
    node.viewer().get(&format!("{SITE}{path}")).await
}

async fn purge(node: &Node, what: &[&str]) -> Outcome {
    let admin = node.admin().to_string();
    let outcome = node.folder().run(&[&["purge"], what, &["--hard", "--admin", &admin]].concat()).await;
    assert_eq!(outcome.code, Some(0), "{what:?}: {}", outcome.stderr);
    outcome
}

#[tokio::test]
async fn parts_of_the_key_keep_answers_apart_and_a_purge_of_the_url_takes_all() {
    let origin = Origin::start().await;
    origin.on("/page", |asked| {
        Answer::cacheable(format!("half {}", asked.header("x-half").unwrap_or_default()))
    });
    let node = storing(&origin, "halves", "[\"viewer-request\", \"origin-request\"]").await;
    let half =
        async |cookie: &str| node.viewer().get_with(&format!("{SITE}/page"), &[("cookie", cookie)]).await;

    for (cookie, text, is_hit) in [
        ("half=a", "half a", false),
        ("half=b", "half b", false),
        ("half=a", "half a", true),
        ("half=b", "half b", true),
    ] {
        let reply = half(cookie).await;
        assert_eq!((reply.text().as_str(), reply.is_hit()), (text, is_hit), "{cookie}");
    }
    assert!(
        origin.requests().iter().all(|asked| asked.header("cookie").is_none()),
        "the key holds no cookies"
    );

    purge(&node, &[&format!("{SITE}/page")]).await;

    assert!(!half("half=a").await.is_hit() && !half("half=b").await.is_hit());
    assert_eq!(origin.requests().len(), 4);
}

#[tokio::test]
async fn tags_of_a_hook_find_what_it_tagged_and_viewers_do_not_see_them() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::ok("stored by the hook's own lifetime"));
    let node = storing(&origin, "tags", "\"origin-response\"").await;
    let first = get(&node, "/a").await;
    assert!(first.headers.keys().all(|name| !name.as_str().contains("tag")), "{:?}", first.headers);
    assert!(get(&node, "/a").await.is_hit());

    purge(&node, &["--tag", "dogs"]).await;
    assert!(get(&node, "/a").await.is_hit(), "it bears no such tag");
    purge(&node, &["--tag", "pets"]).await;
    assert!(!get(&node, "/a").await.is_hit());
}

#[tokio::test]
async fn a_hook_goes_by_the_store_or_keeps_an_answer_out_of_it() {
    for (told, on, said) in [
        ("bypass", "\"viewer-request\"", "fwd=bypass"),
        ("no-store", "\"origin-response\"", "detail=no-store"),
    ] {
        let origin = Origin::start().await;
        origin.on("/page", |_| Answer::cacheable("anew"));
        let node = storing(&origin, told, on).await;

        let (first, second) = (get(&node, "/page").await, get(&node, "/page").await);

        assert!(second.header("cache-status").contains(said), "{told}: {}", second.header("cache-status"));
        assert_eq!(
            (first.header("cache-control"), origin.requests().len()),
            ("max-age=3600".into(), 2),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_hook_lets_a_stale_answer_stand_in_for_a_failing_origin() {
    let mut origin = Origin::start().await;
    origin.on("/page", |_| Answer::cacheable("yesterday's").header("etag", "\"1\""));
    let node = storing(&origin, "short", "\"origin-response\"").await;
    assert_eq!(get(&node, "/page").await.text(), "yesterday's");

    origin.stop().await;
    let reply = get(&node, "/page").await;

    assert_eq!(
        (reply.status, reply.text().as_str()),
        (200, "yesterday's"),
        "{}",
        reply.header("cache-status")
    );
}

#[tokio::test]
async fn a_secret_is_used_and_told_to_nobody() {
    let origin = Origin::start().await;
    let folder = Folder::new();
    folder.write("jwt.key", "Jefe\n");
    let settings = "secrets = { jwt = { file = \"jwt.key\" } }";
    let node = Node::start_in(folder, &answering(&origin, "hmac", settings)).await;
    // RFC 4231 section 4.3.
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843|true|false|false|none";
    assert_eq!(get(&node, "/").await.text(), expected);

    node.folder().write("jwt.key", "hunter2-hunter2\n");
    node.reconfigure(&answering(&origin, "blab", settings)).await;
    let failed = eventually("the other hook", async || {
        Some(get(&node, "/").await).filter(|reply| reply.status == 502)
    })
    .await;
    node.log_contains("failed with [secret jwt]").await;

    let admin = node.admin().to_string();
    let said = node.folder().run(&["hook", "logs", "offered", "--admin", &admin]).await.stdout;
    for line in ["info", "logged [secret jwt]", "printed [secret jwt]", "failed ", "viewer-request"] {
        assert!(said.contains(line), "{line}: {said}");
    }

    let effective = node.folder().run(&["config", "--effective", "selvedge.toml"]).await;
    assert!(effective.stdout.contains("jwt.key"), "{}", effective.stdout);
    for told in [failed.text(), node.log(), node.ask_admin("/metrics").await.text(), effective.stdout, said] {
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn figures_of_a_hook_are_among_the_nodes() {
    let origin = Origin::start().await;
    let node = Node::start(&answering(&origin, "figures", "")).await;

    get(&node, "/").await;
    get(&node, "/").await;

    let metrics = node.ask_admin("/metrics").await.text();
    let line = "selvedge_hook_counter_total{hook=\"offered\",name=\"seen\"} 6";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
}

#[tokio::test]
async fn a_key_value_store_is_shared_by_cores_and_outlives_reload_and_restart() {
    let origin = Origin::start().await;
    let config = answering(&origin, "count", "kv = [\"visits\"]\n\n[kv.visits]\nvalue = \"1KiB\"\n");
    let config = config.replacen("[node]", "[node]\nthreads = 4", 1);
    let node = Node::start(&config).await;
    for expected in 1..=8 {
        assert_eq!(get(&node, "/").await.text(), expected.to_string(), "each from a connection of its own");
    }

    node.reconfigure(&config.replace("1KiB", "2KiB")).await;
    node.log_contains("reloaded").await;
    assert_eq!(get(&node, "/").await.text(), "9");

    let folder = node.stop().await;
    let node = Node::start_in(folder, &config).await;
    assert_eq!(get(&node, "/").await.text(), "10");
}

#[tokio::test]
async fn a_hook_knows_where_a_viewer_is_that_a_trusted_peer_speaks_for() {
    let origin = Origin::start().await;
    let places = concat!(env!("CARGO_MANIFEST_DIR"), "/../geo/fixtures/places.mmdb");
    let config = answering(&origin, "place", &format!("\n[geo]\ndatabase = [\"{places}\"]\n"));
    let node = Node::start(&config.replacen("[node]", "[node]\ntrust = [\"127.0.0.1/32\"]", 1)).await;
    let place = async |address| node.viewer().get_with(SITE, &[("x-forwarded-for", address)]).await.text();

    assert_eq!(place("192.0.2.9").await, "KR|AS|||None||Some(64496)");
    assert_eq!(place("127.0.0.9").await, "||||None||None");
}

#[tokio::test]
async fn check_tells_of_settings_that_the_component_has_no_use_for_and_of_what_is_not_there() {
    let origin = Origin::start().await;
    let folder = Folder::new();
    let check = async |config: String| {
        folder.write("selvedge.toml", config);
        folder.run(&["check", "selvedge.toml"]).await
    };
    let thumbnail = |settings: &str| {
        let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nhooks = [\"thumb\"]\n";
        let hook = "[hook.thumb]\nwasm = \"builtin:thumbnail\"\non = \"origin-response\"\n";
        format!("{}\n{route}\n{hook}{settings}", site(&origin))
    };

    let idle = check(thumbnail("kv = [\"visits\"]\n\n[kv.visits]\n")).await;
    assert_eq!(idle.code, Some(0), "{}", idle.stderr);
    assert!(
        idle.stderr.contains("[hook.thumb] kv: the component opens no key-value stores"),
        "{}",
        idle.stderr
    );
    assert!(idle.stderr.lines().any(|line| line.starts_with("selvedge.toml:")), "{}", idle.stderr);

    for (settings, said) in [
        ("kv = [\"visit\"]\n\n[kv.visits]\n", "did you mean `visits`?"),
        ("\n[kv.\"../x\"]\n", "the name of a file"),
        ("secrets = { jwt = { file = \"nowhere.key\" } }\n", "nowhere.key"),
        ("secrets = { jwt = { env = \"SELVEDGE_NO_SUCH_VARIABLE\" } }\n", "the variable is not set"),
    ] {
        let refused = check(thumbnail(settings)).await;
        assert_eq!(refused.code, Some(3), "{settings}: {}", refused.stderr);
        assert!(
            refused.stderr.contains(said) && refused.stderr.contains("selvedge.toml:"),
            "{}",
            refused.stderr
        );
    }
}

#[tokio::test]
async fn a_hook_on_a_signed_route_knows_what_the_signature_grants() {
    let (origin, folder) = (Origin::start().await, Folder::new());
    let lines = folder.run(&["key", "new", "--out", "keys", "--id", "premium1"]).await.stdout;
    let url = format!("{SITE}/private/film");
    let private = "keys/premium1.private.pem";
    let sign = ["sign", &url, "--key", "premium1", "--private", private, "--expires", "10m"];
    let signed = folder.run(&sign).await.stdout.trim().to_owned();
    let config = answering(&origin, "connection", "");
    let config = config.replacen("hooks =", "signed = \"premium\"\nhooks =", 1);
    let node = Node::start_in(folder, &format!("{config}\n{lines}")).await;

    let told = node.viewer().get(&signed).await;

    let expires = signed.split_once("Expires=").unwrap().1.split('&').next().unwrap();
    assert_eq!(told.text(), format!("true||||cloudfront|premium1|Some({expires})|"));
}

#[tokio::test]
async fn a_hook_knows_how_the_viewers_connection_was_made() {
    let origin = Origin::start().await;
    let config = answering(&origin, "connection", "");
    let config = config.replacen("[\"http://127.0.0.1:0\"]", "[\"https://127.0.0.1:0\"]", 1);
    let config = config.replacen("[[site", "tls = \"local\"\n[[site", 1);
    let node = Node::start(&config).await;
    let root = std::fs::read_to_string(node.folder().path("state/local-ca/root.pem")).unwrap();

    let viewer = Viewer::https(node.https(), &root, "www.test");
    let told = viewer.get("https://www.test/").await.text();

    let told: Vec<&str> = told.split('|').collect();
    assert!(told[1].starts_with("TLS_") && told[1].contains("_SHA"), "{told:?}");
    assert_eq!((told[0], &told[2..5]), ("true", &["http/1.1", "www.test", ""][..]));
}
