//! A film in segments behind a cookie and behind a token that is renewed, played by hls.js in a real browser.
//!
//! The film is silence: MP3 frames of zeros, which a browser decodes as it does any others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::{Answer, Folder, Node, Origin};
use tokio::process::{Child, Command};

/// A busy machine may take a while to start a browser.
const PATIENCE: Duration = Duration::from_secs(60);
const SEGMENTS: usize = 3;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the project").to_owned()
}

/// A second of silence: 38 frames of MPEG-1 layer III, 128 kbit/s, 44.1 kHz, each 417 bytes.
fn segment() -> Vec<u8> {
    let mut frame = vec![0; 417];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
    frame.repeat(38)
}

fn playlist() -> String {
    let segments: String = (0..SEGMENTS).map(|number| format!("#EXTINF:0.993,\n{number}.mp3\n")).collect();
    format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n{segments}#EXT-X-ENDLIST\n"
    )
}

/// An origin with the player's page, which sets these cookies, and the film.
async fn origin() -> Origin {
    let origin = Origin::start().await;
    let script = project().join("target/tools/npm/node_modules/hls.js/dist/hls.min.js");
    let install = "tests/run installs it: npm install --prefix target/tools/npm hls.js";
    let script =
        std::fs::read(&script).unwrap_or_else(|error| panic!("{}: {error}; {install}", script.display()));
    let of = |kind: &'static str, body: Vec<u8>| {
        move |_: &tests::Received| Answer::cacheable(body.clone()).header("content-type", kind)
    };
    origin.on("/hls.min.js", of("text/javascript", script));
    origin.on("/live/one/index.m3u8", of("application/vnd.apple.mpegurl", playlist().into_bytes()));
    for number in 0..SEGMENTS {
        origin.on(&format!("/live/one/{number}.mp3"), of("audio/mpeg", segment()));
    }
    origin.on("*", |_| Answer::ok("ok"));
    origin
}

fn show_page(origin: &Origin, cookies: &[String]) {
    let (page, cookies) = (include_str!("../signers/player.html"), cookies.to_vec());
    origin.on("/player.html", move |_| {
        let page = Answer::ok(page).header("content-type", "text/html");
        cookies.iter().fold(page, |page, cookie| page.header("set-cookie", &format!("{cookie}; Path=/live")))
    });
}

async fn node(origin: &Origin, key: &str, accept: &str) -> Node {
    let folder = Folder::new();
    let made = folder.run(&["key", "new", "--out", "keys", "--id", "K1", "--kind", key]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let lines = made.stdout.replacen("accept = [\"hmac\", \"uri-signing\"]\n", "", 1);
    let config = crate::site(origin).replace("www.test", "127.0.0.1");
    let route = "[[site.\"127.0.0.1\".route]]\npath = \"/live/*\"\nsigned = \"premium\"\n";
    Node::start_in(folder, &format!("{config}\n{route}\n{lines}\naccept = [\"{accept}\"]\n")).await
}

/// Plays what `source` names, to its end.
async fn play(node: &Node, origin: &Origin, source: &str) {
    let mut browser = browser(node, source);
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(told) = origin.requests().into_iter().find(|one| one.target.starts_with("/told/")) {
                return told.target;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let ended = ended.await.unwrap_or_else(|_| panic!("the browser said nothing:\n{}", node.log()));
    assert_eq!(ended, "/told/ended-3", "{}", node.log());
    browser.kill().await.unwrap();
}

fn browser(node: &Node, source: &str) -> Child {
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--autoplay-policy=no-user-gesture-required",
    ]);
    command.arg(format!("--user-data-dir={}", node.folder().path("browser").display()));
    command.arg(format!("http://{}/player.html?src={source}", node.http()));
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).kill_on_drop(true);
    command.spawn().expect("these stories need chromium: apt-get install chromium")
}

async fn sign(node: &Node, url: &str, key: &str, rest: &[&str]) -> Vec<String> {
    let signed =
        node.folder().run(&[&["sign", url, "--key", "K1", "--private", key][..], rest].concat()).await;
    assert_eq!(signed.code, Some(0), "{}", signed.stderr);
    signed.stdout.trim().lines().map(str::to_owned).collect()
}

fn played(origin: &Origin) {
    for number in 0..SEGMENTS {
        let asked = origin.requests_for(&format!("/live/one/{number}.mp3"));
        assert_eq!(asked.len(), 1, "segment {number}");
        assert_eq!(asked[0].header("cookie"), None, "what signs does not go to the origin");
    }
}

#[tokio::test]
async fn a_browser_plays_what_lies_behind_a_cookie() {
    let origin = origin().await;
    let node = node(&origin, "rsa", "cloudfront").await;
    let site = format!("http://{}", node.http());
    show_page(&origin, &[]);
    assert_eq!(node.viewer().get(&format!("{site}/live/one/index.m3u8")).await.status, 403);
    let resource = format!("{site}/live/*");
    let wanted = ["--cookies", "--resource", &resource];
    show_page(&origin, &sign(&node, &resource, "keys/K1.private.pem", &wanted).await);

    play(&node, &origin, "/live/one/index.m3u8").await;

    played(&origin);
}

#[tokio::test]
async fn a_browser_plays_what_lies_behind_a_renewed_token() {
    let origin = origin().await;
    let node = node(&origin, "hmac", "uri-signing").await;
    let site = format!("http://{}", node.http());
    show_page(&origin, &[]);
    let pattern = format!("{site}/live/.*");
    let wanted = ["--scheme", "uri-signing", "--resource", &pattern, "--renew", "30s", "--depth", "2"];
    let signed = sign(&node, &format!("{site}/live/one/index.m3u8"), "keys/K1.secret", &wanted).await;

    // The playlist's URL has the first token; its segments are open by the cookies that follow from it.
    play(&node, &origin, signed[0].strip_prefix(&site).unwrap()).await;

    played(&origin);
}
