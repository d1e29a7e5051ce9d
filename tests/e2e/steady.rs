//! Steady traffic while the preferred origin dies again and again: no viewer sees any of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tests::{LOOPBACK, Node, Viewer, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::SITE;

const VIEWERS: usize = 16;
const REQUESTS: usize = 10_000;
/// How long an exchange takes, so that a death always meets some in the middle.
const WORK: Duration = Duration::from_millis(2);

/// How a process that dies leaves its connections.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Death {
    Close,
    Reset,
}

/// An origin that echoes the path, and can die with all that it has open. It says an answer at once or not at all.
struct Mortal {
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
    life: Option<JoinHandle<()>>,
}

impl Mortal {
    async fn born() -> Self {
        let mut mortal =
            Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), answered: Arc::default(), life: None };
        mortal.rise(Death::Close).await;
        mortal
    }

    async fn rise(&mut self, death: Death) {
        let address = self.address;
        let listener = eventually("its port", async || TcpListener::bind(address).await.ok()).await;
        self.address = listener.local_addr().unwrap();
        self.life = Some(tokio::spawn(live(listener, Arc::clone(&self.answered), death)));
    }

    async fn die(&mut self) {
        if let Some(life) = self.life.take() {
            life.abort();
            let _ = life.await;
        }
    }

    /// Waits until it has answered so many more, or the story is over.
    async fn answers(&self, more: usize, is_over: &AtomicBool) {
        let goal = self.answered.load(SeqCst) + more;
        eventually("answers", async || {
            (self.answered.load(SeqCst) >= goal || is_over.load(SeqCst)).then_some(())
        })
        .await;
    }
}

async fn live(listener: TcpListener, answered: Arc<AtomicUsize>, death: Death) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        if death == Death::Reset {
            stream.set_zero_linger().unwrap();
        }
        connections.spawn(converse(stream, Arc::clone(&answered)));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(mut stream: TcpStream, answered: Arc<AtomicUsize>) {
    stream.set_nodelay(true).unwrap();
    let mut read = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut read).await {
        let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(read.drain(..end + 4).collect()).unwrap();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        // Not for a state: work takes its time.
        tokio::time::sleep(WORK).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if !path.starts_with("/healthz") {
            answered.fetch_add(1, SeqCst);
        }
    }
}

/// What one viewer saw go wrong.
async fn watch(viewer: Viewer, number: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut connection = viewer.connect().await.expect("cannot connect");
    for request in 0..REQUESTS / VIEWERS {
        let path = format!("/{number}/{request}");
        match connection.get(&format!("{SITE}{path}")).await {
            Ok(reply) if reply.status == 200 && reply.text() == path => {}
            Ok(reply) => {
                wrong.push(format!("{path}: {} {}", reply.status, reply.header("proxy-status")));
            }
            Err(error) => {
                wrong.push(format!("{path}: {error}"));
                connection = viewer.connect().await.expect("cannot connect");
            }
        }
    }
    wrong
}

#[tokio::test]
async fn no_get_fails_while_the_primary_is_killed_and_restarted() {
    let (mut primary, spare) = (Mortal::born().await, Mortal::born().await);
    let health = "health = { path = \"/healthz\", every = \"100ms\", fails = 1, passes = 1 }";
    let node = Node::start(&format!(
        "{LOOPBACK}[origin.primary]\nurl = \"http://{}\"\n{health}\n[origin.spare]\nurl = \"http://{}\"\n{health}\n\
         [origin-group.main]\nmembers = [\"primary\", \"spare\"]\nremember = \"200ms\"\n\
         [site.\"www.test\"]\norigin = \"main\"\n",
        primary.address, spare.address
    ))
    .await;
    let is_over = Arc::new(AtomicBool::new(false));
    let viewers: Vec<_> = (0..VIEWERS).map(|number| tokio::spawn(watch(node.viewer(), number))).collect();
    let watching = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            let mut wrong = Vec::new();
            for viewer in viewers {
                wrong.extend(viewer.await.expect("a viewer gave up"));
            }
            is_over.store(true, SeqCst);
            wrong
        }
    });

    let mut deaths = 0;
    loop {
        primary.answers(300, &is_over).await;
        if is_over.load(SeqCst) {
            break;
        }
        primary.die().await;
        deaths += 1;
        spare.answers(200, &is_over).await;
        primary.rise(if deaths % 2 == 1 { Death::Reset } else { Death::Close }).await;
    }

    let wrong = watching.await.unwrap();
    assert_eq!(wrong, Vec::<String>::new(), "after {deaths} deaths");
    assert!(deaths >= 3, "the primary died only {deaths} times");
    let answered = primary.answered.load(SeqCst) + spare.answered.load(SeqCst);
    assert!(
        (REQUESTS..REQUESTS + REQUESTS / 5).contains(&answered),
        "{answered} exchanges: the load was multiplied"
    );
    let metrics = node.ask_admin("/metrics").await.text();
    assert!(metrics.contains("selvedge_retry_budget_refused_total{group=\"main\"} 0"), "{metrics}");
}
