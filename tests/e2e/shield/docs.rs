//! The configs of docs/shield.md, as they stand there but for addresses and secrets.

use tests::{Answer, Folder, Node, Origin, pki::Authority};

use super::KEY;

/// The TOML blocks of the page, in order.
fn configs() -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/shield.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```toml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// The same with what is different here; every change must apply.
fn here(config: &str, changes: &[(&str, &str)]) -> String {
    let always = [
        ("\nlisten ", "\nadmin = \"127.0.0.1:0\"\nlog = \"requests\"\nlisten "),
        ("//0.0.0.0:", "//127.0.0.1:0\"] # "),
        ("{ env = \"SHIELD_KEY\" }", "{ file = \"shared.key\" }"),
    ];
    always.iter().chain(changes).fold(config.to_owned(), |config, (from, to)| {
        assert!(config.contains(from), "{from} is not in:\n{config}");
        config.replace(from, to)
    })
}

#[tokio::test]
async fn the_configs_of_the_guide_work_together() {
    let origin = Origin::start().await;
    origin.on("/static/a", |_| Answer::ok("x").header("surrogate-key", "a"));
    let [edge, shield] = &configs()[..] else { panic!("the page has two configs") };
    let (authority, folder) = (Authority::new(), Folder::new());
    let own = authority.issue(&["localhost"]);
    folder.write("shield-a.pem", own.certificate);
    folder.write("shield-a.key", own.key);
    folder.write("shared.key", KEY);
    let app = ("https://app.example.net", &*origin.url());
    let config = here(shield, &[app, ("shield-a.example.net", "localhost")]);
    let shield = Node::start_in(folder, &config).await;

    let folder = Folder::new();
    folder.write("shields-ca.pem", authority.root());
    folder.write("shared.key", KEY);
    let address = format!("https://localhost:{}", shield.https().port());
    let (first, second) = ("https://shield-a.example.net", ", \"https://shield-b.example.net\"");
    let config = here(edge, &[app, (first, &address), (second, "")]);
    let edge = Node::start_in(folder, &config).await;

    let url = "http://www.example.com/static/a";
    let reply = edge.viewer().get(url).await;

    assert_eq!((reply.status, reply.text().as_str()), (200, "x"));
    let status = reply.header("cache-status");
    assert_eq!(status, "shield-a; fwd=uri-miss; stored, icn1; fwd=uri-miss; stored");
    assert!(edge.viewer().get(url).await.is_hit());
    shield.log_contains(&format!("id={}", reply.header("x-request-id"))).await;
    for node in [&edge, &shield] {
        let checked = node.folder().run(&["check", "selvedge.toml"]).await;
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        assert!(!checked.stderr.contains("warning"), "{}", checked.stderr);
    }
}
