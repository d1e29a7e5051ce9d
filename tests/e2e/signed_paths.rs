//! Signed URLs whose paths lead elsewhere than they begin: viewers send them as they like, whatever browsers do.

use serde_json::Value;
use tests::{Answer, Folder, Node, Origin, RawConnection};

use crate::{SITE, site_with_policy};

/// A node whose `/free/*` and `/shop/*` open to one group, and whose `/premium/*` opens to another.
async fn node(origin: &Origin) -> Node {
    origin.on("*", |_| Answer::cacheable("the film"));
    let keys: Value = serde_json::from_str(include_str!("../../signing/tests/vectors/keys.json")).unwrap();
    let folder = Folder::new();
    folder.write("rsa.pem", keys["rsa"]["public"].as_str().unwrap());
    folder.write("rsa.private.pem", keys["rsa"]["private"].as_str().unwrap());
    folder.write("p256.pem", keys["p256"]["public"].as_str().unwrap());
    folder.write("player.secret", keys["hmac"]["secret"].as_str().unwrap());
    let route = |path: &str, group: &str| {
        format!("[[site.\"www.test\".route]]\npath = \"{path}\"\nsigned = \"{group}\"\ncache = \"static\"\n")
    };
    let routes = [("/free/*", "all"), ("/shop/*", "all"), ("/premium/*", "premium"), ("*.m3u8", "all")];
    let routes: String = routes.iter().map(|(path, group)| route(path, group)).collect();
    let routes = format!("{routes}[[site.\"www.test\".route]]\npath = \"/open/*\"\n");
    let keys = r#"
[key.rsa]
public = { file = "rsa.pem" }
[key.p256]
public = { file = "p256.pem" }
[key.player]
secret = { file = "player.secret" }
[key-group.all]
keys = ["rsa", "player"]
accept = ["cloudfront", "uri-signing", "hmac"]
[key-group.premium]
keys = ["p256"]
"#;
    let open = site_with_policy(origin, "");
    let config = open.replacen("[[site", &format!("{routes}\n[[site"), 1);
    Node::start_in(folder, &format!("{config}{keys}")).await
}

/// What opens all of `/free/`, in each format that can say so: name and value of a query parameter or several.
async fn wide_tokens(node: &Node) -> Vec<String> {
    let mut all = Vec::new();
    for arguments in [
        &["http://www.test/free/*", "--key", "player", "--secret", "player.secret"][..],
        &[
            "http://www.test/free/",
            "--key",
            "rsa",
            "--private",
            "rsa.private.pem",
            "--resource",
            "http://www.test/free/*",
        ],
        &[
            "http://www.test/free/",
            "--key",
            "player",
            "--secret",
            "player.secret",
            "--scheme",
            "uri-signing",
            "--resource",
            r"http://www\.test/free/.*",
        ],
    ] {
        let signed = node.folder().run(&[&["sign"], arguments].concat()).await;
        let query = signed.stdout.trim().split_once('?').unwrap_or_else(|| panic!("{}", signed.stderr));
        all.push(query.1.to_owned());
    }
    all
}

async fn status(node: &Node, target: &str, cookie: &str) -> String {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: www.test\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
    let answer = RawConnection::exchange(node.http(), request).await;
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("{target}: {answer:?}")).to_owned()
}

#[tokio::test]
async fn no_dot_segment_leads_out_of_what_was_signed() {
    let origin = Origin::start().await;
    let node = node(&origin).await;

    for token in wide_tokens(&node).await {
        assert_eq!(status(&node, &format!("/free/film?{token}"), "a=b").await, "200", "{token}");
        for path in [
            "/free/../shop/film",
            "/free/%2e%2e/shop/film",
            "/free/.%2E/shop/film",
            "/free/a/../../shop/film",
            "/free/./../shop/film",
            "/free/..;v=1/shop/film",
            "/free/..%2fshop/film",
            "/free/..%5Cshop/film",
            "/free/..\\shop/film",
            "/free/..;URISigningPackage=x/shop/film",
        ] {
            let status = status(&node, &format!("{path}?{token}"), "a=b").await;
            assert!(["400", "403"].contains(&status.as_str()), "{path}?{token}: {status}");
        }
    }
    let asked: Vec<String> = origin.requests().iter().map(|request| request.target.clone()).collect();
    assert_eq!(asked, ["/free/film"], "what was not signed came from the origin");
}

#[tokio::test]
async fn a_token_in_the_path_makes_no_dot_segment_when_it_is_taken_out() {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let tokens = wide_tokens(&node).await;
    let (jwt, prefix) = (&tokens[2], tokens[0].replace('?', ""));

    assert_eq!(status(&node, &format!("/free/a;{jwt}/film"), "a=b").await, "200");
    for target in [
        format!("/free/..;{jwt}/premium/film"),
        format!("/free/%2e.;{jwt}/premium/film"),
        format!("/free/..;%55RISigningPackage=x/premium/film?{prefix}"),
        format!("/free/a/.;{jwt}/film"),
    ] {
        let status = status(&node, &target, &prefix).await;
        assert!(["400", "403"].contains(&status.as_str()), "{target}: {status}");
    }
    let asked: Vec<String> = origin.requests().iter().map(|request| request.target.clone()).collect();
    assert_eq!(asked, ["/free/a/film"], "what was not signed came from the origin");
    let stored = node.viewer().get(&format!("{SITE}/premium/film")).await;
    assert_eq!(stored.status, 403);
}

#[tokio::test]
async fn a_token_in_the_path_changes_no_route() {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let arguments = [
        "sign",
        "http://www.test/films/a.m3u8",
        "--key",
        "player",
        "--secret",
        "player.secret",
        "--scheme",
        "uri-signing",
        "--resource",
        r"http://www\.test/.*\.m3u8",
    ];
    let signed = node.folder().run(&arguments).await;
    let (_, token) = signed.stdout.trim().split_once('?').unwrap_or_else(|| panic!("{}", signed.stderr));

    assert_eq!(status(&node, &format!("/films/a.m3u8;{token}"), "a=b").await, "200");
    assert_eq!(status(&node, "/films/a.m3u8;URISigningPackage=x", "a=b").await, "403");
    assert_eq!(status(&node, &format!("/open/a.ts;{token}"), "a=b").await, "200");
    let hidden = format!("/free/a.ts;%55RISigningPackage=x.m3u8?{token}");
    assert_eq!(status(&node, &hidden, "a=b").await, "400");
    let asked: Vec<String> = origin.requests().iter().map(|request| request.target.clone()).collect();
    assert_eq!(asked, ["/films/a.m3u8", "/open/a.ts"], "the token went along");
}

#[tokio::test]
async fn what_signs_other_routes_of_the_site_goes_to_no_origin() {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let page = "http://www.test/free/film?quality=high&Selvedge-Token=secret";
    let cookies = "session=1; Selvedge-Token=secret; URISigningPackage=secret; CloudFront-Policy=secret";

    let reply =
        node.viewer().get_with(&format!("{SITE}/open/page"), &[("cookie", cookies), ("referer", page)]).await;

    assert_eq!(reply.status, 200, "{}", reply.text());
    let asked = &origin.requests()[0];
    assert_eq!(asked.header("cookie").as_deref(), Some("session=1"));
    assert_eq!(asked.header("referer").as_deref(), Some("http://www.test/free/film?quality=high"));
}

#[tokio::test]
async fn a_cookie_that_is_no_text_hides_no_token() {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let tokens = wide_tokens(&node).await;
    let mut request =
        b"GET /free/film HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\nCookie: name=J\xfcrgen; "
            .to_vec();
    request.extend_from_slice(format!("{}\r\n\r\n", tokens[0]).as_bytes());

    let answer = RawConnection::exchange(node.http(), request).await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}: {}", node.log());
}
