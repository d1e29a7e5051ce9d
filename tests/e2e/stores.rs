//! Key-value stores of hooks, as operators look into them and change them.

use serde_json::Value;
use tests::{Node, Origin, Outcome};

use crate::{SITE, guest, site};

/// A node whose hook counts visits in the store `visits`, and which has another store.
async fn node(origin: &Origin) -> Node {
    let wasm = guest::offered().display();
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nhooks = [\"counter\"]\n";
    let hook = format!(
        "[hook.counter]\nwasm = \"{wasm}\"\non = \"viewer-request\"\nconfig = {{ do = \"count\" }}\nkv = [\"visits\"]\n"
    );
    let stores = "[kv.visits]\nvalue = \"1KiB\"\n[kv.other]\n";
    Node::start(&format!("{}\n{route}{hook}{stores}", site(origin))).await
}

async fn kv(node: &Node, arguments: &[&str]) -> Outcome {
    let admin = node.admin().to_string();
    node.folder().run(&[&["hook", "kv"], arguments, &["--admin", &admin]].concat()).await
}

/// The same where it is to go well: what it prints.
async fn told(node: &Node, arguments: &[&str]) -> String {
    let outcome = kv(node, arguments).await;
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}{}", outcome.stdout, outcome.stderr);
    outcome.stdout
}

#[tokio::test]
async fn operators_see_what_hooks_have_kept_and_hooks_what_operators_put() {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    for count in ["1", "2"] {
        assert_eq!(node.viewer().get(SITE).await.text(), count);
    }
    let keys = told(&node, &["list", "visits"]).await;
    let key = keys.trim();
    assert_eq!(told(&node, &["get", "visits", key]).await, "2");

    told(&node, &["put", "visits", key, "41"]).await;

    assert_eq!(node.viewer().get(SITE).await.text(), "42");
    told(&node, &["delete", "visits", key]).await;
    assert_eq!(node.viewer().get(SITE).await.text(), "1");
    let stores = told(&node, &["list"]).await;
    assert!(stores.contains("visits: 1 keys") && stores.contains("other: 0 keys"), "{stores}");
}

#[tokio::test]
async fn any_key_and_any_value_comes_back_as_it_was_put() {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let key = "a/b ?&=%2F+ü";
    let bytes: Vec<u8> = (0..=255).collect();
    let file = node.folder().write("value", &bytes);
    told(&node, &["put", "other", key, "--path", file.to_str().unwrap(), "--ttl", "1h"]).await;

    let pair: Value = serde_json::from_str(&told(&node, &["get", "other", key, "--json"]).await).unwrap();

    assert_eq!((&pair["key"], &pair["bytes"]), (&key.into(), &256.into()), "{pair}");
    assert!(
        pair["expires"].as_str().is_some_and(|at| at.ends_with('Z')) && pair["base64"].is_string(),
        "{pair}"
    );
    assert_eq!(told(&node, &["list", "other"]).await.trim_end(), key);
}

#[tokio::test]
async fn a_long_list_is_told_whole_and_a_prefix_and_a_limit_shorten_it() {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let connection = &mut tests::Viewer::http(node.admin()).connect().await.unwrap();
    for number in 0..2100 {
        let url = format!("http://{}/kv/other/k{number:04}", node.admin());
        let request = http::Request::put(url).body(http_body_util::Full::from("1")).unwrap();
        assert_eq!(connection.open(request).await.unwrap().finish().await.unwrap().status, 200);
    }
    let lines = |told: String| told.lines().map(str::to_owned).collect::<Vec<_>>();
    let all = lines(told(&node, &["list", "other"]).await);
    assert_eq!((all.len(), all[0].as_str(), all[2099].as_str()), (2100, "k0000", "k2099"));
    assert_eq!(lines(told(&node, &["list", "other", "--limit", "1500"]).await).len(), 1500);
    let some: Value = serde_json::from_str(
        &told(&node, &["list", "other", "--prefix", "k20", "--limit", "3", "--json"]).await,
    )
    .unwrap();
    assert_eq!(some["keys"], serde_json::json!(["k2000", "k2001", "k2002"]));
}

#[tokio::test]
async fn what_is_not_there_or_does_not_fit_is_said() {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let large = "x".repeat(1025);
    for (arguments, code, words) in [
        (&["get", "visits", "nobody"][..], 1, "there is no key \"nobody\""),
        (&["delete", "visits", "nobody"], 1, "there is no key \"nobody\""),
        (&["list", "visit"], 1, "there are: other, visits"),
        (&["put", "visits", "a", &large], 1, "raise `value`"),
        (&["put", "visits", "a", "1", "--path", "b"], 2, "cannot be used"),
    ] {
        let outcome = kv(&node, arguments).await;
        assert_eq!(outcome.code, Some(code), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{arguments:?}: {}", outcome.stderr);
    }
}
