//! Hooks whose calls end well and lead nowhere, and canaries that leave something behind: whose failure it is, and who sees it.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use std::process::Stdio;
use tests::{Answer, Folder, Node, Origin, Reply, Viewer, eventually, within};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::guest::spoken;
use crate::{SITE, site};

/// A node whose site has these hooks, all of one component that says "one", before an origin that says which words it was asked with.
async fn node(route: &str, hooks: &[(&str, &str)]) -> (Origin, Node) {
    let (origin, folder) = (Origin::start().await, Folder::new());
    origin.on("/page", |asked| Answer::cacheable(asked.header("x-words").unwrap_or_default()));
    folder.write("hook.wasm", spoken("one"));
    let names: Vec<_> = hooks.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let route =
        format!("[[site.\"www.test\".route]]\npath = \"/*\"\nhooks = [{}]\n{route}\n", names.join(", "));
    // A busy machine must not run a good hook into its limit.
    let limits = "limits = { cpu = \"10s\", wall = \"60s\" }";
    let hook = |(name, settings): &(&str, &str)| {
        format!("[hook.{name}]\nwasm = \"hook.wasm\"\n{limits}\n{settings}\n")
    };
    let hooks: String = hooks.iter().map(hook).collect();
    let node = Node::start_in(folder, &format!("{}\n{route}\n{hooks}", site(&origin))).await;
    (origin, node)
}

async fn deploy(node: &Node, hook: &str, query: &str, words: &str) {
    let reply = post(node, &format!("hooks/{hook}/deploy?{query}"), spoken(words)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

async fn post(node: &Node, path: &str, body: impl Into<Bytes>) -> Reply {
    let admin = node.admin();
    let request = Request::post(format!("http://{admin}/{path}")).header("content-type", "application/wasm");
    Viewer::http(admin).send(request.body(Full::new(body.into())).unwrap()).await
}

async fn get(node: &Node, headers: &[(&str, &str)]) -> Reply {
    node.viewer().get_with(&format!("{SITE}/page"), headers).await
}

#[tokio::test]
async fn an_origin_that_the_config_does_not_have_is_its_hooks_failure() {
    let on = "on = \"origin-request\"";
    let (_origin, strict) = node("", &[("h", on)]).await;
    deploy(&strict, "h", "", "astray").await;
    let refused = get(&strict, &[]).await;
    assert_eq!(refused.status, 502);
    assert!(refused.text().contains("hook-origin"), "{}", refused.text());
    let admin = strict.admin().to_string();
    let said = strict.folder().run(&["hook", "logs", "h", "--admin", &admin]).await.stdout;
    assert!(said.contains("chose the origin \"nowhere\""), "{said}");

    let (_origin, lenient) = node("", &[("h", "on = \"origin-request\"\non-error = \"pass\"")]).await;
    deploy(&lenient, "h", "", "astray").await;
    assert_eq!(get(&lenient, &[]).await.status, 200);
}

#[tokio::test]
async fn a_canary_that_leads_every_request_astray_is_taken_back() {
    // Each request is a call.
    let (_origin, node) = node("cache = \"off\"", &[("h", "on = \"origin-request\"")]).await;
    deploy(&node, "h", "percent=50&sticky=cookie:id&min-requests=20", "astray").await;

    eventually("the canary to be taken back", async || {
        for id in 0..20 {
            get(&node, &[("cookie", &format!("id={id}"))]).await;
        }
        let report: Value = serde_json::from_slice(&node.ask_admin("/hooks/h").await.body).unwrap();
        report["canary"].is_null().then_some(())
    })
    .await;

    assert_eq!(get(&node, &[]).await.status, 200);
}

#[tokio::test]
async fn what_a_canary_has_told_the_origin_is_in_nobody_elses_answer() {
    let (_origin, node) = node("cache = \"origin\"", &[("h", "on = \"viewer-request\"")]).await;
    deploy(&node, "h", "header=x-try", "two").await;

    let mine = get(&node, &[("x-try", "1")]).await;
    let again = get(&node, &[("x-try", "1")]).await;
    let others = get(&node, &[]).await;

    assert_eq!((mine.text().as_str(), again.text().as_str(), again.is_hit()), ("two", "two", true));
    assert_eq!((others.text().as_str(), others.is_hit()), ("one", false));
    assert_eq!(post(&node, "hooks/h/rollback", "").await.status, 200);
    let back = get(&node, &[("x-try", "1")]).await;
    assert_eq!((back.text().as_str(), back.is_hit()), ("one", true));
}

#[tokio::test]
async fn something_stale_stands_in_only_for_a_hook_that_says_so() {
    let strict = ("strict", "on = \"origin-request\"");
    let lenient = ("lenient", "on = \"origin-request\"\non-error = \"stale\"");
    for (failing, status) in [("strict", 502), ("lenient", 200)] {
        let (_origin, node) = node("cache = \"origin\"", &[strict, lenient]).await;
        assert_eq!(get(&node, &[]).await.status, 200);
        let purged = post(&node, "purge", format!("{{\"url\": \"{SITE}/page\"}}")).await;
        assert_eq!(purged.status, 200, "{}", purged.text());
        deploy(&node, failing, "", "traps late").await;

        let reply = get(&node, &[]).await;

        assert_eq!(reply.status, status, "{failing}: {}", reply.header("cache-status"));
    }
}

#[tokio::test]
async fn who_follows_a_hooks_words_waits_for_a_node_that_is_restarted_and_misses_nothing() {
    let (origin, node) = node("cache = \"off\"", &[("h", "on = \"origin-request\"")]).await;
    deploy(&node, "h", "", "astray").await;
    let admin = node.admin().to_string();
    let following = ["hook", "logs", "h", "--follow", "--admin", &admin];
    let mut following = node.folder().command(&following);
    let mut following = following.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(following.stderr.take().unwrap()).lines();
    let mut told = async || within("a line of the hook", told.next_line()).await.unwrap().unwrap();
    let mut said = async || within("a word about the node", said.next_line()).await.unwrap().unwrap();

    get(&node, &[]).await;
    assert!(told().await.contains("chose the origin"));
    let folder = node.kill().await;
    let waiting = said().await;
    assert!(waiting.starts_with("waiting until the node answers again: no node answers at"), "{waiting}");
    let config = std::fs::read_to_string(folder.path("selvedge.toml")).unwrap();
    let node =
        Node::start_in(folder, &config.replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{admin}\"")))
            .await;
    assert_eq!(said().await, "the node answers again");
    get(&node, &[]).await;
    assert!(told().await.contains("chose the origin"));
    drop(origin);
}
