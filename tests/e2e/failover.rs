//! Several origins for one site.

use tests::{Answer, Gate, LOOPBACK, Node, Origin, Tap, eventually};

use crate::SITE;

struct Pair {
    first: Origin,
    second: Origin,
    node: Node,
}

/// Two origins that say who they are, and a node that prefers the first.
async fn pair(remember: &str) -> Pair {
    let (first, second) = (Origin::start().await, Origin::start().await);
    first.on("/who", |_| Answer::ok("first"));
    second.on("/who", |_| Answer::ok("second"));
    let node = Node::start(&group(&first, &second, remember)).await;
    Pair { first, second, node }
}

fn group(first: &Origin, second: &Origin, remember: &str) -> String {
    format!(
        r#"{LOOPBACK}
[origin.first]
url = "{}"
response-timeout = "500ms"

[origin.second]
url = "{}"
response-timeout = "500ms"

[origin-group.main]
members = ["first", "second"]
failover-on = ["connect", "timeout", 500, 502, 503, 504]
remember = "{remember}"

[site."www.test"]
origin = "main"

[[site."www.test".route]]
path = "/*"
methods = "all"
"#,
        first.url(),
        second.url()
    )
}

async fn who(node: &Node) -> String {
    let reply = node.viewer().get(&format!("{SITE}/who")).await;
    format!("{} {}", reply.status, reply.text())
}

#[tokio::test]
async fn the_second_answers_while_the_first_is_dead_and_the_first_comes_back() {
    let mut pair = pair("300ms").await;
    assert_eq!(who(&pair.node).await, "200 first");

    pair.first.stop().await;
    for _ in 0..5 {
        assert_eq!(who(&pair.node).await, "200 second", "no viewer sees the failure");
    }
    pair.first.restart().await;

    eventually("the first to be asked again", async || (who(&pair.node).await == "200 first").then_some(()))
        .await;
}

#[tokio::test]
async fn a_reload_does_not_forget_which_member_failed() {
    let mut pair = pair("1h").await;
    pair.first.stop().await;
    assert_eq!(who(&pair.node).await, "200 second");
    pair.first.restart().await;
    let connections = pair.first.connections();

    let config = group(&pair.first, &pair.second, "1h");
    pair.node.reconfigure(&format!("{config}[site.\"other.test\"]\norigin = \"main\"\n")).await;
    pair.node.log_contains("reloaded").await;

    assert_eq!(who(&pair.node).await, "200 second");
    assert_eq!(pair.first.connections(), connections);
    // Other settings make another group, which begins anew.
    pair.node.reconfigure(&group(&pair.first, &pair.second, "2h")).await;
    eventually("the first to be asked again", async || (who(&pair.node).await == "200 first").then_some(()))
        .await;
}

#[tokio::test]
async fn a_member_that_failed_is_left_alone_for_the_remembered_time() {
    let mut pair = pair("1h").await;
    pair.first.stop().await;
    assert_eq!(who(&pair.node).await, "200 second");
    pair.first.restart().await;
    let connections = pair.first.connections();

    for _ in 0..5 {
        assert_eq!(who(&pair.node).await, "200 second");
    }

    assert_eq!(pair.first.connections(), connections);
}

#[tokio::test]
async fn a_listed_status_goes_to_the_next_member_and_others_do_not() {
    let pair = pair("1ms").await;
    pair.first.on("/503", |_| Answer::new(503).body("first"));
    pair.first.on("/404", |_| Answer::new(404).body("first"));
    pair.second.on("/503", |_| Answer::ok("second"));
    pair.second.on("/404", |_| Answer::ok("second"));

    let other = pair.node.viewer().get(&format!("{SITE}/404")).await;
    let listed = pair.node.viewer().get(&format!("{SITE}/503")).await;

    assert_eq!((listed.status, listed.text().as_str()), (200, "second"));
    assert_eq!((other.status, other.text().as_str()), (404, "first"));
    assert_eq!(pair.second.requests_for("/404").len(), 0, "404 is an answer, not a failure");
}

#[tokio::test]
async fn a_member_that_does_not_answer_in_time_is_passed_over() {
    let pair = pair("1h").await;
    let never = Gate::closed();
    pair.first.on("/who", move |_| Answer::ok("first").behind(&never));

    assert_eq!(who(&pair.node).await, "200 second");
}

#[tokio::test]
async fn when_all_are_dead_the_viewer_gets_502_and_the_reason() {
    let mut pair = pair("300ms").await;
    pair.first.stop().await;
    pair.second.stop().await;

    let reply = pair.node.viewer().get(&format!("{SITE}/who")).await;

    assert_eq!(reply.status, 502);
    // RFC 9209 §2.3: an error type of the registry, under the node's name.
    let status = reply.header("proxy-status");
    assert!(status.starts_with("edge1") && status.contains("error=connection_refused"), "{status}");
    assert!(reply.text().contains(&reply.header("x-request-id")), "the page carries the request id");
}

#[tokio::test]
async fn when_all_are_silent_the_viewer_gets_504() {
    let pair = pair("300ms").await;
    let never = Gate::closed();
    for origin in [&pair.first, &pair.second] {
        let never = never.clone();
        origin.on("/who", move |_| Answer::ok("late").behind(&never));
    }

    let reply = pair.node.viewer().get(&format!("{SITE}/who")).await;

    assert_eq!(reply.status, 504);
    assert!(
        reply.header("proxy-status").contains("http_response_timeout"),
        "{}",
        reply.header("proxy-status")
    );
}

#[tokio::test]
async fn nothing_is_retried_after_the_first_byte_went_to_the_viewer() {
    let pair = pair("1ms").await;
    let tap = Tap::new();
    let played = tap.clone();
    pair.first.on("/long", move |_| Answer::streamed(&played));
    pair.second.on("/long", |_| Answer::ok("second"));
    tap.send("first");

    let mut reply = pair.node.viewer().open_get(&format!("{SITE}/long")).await;
    assert_eq!(reply.read(5).await, b"first");
    tap.cut();

    assert!(reply.finish().await.is_err());
    assert_eq!(pair.second.requests_for("/long").len(), 0);
}

#[tokio::test]
async fn a_request_that_changes_something_is_not_repeated_elsewhere() {
    let pair = pair("1ms").await;
    pair.first.on("/order", |_| Answer::new(503).body("first"));
    pair.second.on("/order", |_| Answer::ok("second"));

    let reply = pair.node.viewer().ask("POST", &format!("{SITE}/order"), &[]).await;

    assert_eq!((reply.status, reply.text().as_str()), (503, "first"));
    assert_eq!(pair.second.requests_for("/order").len(), 0);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_502() {
    let pair = pair("1ms").await;
    for origin in [&pair.first, &pair.second] {
        origin.on("/garbage", |_| Answer::raw("SSH-2.0-OpenSSH_9.2\r\n"));
        origin.on("/closed", |_| Answer::raw(""));
    }

    for path in ["/garbage", "/closed"] {
        let reply = pair.node.viewer().get(&format!("{SITE}{path}")).await;
        assert_eq!(reply.status, 502, "{path}");
        assert!(reply.header("proxy-status").contains("error="), "{path}: {}", reply.header("proxy-status"));
    }
    assert_eq!(who(&pair.node).await.split(' ').next(), Some("200"));
}
