//! Rehearsals: requests that fail on purpose, and stop doing so.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Answer, Folder, LOOPBACK, Node, Origin, Viewer, eventually};

use crate::SITE;

/// Long after any run of these stories.
const NEVER: &str = "2999-01-01T00:00:00Z";

struct Stage {
    first: Origin,
    second: Origin,
    node: Node,
}

async fn answering(text: &'static str) -> Origin {
    let origin = Origin::start().await;
    origin.on("*", move |_| Answer::ok(text));
    origin
}

fn config(first: &Origin, second: &Origin, fault: &str, site: &str) -> String {
    format!(
        r#"{LOOPBACK}
[origin.first]
url = "{}"
fault = {{ {fault} }}

[origin.second]
url = "{}"

[origin-group.main]
members = ["first", "second"]

[site."www.test"]
origin = "{site}"
"#,
        first.url(),
        second.url()
    )
}

/// Two origins, a node whose requests to the first meet `fault` until long after, and a site with this origin or group.
async fn stage(fault: &str, site: &str) -> Stage {
    stage_until(NEVER, fault, site).await
}

async fn stage_until(until: &str, fault: &str, site: &str) -> Stage {
    let (first, second) = (answering("first").await, answering("second").await);
    let fault = format!("until = \"{until}\", {fault}");
    let node = Node::start(&config(&first, &second, &fault, site)).await;
    Stage { first, second, node }
}

async fn ask(node: &Node, path: &str) -> (u16, String) {
    let reply = node.viewer().get(&format!("{SITE}{path}")).await;
    (reply.status, reply.text())
}

async fn admin(node: &Node, method: &str, path: &str) -> Value {
    let url = format!("http://{}{path}", node.admin());
    let reply = Viewer::http(node.admin()).ask(method, &url, &[]).await;
    serde_json::from_str(&reply.text()).unwrap()
}

#[tokio::test]
async fn a_rehearsed_failure_is_named_as_such_and_never_reaches_the_origin() {
    let Stage { first, second: _second, node } =
        stage("abort = { with = 503, percent = 100 }", "first").await;

    let reply = node.viewer().get(&format!("{SITE}/a")).await;

    assert_eq!(reply.status, 503);
    let proxy_status = "edge1; error=proxy_internal_response; details=\"failed: fault-injected\"";
    assert_eq!(reply.header("proxy-status"), proxy_status);
    assert_eq!(first.requests().len(), 0);
    node.log_contains("fault origin=first abort=\"status 503\" abort-percent=100 begins").await;
    node.log_contains("failed=first:fault-injected").await;
    let metrics = node.ask_admin("/metrics").await.text();
    for line in [
        "selvedge_fault_active{origin=\"first\"} 1",
        "selvedge_faults_injected_total{origin=\"first\",kind=\"abort\"} 1",
        "selvedge_origin_failures_total{reason=\"fault-injected\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn the_next_member_answers_and_the_failing_one_is_remembered_as_after_a_real_failure() {
    for abort in ["\"reset\"", "503"] {
        let Stage { first, second, node } =
            stage(&format!("abort = {{ with = {abort}, percent = 100 }}"), "main").await;
        for path in ["/a", "/b", "/c"] {
            assert_eq!(ask(&node, path).await, (200, "second".to_owned()), "{abort}");
        }
        assert_eq!((first.requests().len(), second.requests().len()), (0, 3));
        let status = admin(&node, "GET", "/status").await;
        assert_eq!(status["groups"]["main"]["members"][0]["last_failure"], "fault-injected", "{status}");
        assert_eq!(status["faults"]["first"]["active"], true, "{status}");
    }
}

#[tokio::test]
async fn a_delay_is_what_viewers_of_a_slow_origin_wait() {
    let Stage { first: _first, second: _second, node } =
        stage("delay = { by = \"300ms\", percent = 100 }", "first").await;
    let began = Instant::now();
    assert_eq!(ask(&node, "/a").await, (200, "first".to_owned()));
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn an_admin_ends_a_rehearsal_at_once_and_a_reload_does_not_begin_it_anew() {
    let fault = "abort = { with = 503, percent = 100 }";
    let Stage { first, second, node } = stage(fault, "first").await;
    assert_eq!(ask(&node, "/a").await.0, 503);

    let state = admin(&node, "POST", "/faults/%66irst/stop").await;

    assert_eq!((&state["active"], &state["ended"]), (&Value::Bool(false), &"stopped".into()));
    assert_eq!(ask(&node, "/a").await, (200, "first".to_owned()));
    node.log_contains("fault origin=first ended reason=\"stopped\"").await;
    let config = config(&first, &second, &format!("until = \"{NEVER}\", {fault}"), "first");
    let other_site = format!("{config}[site.\"other.test\"]\norigin = \"main\"\n");
    let other_names = config.replacen("[node]\n", "[node]\nlimits = { stale-names = \"1h\" }\n", 1);
    for (count, changed) in [other_site, other_names].iter().enumerate() {
        assert_ne!(*changed, config);
        node.reconfigure(changed).await;
        let is_reloaded = || (node.log().matches("reloaded").count() > count).then_some(());
        eventually("the reload", async || is_reloaded()).await;
        assert_eq!(ask(&node, &format!("/b{count}")).await, (200, "first".to_owned()));
    }
    assert_eq!(admin(&node, "POST", "/faults/nobody/stop").await["error"], "no-such-fault");
    assert_eq!(admin(&node, "GET", "/faults").await["first"]["ended"], "stopped");
}

#[tokio::test]
async fn too_many_failed_requests_end_a_rehearsal() {
    let fault = "abort = { with = 503, percent = 100 }, stop-if = { error-rate = 0.2, min-requests = 5 }";
    let Stage { first: _first, second: _second, node } = stage(fault, "first").await;
    for count in 0..5 {
        assert_eq!(ask(&node, &format!("/{count}")).await.0, 503);
    }
    assert_eq!(ask(&node, "/good").await, (200, "first".to_owned()));
    node.log_contains("fault origin=first ended reason=\"errors (5 of 5 requests)\"").await;
}

#[tokio::test]
async fn a_rehearsal_ends_at_its_time() {
    // Days and leap years are not this story.
    let date = Command::new("date").args(["-u", "-d", "+3 seconds", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    let until = String::from_utf8(date.unwrap().stdout).unwrap();
    let Stage { first: _first, second: _second, node } =
        stage_until(until.trim(), "abort = { with = 503, percent = 100 }", "first").await;
    eventually("the rehearsal to end", async || (ask(&node, "/a").await.0 == 200).then_some(())).await;
    node.log_contains("fault origin=first ended reason=\"time\"").await;
}

#[tokio::test]
async fn a_check_warns_of_a_rehearsal() {
    let (first, second) = (answering("first").await, answering("second").await);
    let folder = Folder::new();
    for (until, words) in
        [(NEVER, "fail on purpose for"), ("2001-01-01T00:00:00Z", "is over: remove `fault`")]
    {
        let fault = format!("until = \"{until}\", abort = {{ with = 503, percent = 1 }}");
        folder.write("selvedge.toml", config(&first, &second, &fault, "first"));
        let outcome = folder.run(&["check", "selvedge.toml"]).await;
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
}
