//! While an object is still arriving: others share it, and nobody is harmed by whoever leaves.

use tests::{Answer, Origin, Tap};

use crate::{SITE, origin_and_node};

/// `/slow` is what the test sends into the tap.
fn slow(origin: &Origin) -> Tap {
    let tap = Tap::new();
    let played = tap.clone();
    origin.on("/slow", move |_| Answer::streamed(&played).header("cache-control", "max-age=3600"));
    tap
}

#[tokio::test]
async fn a_second_viewer_gets_the_beginning_before_the_end_has_arrived() {
    let (origin, node) = origin_and_node().await;
    let tap = slow(&origin);
    let url = format!("{SITE}/slow");
    tap.send("first ");

    let mut leader = node.viewer().open_get(&url).await;
    assert_eq!(leader.read(6).await, b"first ");
    let mut follower = node.viewer().open_get(&url).await;
    assert_eq!(follower.read(6).await, b"first ");
    tap.send("second");
    tap.end();

    assert_eq!(leader.finish().await.unwrap().text(), "second");
    assert_eq!(follower.finish().await.unwrap().text(), "second");
    assert_eq!(node.viewer().get(&url).await.text(), "first second");
    assert_eq!(origin.requests_for("/slow").len(), 1);
}

#[tokio::test]
async fn the_first_viewer_going_away_harms_nobody() {
    let (origin, node) = origin_and_node().await;
    let tap = slow(&origin);
    let url = format!("{SITE}/slow");
    tap.send("first ");

    let mut leader = node.viewer().open_get(&url).await;
    leader.read(6).await;
    let mut follower = node.viewer().open_get(&url).await;
    follower.read(6).await;
    drop(leader);
    tap.send("second");
    tap.end();

    assert_eq!(follower.finish().await.unwrap().text(), "second");
    assert_eq!(node.viewer().get(&url).await.text(), "first second");
    assert_eq!(origin.requests_for("/slow").len(), 1);
}

#[tokio::test]
async fn an_only_viewer_going_away_leaves_no_broken_entry() {
    let (origin, node) = origin_and_node().await;
    let tap = slow(&origin);
    let url = format!("{SITE}/slow");
    tap.send("first ");

    let mut only = node.viewer().open_get(&url).await;
    only.read(6).await;
    drop(only);
    tap.send("second");
    tap.end();

    assert_eq!(node.viewer().get(&url).await.text(), "first second");
}
