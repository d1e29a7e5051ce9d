//! Nodes that ask other nodes: edges before shields before the origin.

mod collapse;
mod docs;
mod headers;
mod trust;

use tests::{Answer, Folder, LOOPBACK, Node, Origin, eventually};

use crate::SITE;

/// The secret that edges and shields of these stories share.
const KEY: &str = "a secret of more than thirty-two characters";

/// How a shield of these stories knows its edges.
const EDGES: &str = "[node.edges]\nkey = { file = \"shield.key\" }\n";

/// A node called `name` with the secret at hand.
async fn node(name: &str, config: &str) -> Node {
    let folder = Folder::new();
    folder.write("shield.key", KEY);
    Node::start_in(folder, &format!("{}\nlog = \"requests\"\n{config}", LOOPBACK.replace("edge1", name)))
        .await
}

/// A shield called `name` that asks this origin; `rest` are further lines of its site.
async fn shield(name: &str, origin: &Origin, rest: &str) -> Node {
    let site = format!("[site.\"www.test\"]\norigin = \"{}\"\n{rest}\n", origin.url());
    node(name, &format!("{EDGES}{site}")).await
}

/// The settings of an edge that asks these shields.
fn asking(shields: &[String]) -> String {
    format!(
        "[origin.shields]\nshield = {shields:?}\nkey = {{ file = \"shield.key\" }}\nremember = \"300ms\"\n\
         [site.\"www.test\"]\norigin = \"shields\"\n"
    )
}

/// The address of a node as a config names it.
fn url(node: &Node) -> String {
    format!("http://{}", node.http())
}

/// An origin, a shield before it, and an edge before that.
async fn two_tiers() -> (Origin, Node, Node) {
    let origin = Origin::start().await;
    let shield = shield("shield1", &origin, "").await;
    let edge = node("edge1", &asking(&[url(&shield)])).await;
    (origin, shield, edge)
}

/// Origins in place of shields, to see what shields are asked.
async fn pretenders() -> [Origin; 2] {
    let pair = [Origin::start().await, Origin::start().await];
    for origin in &pair {
        origin.on("*", |_| Answer::ok("from a shield"));
    }
    pair
}

#[tokio::test]
async fn edges_agree_on_the_shield_of_an_object() {
    const OBJECTS: usize = 30;
    let [a, b] = pretenders().await;
    let one = node("edge1", &asking(&[a.url(), b.url()])).await;
    let other = node("edge2", &asking(&[b.url(), a.url()])).await;

    for edge in [&one, &other] {
        for object in 0..OBJECTS {
            assert_eq!(edge.viewer().get(&format!("{SITE}/{object}")).await.status, 200);
        }
    }

    let (of_a, of_b) = (a.requests().len(), b.requests().len());
    assert_eq!(of_a + of_b, 2 * OBJECTS);
    assert!(of_a > 0 && of_b > 0, "all objects belong to one shield: {of_a} and {of_b}");
    for object in 0..OBJECTS {
        let asked = a.requests_for(&format!("/{object}")).len();
        assert!(asked == 0 || asked == 2, "the edges do not agree on /{object}");
    }
}

#[tokio::test]
async fn a_shield_is_asked_in_the_name_of_the_viewers_host() {
    let [a, _] = pretenders().await;
    let edge = node("edge1", &asking(&[a.url()])).await;

    edge.viewer().get(&format!("{SITE}/page")).await;

    assert_eq!(a.requests()[0].header("host").as_deref(), Some("www.test"));
}

#[tokio::test]
async fn while_a_shield_is_down_its_objects_go_to_the_other_and_then_come_back() {
    let [mut a, b] = pretenders().await;
    let edge = node("edge1", &asking(&[a.url(), b.url()])).await;
    let ask = async |object: usize| edge.viewer().get(&format!("{SITE}/{object}")).await.status;
    let mut object = 0;
    while a.requests().is_empty() {
        object += 1;
        assert_eq!(ask(object).await, 200);
    }

    a.stop().await;
    for _ in 0..5 {
        assert_eq!(ask(object).await, 200, "no viewer sees the failure");
    }
    assert_eq!(b.requests_for(&format!("/{object}")).len(), 5);
    let line = edge.log_contains("connection_refused").await;
    assert!(line.contains(&format!("failed=shields/{}", a.address())), "the log names the shield: {line}");

    a.restart().await;
    let before = a.requests().len();
    eventually("the shield to be asked again", async || {
        ask(object).await;
        (a.requests().len() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_shield_that_checks_find_down_costs_no_request_an_attempt() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::ok("x"));
    let closed = shield("shield1", &origin, "edges-only = true").await;
    let [other, _] = pretenders().await;
    let health =
        "health = { path = \"/healthz\", host = \"www.test\", every = \"50ms\", fails = 1 }\nremember";
    let config = asking(&[url(&closed), other.url()]).replace("remember", health);
    let edge = node("edge1", &config).await;
    origin.until("checks that the shield lets through", |requests| requests.len() > 2).await;
    assert!(origin.requests().iter().all(|request| request.path() == "/healthz"));
    assert!(!edge.log().contains(" down "), "{}", edge.log());

    let name = format!("health origin=shields/{}", closed.http());
    closed.kill().await;
    let line = edge.log_contains(&name).await;

    assert!(line.contains(" down reason=connection_"), "{line}");
    for object in 0..20 {
        assert_eq!(edge.viewer().get(&format!("{SITE}/{object}")).await.text(), "from a shield");
    }
    assert!(!edge.log().contains("failed="), "{}", edge.log());
}

#[tokio::test]
async fn when_no_shield_answers_the_next_member_of_the_group_does() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::ok("from the origin itself"));
    let [mut a, mut b] = pretenders().await;
    let group = format!(
        "[origin.app]\nurl = \"{}\"\n[origin-group.main]\nmembers = [\"shields\", \"app\"]\n",
        origin.url()
    );
    let shields = asking(&[a.url(), b.url()]).replace("origin = \"shields\"", "origin = \"main\"");
    let edge = node("edge1", &format!("{group}{shields}")).await;
    a.stop().await;
    b.stop().await;

    let reply = edge.viewer().get(&format!("{SITE}/page")).await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "from the origin itself"));
}

#[tokio::test]
async fn a_request_that_comes_back_through_a_shield_is_508() {
    let origin = Origin::start().await;
    let shield = shield("shield1", &origin, "").await;
    let edge = node("edge1", &asking(&[url(&shield)])).await;
    let site = format!("[site.\"www.test\"]\norigin = \"{}\"\n", url(&edge));
    let before = format!("{}\nlog = \"requests\"\n", LOOPBACK.replace("edge1", "shield1"));
    shield.reconfigure(&format!("{before}{EDGES}{site}")).await;
    shield.log_contains("reloaded").await;

    let reply = edge.viewer().get("http://www.test/page").await;

    assert_eq!(reply.status, 508);
    let line = edge.log_contains("reason=loop").await;
    assert!(line.contains("edge1 > shield1 > here"), "{line}");
    assert!(origin.requests().is_empty());
}

#[tokio::test]
async fn a_shield_of_the_same_name_is_no_loop_and_the_log_says_so() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::ok("x"));
    let shield = shield("edge1", &origin, "").await;
    let edge = node("edge1", &asking(&[url(&shield)])).await;

    assert_eq!(edge.viewer().get(&format!("{SITE}/page")).await.status, 200);

    shield.log_contains("another node calls itself edge1 too").await;
}
