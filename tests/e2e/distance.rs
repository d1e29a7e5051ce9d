//! Far origins and far viewers: who decides how fast is sent, and what is ready before the first request.

use tests::{Answer, Folder, LOOPBACK, Node, Origin};

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
