//! Far origins and far viewers: who decides how fast is sent, and what is ready before the first request.

use tests::pki::Authority;
use tests::{Answer, Folder, LOOPBACK, Node, Origin, eventually};

use crate::SITE;

/// A node that wants algorithms which no kernel has.
fn wishful(origin: &Origin) -> String {
    let node = LOOPBACK.replace("[node]\n", "[node]\ncongestion = \"hope\"\n");
    format!(
        "{node}\n[origin.app]\nurl = \"{}\"\ncongestion = \"prayer\"\n\n[site.\"www.test\"]\norigin = \"app\"\n",
        origin.url()
    )
}

#[tokio::test]
async fn a_congestion_control_that_the_kernel_lacks_is_said_once_and_everybody_is_served() {
    let origin = Origin::start().await;
    origin.on("/", |_| Answer::ok("served"));
    let node = Node::start(&wishful(&origin)).await;

    for _ in 0..3 {
        assert_eq!(node.viewer().get(&format!("{SITE}/")).await.text(), "served");
    }

    for (place, name) in [("node.congestion", "\"hope\""), ("origin.app.congestion", "\"prayer\"")] {
        let said = node.log_contains(place).await;
        assert!(said.contains(name) && said.contains("the system's own choice stays"), "{said}");
        assert_eq!(node.log().matches(place).count(), 1, "{}", node.log());
    }
}

#[tokio::test]
async fn check_warns_of_it_at_its_place_and_refuses_what_cannot_be_a_name() {
    let (folder, origin) = (Folder::new(), Origin::start().await);
    folder.write("selvedge.toml", wishful(&origin));
    folder.write("shouting.toml", wishful(&origin).replace("hope", "BBR"));

    let warned = folder.run(&["check", "selvedge.toml"]).await;
    let refused = folder.run(&["check", "shouting.toml"]).await;

    assert_eq!(warned.code, Some(0), "{}", warned.stderr);
    assert!(
        warned.stderr.contains("selvedge.toml:3:14: warning: congestion = \"hope\""),
        "{}",
        warned.stderr
    );
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("shouting.toml:3:14"), "{}", refused.stderr);
}

/// A node of two threads that keeps connections to its origin warm.
fn warm(origin: &Origin, settings: &str) -> String {
    let node = LOOPBACK.replace("[node]\n", "[node]\nthreads = 2\n");
    format!(
        "{node}\n[origin.app]\nurl = \"{}\"\n{settings}\n\n[site.\"www.test\"]\norigin = \"app\"\n",
        origin.url()
    )
}

async fn connections(origin: &Origin, expected: usize) {
    let reached = async || (origin.connections() == expected).then_some(());
    eventually(&format!("{expected} connections"), reached).await;
}

#[tokio::test]
async fn warm_connections_are_open_before_the_first_request() {
    let origin = Origin::start().await;
    origin.on("/", |_| Answer::ok("at once"));
    let node = Node::start(&warm(&origin, "pool = { warm = 3 }")).await;

    connections(&origin, 6).await;
    assert_eq!(origin.requests().len(), 0);
    for _ in 0..5 {
        assert_eq!(node.viewer().get(&format!("{SITE}/")).await.text(), "at once");
    }
    assert_eq!(origin.connections(), 6, "every thread had its own three");
}

#[tokio::test]
async fn warm_connections_come_back_with_their_origin() {
    let mut origin = Origin::start().await;
    let _node = Node::start(&warm(&origin, "pool = { warm = 2 }")).await;
    connections(&origin, 4).await;

    origin.stop().await;
    origin.restart().await;

    connections(&origin, 8).await;
}

#[tokio::test]
async fn a_reload_opens_what_the_new_config_wants_warm() {
    let origin = Origin::start().await;
    let node = Node::start(&warm(&origin, "")).await;
    assert_eq!(origin.connections(), 0);

    node.reconfigure(&warm(&origin, "pool = { warm = 2 }")).await;

    connections(&origin, 4).await;
}

#[tokio::test]
async fn where_http2_is_spoken_one_warm_connection_a_thread_is_enough() {
    let authority = Authority::new();
    let origin = Origin::start_http2(&authority).await;
    origin.on("/", |_| Answer::ok("shared"));
    let folder = Folder::new();
    folder.write("ca.pem", authority.root());
    let settings = "pool = { warm = 5 }\ntls = { ca = \"ca.pem\" }";
    let node = Node::start_in(folder, &warm(&origin, settings)).await;

    connections(&origin, 2).await;
    for _ in 0..5 {
        assert_eq!(node.viewer().get(&format!("{SITE}/")).await.text(), "shared");
    }

    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn the_settings_of_the_guide_are_settings() {
    let guide = include_str!("../../docs/distance.md");
    let configs: Vec<_> =
        guide.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert_eq!(configs.len(), 2, "one for the shield, one for the edge");
    for config in configs {
        let folder = Folder::new();
        folder.write("key", "0123456789abcdef0123456789abcdef");
        folder.write("selvedge.toml", config.replace("env = \"SHIELD_KEY\"", "file = \"key\""));

        let outcome = folder.run(&["check", "selvedge.toml"]).await;

        assert_eq!(outcome.code, Some(0), "{config}\n{}", outcome.stderr);
    }
}
