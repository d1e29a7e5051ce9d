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

/// A token that opens each URL once, by the SDK for Python.
async fn token_for_once(secret: &str) -> String {
    let script = "import sys, selvedge_signing as s\n\
                  print(s.sign_jwt(pattern='.*', key_id='player', key=s.secret(sys.argv[1]), id='a'))";
    let mut command = tokio::process::Command::new("python3");
    command
        .args(["-B", "-c", script, secret])
        .env("PYTHONPATH", crate::signers::project().join("signing/sdk/python"));
    let output = command.output().await.expect("these stories need python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_token_that_was_used_is_told_and_asking_uses_none() {
    let origin = Origin::start().await;
    origin.on("*", |_| Answer::cacheable("once"));
    let folder = Folder::new();
    let key = folder.run(&["key", "new", "--kind", "hmac", "--id", "player"]).await.stdout;
    let secret = std::fs::read_to_string(folder.path("keys/player.secret")).unwrap();
    let signed = "[[site.\"www.test\".route]]\npath = \"/once/*\"\nsigned = \"premium\"\n";
    let config = site_with_policy(&origin, "").replacen("[[site", &format!("{signed}[[site"), 1);
    let node = Node::start_in(folder, &format!("{config}{key}")).await;
    let token = token_for_once(&secret).await;
    let url = |name: &str| format!("{SITE}/once/{name}?URISigningPackage={token}");

    for _ in 0..2 {
        let told = explain(&node, &[&url("a")]).await;
        assert_eq!(told["signature"]["granted"], true, "{told}");
        assert_eq!(told["signature"]["spent"], false, "{told}");
    }
    assert_eq!(node.viewer().get(&url("a")).await.status, 200, "{}", node.log());
    assert_eq!(node.viewer().get(&url("a")).await.status, 403);
    let told = explain(&node, &[&url("a")]).await;
    assert_eq!(told["signature"]["granted"], false, "{told}");
    assert_eq!(told["signature"]["check"], "token-spent", "{told}");
    assert_eq!(explain(&node, &[&url("b")]).await["signature"]["granted"], true);
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
