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

/// A node before `first`, `second` and more, each of which says who it is; `group` is what the group says beside.
async fn several(origins: &[&Origin], group: &str) -> Node {
    let mut config = LOOPBACK.to_owned();
    let mut members = Vec::new();
    for (name, origin) in ["first", "second", "third", "fourth", "fifth"].into_iter().zip(origins) {
        origin.on("/who", move |_| Answer::ok(name));
        config.push_str(&format!("[origin.{name}]\nurl = \"{}\"\nattempts = 1\n", origin.url()));
        members.push(name);
    }
    Node::start(&format!(
        "{config}[origin-group.main]\nmembers = {members:?}\n{group}\n[site.\"www.test\"]\norigin = \"main\"\n"
    ))
    .await
}

#[tokio::test]
async fn weights_share_out_who_is_asked_first_and_the_others_stand_in() {
    let (mut first, second) = (Origin::start().await, Origin::start().await);
    let node = several(&[&first, &second], "weights = { first = 80, second = 20 }").await;
    let mut of_first = 0;
    for _ in 0..300 {
        of_first += usize::from(who(&node).await == "200 first");
    }
    // 240 of 300, and never so far from it by chance.
    assert!((180..=285).contains(&of_first), "{of_first} of 300");

    first.stop().await;

    for _ in 0..5 {
        assert_eq!(who(&node).await, "200 second");
    }
}

#[tokio::test]
async fn no_more_members_are_asked_for_a_request_than_attempts_allows() {
    let mut dead = [Origin::start().await, Origin::start().await, Origin::start().await];
    let last = Origin::start().await;
    let origins = [&dead[0], &dead[1], &dead[2], &last];
    let by_default = several(&origins, "remember = \"0s\"").await;
    let two = several(&origins, "remember = \"0s\"\nattempts = 2").await;
    for origin in &mut dead {
        origin.stop().await;
    }

    assert_eq!(who(&by_default).await, "200 fourth");
    let reply = two.viewer().get(&format!("{SITE}/who")).await;

    assert_eq!(reply.status, 502);
    let told = "edge1; error=connection_refused; details=\"failed: connection_refused, connection_refused; attempts\"";
    assert_eq!(reply.header("proxy-status"), told);
}

#[tokio::test]
async fn an_outage_does_not_multiply_the_load_beyond_the_retry_budget() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let budget = "remember = \"0s\"\nretry-budget = { share = 0.5, min-per-second = 0, over = \"1h\" }";
    let node = several(&[&first, &second], budget).await;
    first.on("/down", |_| Answer::new(503).body("first"));
    second.on("/down", |_| Answer::ok("second"));

    let mut replies = Vec::new();
    for _ in 0..20 {
        replies.push(node.viewer().get(&format!("{SITE}/down")).await);
    }

    let (good, bad): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!((good.len(), bad.len()), (10, 10));
    assert_eq!(second.requests_for("/down").len(), 10);
    for reply in bad {
        assert_eq!((reply.status, reply.text().as_str()), (503, "first"), "what there was");
        assert_eq!(reply.header("proxy-status"), "edge1; details=\"failed: status 503; retry-budget\"");
    }
    node.log_contains("halted=retry-budget").await;
    let metrics = node.ask_admin("/metrics").await.text();
    assert!(metrics.contains("selvedge_retry_budget_refused_total{group=\"main\"} 10"), "{metrics}");
    assert!(metrics.contains("selvedge_failovers_total{group=\"main\"} 10"), "{metrics}");
}

#[tokio::test]
async fn a_status_counts_against_a_member_only_when_another_answers_better() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let node = several(&[&first, &second], "remember = \"1h\"").await;
    for origin in [&first, &second] {
        origin.on("/broken", |_| Answer::new(503).body("of this page alone"));
    }
    first.on("/half", |_| Answer::new(503));
    second.on("/half", |_| Answer::ok("second"));

    assert_eq!(node.viewer().get(&format!("{SITE}/broken")).await.status, 503);
    assert_eq!(who(&node).await, "200 first", "the page is at fault, so nobody is passed over");
    assert_eq!(node.viewer().get(&format!("{SITE}/half")).await.text(), "second");
    let asked = first.requests().len();
    assert_eq!(who(&node).await, "200 second");
    assert_eq!(first.requests().len(), asked, "it is passed over");
    node.log_contains("health origin=first group=main passed-over=\"status 503\" seconds=3600").await;
}

#[tokio::test]
async fn with_ejection_it_takes_several_statuses_to_pass_a_member_over() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let node = several(&[&first, &second], "remember = \"1h\"\neject = { after = 3 }").await;
    first.on("/half", |_| Answer::new(503));
    second.on("/half", |_| Answer::ok("second"));

    for _ in 0..2 {
        assert_eq!(node.viewer().get(&format!("{SITE}/half")).await.text(), "second");
    }
    assert_eq!(who(&node).await, "200 first", "two are not enough, and this ends the row");
    for _ in 0..3 {
        assert_eq!(node.viewer().get(&format!("{SITE}/half")).await.text(), "second");
    }
    assert_eq!(who(&node).await, "200 second");
}

#[tokio::test]
async fn one_request_at_a_time_tries_out_a_member_that_may_be_back() {
    let mut pair = pair("2s").await;
    pair.first.stop().await;
    assert_eq!(who(&pair.node).await, "200 second");
    pair.first.restart().await;
    let gate = Gate::closed();
    let held = gate.clone();
    pair.first.on("/who", move |_| Answer::ok("first").behind(&held));

    // Only one of the crowd meets the first, and waits there in vain.
    eventually("the first to be tried out", async || {
        let crowd = (0..10).map(|_| {
            let viewer = pair.node.viewer();
            tokio::spawn(async move { viewer.get(&format!("{SITE}/who")).await.text() })
        });
        for reply in crowd.collect::<Vec<_>>() {
            assert_eq!(reply.await.unwrap(), "second");
        }
        (!pair.first.requests_for("/who").is_empty()).then_some(())
    })
    .await;

    assert_eq!(pair.first.requests_for("/who").len(), 1);
}

#[tokio::test]
async fn a_good_answer_after_a_failover_says_what_failed_and_the_log_who() {
    let mut pair = pair("1h").await;
    pair.first.stop().await;

    let reply = pair.node.viewer().get(&format!("{SITE}/who")).await;
    let next = pair.node.viewer().get(&format!("{SITE}/who")).await;

    assert_eq!(reply.text(), "second");
    assert_eq!(reply.header("proxy-status"), "edge1; details=\"failed: connection_refused\"");
    assert_eq!((next.text().as_str(), next.header("proxy-status").as_str()), ("second", ""));
    pair.node.log_contains("failed=first:connection_refused").await;
    pair.node.log_contains("health origin=first group=main passed-over=\"connection_refused\"").await;
}
