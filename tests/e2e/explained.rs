//! `selvedge explain`: what a node would do with a request, without doing it.

use tests::{Answer, Folder, Node, Origin};

use crate::{SITE, site_with_policy};

/// A node with a signed route, and the folder of its key.
async fn node(origin: &Origin) -> Node {
    let folder = Folder::new();
    let key = folder.run(&["key", "new", "--id", "premium1"]).await.stdout;
    let signed =
        "[[site.\"www.test\".route]]\npath = \"/private/*\"\nsigned = \"premium\"\ncache = \"static\"\n";
    let config = site_with_policy(origin, "").replacen("[[site", &format!("{signed}[[site"), 1);
    Node::start_in(folder, &format!("{config}{key}")).await
}

async fn explain(node: &Node, arguments: &[&str]) -> serde_json::Value {
    let admin = node.admin().to_string();
    let told = node.folder().run(&[&["explain", "--admin", &admin, "--json"], arguments].concat()).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    serde_json::from_str(&told.stdout).unwrap()
}

#[tokio::test]
async fn each_step_is_told_with_its_line_and_nothing_is_done() {
    let origin = Origin::start().await;
    origin.on("/page", |_| Answer::ok("hello"));
    let node = node(&origin).await;
    let url = format!("{SITE}/page?a=1");

    let before = explain(&node, &[&url]).await;
    assert_eq!(before["site"]["at"], "selvedge.toml:8", "{before}");
    assert_eq!(before["route"]["path"], "/*");
    assert_eq!((before["let_in"].as_bool(), before["signature"].is_null()), (Some(true), true));
    assert_eq!(
        (before["cache"]["policy"].as_str(), before["cache"]["stored"].is_null()),
        (Some("static"), true)
    );
    assert_eq!(before["cache"]["key"]["path"], "/page?a=1");
    assert_eq!(before["origin"]["members"].as_array().unwrap().len(), 1, "{before}");
    assert_eq!(origin.requests().len(), 0);

    node.viewer().get(&url).await;
    let after = explain(&node, &[&url]).await;
    assert_eq!(after["cache"]["stored"]["fresh"], true, "{after}");
    assert_eq!(
        (after["cache"]["stored"]["status"].as_u64(), after["cache"]["stored"]["bytes"].as_u64()),
        (Some(200), Some(5))
    );

    let put = explain(&node, &["--method", "PUT", &url]).await;
    assert_eq!(put["refused"]["reason"], "method-not-allowed", "{put}");
    let stranger = explain(&node, &["http://other.test/"]).await;
    assert_eq!(stranger["refused"]["reason"], "unknown-host", "{stranger}");
}

#[tokio::test]
async fn a_signature_is_explained_and_shown_to_nobody() {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let url = format!("{SITE}/private/film?q=1");
    let signed = node.folder().run(&["sign", &url]).await.stdout.trim().to_owned();
    let secret = signed.split("Signature=").nth(1).unwrap().split('&').next().unwrap().to_owned();

    let good = explain(&node, &[&signed]).await;
    assert_eq!(
        (good["let_in"].as_bool(), good["signature"]["granted"].as_bool()),
        (Some(true), Some(true)),
        "{good}"
    );
    assert_eq!(good["cache"]["key"]["path"], "/private/film?q=1");
    let bad = explain(&node, &[&signed.replace("q=1", "q=1=")]).await;
    assert_eq!(bad["signature"]["check"], "signature-mismatch", "{bad}");
    assert_eq!(bad["signature"]["cause"], "encoding", "{bad}");
    let cookies = node.folder().run(&["sign", &url, "--cookies"]).await.stdout;
    let by_cookie = explain(&node, &[&url, "--cookie", cookies.trim().replace('\n', "; ").as_str()]).await;
    assert_eq!(by_cookie["signature"]["granted"], true, "{by_cookie}");
    for told in [good, bad, by_cookie] {
        assert!(!told.to_string().contains(&secret), "{told}");
        assert!(!told.to_string().contains("CloudFront-Signature"), "{told}");
    }

    let admin = node.admin().to_string();
    let text = node.folder().run(&["explain", "--admin", &admin, &signed]).await;
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    assert!(text.stdout.contains("route     /private/* (selvedge.toml:12)"), "{}", text.stdout);
    assert!(
        text.stdout.contains("ok: signed by premium1") && !text.stdout.contains(&secret),
        "{}",
        text.stdout
    );
    let unclear = node.folder().run(&["explain", "--admin", &admin, "private/film"]).await;
    assert_eq!(unclear.code, Some(2), "{}", unclear.stderr);
}
