//! Many viewers who want the same cold object at once.

use tests::{Answer, Gate, RawConnection};

use crate::{SITE, origin_and_node};

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
