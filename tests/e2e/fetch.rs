//! Requests of hooks to origins of the config.

use tests::bucket::{ACCESS_KEY, Bucket, SECRET_KEY};
use tests::{Answer, Folder, Gate, LOOPBACK, Node, Origin, eventually};

use crate::{SITE, guest, site};

/// A node whose site has the hook `caller`, told so, before `origin`; `api` is the origin that it may ask.
async fn node(origin: &Origin, api: &str, settings: &str, told: &str) -> Node {
    let config = format!(
        r#"{}
[[site."www.test".route]]
path = "/*"
hooks = ["caller"]

[origin.api]
url = "{api}"

[hook.caller]
wasm = "{}"
on = "viewer-request"
fetch = ["api"]
{settings}
config = {{ origin = "api", {told} }}
"#,
        site(origin),
        guest::outward().display()
    );
    // One thread, and so one pool of connections to each origin.
    Node::start(&config.replacen("[node]", "[node]\nthreads = 1", 1)).await
}

#[tokio::test]
async fn a_hook_asks_an_origin_and_acts_on_its_answer() {
    let (origin, api) = (Origin::start().await, Origin::start().await);
    origin.on("/page", |asked| Answer::ok(asked.header("x-verdict").unwrap_or_default()));
    api.on("/check", |_| Answer::ok("").header("x-verdict", "human"));
    let told = "do = \"fetch-and-go-on\", path = \"/check?of=them\", method = \"POST\", body = \"who?\", header = \"x-key=1\"";
    let node = node(&origin, &api.url(), "", told).await;

    let reply = node.viewer().get_with(&format!("{SITE}/page"), &[("x-request-id", "forged")]).await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "human"));
    let asked = &api.requests()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/check?of=them"));
    assert_eq!((asked.header("x-key").as_deref(), asked.body()), (Some("1"), b"who?".to_vec()));
    assert_eq!(asked.header("host").unwrap(), api.address().to_string());
    assert_eq!(asked.header("x-request-id").unwrap(), reply.header("x-request-id"));
    assert!(asked.header("cdn-loop").is_some() && asked.header("via").is_some());
    let metrics = node.ask_admin("/metrics").await.text();
    assert!(metrics.contains("selvedge_hook_fetches_total{outcome=\"answered\"} 1"), "{metrics}");
}

#[tokio::test]
async fn an_answer_that_is_late_is_a_timeout_to_the_hook_and_nobody_waits_behind_it() {
    let (origin, api, gate) = (Origin::start().await, Origin::start().await, Gate::closed());
    let held = gate.clone();
    api.on("/slow", move |_| Answer::ok("late").behind(&held));
    api.on("/quick", |_| Answer::ok("quick"));
    let node = node(&origin, &api.url(), "", "do = \"fetch\", timeout = \"1500\"").await;

    let viewer = node.viewer();
    let slow = tokio::spawn(async move { viewer.get(&format!("{SITE}/slow")).await });
    api.until("the slow one to be asked", |asked| !asked.is_empty()).await;
    assert_eq!(node.viewer().get(&format!("{SITE}/quick")).await.text(), "quick");
    assert!(!slow.is_finished());
    assert_eq!(slow.await.unwrap().text(), "timeout");
    gate.open();
}

#[tokio::test]
async fn an_origin_that_is_down_broken_or_too_long_is_named_so() {
    let (origin, mut api) = (Origin::start().await, Origin::start().await);
    api.on("/long", |_| Answer::ok("x".repeat(2000)));
    api.on("/short", |_| Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"));
    api.on("/garbage", |_| Answer::raw("hello\r\n\r\n"));
    let node = node(&origin, &api.url(), "limits = { body = \"1KB\" }", "do = \"fetch\"").await;

    for (path, said) in [("/long", "too-large"), ("/short", "protocol"), ("/garbage", "protocol")] {
        assert_eq!(node.viewer().get(&format!("{SITE}{path}")).await.text(), said, "{path}");
    }
    api.stop().await;
    assert_eq!(node.viewer().get(&format!("{SITE}/")).await.text(), "unreachable");
    node.log_contains("fetch id=").await;
}

#[tokio::test]
async fn a_hook_that_asks_for_itself_is_found_out_at_once() {
    let (origin, api) = (Origin::start().await, Origin::start().await);
    let node = node(&origin, &api.url(), "", "do = \"fetch\"").await;
    let itself = format!("http://{}", node.http());
    let config = std::fs::read_to_string(node.folder().path("selvedge.toml")).unwrap();
    node.reconfigure(&config.replace(&api.url(), &itself)).await;

    eventually("the hook to be told of the loop", async || {
        let reply = node.viewer().get(&format!("{SITE}/")).await;
        (reply.status == 508).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whom_the_request_has_passed_is_told_to_origins_that_hooks_ask() {
    let (origin, api) = (Origin::start().await, Origin::start().await);
    let node = node(&origin, &api.url(), "", "do = \"fetch\"").await;
    let passed = [("cdn-loop", "other;n=1"), ("x-forwarded-for", "192.0.2.1")];
    node.viewer().get_with(&format!("{SITE}/"), &passed).await;
    let asked = &api.requests()[0];
    assert!(asked.header("cdn-loop").unwrap().starts_with("other;n=1"));
    assert_eq!(asked.header("x-forwarded-for").as_deref(), Some("127.0.0.1"), "a viewer is no proxy");
}

#[tokio::test]
async fn an_origin_that_the_settings_do_not_name_is_not_asked() {
    let (origin, api) = (Origin::start().await, Origin::start().await);
    let node = node(&origin, &api.url(), "", "do = \"fetch-many\"").await;
    assert_eq!(node.viewer().get(&format!("{SITE}/")).await.text(), "8 then budget");
    assert_eq!(api.requests().len(), 8);

    let folder = Folder::new();
    let hook = format!("[hook.caller]\nwasm = \"{}\"\non = \"viewer-request\"\n", guest::outward().display());
    let config =
        format!("{LOOPBACK}\n[site.a]\norigin = \"api\"\n[origin.api]\nurl = \"{}\"\n{hook}", api.url());
    folder.write("selvedge.toml", format!("{config}fetch = [\"apo\"]\n"));
    let outcome = folder.run(&["check", "selvedge.toml"]).await;
    assert_eq!(outcome.code, Some(3));
    assert!(
        outcome.stderr.contains("did you mean") && outcome.stderr.contains("selvedge.toml:"),
        "{}",
        outcome.stderr
    );
}

#[tokio::test]
async fn a_hook_that_has_computed_for_long_asks_like_any_other() {
    let (origin, api) = (Origin::start().await, Origin::start().await);
    api.on("/", |_| Answer::ok("after all"));
    let node =
        node(&origin, &api.url(), "limits = { cpu = \"60s\", wall = \"60s\" }", "do = \"compute-and-fetch\"")
            .await;
    for _ in 0..3 {
        assert_eq!(node.viewer().get(&format!("{SITE}/")).await.text(), "after all");
    }
    assert_eq!(api.connections(), 1, "over the connection that the core has kept");
}

#[tokio::test]
async fn objects_are_put_into_a_bucket_and_got_from_there() {
    let (origin, bucket, folder) = (Origin::start().await, Bucket::start().await, Folder::new());
    folder.write("access", ACCESS_KEY);
    folder.write("secret", SECRET_KEY);
    let config = format!(
        r#"{}
[[site."www.test".route]]
path = "/*"
hooks = ["keeper"]

[origin.bucket]
url = "s3://media"
s3 = {{ endpoint = "{}", access-key = {{ file = "access" }}, secret-key = {{ file = "secret" }} }}

[hook.keeper]
wasm = "{}"
on = "viewer-request"
store = "bucket"
config = {{ do = "store", body = "a report" }}
"#,
        site(&origin),
        bucket.url(),
        guest::outward().display()
    );
    let node = Node::start_in(folder, &config).await;
    let reply = node.viewer().get(&format!("{SITE}/reports/today.txt")).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "a report"));
    assert_eq!(reply.header("content-type"), "text/plain");
    assert_eq!(bucket.read("reports/today.txt").as_deref(), Some(&b"a report"[..]));
}
