//! Who may see what, by country.

use tests::{Answer, Node, Origin, Reply};

use crate::{SITE, site};

/// Places of the fixture: addresses for documentation, given to countries.
const CHINA: &str = "198.51.100.7";
const KOREA: &str = "192.0.2.7";
const NOWHERE: &str = "203.0.113.7";

async fn node(origin: &Origin, trust: &str, rule: &str) -> Node {
    origin.on("/page", |_| Answer::cacheable("hello"));
    let places = concat!(env!("CARGO_MANIFEST_DIR"), "/../geo/fixtures/places.mmdb");
    let config = format!(
        "{}\n[[site.\"www.test\".route]]\npath = \"/*\"\ngeo = {rule}\n[geo]\ndatabase = [\"{places}\"]\n",
        site(origin).replace("[node]", &format!("[node]\ntrust = [{trust}]"))
    );
    Node::start(&config).await
}

async fn ask(node: &Node, forwarded_for: &str) -> Reply {
    node.viewer().get_with(&format!("{SITE}/page"), &[("x-forwarded-for", forwarded_for)]).await
}

#[tokio::test]
async fn a_denied_country_gets_403_on_a_miss_and_on_a_hit() {
    let origin = Origin::start().await;
    let node = node(&origin, "\"127.0.0.0/8\"", "{ deny = [\"CN\"] }").await;

    assert_eq!(ask(&node, CHINA).await.status, 403);
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(ask(&node, KOREA).await.status, 200);
    assert_eq!(ask(&node, NOWHERE).await.status, 200);
    assert_eq!(ask(&node, CHINA).await.status, 403, "also when it is in the cache");
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn only_an_allowed_country_gets_in() {
    let origin = Origin::start().await;
    let node = node(&origin, "\"127.0.0.0/8\"", "{ allow = [\"KR\"] }").await;

    assert_eq!(ask(&node, KOREA).await.status, 200);
    assert_eq!(ask(&node, CHINA).await.status, 403);
    assert_eq!(ask(&node, NOWHERE).await.status, 403, "who cannot be placed is not in Korea");
}

#[tokio::test]
async fn the_last_address_that_no_trusted_peer_vouches_for_is_the_viewer() {
    let origin = Origin::start().await;
    let node = node(&origin, "\"127.0.0.0/8\", \"10.0.0.0/8\"", "{ deny = [\"CN\"] }").await;

    assert_eq!(ask(&node, &format!("{CHINA}, 10.1.2.3")).await.status, 403);
    assert_eq!(
        ask(&node, &format!("{CHINA}, {KOREA}")).await.status,
        200,
        "what a viewer claims does not count"
    );
    assert_eq!(ask(&node, &format!("{KOREA}, {CHINA}")).await.status, 403);
    assert_eq!(ask(&node, "not an address").await.status, 200, "nonsense is nobody");
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_cannot_choose_its_country() {
    let origin = Origin::start().await;
    let node = node(&origin, "\"10.0.0.0/8\"", "{ deny = [\"CN\"] }").await;

    assert_eq!(ask(&node, CHINA).await.status, 200);
}
