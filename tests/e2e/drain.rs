//! SIGTERM: nobody new, nobody cut off.

use tests::{Answer, Gate, Signal, Tap};

use crate::{SITE, origin_and_node};

#[tokio::test]
async fn what_is_in_flight_is_finished_before_the_node_exits_with_0() {
    let (origin, mut node) = origin_and_node().await;
    let tap = Tap::new();
    let played = tap.clone();
    origin.on("/slow", move |_| Answer::streamed(&played));
    tap.send("first ");
    let mut stream = node.viewer().open_get(&format!("{SITE}/slow")).await;
    stream.read(6).await;

    node.signal(Signal::Drain).await;
    node.await_refusal(node.http()).await;
    tap.send("second");
    tap.end();

    assert_eq!(stream.finish().await.expect("the answer was cut off").text(), "second");
    assert_eq!(node.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_request_that_still_waits_for_the_origin_gets_its_answer() {
    let (origin, mut node) = origin_and_node().await;
    let gate = Gate::closed();
    let held = gate.clone();
    origin.on("/late", move |_| Answer::ok("late").behind(&held));
    let viewer = node.viewer();
    let waiting = tokio::spawn(async move { viewer.get(&format!("{SITE}/late")).await });
    origin.until("the request to reach the origin", |requests| !requests.is_empty()).await;

    node.signal(Signal::Drain).await;
    node.await_refusal(node.http()).await;
    gate.open();

    assert_eq!(waiting.await.unwrap().text(), "late");
    assert_eq!(node.exit_code().await, Some(0));
}

#[tokio::test]
async fn idle_connections_do_not_keep_the_node_alive() {
    let (origin, mut node) = origin_and_node().await;
    origin.on("/page", |_| Answer::ok("hello"));
    let mut idle = node.viewer().connect().await.unwrap();
    idle.get(&format!("{SITE}/page")).await.unwrap();
    let silent = node.viewer().connect().await.unwrap();

    node.signal(Signal::Drain).await;

    assert_eq!(node.exit_code().await, Some(0));
    drop((idle, silent));
}

#[tokio::test]
async fn told_twice_the_node_ends_at_once() {
    let (origin, mut node) = origin_and_node().await;
    let tap = Tap::new();
    let played = tap.clone();
    origin.on("/slow", move |_| Answer::streamed(&played));
    tap.send("first ");
    let mut stream = node.viewer().open_get(&format!("{SITE}/slow")).await;
    stream.read(6).await;

    node.signal(Signal::Drain).await;
    node.log_contains("draining").await;
    node.signal(Signal::Drain).await;

    assert_eq!(node.exit_code().await, Some(0));
    assert!(stream.finish().await.is_err(), "nothing had ended it");
}
