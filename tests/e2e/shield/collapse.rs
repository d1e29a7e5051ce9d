//! Many viewers at many edges who want the same cold object at once.

use tests::{Answer, Folder, Gate, LOOPBACK, Node, Origin, RawConnection};

use super::{KEY, asking, shield, url};

const EDGES: usize = 20;
const VIEWERS: usize = 50;

#[tokio::test]
async fn twenty_edges_with_fifty_viewers_each_reach_the_origin_once() {
    let origin = Origin::start().await;
    let (gate, body) = (Gate::closed(), "x".repeat(100_000));
    let (held, content) = (gate.clone(), body.clone());
    origin.on("/popular", move |_| Answer::cacheable(content.clone()).behind(&held));
    let shields = [shield("shield1", &origin, "").await, shield("shield2", &origin, "").await];
    let small = "threads = 1\nmemory = \"32MiB\"\n";
    let config = asking(&shields.each_ref().map(url));
    let edges: Vec<_> = (0..EDGES)
        .map(|index| {
            let folder = Folder::new();
            folder.write("shield.key", KEY);
            let node = LOOPBACK.replace("edge1", &format!("edge{index}"));
            let config = format!("{node}{small}{config}");
            tokio::spawn(async move { Node::start_in(folder, &config).await })
        })
        .collect();

    let mut crowd = Vec::with_capacity(EDGES * VIEWERS);
    let mut running = Vec::with_capacity(EDGES);
    for edge in edges {
        let edge = edge.await.unwrap();
        for _ in 0..VIEWERS {
            let mut viewer = RawConnection::open(edge.http()).await;
            viewer.send("GET /popular HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n").await;
            crowd.push(viewer);
        }
        running.push(edge);
    }
    origin.until("the request to reach the origin", |requests| !requests.is_empty()).await;
    gate.open();

    for viewer in &mut crowd {
        let answer = viewer.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{}", answer.lines().next().unwrap_or_default());
        assert!(answer.ends_with(&body), "a viewer got only {} bytes", answer.len());
    }
    assert_eq!(origin.requests_for("/popular").len(), 1);
    let memory: u64 = running.iter().map(Node::resident_bytes).sum();
    println!("{EDGES} edges hold {} MiB", memory >> 20);
}
