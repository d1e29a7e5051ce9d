//! The verbs for who signs: `key`, `sign`, `verify`, and a node that knows the key.

use std::os::unix::fs::PermissionsExt;

use tests::{Answer, Folder, Node, Origin};

use crate::{SITE, site};

/// A folder with a new key of the id `premium1`, and the config lines that were printed.
async fn with_key() -> (Folder, String) {
    let folder = Folder::new();
    let made = folder.run(&["key", "new", "--out", "keys", "--id", "premium1"]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    (folder, made.stdout)
}

async fn sign(folder: &Folder, url: &str, expires: &str) -> String {
    let private = "keys/premium1.private.pem";
    let signed =
        folder.run(&["sign", url, "--key", "premium1", "--private", private, "--expires", expires]).await;
    assert_eq!(signed.code, Some(0), "{}", signed.stderr);
    signed.stdout.trim().to_owned()
}

async fn verify(folder: &Folder, url: &str) -> (Option<i32>, serde_json::Value) {
    let public = "keys/premium1.public.pem";
    let judged = folder.run(&["verify", url, "--key", "premium1", "--public", public, "--json"]).await;
    (judged.code, serde_json::from_str(&judged.stdout).expect(&judged.stderr))
}

#[tokio::test]
async fn a_node_with_the_printed_lines_opens_to_a_signed_url() {
    let origin = Origin::start().await;
    origin.on("/private/film", |_| Answer::cacheable("the film"));
    let (folder, lines) = with_key().await;
    let url = format!("{SITE}/private/film");
    let signed = sign(&folder, &url, "10m").await;
    let route = "[[site.\"www.test\".route]]\npath = \"/private/*\"\nsigned = \"premium\"\n";
    let node = Node::start_in(folder, &format!("{}\n{route}\n{lines}", site(&origin))).await;

    assert_eq!(node.viewer().get(&url).await.status, 403);
    let opened = node.viewer().get(&signed).await;
    assert_eq!((opened.status, opened.text().as_str()), (200, "the film"));
}

#[tokio::test]
async fn verify_says_which_check_fails() {
    let (folder, _) = with_key().await;
    let url = "https://www.test/private/film?quality=high";
    let signed = sign(&folder, url, "1h").await;

    assert_eq!(verify(&folder, &signed).await.0, Some(0));
    for (url, check) in [
        (signed.replace("high", "low"), "signature-mismatch"),
        (signed.replace("premium1", "premium2"), "key-unknown"),
        (sign(&folder, url, "0s").await, "signature-expired"),
        (url.to_owned(), "signature-missing"),
    ] {
        let (code, said) = verify(&folder, &url).await;
        assert_eq!((code, said["check"].as_str()), (Some(1), Some(check)), "{url}: {said}");
        assert!(said["advice"].as_str().is_some_and(|advice| !advice.is_empty()));
        assert!(said["policy"].is_string() || check == "signature-missing", "{said}");
    }
    let rewritten = signed.replace("?quality=high", "?quality=high=");
    assert_eq!(verify(&folder, &rewritten).await.1["cause"], "encoding");
}

/// A folder with a new key, and a config whose `/private/*` it opens.
async fn with_config() -> Folder {
    let folder = Folder::new();
    let made = folder.run(&["key", "new"]).await;
    let site = "[site.\"www.test\"]\norigin = \"http://127.0.0.1:9\"\n\
                [[site.\"www.test\".route]]\npath = \"/private/*\"\nsigned = \"premium\"\n";
    folder.write("selvedge.toml", format!("{site}{}", made.stdout));
    folder
}

#[tokio::test]
async fn with_a_config_a_url_is_all_that_has_to_be_named() {
    let folder = with_config().await;
    let signed = folder.run(&["sign", "https://www.test/private/film?q=1"]).await;
    assert_eq!(signed.code, Some(0), "{}", signed.stderr);
    let url = signed.stdout.trim();

    let judged = folder.run(&["verify", url]).await;
    assert_eq!(judged.code, Some(0), "{}{}", judged.stdout, judged.stderr);
    for words in
        ["ok: signed by K", "site www.test (selvedge.toml:1), route /private/* (selvedge.toml:4)", "premium"]
    {
        assert!(judged.stdout.contains(words), "{}", judged.stdout);
    }
    let cookies = folder.run(&["sign", "https://www.test/private/film?q=1", "--cookies"]).await;
    let judged =
        folder.run(&["verify", "https://www.test/private/film?q=1", "--cookie", &cookies.stdout]).await;
    assert_eq!(judged.code, Some(0), "{}{}", judged.stdout, judged.stderr);

    for (url, extra, check, cause) in [
        (url.to_owned(), &["--at", "+61m"][..], "signature-expired", "clock"),
        (url.to_owned(), &["--at", "2099-01-01"], "signature-expired", "null"),
        (url.replace("q=1", "q=1="), &[], "signature-mismatch", "encoding"),
        (
            "https://www.test/private/film?q=1&Expires=1".into(),
            &["--cookie", &cookies.stdout],
            "parameter-missing",
            "cookies",
        ),
    ] {
        let judged = folder.run(&[&["verify", &url, "--json"], extra].concat()).await;
        let said: serde_json::Value = serde_json::from_str(&judged.stdout).expect(&judged.stderr);
        assert_eq!((judged.code, said["check"].as_str()), (Some(1), Some(check)), "{said}");
        assert_eq!(said["cause"].as_str().unwrap_or("null"), cause, "{said}");
        assert_eq!(said["route"]["at"], "selvedge.toml:4", "{said}");
    }
}

#[tokio::test]
async fn cookies_signed_for_a_star_open_all_that_it_stands_for() {
    let folder = with_config().await;
    let cookies = folder.run(&["sign", "https://www.test/private/films/*", "--cookies"]).await;
    let judge = async |url| folder.run(&["verify", url, "--cookie", &cookies.stdout]).await;
    let opened = judge("https://www.test/private/films/1.ts").await;
    assert_eq!(opened.code, Some(0), "{}{}", opened.stdout, opened.stderr);
    assert_eq!(judge("https://www.test/private/1.ts").await.code, Some(1));
}

#[tokio::test]
async fn a_url_under_another_route_than_was_meant_is_told() {
    let folder = with_config().await;
    let other = folder.run(&["key", "new", "--group", "films", "--id", "films1"]).await;
    let config = std::fs::read_to_string(folder.path("selvedge.toml")).unwrap();
    let route = "[[site.\"www.test\".route]]\npath = \"/films/*\"\nsigned = \"films\"\n";
    folder.write("selvedge.toml", format!("{config}{route}{}", other.stdout));
    let signed = folder.run(&["sign", "https://www.test/films/a", "--resource", "https://www.test/*"]).await;
    let url = signed.stdout.trim().replace("/films/a", "/private/a");

    let judged = folder.run(&["verify", &url]).await;
    assert_eq!(judged.code, Some(1), "{}", signed.stderr);
    assert!(
        judged.stdout.contains("the key group films would let it in, and guards `/films/*`"),
        "{}",
        judged.stdout
    );
    let open = folder.run(&["verify", &url.replace("/private/", "/open/")]).await;
    assert_eq!(open.code, Some(0));
    assert!(
        open.stdout.contains("nothing has to be signed here") && open.stdout.contains("guards `/films/*`")
    );
}

#[tokio::test]
async fn who_signs_is_told_what_is_missing() {
    let folder = with_config().await;
    let sign = async |url: &'static str| folder.run(&["sign", url]).await;
    for (url, words) in [
        ("https://www.test/open", "asks for no signature"),
        ("https://other.test/private/a", "no site answers other.test"),
        ("https://WWW.test/private/a", "lower case"),
    ] {
        let refused = sign(url).await;
        assert_eq!((refused.code, &*refused.stdout), (Some(1), ""), "{url}");
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    for file in std::fs::read_dir(folder.path("keys")).unwrap().flatten() {
        if file.file_name().to_string_lossy().contains("private") {
            std::fs::write(file.path(), std::fs::read(folder.path("selvedge.toml")).unwrap()).unwrap();
            let broken = sign("https://www.test/private/a").await;
            assert!(broken.stderr.contains("does not belong to"), "{}", broken.stderr);
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    let gone = sign("https://www.test/private/a").await;
    assert!(gone.stderr.contains("name it with --private"), "{}", gone.stderr);
    let stranger = folder.run(&["key", "new", "--id", "stranger"]).await;
    assert_eq!(stranger.code, Some(0));
    let foreign =
        folder.run(&["sign", "https://www.test/private/a", "--private", "keys/stranger.private.pem"]).await;
    assert!(foreign.stderr.contains("does not belong to"), "{}", foreign.stderr);
    let nowhere = Folder::new().run(&["verify", "https://www.test/private/a"]).await;
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.stderr);
}

#[tokio::test]
async fn a_secret_that_is_not_the_nodes_signs_nothing_for_it() {
    let folder = Folder::new();
    let made = folder.run(&["key", "new", "--kind", "hmac", "--id", "player"]).await;
    let other = folder.run(&["key", "new", "--kind", "hmac", "--id", "stranger"]).await;
    assert_eq!((made.code, other.code), (Some(0), Some(0)));
    let site = "[site.\"www.test\"]\norigin = \"http://127.0.0.1:9\"\n\
                [[site.\"www.test\".route]]\npath = \"/live/*\"\nsigned = \"premium\"\n";
    folder.write("selvedge.toml", format!("{site}{}", made.stdout));
    let sign = async |file| folder.run(&["sign", "https://www.test/live/a", "--secret", file]).await;
    assert_eq!(sign("keys/player.secret").await.code, Some(0));
    let foreign = sign("keys/stranger.secret").await;
    assert_eq!((foreign.code, &*foreign.stdout), (Some(1), ""));
    assert!(foreign.stderr.contains("the secret does not belong to [key.player]"), "{}", foreign.stderr);
    std::fs::copy(folder.path("keys/player.secret"), folder.path("same.secret")).unwrap();
    assert_eq!(sign("same.secret").await.code, Some(0));
}

#[tokio::test]
async fn every_kind_of_key_signs_and_verifies_by_the_command_line() {
    for (kind, extra) in [
        ("rsa", vec!["--resource", "https://www.test/private/*", "--starts", "0s", "--ip", "203.0.113.0/24"]),
        ("p256", vec![]),
        ("ed25519", vec!["--resource", "https://www\\.test/.*"]),
        ("hmac", vec!["--ip", "203.0.113.9"]),
        ("hmac", vec!["--scheme", "uri-signing", "--renew", "30s"]),
    ] {
        let folder = Folder::new();
        let made = folder.run(&["key", "new", "--out", "keys", "--id", "K1", "--kind", kind]).await;
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let (private, public) = match kind {
            "hmac" => ("keys/K1.secret", "keys/K1.secret"),
            _ => ("keys/K1.private.pem", "keys/K1.public.pem"),
        };
        assert_eq!(std::fs::metadata(folder.path(private)).unwrap().permissions().mode() & 0o777, 0o600);
        let url = "https://www.test/private/a%20b";
        let sign = [&["sign", url, "--key", "K1", "--private", private][..], &extra].concat();
        let verify = ["--key", "K1", "--public", public, "--address", "203.0.113.9"];
        let signed = folder.run(&sign).await;
        let judged = folder.run(&[&["verify", signed.stdout.trim()][..], &verify].concat()).await;
        // A policy that starts now, in whole seconds, has started already.
        assert_eq!(
            judged.code,
            Some(0),
            "{kind} {extra:?}: {}{}{}",
            signed.stderr,
            judged.stdout,
            judged.stderr
        );

        let cookies = folder.run(&[&sign[..], &["--cookies"]].concat()).await;
        let field = cookies.stdout.trim().replace('\n', "; ");
        let judged = folder.run(&[&["verify", url, "--cookie", &field][..], &verify].concat()).await;
        assert_eq!(judged.code, Some(0), "{kind} {extra:?}: {}{}", cookies.stderr, judged.stdout);
    }
}

#[tokio::test]
async fn the_private_key_is_its_owners_alone_and_no_key_is_overwritten() {
    let (folder, _) = with_key().await;
    let private = folder.path("keys/premium1.private.pem");
    let before = std::fs::read_to_string(&private).unwrap();

    let again = folder.run(&["key", "new", "--out", "keys", "--id", "premium1"]).await;

    assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""));
    assert!(again.stderr.contains("never overwritten"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&private).unwrap(), before);
}

#[tokio::test]
async fn what_cannot_be_used_is_said_plainly() {
    let (folder, _) = with_key().await;
    let public = "keys/premium1.public.pem";
    for (arguments, code, words) in [
        (vec!["sign", "https://a/b", "--key", "K", "--private", "none.pem"], 1, "none.pem"),
        (vec!["sign", "https://a/b", "--key", "K", "--private", public], 1, "PUBLIC KEY"),
        (vec!["sign", "a/b", "--key", "K", "--private", "keys/premium1.private.pem"], 1, "https://"),
        (vec!["verify", "a/b", "--key", "K", "--public", public], 2, "https://"),
        (vec!["key", "new", "--out", "keys", "--id", "../up"], 2, "letters"),
    ] {
        let ended = folder.run(&arguments).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
}
