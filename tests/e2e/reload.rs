//! SIGHUP: a new config takes over as a whole or not at all.

use tests::{Answer, Node, Origin, Tap, eventually};

use crate::{SITE, origin_and_node, site};

#[tokio::test]
async fn a_changed_config_takes_over_and_connections_survive() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("hello"));
    let mut connection = node.viewer().connect().await.unwrap();
    let before = connection.get(&format!("{SITE}/page")).await.unwrap();
    assert_eq!((before.status, before.header("x-flavour").as_str()), (200, ""));

    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nheaders = { set = { X-Flavour = \"mint\" } }\n";
    node.reconfigure(&format!("{}{route}", site(&origin))).await;

    let flavour = async || {
        (node.viewer().get(&format!("{SITE}/page")).await.header("x-flavour") == "mint").then_some(())
    };
    eventually("the new header", flavour).await;
    let after =
        connection.get(&format!("{SITE}/page")).await.expect("the connection was closed by the reload");
    assert_eq!((after.status, after.header("x-flavour").as_str()), (200, "mint"));
}

#[tokio::test]
async fn a_broken_config_is_reported_and_the_old_one_goes_on_serving() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("hello"));

    node.reconfigure(&format!("{}nonsense = 1\n", site(&origin))).await;

    let line = node.log_contains("nonsense").await;
    assert!(node.log().contains("selvedge.toml:"), "the place is named: {line}");
    assert_eq!(node.viewer().get(&format!("{SITE}/page")).await.text(), "hello");
}

#[tokio::test]
async fn a_site_that_is_taken_away_is_misdirected_from_then_on() {
    let (origin, node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("hello"));
    assert_eq!(node.viewer().get(&format!("{SITE}/page")).await.status, 200);

    node.reconfigure(&site(&origin).replace("www.test", "other.test")).await;

    eventually("the new site", async || {
        (node.viewer().get("http://other.test/page").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(node.viewer().get(&format!("{SITE}/page")).await.status, 421);
}

#[tokio::test]
async fn what_is_stored_and_what_is_on_its_way_survive() {
    let (origin, node) = origin_and_node().await;
    let tap = Tap::new();
    let played = tap.clone();
    origin.on("/kept", |_| Answer::cacheable("kept"));
    origin.on("/slow", move |_| Answer::streamed(&played));
    node.viewer().get(&format!("{SITE}/kept")).await;
    tap.send("first ");
    let mut stream = node.viewer().open_get(&format!("{SITE}/slow")).await;
    stream.read(6).await;

    let config = format!("{}[site.\"other.test\"]\norigin = \"{}\"\n", site(&origin), origin.url());
    node.reconfigure(&config).await;
    eventually("the new site", async || {
        (node.viewer().get("http://other.test/kept").await.status == 200).then_some(())
    })
    .await;
    tap.send("second");
    tap.end();

    assert_eq!(stream.finish().await.unwrap().text(), "second");
    assert!(node.viewer().get(&format!("{SITE}/kept")).await.is_hit());
}

#[tokio::test]
async fn connections_to_an_unchanged_origin_stay_warm() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::ok("hello").header("cache-control", "no-store"));
    let config = site(&origin).replace("[node]", "[node]\nthreads = 1");
    let node = Node::start(&config).await;
    assert_eq!(node.viewer().get(&format!("{SITE}/page")).await.status, 200);

    let other = format!("{config}[site.\"other.test\"]\norigin = \"{}\"\n", origin.url());
    node.reconfigure(&other).await;
    node.log_contains("reloaded").await;
    assert_eq!(node.viewer().get("http://other.test/page").await.status, 200);

    assert_eq!((origin.requests().len(), origin.connections()), (2, 1));
}

#[tokio::test]
async fn what_cannot_change_while_the_node_runs_is_said() {
    let (origin, node) = origin_and_node().await;

    node.reconfigure(&site(&origin).replace("[node]", "[node]\nlimits = { uncacheable = \"5s\" }")).await;

    let line = node.log_contains("limits.uncacheable").await;
    assert!(line.contains("restart"), "{line}");
}
