//! Active checks: who is found down is left alone, who is found up is asked again.

use serde_json::Value;
use tests::{Answer, Folder, Gate, LOOPBACK, Node, Origin, Signal, eventually, pki::Authority};

use crate::SITE;

const OFTEN: &str = "path = \"/healthz\", every = \"50ms\", fails = 2, passes = 2";

/// Two origins that say who they are and are well.
async fn origins() -> (Origin, Origin) {
    let (first, second) = (Origin::start().await, Origin::start().await);
    for (origin, name) in [(&first, "first"), (&second, "second")] {
        origin.on("/who", move |_| Answer::ok(name));
        origin.on("/healthz", |_| Answer::ok("all is well"));
    }
    (first, second)
}

fn config(first: &Origin, second: &Origin, health: &str, group: &str) -> String {
    format!(
        r#"{LOOPBACK}
[origin.first]
url = "{}"
health = {{ {health} }}

[origin.second]
url = "{}"

[origin-group.main]
members = ["first", "second"]
{group}

[site."www.test"]
origin = "main"
"#,
        first.url(),
        second.url()
    )
}

async fn who(node: &Node) -> String {
    node.viewer().get(&format!("{SITE}/who")).await.text()
}

async fn until(node: &Node, name: &str) {
    eventually(&format!("{name} to be asked"), async || (who(node).await == name).then_some(())).await;
}

async fn status(node: &Node) -> Value {
    serde_json::from_slice(&node.ask_admin("/status").await.body).expect("not JSON")
}

#[tokio::test]
async fn who_fails_its_checks_is_not_asked_until_they_pass() {
    let (first, second) = origins().await;
    let node = Node::start(&config(&first, &second, OFTEN, "")).await;
    assert_eq!(who(&node).await, "first", "nothing is known against it");

    first.on("/healthz", |_| Answer::new(503));
    node.log_contains("health origin=first down reason=status").await;
    let asked = first.requests_for("/who").len();
    for _ in 0..5 {
        assert_eq!(who(&node).await, "second");
    }
    assert_eq!(first.requests_for("/who").len(), asked);
    let member = &status(&node).await["groups"]["main"]["members"][0];
    assert_eq!((&member["state"], &member["health"]["up"]), (&"out".into(), &false.into()), "{member}");
    assert!(node.ask_admin("/metrics").await.text().contains("selvedge_origin_up{origin=\"first\"} 0"));

    first.on("/healthz", |_| Answer::ok("well again"));
    node.log_contains("health origin=first up").await;
    assert_eq!(who(&node).await, "first");
    let lines = node.log().lines().filter(|line| line.starts_with("health ")).count();
    assert_eq!(lines, 2, "one line for each change:\n{}", node.log());
}

#[tokio::test]
async fn a_check_asks_for_its_host_and_looks_at_status_and_body() {
    let (first, second) = origins().await;
    let health = format!("{OFTEN}, host = \"app.example.com\", status = [204, \"200-201\"], body = \"well\"");
    let node = Node::start(&config(&first, &second, &health, "")).await;
    first.until("a few checks", |requests| requests.len() > 3).await;
    assert_eq!(who(&node).await, "first");
    let check = first.requests_for("/healthz").remove(0);
    assert_eq!((check.method.as_str(), check.header("host").as_deref()), ("GET", Some("app.example.com")));

    first.on("/healthz", |_| Answer::ok("all is lost"));
    node.log_contains("down reason=body").await;
    first.on("/healthz", |_| Answer::ok("all is well"));
    until(&node, "first").await;
    first.on("/healthz", |_| Answer::new(202).body("all is well"));
    node.log_contains("down reason=status").await;
}

#[tokio::test]
async fn a_check_without_an_answer_fails() {
    let (mut first, second) = origins().await;
    let health = format!("{OFTEN}, timeout = \"100ms\"");
    let node = Node::start(&config(&first, &second, &health, "")).await;
    let never = Gate::closed();

    first.on("/healthz", move |_| Answer::ok("late").behind(&never));
    node.log_contains("down reason=http_response_timeout").await;
    first.on("/healthz", |_| Answer::ok("all is well"));
    node.log_contains("origin=first up").await;
    first.stop().await;
    node.log_contains("down reason=connection_refused").await;
}

#[tokio::test]
async fn when_all_are_found_down_all_are_asked() {
    let (first, _) = origins().await;
    first.on("/healthz", |_| Answer::new(500));
    let site = "[site.\"www.test\"]\norigin = \"first\"\n";
    let node = Node::start(&format!(
        "{LOOPBACK}[origin.first]\nurl = \"{}\"\nhealth = {{ {OFTEN} }}\n{site}",
        first.url()
    ))
    .await;
    node.log_contains("health origin=first down").await;

    assert_eq!(who(&node).await, "first");
}

#[tokio::test]
async fn an_origin_of_several_groups_is_checked_once() {
    let (first, second) = origins().await;
    let gate = Gate::closed();
    let held = gate.clone();
    first.on("/healthz", move |_| Answer::ok("held").behind(&held));
    let more =
        "[origin-group.b]\nmembers = [\"first\"]\n[origin-group.c]\nmembers = [\"first\", \"second\"]\n";
    let node = Node::start(&format!("{}{more}", config(&first, &second, OFTEN, ""))).await;
    first.until("a check", |requests| !requests.is_empty()).await;

    for _ in 0..20 {
        who(&node).await;
    }

    assert_eq!(first.requests_for("/healthz").len(), 1);
}

#[tokio::test]
async fn a_reload_keeps_what_checks_found_and_ends_those_that_nobody_wants() {
    let (first, second) = origins().await;
    first.on("/healthz", |_| Answer::new(503));
    let health = "path = \"/healthz\", every = \"50ms\", fails = 1, passes = 1000";
    let before = config(&first, &second, health, "");
    let node = Node::start(&before).await;
    node.log_contains("health origin=first down").await;
    first.on("/healthz", |_| Answer::ok("well"));

    node.reconfigure(&format!("{before}[site.\"other.test\"]\norigin = \"main\"\n")).await;
    node.log_contains("reloaded").await;
    assert_eq!(who(&node).await, "second", "it still has to pass");
    let checks = first.requests_for("/healthz").len();
    first.until("checks to go on", |requests| requests.len() > checks + 2).await;

    node.reconfigure(&before.replace(&format!("health = {{ {health} }}"), "")).await;
    until(&node, "first").await;
    let checks = first.requests_for("/healthz").len();
    // Not for a state: that nothing happens meanwhile is what is tested.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(first.requests_for("/healthz").len(), checks);
}

#[tokio::test]
async fn a_check_under_way_does_not_keep_the_node_alive() {
    let (first, second) = origins().await;
    let never = Gate::closed();
    first.on("/healthz", move |_| Answer::ok("late").behind(&never));
    let health = "path = \"/healthz\", timeout = \"1h\"";
    let mut node = Node::start(&config(&first, &second, health, "")).await;
    first.until("a check", |requests| !requests.is_empty()).await;

    node.signal(Signal::Drain).await;

    assert_eq!(node.exit_code().await, Some(0));
}

#[tokio::test]
async fn checks_go_over_tls_as_requests_do() {
    let authority = Authority::new();
    let (trusted, other) =
        (Origin::start_http2(&authority).await, Origin::start_http2(&Authority::new()).await);
    trusted.on("/healthz", |_| Answer::ok("well"));
    let folder = Folder::new();
    folder.write("ca.pem", authority.root());
    let origin = |name: &str, origin: &Origin| {
        let tls = "tls = { ca = \"ca.pem\" }";
        format!("[origin.{name}]\nurl = \"{}\"\n{tls}\nhealth = {{ {OFTEN} }}\n", origin.url())
    };
    let origins = origin("trusted", &trusted) + &origin("other", &other);
    let site = "[site.\"www.test\"]\norigin = \"trusted\"\n";
    let node = Node::start_in(folder, &format!("{LOOPBACK}{origins}{site}")).await;

    trusted.until("a few checks", |requests| requests.len() > 3).await;
    node.log_contains("health origin=other down reason=tls_certificate_error").await;

    let health = &status(&node).await["groups"]["trusted"]["members"][0]["health"];
    assert_eq!((&health["up"], &health["failed"]), (&true.into(), &0.into()), "{health}");
}

#[tokio::test]
async fn who_comes_back_gets_a_growing_share_of_its_requests() {
    let (first, second) = origins().await;
    let node = Node::start(&config(&first, &second, OFTEN, "slow-start = \"1h\"")).await;
    assert_eq!(who(&node).await, "first", "at the start nobody comes back");
    first.on("/healthz", |_| Answer::new(503));
    node.log_contains("health origin=first down").await;
    first.on("/healthz", |_| Answer::ok("well"));
    node.log_contains("health origin=first up").await;

    let mut viewer = node.viewer().connect().await.unwrap();
    let mut of_first = 0;
    for _ in 0..300 {
        let reply = viewer.get(&format!("{SITE}/who")).await.unwrap();
        of_first += usize::from(reply.text() == "first");
    }

    // A tenth at the beginning: 30 of 300, and never so far from it by chance.
    assert!((5..=90).contains(&of_first), "{of_first} of 300");
    assert_eq!(status(&node).await["groups"]["main"]["members"][0]["state"], "warming");
}

#[tokio::test]
async fn status_tells_people_how_each_member_stands() {
    let (first, second) = origins().await;
    first.on("/healthz", |_| Answer::new(503));
    let node = Node::start(&config(&first, &second, OFTEN, "weights = { first = 3, second = 1 }")).await;
    node.log_contains("health origin=first down").await;

    let told = node.folder().run(&["status", "--admin", &node.admin().to_string()]).await;

    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let line = |start: &str| told.stdout.lines().find(|line| line.starts_with(start)).unwrap_or_default();
    let down = line("origin main/first:");
    assert!(down.contains("out") && down.contains("checks: down, status (503"), "{}", told.stdout);
    assert_eq!(line("origin main/second:"), "origin main/second: well", "{}", told.stdout);
    assert!(line("group main:").contains("100 more allowed now"), "{}", told.stdout);
}
