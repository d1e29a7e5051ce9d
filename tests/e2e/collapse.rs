//! Many viewers who want the same cold object at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tests::{Answer, Gate, Node, Origin, RawConnection, Viewer};

use crate::{SITE, origin_and_node, site};

const CROWD: usize = 500;

#[tokio::test]
async fn five_hundred_viewers_of_one_cold_object_reach_the_origin_once() {
    let (origin, node) = origin_and_node().await;
    let gate = Gate::closed();
    let body = "x".repeat(100_000);
    let (held, content) = (gate.clone(), body.clone());
    origin.on("/popular", move |_| Answer::cacheable(content.clone()).behind(&held));

    let mut crowd = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        let mut viewer = RawConnection::open(node.http()).await;
        viewer.send("GET /popular HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n").await;
        crowd.push(viewer);
    }
    origin.until("the request to reach the origin", |requests| !requests.is_empty()).await;
    gate.open();

    for viewer in &mut crowd {
        let answer = viewer.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{}", answer.lines().next().unwrap_or_default());
        assert!(answer.contains(&body), "a viewer got only {} bytes", answer.len());
    }
    assert_eq!(origin.requests_for("/popular").len(), 1);
}

#[tokio::test]
async fn viewers_of_something_that_may_not_be_shared_each_get_their_own() {
    let (origin, node) = origin_and_node().await;
    let gate = Gate::closed();
    let held = gate.clone();
    origin.on("/mine", move |request| {
        let owner = request.header("x-owner").unwrap_or_default();
        Answer::ok(owner).header("cache-control", "private").behind(&held)
    });

    let asked: Vec<_> = (0..5)
        .map(|owner| {
            let viewer = node.viewer();
            tokio::spawn(async move {
                let reply =
                    viewer.get_with(&format!("{SITE}/mine"), &[("x-owner", &owner.to_string())]).await;
                assert_eq!(reply.text(), owner.to_string());
            })
        })
        .collect();
    origin.until("the first request to reach the origin", |requests| !requests.is_empty()).await;
    gate.open();

    for viewer in asked {
        viewer.await.unwrap();
    }
    assert_eq!(origin.requests_for("/mine").len(), 5);
}

/// Asks in a task of its own.
fn ask(viewer: Viewer, url: &str) -> tokio::task::JoinHandle<tests::Reply> {
    let url = url.to_owned();
    tokio::spawn(async move { viewer.get(&url).await })
}

#[tokio::test]
async fn who_has_waited_long_enough_for_another_goes_alone() {
    let origin = Origin::start().await;
    let limits = "[node]\nlimits = { collapse-wait = \"300ms\" }";
    let node = Node::start(&site(&origin).replace("[node]", limits)).await;
    let (gate, asked) = (Gate::closed(), AtomicUsize::new(0));
    let held = gate.clone();
    origin.on("/slow", move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::cacheable("first").behind(&held),
        _ => Answer::cacheable("second"),
    });
    let url = format!("{SITE}/slow");
    let leader = ask(node.viewer(), &url);
    origin.until("the first request to reach the origin", |requests| !requests.is_empty()).await;

    let begun = Instant::now();
    let impatient = node.viewer().get(&url).await;

    assert_eq!(impatient.text(), "second");
    assert!(begun.elapsed() >= Duration::from_millis(300), "it did not wait: {:?}", begun.elapsed());
    assert!(node.viewer().get(&url).await.is_hit(), "what it got is for everybody");
    gate.open();
    assert_eq!(leader.await.unwrap().text(), "first");
}

#[tokio::test]
async fn an_answer_that_cannot_be_shared_releases_those_who_wait_all_at_once() {
    const WAITING: usize = 5;
    let (origin, node) = origin_and_node().await;
    let (first, others, asked) = (Gate::closed(), Gate::closed(), AtomicUsize::new(0));
    let held = (first.clone(), others.clone());
    origin.on("/mine", move |_| {
        let gate = if asked.fetch_add(1, Ordering::SeqCst) == 0 { &held.0 } else { &held.1 };
        Answer::ok("x").header("cache-control", "private").behind(gate)
    });
    let url = format!("{SITE}/mine");
    let mut crowd = vec![ask(node.viewer(), &url)];
    origin.until("the first request to reach the origin", |requests| !requests.is_empty()).await;
    crowd.extend((0..WAITING).map(|_| ask(node.viewer(), &url)));

    first.open();
    // None of them is answered before all have asked: one that waited for another would wait for ever.
    origin.until("all to ask", |requests| requests.len() == 1 + WAITING).await;
    // The key is remembered: who comes later waits for nobody either.
    crowd.push(ask(node.viewer(), &url));
    origin.until("one more to ask", |requests| requests.len() == 2 + WAITING).await;
    others.open();

    for viewer in crowd {
        assert_eq!(viewer.await.unwrap().status, 200);
    }
}
