//! Names of origins: followed when they move, known on when nobody can be asked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use tests::{Answer, LOOPBACK, NameServer, Node, Origin, Said, eventually};

use crate::SITE;

const NAME: &str = "app.origin.test";

/// An origin that says who it is.
async fn origin(text: &'static str) -> Origin {
    let origin = Origin::start().await;
    origin.on("*", move |_| Answer::ok(text));
    origin
}

fn config(names: &NameServer, origin: &str) -> String {
    let node = LOOPBACK.replace("[node]", &format!("[node]\nresolvers = [\"{}\"]", names.address()));
    format!("{node}\n[origin.app]\n{origin}\n[site.\"www.test\"]\norigin = \"app\"\n")
}

/// An origin that is known by name, each request on a connection of its own.
fn named(names: &NameServer, port: u16) -> String {
    config(names, &format!("url = \"http://{NAME}:{port}\"\npool = {{ max-idle = 0 }}"))
}

async fn ask(node: &Node) -> (u16, String) {
    let reply = node.viewer().get(&format!("{SITE}/")).await;
    (reply.status, reply.text())
}

fn ok(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

/// Two origins at the same port of two addresses.
async fn twins() -> (Origin, Origin) {
    let first = origin("first").await;
    let address = SocketAddr::from(([127, 0, 0, 2], first.address().port()));
    let second = Origin::start_at(address).await;
    second.on("*", |_| Answer::ok("second"));
    (first, second)
}

#[tokio::test]
async fn a_name_is_asked_for_once_within_its_ttl_for_all_cores() {
    let (names, origin) = (NameServer::start().await, origin("x").await);
    names.say_v4(NAME, &["127.0.0.1"], 300);
    let node = Node::start(&named(&names, origin.address().port())).await;
    for _ in 0..30 {
        assert_eq!(ask(&node).await, ok("x"));
    }
    assert_eq!(origin.connections(), 30);
    assert_eq!(names.asked(NAME, RecordType::A), 1);
}

#[tokio::test]
async fn a_moved_name_is_followed_when_its_ttl_is_over_and_kept_connections_are_left() {
    let names = NameServer::start().await;
    let (first, _second) = twins().await;
    names.say_v4(NAME, &["127.0.0.1"], 1);
    let url = format!("url = \"http://{NAME}:{}\"", first.address().port());
    let node = Node::start(&config(&names, &url)).await;
    assert_eq!(ask(&node).await, ok("first"));

    names.say_v4(NAME, &["127.0.0.2"], 1);

    eventually("the new address to answer", async || (ask(&node).await == ok("second")).then_some(())).await;
    let before = first.requests().len();
    for _ in 0..10 {
        assert_eq!(ask(&node).await, ok("second"));
    }
    assert_eq!(first.requests().len(), before);
}

#[tokio::test]
async fn a_kept_connection_stays_where_names_are_not_to_be_followed() {
    let names = NameServer::start().await;
    let (first, second) = twins().await;
    names.say_v4(NAME, &["127.0.0.1"], 1);
    let port = first.address().port();
    let origin = format!("url = \"http://{NAME}:{port}\"\npool = {{ follow-names = false }}");
    // Each core keeps its own.
    let config = config(&names, &origin).replace("[node]", "[node]\nthreads = 1");
    let node = Node::start(&config).await;
    assert_eq!(ask(&node).await, ok("first"));
    names.say_v4(NAME, &["127.0.0.2"], 1);
    let asked = names.asked(NAME, RecordType::A);
    // The second question comes after the answer to the first was taken in.
    names.until_asked(NAME, RecordType::A, asked + 2).await;
    assert_eq!(ask(&node).await, ok("first"));
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn the_last_good_answer_serves_without_a_wait_while_name_servers_fail() {
    for failing in [Said::Failure, Said::Silence] {
        let (names, origin) = (NameServer::start().await, origin("x").await);
        names.say_v4(NAME, &["127.0.0.1"], 1);
        let node = Node::start(&named(&names, origin.address().port())).await;
        assert_eq!(ask(&node).await, ok("x"));

        names.say_of_all(NAME, &failing);
        let asked = names.asked(NAME, RecordType::A);
        names.until_asked(NAME, RecordType::A, asked + 1).await;

        for _ in 0..10 {
            let began = Instant::now();
            assert_eq!(ask(&node).await, ok("x"), "{failing:?}");
            assert!(began.elapsed() < Duration::from_millis(500), "{failing:?}: {:?}", began.elapsed());
        }
    }
}

#[tokio::test]
async fn a_name_that_is_said_not_to_be_there_any_more_is_gone() {
    let (names, origin) = (NameServer::start().await, origin("x").await);
    names.say_v4(NAME, &["127.0.0.1"], 1);
    let node = Node::start(&named(&names, origin.address().port())).await;
    assert_eq!(ask(&node).await, ok("x"));
    names.say_of_all(NAME, &Said::NoSuchName);
    eventually("the name to be gone", async || (ask(&node).await.0 == 502).then_some(())).await;
    let reply = node.viewer().get(&format!("{SITE}/")).await;
    assert!(reply.header("proxy-status").contains("error=dns_error"), "{}", reply.header("proxy-status"));

    names.say_v4(NAME, &["127.0.0.1"], 1);
    eventually("the name to be back", async || (ask(&node).await == ok("x")).then_some(())).await;
}

#[tokio::test]
async fn a_node_starts_while_dns_is_down_and_recovers_by_itself() {
    let (mut names, origin) = (NameServer::start_stopped().await, origin("x").await);
    names.say_v4(NAME, &["127.0.0.1"], 60);
    let fast = "connect-timeout = \"300ms\"\nattempts = 1";
    let url = format!("url = \"http://{NAME}:{}\"\n{fast}", origin.address().port());
    let node = Node::start(&config(&names, &url)).await;
    let (status, _) = ask(&node).await;
    assert!([502, 504].contains(&status), "{status}");

    names.restart().await;

    eventually("the origin to be found", async || (ask(&node).await == ok("x")).then_some(())).await;
}

#[tokio::test]
async fn a_dead_ipv6_address_or_family_does_not_hide_the_ipv4_one() {
    let (names, origin) = (NameServer::start().await, origin("x").await);
    names.say(NAME, RecordType::A, Said::addresses(&["127.0.0.1"], 60));
    // Nothing listens there, whether the machine speaks IPv6 or not.
    for v6 in [Said::addresses(&["::1"], 60), Said::Failure, Said::Silence] {
        names.say(NAME, RecordType::AAAA, v6.clone());
        let node = Node::start(&named(&names, origin.address().port())).await;
        let began = Instant::now();
        assert_eq!(ask(&node).await, ok("x"), "{v6:?}");
        assert!(began.elapsed() < Duration::from_secs(1), "{v6:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_service_record_says_machines_ports_and_who_is_first() {
    let (names, first, mut second) =
        (NameServer::start().await, origin("first").await, origin("second").await);
    let (one, other) = (first.address().port(), second.address().port());
    names.say_v4("a.origin.test", &["127.0.0.1"], 300);
    names.say_v4("b.origin.test", &["127.0.0.1"], 300);
    let machines = [(20, 0, one, "a.origin.test."), (10, 0, other, "b.origin.test.")];
    names.say("_http._tcp.origin.test", RecordType::SRV, Said::service(&machines, 300));
    let origin =
        "url = \"http://www.origin.test\"\nsrv = \"_http._tcp.origin.test\"\npool = { max-idle = 0 }";
    let node = Node::start(&config(&names, origin)).await;

    for _ in 0..5 {
        assert_eq!(ask(&node).await, ok("second"));
    }
    assert_eq!(second.requests()[0].header("host").as_deref(), Some("www.origin.test"));

    second.stop().await;
    for _ in 0..5 {
        assert_eq!(ask(&node).await, ok("first"), "the machine of the next priority");
    }
}
