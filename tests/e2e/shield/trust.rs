//! Who is an edge, and what an edge is believed.

use tests::{Answer, Folder, Node, Origin, Viewer, eventually, pki::Authority};

use super::{EDGES, KEY, asking, node, shield, two_tiers, url};
use crate::SITE;

const ONLY: &str = "edges-only = true";

/// What an edge with the right key says to its shield when a viewer asks for `path`.
async fn overheard(path: &str) -> String {
    let listener = Origin::start().await;
    let edge = node("edge1", &asking(&[listener.url()])).await;
    edge.viewer().get(&format!("{SITE}{path}")).await;
    listener.requests()[0].header("selvedge-hop").expect("an edge says who asks")
}

#[tokio::test]
async fn the_viewer_is_known_behind_the_shield_and_the_request_has_one_id() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::ok("x"));
    let shield = shield("shield1", &origin, ONLY).await;
    let trusting = format!("trust = [\"127.0.0.1\"]\n{}", asking(&[url(&shield)]));
    let edge = node("edge1", &trusting).await;

    let viewer = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https")];
    let reply = edge.viewer().get_with(&format!("{SITE}/page"), &viewer).await;

    assert_eq!(reply.status, 200);
    let id = reply.header("x-request-id");
    for node in [&edge, &shield] {
        let line = node.log_contains("path=\"/page\"").await;
        assert!(line.contains(&format!("id={id}")) && line.contains("viewer=203.0.113.7"), "{line}");
    }
    let request = origin.requests().remove(0);
    let header = |name: &str| request.header(name).unwrap_or_default();
    assert_eq!(header("x-forwarded-for"), "203.0.113.7, 127.0.0.1, 127.0.0.1");
    assert!(header("forwarded").starts_with("for=127.0.0.1;host=\"www.test\";proto=https"), "{request:?}");
    assert_eq!(
        (header("x-forwarded-proto"), header("x-forwarded-host")),
        ("https".into(), "www.test".into())
    );
    assert_eq!((header("x-request-id"), header("selvedge-hop")), (id, String::new()));
    assert_eq!(header("via"), "1.1 edge1, 1.1 shield1");
}

#[tokio::test]
async fn only_edges_get_answers_where_only_edges_are_to() {
    let (origin, open, edge) = two_tiers().await;
    origin.on("/page", |_| Answer::ok("x"));
    let closed = shield("shield2", &origin, ONLY).await;
    let page = format!("{SITE}/page");

    assert_eq!(open.viewer().get(&page).await.status, 200);
    let refused = closed.viewer().get(&page).await;
    assert_eq!(refused.status, 403);
    assert!(refused.header("proxy-status").contains("edges-only"), "{refused:?}");

    let before = origin.requests().len();
    edge.reconfigure_asking(&closed).await;
    assert_eq!(edge.viewer().get(&page).await.status, 200);
    assert_eq!(origin.requests().len(), before + 1);
}

#[tokio::test]
async fn what_an_edge_says_holds_for_its_own_request_and_for_a_while() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::ok("x"));
    let site = format!("[site.\"www.test\"]\norigin = \"{}\"\n{ONLY}\n", origin.url());
    let shield = node("shield1", &format!("{EDGES}window = \"2s\"\n{site}")).await;
    let ask = async |path: &str, hop: &str| {
        let reply = shield.viewer().get_with(&format!("{SITE}{path}"), &[("selvedge-hop", hop)]).await;
        (reply.status, reply.header("proxy-status"))
    };
    let hop = overheard("/page").await;

    assert_eq!(ask("/page", &hop).await.0, 200, "the same request, again");
    let forged = hop.replace("for=127.0.0.1", "for=203.0.113.7");
    for (path, hop) in
        [("/other", &*hop), ("/page", &*forged), ("/page", "t=1;for=192.0.2.1;proto=http;id=a")]
    {
        let (status, reason) = ask(path, hop).await;
        assert!(status == 403 && reason.contains("hop-unsigned"), "{path} {hop}: {status} {reason}");
    }
    assert_eq!(ask("/page", "nonsense;mac=*").await.0, 403);
    let expired = async || ask("/page", &hop).await.1.contains("hop-expired").then_some(());
    eventually("the signature to end", expired).await;
}

#[tokio::test]
async fn a_strangers_word_about_the_viewer_is_dropped() {
    let (origin, shield, _edge) = two_tiers().await;
    origin.on("/page", |_| Answer::ok("x"));
    let lie = [("selvedge-hop", "t=1;for=203.0.113.7;proto=https;id=lie")];

    let reply = shield.viewer().get_with(&format!("{SITE}/page"), &lie).await;

    assert_eq!(reply.status, 200, "the site is for everybody");
    let request = origin.requests().remove(0);
    assert!(!format!("{:?}", request.headers).contains("203.0.113.7"), "{request:?}");
    assert_eq!(request.header("selvedge-hop"), None);
    assert!(!shield.log().contains("id=lie"));
    let metrics = shield.ask_admin("/metrics").await.text();
    assert!(metrics.contains("hop-unsigned"), "an edge with a wrong key would be noticed: {metrics}");
}

#[tokio::test]
async fn keys_change_without_a_gap() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::ok("x"));
    let folder = Folder::new();
    folder.write("old.key", KEY);
    folder.write("new.key", KEY.to_uppercase());
    let config = |keys: &str| {
        format!(
            "{}\n[node.edges]\nkey = {keys}\n[site.\"www.test\"]\norigin = \"{}\"\n{ONLY}\n",
            tests::LOOPBACK,
            origin.url()
        )
    };
    let both = "[{ file = \"new.key\" }, { file = \"old.key\" }]";
    let shield = Node::start_in(folder, &config(both)).await;
    let edge = node("edge2", &asking(&[url(&shield)])).await;
    assert_eq!(edge.viewer().get(&format!("{SITE}/page")).await.status, 200);

    shield.reconfigure(&config("{ file = \"new.key\" }")).await;
    shield.log_contains("reloaded").await;

    assert_eq!(edge.viewer().get(&format!("{SITE}/page")).await.status, 403);
}

#[tokio::test]
async fn a_certificate_makes_an_edge_whatever_host_it_asks_for() {
    let origin = Origin::start().await;
    origin.on("/page", |request| Answer::ok(request.header("x-forwarded-host").unwrap_or_default()));
    let (nodes, edges) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    let own = nodes.issue(&["localhost"]);
    folder.write("shield.pem", own.certificate);
    folder.write("shield.key", own.key);
    folder.write("edges-ca.pem", edges.root());
    let of_shield = format!(
        "[node]\nname = \"shield1\"\nlisten = [\"https://127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nstate = \"state\"\n\
         edges = {{ ca = \"edges-ca.pem\" }}\nlog = \"requests\"\n\
         [site.shield]\nhosts = [\"localhost\"]\norigin = \"{0}\"\n\
         tls = {{ cert = \"shield.pem\", key = {{ file = \"shield.key\" }} }}\n\
         [site.\"www.test\"]\norigin = \"{0}\"\n{ONLY}\n",
        origin.url()
    );
    let shield = Node::start_in(folder, &of_shield).await;

    let folder = Folder::new();
    let identity = edges.issue(&["edge1"]);
    folder.write("ca.pem", nodes.root());
    folder.write("edge.pem", identity.certificate);
    folder.write("edge.key", identity.key);
    let address = format!("https://localhost:{}", shield.https().port());
    // One thread, and so one connection to the shield.
    let config = format!(
        "{}\nthreads = 1\n[origin.shields]\nshield = [\"{address}\"]\n\
         tls = {{ ca = \"ca.pem\", client-cert = \"edge.pem\", client-key = {{ file = \"edge.key\" }} }}\n\
         [site.\"www.test\"]\norigin = \"shields\"\n",
        tests::LOOPBACK
    );
    let edge = Node::start_in(folder, &config).await;

    let reply = edge.viewer().get(&format!("{SITE}/page")).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "www.test"));
    let line = shield.log_contains("path=\"/page\"").await;
    assert!(line.contains(&format!("id={}", reply.header("x-request-id"))), "{line}");

    let stranger = Viewer::https(shield.https(), nodes.root(), "localhost");
    assert_eq!(stranger.get("https://localhost/page").await.status, 200, "no certificate is needed");
    assert_eq!(stranger.get("https://www.test/page").await.status, 421, "one name in TLS, another asked for");

    shield.folder().write("edges-ca.pem", nodes.root());
    shield.reconfigure(&of_shield).await;
    shield.log_contains("reloaded").await;
    let reply = edge.viewer().get(&format!("{SITE}/page")).await;
    assert_eq!(reply.status, 421, "on the connection that is open, too");
}

#[tokio::test]
async fn what_a_viewer_has_signed_at_the_edge_is_not_asked_for_again_at_the_shield() {
    let origin = Origin::start().await;
    origin.on("/private/a", |_| Answer::ok("secret"));
    let folder = Folder::new();
    let made = folder.run(&["key", "new", "--out", "keys", "--id", "premium1"]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let public = std::fs::read_to_string(folder.path("keys/premium1.public.pem")).unwrap();
    let signed =
        format!("[[site.\"www.test\".route]]\npath = \"/private/*\"\nsigned = \"premium\"\n{}", made.stdout);
    let with_public_key = async |name: &str, config: &str| {
        let folder = Folder::new();
        folder.write("shield.key", KEY);
        folder.write("keys/premium1.public.pem", &public);
        Node::start_in(folder, &format!("{}\n{config}", tests::LOOPBACK.replace("edge1", name))).await
    };
    let site = format!("[site.\"www.test\"]\norigin = \"{}\"\n{signed}", origin.url());
    let shield = with_public_key("shield1", &format!("{EDGES}{site}")).await;
    let edge = with_public_key("edge1", &format!("{}{signed}", asking(&[url(&shield)]))).await;
    let page = format!("{SITE}/private/a");
    let private = "keys/premium1.private.pem";
    let made =
        folder.run(&["sign", &page, "--key", "premium1", "--private", private, "--expires", "10m"]).await;
    let address = made.stdout.trim();

    let reply = edge.viewer().get(address).await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "secret"));
    assert_eq!(edge.viewer().get(&page).await.status, 403, "the edge wants a signature");
    assert_eq!(shield.viewer().get(&page).await.status, 403, "so does the shield, of viewers");
}

trait Reconfigure {
    async fn reconfigure_asking(&self, shield: &Node);
}

impl Reconfigure for Node {
    async fn reconfigure_asking(&self, shield: &Node) {
        let before = format!("{}\nlog = \"requests\"\n", tests::LOOPBACK);
        self.reconfigure(&format!("{before}{}", asking(&[url(shield)]))).await;
        self.log_contains("reloaded").await;
    }
}
