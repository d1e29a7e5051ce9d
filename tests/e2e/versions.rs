//! Versions of hooks: deployed while the node runs, tried with some viewers, taken back.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tests::{Answer, Folder, Node, Origin, Reply, Viewer, eventually};

use crate::guest::spoken;
use crate::{SITE, site_with_policy};

/// What the hook of these stories is told besides.
const PLAIN: &str = "";

/// A site with a hook at all that it does, whose component is `hook.wasm`.
fn config(origin: &Origin, settings: &str) -> String {
    let route = site_with_policy(origin, "ttl = { default = \"1h\" }")
        .replace("cache = \"static\"", "cache = \"static\"\nhooks = [\"h\"]");
    let on = "on = [\"viewer-request\", \"origin-response\", \"viewer-response\"]";
    // A busy machine must not run a good hook into its limit.
    let limits = "limits = { cpu = \"10s\", wall = \"60s\" }";
    format!("{route}\n[hook.h]\nwasm = \"hook.wasm\"\n{on}\n{limits}\n{settings}\n")
}

/// A node whose hook says "one", before an origin that answers everything.
async fn node(settings: &str) -> (Origin, Node) {
    let (origin, folder) = (Origin::start().await, Folder::new());
    origin.on("/page", |_| Answer::cacheable("hello"));
    folder.write("hook.wasm", spoken("one"));
    let node = Node::start_in(folder, &config(&origin, settings)).await;
    (origin, node)
}

/// POSTs to the hook in the admin API.
async fn post(node: &Node, path: &str, kind: &str, body: impl Into<Bytes>) -> Reply {
    let admin = node.admin();
    let request = Request::post(format!("http://{admin}/hooks/{path}")).header("content-type", kind);
    Viewer::http(admin).send(request.body(Full::new(body.into())).unwrap()).await
}

async fn deploy(node: &Node, query: &str, words: &str) -> Value {
    let reply = post(node, &format!("h/deploy?{query}"), "application/wasm", spoken(words)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    json(&reply)
}

async fn order(node: &Node, verb: &str, body: &str) -> Value {
    let reply = post(node, &format!("h/{verb}"), "application/json", body.to_owned()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    json(&reply)
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

async fn report(node: &Node) -> Value {
    json(&node.ask_admin("/hooks/h").await)
}

/// What the hook says to a viewer who sends these fields.
async fn says(node: &Node, headers: &[(&str, &str)]) -> String {
    node.viewer().get_with(&format!("{SITE}/page"), headers).await.header("x-says")
}

/// What it says to the viewer with this cookie.
async fn says_to(node: &Node, id: usize) -> String {
    says(node, &[("cookie", &format!("id={id}"))]).await
}

#[tokio::test]
async fn what_is_deployed_answers_at_once() {
    let (_origin, node) = node(PLAIN).await;
    assert_eq!(says(&node, &[]).await, "one");

    let report = deploy(&node, "note=the+second", "two").await;

    let reply = node.viewer().get(&format!("{SITE}/page")).await;
    assert_eq!(reply.header("x-says"), "two");
    assert_eq!(report["live"], reply.header("x-version"));
    assert_eq!(reply.header("x-canary"), "no");
    let version = &report["versions"][1];
    assert_eq!((&version["aliases"][0], &version["note"]), (&"live".into(), &"the second".into()));
    let line = node.log_contains("deploy=").await;
    assert!(line.contains("name=\"h\"") && line.contains(&reply.header("x-version")), "{line}");
    let metrics = node.ask_admin("/metrics").await.text();
    let labels = format!("hook=\"h\",version=\"{}\"", reply.header("x-version"));
    for line in [
        format!("selvedge_hook_version_info{{{labels},alias=\"live\"}} 1"),
        format!("selvedge_hook_calls_total{{{labels},event=\"viewer-response\"}} 1"),
        format!("selvedge_hook_errors_total{{{labels},event=\"viewer-response\"}} 0"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn what_does_not_load_is_refused_and_what_served_serves() {
    let (_origin, node) = node("versions = { max-size = \"4MB\" }").await;
    let before = report(&node).await;
    let wasm = "application/wasm";
    for (path, kind, body, status, words) in [
        ("h/deploy", wasm, Bytes::from_static(b"no component"), 422, "is no WebAssembly file"),
        ("h/deploy", wasm, Bytes::from_static(b"\0asm\x01\0\0\0"), 422, "core module"),
        ("h/deploy", "application/json", Bytes::from_static(b"{}"), 415, "application/wasm"),
        ("h/deploy?percent=500", wasm, spoken("two").into(), 400, "percent"),
        ("h/deploy?share=5", wasm, spoken("two").into(), 400, "share"),
        ("h/deploy?percent=5", wasm, spoken("one").into(), 409, "live already"),
        ("h/deploy", wasm, vec![0; 4_000_001].into(), 413, "max-size"),
        ("other/deploy", wasm, spoken("two").into(), 404, "there is no hook"),
        ("h/promote", "application/json", Bytes::new(), 409, "no canary"),
        ("h/rollback", "application/json", Bytes::new(), 409, "no canary is on trial"),
        ("h/rollback", "application/json", "{\"to\":\"previous\"}".into(), 409, "no version was live before"),
        ("h/deploy?p99=20ms", wasm, spoken("two").into(), 400, "say percent=5"),
        ("h/rollback", "application/json", "{\"to\":\"0000\"}".into(), 404, "is kept"),
        ("h/rollback", "application/json", "{\"back\":1}".into(), 400, "back"),
        ("h/undo", "application/json", Bytes::new(), 404, "rolled back"),
    ] {
        let reply = post(&node, path, kind, body).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        let said = json(&reply)["error"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(words), "{path}: {said}");
    }

    assert_eq!(report(&node).await, before);
    assert_eq!(says(&node, &[]).await, "one");
}

#[tokio::test]
async fn a_viewer_of_a_canary_stays_with_it() {
    let (_origin, node) = node(PLAIN).await;
    deploy(&node, "percent=50&sticky=cookie:id", "two").await;

    let mut before = Vec::new();
    for id in 0..40 {
        before.push(says_to(&node, id).await);
    }

    let canary = before.iter().filter(|says| *says == "two").count();
    assert!((8..=32).contains(&canary), "{canary} of 40");
    deploy(&node, "percent=80&sticky=cookie:id", "two").await;
    for (id, before) in before.iter().enumerate() {
        let after = says_to(&node, id).await;
        assert!(after == *before || after == "two", "{id}: {before}, then {after}");
    }
}

#[tokio::test]
async fn what_a_canary_has_made_is_for_its_viewers_only_and_goes_with_it() {
    let (_origin, node) = node(PLAIN).await;
    deploy(&node, "header=x-try:%20yes", "two").await;
    let made_by = async |headers: &[(&str, &str)]| {
        let reply = node.viewer().get_with(&format!("{SITE}/page"), headers).await;
        (reply.header("x-made-by"), reply.is_hit())
    };
    let (try_it, others) = (&[("x-try", "yes")][..], &[][..]);

    assert_eq!(made_by(try_it).await, ("two".to_owned(), false));
    assert_eq!(made_by(try_it).await, ("two".to_owned(), true));
    assert_eq!(made_by(others).await, ("one".to_owned(), false));
    assert_eq!(made_by(&[("x-try", "no")]).await, ("one".to_owned(), true));

    order(&node, "rollback", "").await;
    assert_eq!(made_by(try_it).await, ("one".to_owned(), true));
}

#[tokio::test]
async fn a_purge_takes_what_a_canary_has_made_too() {
    let (_origin, node) = node(PLAIN).await;
    deploy(&node, "header=x-try", "two").await;
    let is_hit = async || node.viewer().get_with(&format!("{SITE}/page"), &[("x-try", "1")]).await.is_hit();
    assert_eq!((is_hit().await, is_hit().await), (false, true));

    let admin = node.admin();
    let body = format!("{{\"url\": \"{SITE}/page\", \"hard\": true}}");
    let request = Request::post(format!("http://{admin}/purge")).body(Full::new(body.into())).unwrap();
    assert_eq!(Viewer::http(admin).send(request).await.status, 200);

    assert!(!is_hit().await);
}

#[tokio::test]
async fn a_canary_that_fails_is_taken_back_and_live_goes_on() {
    for words in ["traps", "answers 500"] {
        let (_origin, node) = node(PLAIN).await;
        deploy(&node, "percent=50&sticky=cookie:id&min-requests=20", words).await;

        let mut failed = 0;
        eventually("the canary to be taken back", async || {
            for id in 0..20 {
                let reply =
                    node.viewer().get_with(&format!("{SITE}/page"), &[("cookie", &format!("id={id}"))]).await;
                failed += usize::from(reply.status >= 500);
                assert!(reply.status >= 500 || reply.header("x-says") == "one", "{}", reply.status);
            }
            report(&node).await["canary"].is_null().then_some(())
        })
        .await;

        assert!(failed >= 20, "{failed}");
        for id in 0..20 {
            assert_eq!(says_to(&node, id).await, "one");
        }
        let report = report(&node).await;
        let last = report["history"].as_array().unwrap().last().unwrap();
        assert_eq!(last["what"], "automatic-rollback");
        assert!(last["words"].as_str().unwrap().contains("at viewer-request"), "{last}");
        let line = node.log_contains("automatic-rollback=").await;
        assert!(line.contains("more are allowed"), "{line}");
        let metrics = node.ask_admin("/metrics").await.text();
        assert!(metrics.contains("selvedge_hook_rollbacks_total{hook=\"h\"} 1"), "{metrics}");
    }
}

#[tokio::test]
async fn a_live_version_that_fails_is_not_its_canarys_fault() {
    let (_origin, node) = node(PLAIN).await;
    deploy(&node, "", "traps").await;
    deploy(&node, "percent=50&sticky=cookie:id&min-requests=20", "two").await;

    eventually("forty calls of each", async || {
        for id in 0..40 {
            node.viewer().get_with(&format!("{SITE}/page"), &[("cookie", &format!("id={id}"))]).await;
        }
        let report = report(&node).await;
        let event = &report["canary"]["events"][0];
        let calls = |version: &str| event[version]["calls"].as_u64().unwrap_or_default();
        assert!(event["live"]["at_most"].is_number(), "the canary is on trial: {report}");
        (calls("live") >= 40 && calls("canary") >= 40 && event["live"]["failures"] == event["live"]["calls"])
            .then_some(())
    })
    .await;
    assert!(!node.log().contains("automatic-rollback"));
}

#[tokio::test]
async fn a_canary_is_promoted_and_every_step_can_be_taken_back() {
    let (_origin, node) = node(PLAIN).await;
    deploy(&node, "percent=1", "two").await;

    let report = order(&node, "promote", "").await;
    assert!(report["canary"].is_null());
    assert_eq!(says(&node, &[]).await, "two");
    order(&node, "rollback", "{\"to\": \"previous\"}").await;
    assert_eq!(says(&node, &[]).await, "one");
    let digits = &report["live"].as_str().unwrap()[..6];
    order(&node, "rollback", &format!("{{\"to\": \"{digits}\"}}")).await;
    assert_eq!(says(&node, &[]).await, "two");
    order(&node, "rollback", "{\"to\": \"config\"}").await;
    assert_eq!(says(&node, &[]).await, "one");
}

#[tokio::test]
async fn a_ramp_makes_its_canary_live_in_the_end() {
    let (_origin, node) = node(PLAIN).await;

    deploy(&node, "ramp=1s", "two").await;

    eventually("the ramp to end", async || report(&node).await["canary"].is_null().then_some(())).await;
    assert_eq!(says(&node, &[]).await, "two");
    node.log_contains("its ramp has come to 100 percent").await;
}

#[tokio::test]
async fn versions_outlive_a_restart() {
    let (origin, node) = node(PLAIN).await;
    deploy(&node, "", "two").await;
    deploy(&node, "header=x-try&note=third", "three").await;
    let (live, history) = {
        let before = report(&node).await;
        (before["live"].clone(), before["history"].clone())
    };

    let folder = node.stop().await;
    let node = Node::start_in(folder, &config(&origin, PLAIN)).await;

    let after = report(&node).await;
    assert_eq!((&after["live"], &after["history"]), (&live, &history));
    assert_eq!(says(&node, &[]).await, "two");
    assert_eq!(says(&node, &[("x-try", "1")]).await, "three");
}

#[tokio::test]
async fn a_damaged_list_of_versions_is_told_and_the_configs_own_serves() {
    let (origin, node) = node(PLAIN).await;
    let live = deploy(&node, "", "two").await["live"].as_str().unwrap().to_owned();
    let folder = node.stop().await;
    folder.write("state/hooks/h/versions.json", "{\"format\": 1, \"li");

    let node = Node::start_in(folder, &config(&origin, PLAIN)).await;

    let line = node.log_contains("versions.json cannot be used").await;
    assert!(line.contains("hook \"h\""), "{line}");
    assert_eq!(says(&node, &[]).await, "one");
    assert!(node.folder().path(&format!("state/hooks/h/{live}.wasm")).exists(), "nothing is lost");
    deploy(&node, "", "two").await;
    assert_eq!(says(&node, &[]).await, "two");
}

#[tokio::test]
async fn a_deployed_component_that_is_damaged_does_not_keep_a_node_from_starting() {
    let (origin, node) = node(PLAIN).await;
    let live = deploy(&node, "", "two").await["live"].as_str().unwrap().to_owned();
    let folder = node.stop().await;
    folder.write(&format!("state/hooks/h/{live}.wasm"), "something else");

    let node = Node::start_in(folder, &config(&origin, PLAIN)).await;

    node.log_contains("the component that the config names serves").await;
    assert_eq!(says(&node, &[]).await, "one");
}

#[tokio::test]
async fn a_reload_keeps_what_was_deployed_and_counted() {
    let (origin, node) = node(PLAIN).await;
    deploy(&node, "", "two").await;
    deploy(&node, "header=x-try", "three").await;
    assert_eq!(says(&node, &[("x-try", "1")]).await, "three");

    node.reconfigure(&config(&origin, "on-error = \"pass\"")).await;

    node.log_contains("reloaded").await;
    assert_eq!(says(&node, &[]).await, "two");
    assert_eq!(says(&node, &[("x-try", "1")]).await, "three");
    let report = report(&node).await;
    assert_eq!(report["canary"]["events"][0]["canary"]["calls"], 2, "{report}");
}

#[tokio::test]
async fn another_file_in_the_config_replaces_what_was_deployed_and_says_so() {
    let (origin, node) = node(PLAIN).await;
    deploy(&node, "", "two").await;
    node.folder().write("hook.wasm", spoken("three"));

    node.reconfigure(&config(&origin, PLAIN)).await;

    let line = node.log_contains("which was deployed").await;
    assert!(line.contains("config="), "{line}");
    node.log_contains("reloaded").await;
    assert_eq!(says(&node, &[]).await, "three");
    order(&node, "rollback", "{\"to\": \"previous\"}").await;
    assert_eq!(says(&node, &[]).await, "two");
}

#[tokio::test]
async fn a_reload_that_fails_leaves_the_versions_alone() {
    let (origin, node) = node(PLAIN).await;
    deploy(&node, "", "two").await;
    let before = report(&node).await;
    node.folder().write("hook.wasm", "no component");

    node.reconfigure(&config(&origin, PLAIN)).await;

    node.log_contains("reload failed").await;
    assert_eq!(report(&node).await, before);
    assert_eq!(says(&node, &[]).await, "two");
}

#[tokio::test]
async fn the_configs_canary_is_on_trial_from_the_start() {
    let (origin, folder) = (Origin::start().await, Folder::new());
    origin.on("/page", |_| Answer::ok("hello"));
    folder.write("hook.wasm", spoken("one"));
    folder.write("next.wasm", spoken("two"));
    let canary = "canary = { wasm = \"next.wasm\", header = \"x-try\", rollback-if = { error-rate = 0.02, min-requests = 9 } }";

    let node = Node::start_in(folder, &config(&origin, canary)).await;

    assert_eq!(says(&node, &[("x-try", "1")]).await, "two");
    assert_eq!(says(&node, &[]).await, "one");
    let report = report(&node).await;
    assert_eq!(
        (&report["canary"]["min_requests"], &report["canary"]["allowed_error_rate"]),
        (&9.into(), &0.02.into())
    );
}

#[tokio::test]
async fn the_verbs_do_the_same() {
    let (_origin, node) = node(PLAIN).await;
    let admin = node.admin().to_string();
    node.folder().write("two.wasm", spoken("two"));
    let run = async |arguments: &[&str]| {
        let outcome = node.folder().run(&[&["hook"], arguments, &["--admin", &admin]].concat()).await;
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
        outcome.stdout
    };

    let said = run(&["deploy", "h", "--wasm", "two.wasm", "--header", "x-try: 1", "--note", "a & b"]).await;
    assert!(said.contains("  canary ") && said.contains("who sends x-try: 1"), "{said}");
    assert_eq!(says(&node, &[("x-try", "1")]).await, "two");
    let status = node.folder().run(&["status", "--admin", &admin]).await.stdout;
    assert!(status.contains("hook h: live ") && status.contains(", canary "), "{status}");
    run(&["promote", "h"]).await;
    assert_eq!(says(&node, &[]).await, "two");
    run(&["rollback", "h", "--to", "config"]).await;
    assert_eq!(says(&node, &[]).await, "one");
    let list = run(&["list", "h"]).await;
    assert!(list.contains("previous: a & b") && list.contains(" rollback "), "{list}");
    let all: Value = serde_json::from_str(&run(&["list", "--json"]).await).unwrap();
    assert_eq!(all["h"]["on"][0], "viewer-request");

    let refused = node.folder().run(&["hook", "promote", "h", "--admin", &admin]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("no canary is on trial"), "{}", refused.stderr);
}
