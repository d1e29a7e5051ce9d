//! TLS: certificates from files and from the development CA, chosen by the name that the viewer gives.

use http::Version;
use tests::{Answer, Folder, Node, Origin, Viewer, eventually, pki::Authority};

const NODE: &str = r#"
[node]
name = "edge1"
listen = ["http://127.0.0.1:0", "https://127.0.0.1:0"]
admin = "127.0.0.1:0"
state = "state"
"#;

/// The config of a site whose certificate is in `<host>.pem` and `<host>.key`.
fn certified_site(host: &str, origin: &Origin) -> String {
    format!(
        "[site.\"{host}\"]\norigin = \"{}\"\ntls = {{ cert = \"{host}.pem\", key = {{ file = \"{host}.key\" }} }}\n",
        origin.url()
    )
}

fn write_certificate(folder: &Folder, authority: &Authority, host: &str) {
    let identity = authority.issue(&[host]);
    folder.write(&format!("{host}.pem"), identity.certificate);
    folder.write(&format!("{host}.key"), identity.key);
}

/// An origin that says which site was asked, and a node with the sites a.test and b.test.
async fn two_sites() -> (Origin, Node, Authority) {
    let origin = Origin::start().await;
    origin.on("/", |request| Answer::ok(request.header("x-forwarded-host").unwrap_or_default()));
    let (authority, folder) = (Authority::new(), Folder::new());
    for host in ["a.test", "b.test"] {
        write_certificate(&folder, &authority, host);
    }
    let sites = ["a.test", "b.test"].map(|host| certified_site(host, &origin)).join("\n");
    let node = Node::start_in(folder, &format!("{NODE}{sites}")).await;
    (origin, node, authority)
}

#[tokio::test]
async fn each_site_shows_its_own_certificate() {
    let (_origin, node, authority) = two_sites().await;

    for host in ["a.test", "b.test"] {
        let viewer = Viewer::https(node.https(), authority.root(), host);
        let reply = viewer.get(&format!("https://{host}/")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, host));
        assert_eq!(reply.version, Version::HTTP_11);
    }
}

#[tokio::test]
async fn http2_is_chosen_by_alpn() {
    let (_origin, node, authority) = two_sites().await;

    let viewer = Viewer::https(node.https(), authority.root(), "a.test").http2();
    let mut connection = viewer.connect().await.unwrap();

    for _ in 0..3 {
        let reply = connection.get("https://a.test/").await.unwrap();
        assert_eq!((reply.status, reply.version), (200, Version::HTTP_2));
    }
}

#[tokio::test]
async fn a_name_that_nobody_serves_is_refused_in_the_handshake() {
    let (_origin, node, authority) = two_sites().await;

    let refused = Viewer::https(node.https(), authority.root(), "c.test").connect().await;

    let error = refused.expect_err("a handshake for a name that is no site").to_string();
    assert!(error.contains("alert"), "refused by an alert and not by a foreign certificate: {error}");
}

#[tokio::test]
async fn a_host_other_than_the_name_in_the_handshake_is_misdirected() {
    let (origin, node, authority) = two_sites().await;

    let viewer = Viewer::https(node.https(), authority.root(), "a.test");
    let reply = viewer.get("https://b.test/").await;

    // RFC 9110 §15.5.20
    assert_eq!(reply.status, 421);
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn the_origin_learns_that_the_viewer_came_by_https() {
    let (origin, node, authority) = two_sites().await;

    Viewer::https(node.https(), authority.root(), "a.test").get("https://a.test/").await;

    let request = origin.requests().remove(0);
    assert_eq!(request.header("x-forwarded-proto").as_deref(), Some("https"));
    assert!(request.header("forwarded").unwrap_or_default().contains("proto=https"), "{:?}", request.headers);
}

#[tokio::test]
async fn the_development_ca_certifies_localhost_and_stays_the_same() {
    let origin = Origin::start().await;
    origin.on("/", |_| Answer::ok("hello"));
    let config = format!("{NODE}\n[site.\"localhost\"]\norigin = \"{}\"\n", origin.url());
    let node = Node::start(&config).await;
    let root = development_root(&node).await;

    let viewer = Viewer::https(node.https(), &root, "localhost");
    assert_eq!(viewer.get("https://localhost/").await.text(), "hello");
    node.reconfigure(
        &config.replace("[site.", "[site.\"x.localhost\"]\norigin = \"http://127.0.0.1:1\"\n[site."),
    )
    .await;

    let other = Viewer::https(node.https(), &root, "x.localhost");
    eventually("a certificate for the new name by the same root", async || other.connect().await.ok()).await;
}

/// The root certificate that people are told to trust.
async fn development_root(node: &Node) -> String {
    let outcome = node.folder().run(&["cert", "selvedge.toml"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome.stdout
}

#[tokio::test]
async fn a_reload_takes_a_renewed_certificate_and_keeps_connections() {
    let origin = Origin::start().await;
    origin.on("/", |_| Answer::ok("hello"));
    let (old, new, folder) = (Authority::new(), Authority::new(), Folder::new());
    write_certificate(&folder, &old, "a.test");
    let config = format!("{NODE}{}", certified_site("a.test", &origin));
    let node = Node::start_in(folder, &config).await;
    let mut before = Viewer::https(node.https(), old.root(), "a.test").connect().await.unwrap();
    assert_eq!(before.get("https://a.test/").await.unwrap().status, 200);

    write_certificate(node.folder(), &new, "a.test");
    node.reconfigure(&config).await;

    let renewed = Viewer::https(node.https(), new.root(), "a.test");
    eventually("the renewed certificate", async || renewed.connect().await.ok()).await;
    assert_eq!(before.get("https://a.test/").await.unwrap().status, 200, "the old connection still works");
}

#[tokio::test]
async fn a_certificate_that_is_not_one_is_a_config_error_with_its_place() {
    let origin = Origin::start().await;
    let folder = Folder::new();
    folder.write("a.test.pem", "not a certificate");
    folder.write("a.test.key", "not a key");
    folder.write("selvedge.toml", format!("{NODE}{}", certified_site("a.test", &origin)));

    let outcome = folder.run(&["check", "selvedge.toml"]).await;

    assert_ne!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("a.test.pem"), "{}", outcome.stderr);
}
