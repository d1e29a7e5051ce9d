//! The example hooks in a real node: before the cache, behind it, and on error pages.

use tests::guests::{example, example_folders};
use tests::{Answer, Folder, Gate, Node, Origin, Tap};

use crate::{SITE, site};

/// A config where all of the site goes through one example hook, and a policy keeps what the origin gives.
fn through(origin: &Origin, name: &str, on: &str, settings: &str) -> String {
    format!(
        "{}\n[[site.\"www.test\".route]]\npath = \"/*\"\ncache = \"kept\"\nhooks = [\"example\"]\n\
         [cache-policy.kept]\n\
         [hook.example]\nwasm = \"{}\"\non = {on}\n{settings}\nlimits = {{ cpu = \"10s\", wall = \"20s\" }}\n",
        site(origin),
        example(name).display()
    )
}

/// HS256 with the key "correct horse battery staple": of alice, until 2100.
const ALICE: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwiaXNzIjoibG9naW4iLCJhdWQiOlsic2hvcCIsIm5ld3MiXX0.zzTG869CBYQClj1R3t3LHzUq2zioWfZxcXZBhlHYugY";

#[tokio::test]
async fn jwt_check_lets_in_whom_the_secret_of_the_config_vouches_for() {
    let origin = Origin::start().await;
    origin.on("/members", |_| Answer::cacheable("for members"));
    let folder = Folder::new();
    folder.write("jwt.key", "correct horse battery staple\n");
    let secrets = "secrets = { jwt = { file = \"jwt.key\" } }";
    let config = through(&origin, "jwt-check", "\"viewer-request\"", secrets);
    let node = Node::start_in(folder, &config).await;
    let url = format!("{SITE}/members");

    let (bearer, forged) = (format!("Bearer {ALICE}"), format!("Bearer {}A", &ALICE[..ALICE.len() - 2]));
    let refused = node.viewer().get(&url).await;
    let lied = node.viewer().get_with(&url, &[("authorization", &forged)]).await;
    assert_eq!(origin.requests().len(), 0, "nobody without a token costs the origin anything");
    let admitted = node.viewer().get_with(&url, &[("authorization", &bearer)]).await;
    let refused_still = node.viewer().get(&url).await;

    assert_eq!((refused.status, lied.status), (401, 401));
    assert!(refused.header("www-authenticate").starts_with("Bearer"), "{:?}", refused.headers);
    assert_eq!((admitted.status, admitted.text().as_str()), (200, "for members"));
    assert_eq!(refused_still.status, 401, "what is stored is not for those who may not have it");
}

#[tokio::test]
async fn ab_cookie_split_keeps_a_viewer_in_its_variant_and_stores_each_once() {
    let origin = Origin::start().await;
    origin.on("/", |request| {
        Answer::cacheable(format!("page {}", request.header("x-variant").unwrap_or_default()))
    });
    let on = r#"["viewer-request", "origin-request", "viewer-response"]"#;
    let settings = "config = { variants = \"a:1, b:1\" }";
    let node = Node::start(&through(&origin, "ab-cookie-split", on, settings)).await;
    let url = format!("{SITE}/");

    for variant in ["a", "b", "a", "b"] {
        let cookie = format!("session=1; variant={variant}");
        let reply = node.viewer().get_with(&url, &[("cookie", &cookie)]).await;
        assert_eq!((reply.text(), reply.header("set-cookie")), (format!("page {variant}"), String::new()));
    }
    assert_eq!(origin.requests().len(), 2, "one for each variant");

    let new = node.viewer().get(&url).await;
    let drawn = new.text().replace("page ", "");
    assert!(new.is_hit(), "{}", new.header("cache-status"));
    assert!(new.header("set-cookie").starts_with(&format!("variant={drawn};")), "{:?}", new.headers);
}

#[tokio::test]
async fn security_headers_are_on_misses_hits_and_error_pages() {
    let mut origin = Origin::start().await;
    origin.on("/page", |_| Answer::cacheable("page").header("server", "Apache"));
    let node = Node::start(&through(&origin, "security-headers", "\"viewer-response\"", "")).await;

    let miss = node.viewer().get(&format!("{SITE}/page")).await;
    let hit = node.viewer().get(&format!("{SITE}/page")).await;
    origin.stop().await;
    let broken = node.viewer().get(&format!("{SITE}/other")).await;

    assert!(hit.is_hit() && !miss.is_hit(), "{}", hit.header("cache-status"));
    assert!(broken.status >= 500, "{}", broken.status);
    for reply in [miss, hit, broken] {
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{}", reply.status);
        assert!(!reply.header("server").contains("Apache"), "{:?}", reply.headers);
    }
}

#[tokio::test]
async fn different_browsers_of_one_variant_wait_for_one_fetch() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let behind = gate.clone();
    origin.on("/", move |request| {
        let page = format!("for {}", request.header("x-variant").unwrap_or_default());
        Answer::cacheable(page).header("vary", "User-Agent, Accept").behind(&behind)
    });
    let on = r#"["viewer-request", "origin-request", "origin-response", "viewer-response"]"#;
    let node = Node::start(&through(&origin, "request-coalescing-by-variant", on, "")).await;
    let (viewer, url) = (node.viewer(), format!("{SITE}/"));

    let ask = async |agent: &str| viewer.get_with(&url, &[("user-agent", agent)]).await;
    let opened = async {
        origin.until("a request for each variant", |requests| requests.len() == 2).await;
        gate.open();
    };
    let (first, second, phone, ()) =
        tokio::join!(ask("Firefox/140"), ask("Safari/26"), ask("Android 16; Mobile"), opened);

    assert_eq!((first.text(), second.text()), ("for desktop-plain".into(), "for desktop-plain".into()));
    assert_eq!(phone.text(), "for phone-plain");
    assert_eq!(origin.requests().len(), 2);
    assert!(first.header("vary").contains("user-agent"), "caches outside are told: {:?}", first.headers);
}

#[tokio::test]
async fn html_rewrite_replaces_what_two_pieces_share_and_lets_the_rest_go_at_once() {
    let origin = Origin::start().await;
    let tap = Tap::new();
    let page = tap.clone();
    origin.on("/page", move |_| {
        Answer::streamed(&page).header("content-type", "text/html").header("cache-control", "max-age=60")
    });
    let settings = "config = { \"http://old.test\" = \"https://new.test\" }";
    let node = Node::start(&through(&origin, "html-rewrite", "\"origin-response\"", settings)).await;
    let url = format!("{SITE}/page");

    tap.send("<p>http://old.test</p><p>ht");
    let mut reply = node.viewer().open_get(&url).await;
    let begin = "<p>https://new.test</p><p>";
    assert_eq!(
        String::from_utf8_lossy(&reply.read(begin.len()).await),
        begin,
        "before the origin has sent the rest"
    );
    tap.send("tp://old.test/a</p>");
    tap.end();
    let whole = reply.finish().await.unwrap();
    let kept = node.viewer().get(&url).await;

    assert!(whole.text().ends_with("https://new.test/a</p>"), "{}", whole.text());
    assert_eq!(kept.text(), "<p>https://new.test</p><p>https://new.test/a</p>");
    assert!(kept.is_hit(), "{}", kept.header("cache-status"));
}

#[tokio::test]
async fn every_example_does_what_its_cases_say() {
    let elsewhere = Folder::new();
    for folder in example_folders() {
        let wasm = example(&folder.file_name().unwrap().to_string_lossy());
        let (folder, wasm) = (folder.to_string_lossy(), wasm.to_string_lossy());
        let played = elsewhere.run(&["hook", "test", &folder, "--wasm", &wasm]).await;
        assert_eq!(played.code, Some(0), "{folder}\n{}{}", played.stdout, played.stderr);
    }
}
