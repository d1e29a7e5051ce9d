//! Verbs that speak to a running node, for people and for scripts.

use tests::{Answer, Folder, Node, Outcome};

use crate::{SITE, origin_and_node, site};

/// Runs a verb against this node's admin API.
async fn tell(node: &Node, verb: &[&str]) -> Outcome {
    let admin = node.admin().to_string();
    node.folder().run(&[verb, &["--admin", &admin]].concat()).await
}

#[tokio::test]
async fn status_is_text_for_people_and_json_for_scripts() {
    let (_origin, node) = origin_and_node().await;

    let text = tell(&node, &["status"]).await;
    let json = tell(&node, &["status", "--json"]).await;

    assert_eq!((text.code, json.code), (Some(0), Some(0)), "{} {}", text.stderr, json.stderr);
    assert!(text.stdout.contains("edge1"), "{}", text.stdout);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).expect("not JSON");
    assert!(value.to_string().contains("edge1"), "{value}");
}

#[tokio::test]
async fn reload_has_happened_when_the_verb_returns() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("hello"));
    node.folder().write("selvedge.toml", site(&origin).replace("www.test", "other.test"));

    let outcome = tell(&node, &["reload"]).await;

    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(node.viewer().get("http://other.test/page").await.status, 200);
}

#[tokio::test]
async fn a_reload_that_fails_says_where_and_exits_with_1() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("hello"));
    node.folder().write("selvedge.toml", "[site.\"a.test\"]\norgin = \"http://127.0.0.1:9\"\n");

    let outcome = tell(&node, &["reload"]).await;

    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let said = outcome.stdout + &outcome.stderr;
    assert!(said.contains("selvedge.toml:2:1"), "{said}");
    assert_eq!(node.viewer().get(&format!("{SITE}/page")).await.text(), "hello");
}

#[tokio::test]
async fn drain_ends_the_node_with_0() {
    let (_origin, mut node) = origin_and_node().await;

    let outcome = tell(&node, &["drain"]).await;

    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(node.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_node_that_is_not_there_is_exit_4() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();

    for verb in ["status", "reload", "drain"] {
        let outcome = Folder::new().run(&[verb, "--admin", &closed]).await;
        assert_eq!(outcome.code, Some(4), "{verb}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(&closed), "{verb}: {}", outcome.stderr);
    }
}
