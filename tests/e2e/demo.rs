//! The demo: what it prints is tried, line by line, as its reader would.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use hickory_proto::rr::RecordType;
use tests::{Folder, Node, Reply, Signal, Viewer, eventually, picture};

use crate::dns::{CHINA, KOREA, ask_udp, question, records};

/// A running demo and what it printed.
struct Demo {
    node: Node,
    commands: Vec<Vec<String>>,
}

impl Demo {
    async fn start() -> Self {
        let node = Node::spawn(Folder::new(), &["demo"]).await;
        // The last of the lines, which come on another stream than `ready`.
        node.log_contains("subnet=203.0.113.0/24").await;
        let commands = node.log().lines().map(words).collect();
        Self { node, commands }
    }

    /// The printed commands that have all of `parts` among their text.
    fn commands(&self, parts: &[&str]) -> Vec<&Vec<String>> {
        let fits = |line: &&Vec<String>| {
            let text = line.join(" ");
            !text.starts_with('#') && parts.iter().all(|part| text.contains(part))
        };
        self.commands.iter().filter(fits).collect()
    }

    fn option(&self, name: &str) -> PathBuf {
        let lines = self.commands(&["curl", name]);
        following(lines[0], name).map(PathBuf::from).expect("an option has a value")
    }

    /// Does what a printed curl line does, over HTTPS and trusting only the root that the line names.
    async fn curl(&self, line: &[String]) -> Reply {
        assert_eq!(line[0], "curl", "{line:?}");
        let root = std::fs::read_to_string(following(line, "--cacert").unwrap()).unwrap();
        let url = line.iter().find(|word| word.starts_with("https://")).expect("a URL");
        let headers: Vec<(&str, &str)> =
            following(line, "-H").iter().filter_map(|header| header.split_once(": ")).collect();
        let method = following(line, "-X").unwrap_or("GET");
        Viewer::https(self.node.https(), &root, "localhost").ask(method, url, &headers).await
    }

    /// Does what the only such line does.
    async fn only(&self, parts: &[&str]) -> Reply {
        let lines = self.commands(parts);
        assert!(!lines.is_empty() && lines.iter().all(|line| line == &lines[0]), "{parts:?}: {lines:?}");
        self.curl(lines[0]).await
    }

    /// Which origin answers now.
    async fn origin(&self) -> String {
        let reply = self.only(&["curl", "/clock"]).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let said: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        said["origin"].as_str().unwrap().to_owned()
    }

    /// Ctrl-C, more or less; without it the demo's folder would stay.
    async fn end(mut self) {
        let folder = self.option("--cacert").ancestors().nth(3).unwrap().to_owned();
        assert!(folder.join("demo.toml").exists(), "{}", folder.display());
        self.node.signal(Signal::Drain).await;
        assert_eq!(self.node.exit_code().await, Some(0));
        assert!(!folder.exists(), "{} was left behind", folder.display());
    }
}

/// The words of a line, as a shell takes them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, part) in line.split('\'').enumerate() {
        let is_quoted = index % 2 == 1;
        if is_quoted {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        let mut pieces = part.split(' ');
        words.last_mut().unwrap().push_str(pieces.next().unwrap_or_default());
        words.extend(pieces.map(str::to_owned));
    }
    words
}

fn following<'a>(line: &'a [String], option: &str) -> Option<&'a str> {
    let place = line.iter().position(|word| word == option)?;
    line.get(place + 1).map(String::as_str)
}

#[tokio::test]
async fn its_first_lines_show_a_miss_a_hit_gzip_and_thumbnails() {
    let demo = Demo::start().await;

    let miss = demo.only(&["/distant/greeting"]).await;
    let hit = demo.only(&["/distant/greeting"]).await;
    assert_eq!((miss.status, hit.status), (200, 200));
    assert!(!miss.is_hit() && hit.is_hit(), "{}", hit.header("cache-status"));
    assert_eq!(miss.body, hit.body);

    let plain = demo.curl(demo.commands(&["/script.js"])[0]).await;
    let small = demo.only(&["/script.js", "gzip"]).await;
    let mut unpacked = Vec::new();
    GzDecoder::new(&small.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(small.header("content-encoding"), "gzip");
    assert!(small.body.len() * 2 < plain.body.len(), "{} of {}", small.body.len(), plain.body.len());
    assert_eq!(unpacked, plain.body);

    let original = demo.only(&["-o cat.jpg"]).await;
    let thumbnail = demo.only(&["-o cat-128.jpg"]).await;
    assert_eq!(picture::size(&original.body), (1600, 1200));
    assert_eq!((thumbnail.status, picture::size(&thumbnail.body)), (200, (128, 128)), "{}", thumbnail.text());
    assert!(demo.only(&["-o cat-128.jpg"]).await.is_hit());

    demo.end().await;
}

#[tokio::test]
async fn of_its_signed_links_one_opens() {
    let demo = Demo::start().await;

    let mut statuses = Vec::new();
    for line in demo.commands(&["curl", "/private/"]) {
        statuses.push(demo.curl(line).await.status);
    }

    assert_eq!(statuses, [403, 200, 403, 403], "unsigned, valid, expired, tampered with");
    demo.node.log_contains("signature-missing").await;
    demo.node.log_contains("signature-expired").await;
    demo.node.log_contains("signature-mismatch").await;
    demo.end().await;
}

#[tokio::test]
async fn a_killed_primary_is_replaced_and_comes_back() {
    let demo = Demo::start().await;
    assert_eq!(demo.origin().await, "primary");

    let killed = demo.only(&["primary/kill"]).await;
    assert_eq!(killed.status, 200, "{}", killed.text());
    for _ in 0..10 {
        assert_eq!(demo.origin().await, "secondary");
    }

    demo.only(&["primary/revive"]).await;
    eventually("the primary to be asked again", async || (demo.origin().await == "primary").then_some(()))
        .await;
    demo.end().await;
}

#[tokio::test]
async fn the_viewers_country_decides_about_pages_and_names() {
    let demo = Demo::start().await;

    let china = demo.only(&["curl", "X-Forwarded-For: 198.51.100.7"]).await;
    let korea = demo.only(&["curl", "X-Forwarded-For: 192.0.2.7"]).await;
    assert_eq!((china.status, korea.status), (403, 200));

    let dig = demo.commands(&["dig"])[0].clone();
    let address: SocketAddr =
        format!("{}:{}", dig[1].trim_start_matches('@'), following(&dig, "-p").unwrap()).parse().unwrap();
    let ask = async |subnet| {
        records(&ask_udp(address, &question("cdn.demo.test.", RecordType::A, Some(subnet))).await)
    };
    assert_eq!(ask(CHINA).await, ["CNAME demo.china-cdn.test."]);
    assert_eq!(ask(KOREA).await, ["A 203.0.113.10"]);
    demo.end().await;
}

#[tokio::test]
async fn its_page_and_what_the_page_asks_for_are_there() {
    let demo = Demo::start().await;
    let viewer = demo.node.viewer();
    let base = format!("http://{}", demo.node.http());

    let page = viewer.get(&format!("{base}/")).await;
    assert_eq!((page.status, page.header("content-type").as_str()), (200, "text/html; charset=utf-8"));
    let state = viewer.get(&format!("{base}/demo/state")).await;
    let state: serde_json::Value = serde_json::from_slice(&state.body).unwrap();
    // Signed for the host and scheme by which this viewer came.
    let link = state["links"]["valid"].as_str().unwrap();
    assert_eq!(viewer.get(link).await.status, 200, "{link}");
    assert_eq!(viewer.get(state["links"]["tampered"].as_str().unwrap()).await.status, 403);

    let foreign = [("sec-fetch-site", "cross-site")];
    let refused = viewer.ask("POST", &format!("{base}/demo/origin/primary/kill"), &foreign).await;
    assert_eq!(refused.status, 403);
    assert_eq!(demo.origin().await, "primary");
    demo.end().await;
}

#[tokio::test]
async fn the_config_that_it_prints_is_one_that_is_understood() {
    let folder = Folder::new();
    let printed = folder.run(&["demo", "--print-config"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    folder.write("demo.toml", &printed.stdout);
    // What the demo makes when it starts.
    folder.write("places.mmdb", geo::DEMO_DATABASE);
    folder.run(&["key", "new", "--out", "keys", "--id", "made"]).await;
    std::fs::rename(folder.path("keys/made.public.pem"), folder.path("keys/public.pem")).unwrap();

    let checked = folder.run(&["check", "demo.toml"]).await;

    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
}
