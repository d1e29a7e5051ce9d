//! The public HTTP cache test-suite (npm: `http-cache-tests`) against the real node, which does what the origin's headers say.
//!
//! An executable of its own, so that nothing else runs meanwhile: the suite measures seconds. What fails is listed, with the reason,
//! in `docs/conformance.md`; this story fails when anything else does, or when something of that list does not.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a broken step must end the story at once, with its reason; the score is for people to see"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tests::{LOOPBACK, Node};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longer than the suite ever takes, and than a slow registry.
const PATIENCE: Duration = Duration::from_secs(300);

/// The edition of the suite, and what its package must be.
const SUITE: &str = "0.4.5";
const SHA512: &str = "0e3bb037d9d46572d35bec1abf52d1112099355c65f12b21c0ecb8cf5a71b966d6b79fdacbab0cf5043595e6c16833ba3f520c0682ba99d7fe3ee54ffd034bf0";

/// One test of the suite.
#[derive(Debug)]
struct Outcome {
    kind: String,
    passed: bool,
    /// Whether it holds, and what it depends on.
    counts: bool,
    story: String,
}

#[tokio::test]
async fn the_public_cache_tests_hold_but_for_what_the_docs_explain() {
    let suite = install().await;
    let (_origin, port) = start_origin(&suite).await;
    let site = format!("[site.\"127.0.0.1\"]\norigin = \"http://127.0.0.1:{port}\"\n");
    let route = "[[site.\"127.0.0.1\".route]]\npath = \"/*\"\nmethods = \"all\"\n";
    let node = Node::start(&format!("{LOOPBACK}\n{site}\n{route}")).await;

    let outcomes = run(&suite, &format!("http://{}", node.http())).await;

    let score = |kind: &str| {
        let all = outcomes.values().filter(|outcome| outcome.kind == kind);
        format!("{} of {} {kind}", all.clone().filter(|outcome| outcome.counts).count(), all.count())
    };
    let score = format!("{}, {}", score("required"), score("optimal"));
    eprintln!("http-cache-tests {SUITE}: {score}");
    let page = std::fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let explained = explained(&page);
    let wrong: Vec<String> = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.kind != "check")
        .filter(|(id, outcome)| outcome.passed == explained.contains(&id.as_str()))
        .map(|(id, outcome)| format!("{id} ({}): {}", outcome.kind, outcome.story))
        .collect();
    assert!(
        wrong.is_empty(),
        "not as docs/conformance.md has it (no story: it passes now):\n{}",
        wrong.join("\n")
    );
    assert!(page.contains(&score), "docs/conformance.md tells another score than {score}");
    let unknown: Vec<_> = explained.iter().filter(|id| !outcomes.contains_key(**id)).collect();
    assert!(unknown.is_empty(), "docs/conformance.md explains tests that there are not: {unknown:?}");
}

/// The tests that fail in the npm edition: the first column of the table under that heading.
fn explained(page: &str) -> Vec<&str> {
    let section = page.split("\n## ").find(|section| section.starts_with("What fails in the npm edition"));
    let rows = section.expect("the page has the section").lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| row.split('|').next().unwrap_or_default().split(", "))
        .map(|id| id.trim_matches(['`', ' ']))
        .collect()
}

/// The suite's folder, filled from the npm registry the first time.
async fn install() -> PathBuf {
    let folder = root().join("target/conformance");
    let suite = folder.join("package");
    // Written last: the mark that all has come.
    let mark = suite.join(SUITE);
    if mark.exists() {
        return suite;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let packed = in_folder(&folder, "npm", &["pack", "--silent", &format!("http-cache-tests@{SUITE}")]).await;
    let archive = packed.trim();
    let digest = in_folder(&folder, "openssl", &["dgst", "-sha512", "-r", archive]).await;
    assert!(digest.starts_with(SHA512), "this is not the suite that was read: {digest}");
    in_folder(&folder, "tar", &["-xzf", archive]).await;
    std::fs::write(mark, "").unwrap();
    suite
}

async fn in_folder(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let mut running = command(program, arguments);
    let output = timeout(PATIENCE, running.current_dir(folder).output()).await;
    let output = output.expect("it takes too long");
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install nodejs npm openssl"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The suite's origin on a free port.
async fn start_origin(suite: &Path) -> (Child, u16) {
    let mut origin = command("node", &["server/server.mjs"]);
    origin.current_dir(suite).env("npm_config_protocol", "http").env("npm_config_port", "0");
    origin.env("npm_config_pidfile", "/dev/null").stdout(Stdio::piped());
    let mut origin = origin.spawn().expect("node is missing: apt-get install nodejs");
    let mut lines = BufReader::new(origin.stdout.take().unwrap()).lines();
    let said = timeout(PATIENCE, lines.next_line()).await.expect("the suite's origin says nothing").unwrap();
    let address = said.expect("the suite's origin ended");
    let port = address.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    // What else it says is about tests without a record of requests.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (origin, port.unwrap_or_else(|| panic!("no port in {address:?}")))
}

async fn run(suite: &Path, node: &str) -> BTreeMap<String, Outcome> {
    let script = root().join("tests/conformance/suite.mjs");
    let mut runner = command("node", &["--no-warnings"]);
    runner.arg(script).arg(suite).arg(node);
    let output = timeout(PATIENCE, runner.output()).await.expect("the suite takes too long").unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "the suite broke off: {}", String::from_utf8_lossy(&output.stderr));
    let read = |line: &str| {
        let test: serde_json::Value = serde_json::from_str(line).expect("the runner prints JSON");
        let text = |name: &str| test[name].as_str().unwrap().to_owned();
        let is = |name: &str| test[name].as_bool().unwrap();
        let outcome =
            Outcome { kind: text("kind"), passed: is("passed"), counts: is("counts"), story: text("story") };
        (text("id"), outcome)
    };
    let outcomes: BTreeMap<_, _> =
        stdout.lines().filter(|line| line.starts_with("{\"id\"")).map(read).collect();
    assert!(outcomes.len() > 300, "the suite has more tests than {}", outcomes.len());
    outcomes
}

/// A program that dies with the story.
fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a parent folder")
}
