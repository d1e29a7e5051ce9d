//! The hook author's loop: from nothing to a hook that is tested.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Folder, LOOPBACK, Node, Origin, Outcome, eventually};

/// The builtin thumbnail hook, as the build of this tree has left it: a component that is there without building one.
fn thumbnail() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp has a parent");
    target.join("guest/wasm32-wasip2/guest/thumbnail.wasm")
}

async fn play(folder: &Folder, cases: &str, more: &[&str]) -> Outcome {
    folder.write("hook.test.toml", cases);
    let wasm = thumbnail();
    let arguments = [&["hook", "test", "--wasm", wasm.to_str().expect("UTF-8")], more].concat();
    folder.run(&arguments).await
}

const CASES: &str = r#"
[hook]
config = { sizes = "64x64" }

[[case]]
name    = "the origin is asked for the original"
event   = "origin-request"
request = { url = "https://www.test/cat.jpg?w=64&h=64", headers = { accept-encoding = "gzip" } }
[case.expect]
outcome = "next"
uri     = "/cat.jpg"
headers = { accept-encoding = false, host = "www.test" }

[[case]]
name     = "a size that is not listed is refused"
event    = "origin-response"
request  = { url = "https://www.test/cat.jpg?w=65&h=65" }
response = { headers = { content-type = "image/jpeg" }, body = "no picture" }
[case.expect]
status  = 400
body    = { contains = "64x64" }
"#;

#[tokio::test]
async fn cases_that_hold_are_told_with_what_they_cost() {
    let outcome = play(&Folder::new(), CASES, &["--json"]).await;

    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    let told: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!((&told["passed"], &told["failed"]), (&2.into(), &0.into()), "{told}");
    for case in told["cases"].as_array().expect("a list") {
        assert!(
            case["cpu_us"].as_f64() > Some(0.0) && case["memory_bytes"].as_u64() > Some(1 << 16),
            "{case}"
        );
    }
}

#[tokio::test]
async fn what_calls_cost_is_measured_with_instances_of_both_kinds() {
    let folder = Folder::new();
    let failing = "[[case]]\nname = \"a failure\"\nevent = \"origin-request\"\nexpect.outcome = \"fail\"\n";
    folder.write("hook.test.toml", format!("{CASES}\n{failing}"));
    let wasm = thumbnail();
    let wasm = wasm.to_str().expect("UTF-8");

    let outcome = folder.run(&["hook", "bench", "--wasm", wasm, "--calls", "5", "--json"]).await;

    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    let costs: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let costs = costs.as_array().expect("a list");
    let kinds: Vec<_> = costs.iter().map(|cost| cost["instances"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["fresh", "fresh", "reused", "reused"], "what is to fail is left out");
    for cost in costs {
        let is_measured =
            cost["median_us"].as_f64() > Some(0.0) && cost["p99_us"].as_f64() >= cost["median_us"].as_f64();
        assert!(is_measured && cost["calls"] == 5 && cost["failed"] == 0, "{cost}");
        // The first, and where instances are fresh those after a call that was heavy.
        let is_told =
            |made: i64| if cost["instances"] == "reused" { made == 1 } else { (1..=5).contains(&made) };
        assert!(cost["made"].as_i64().is_some_and(is_told), "{cost}");
    }
}

#[tokio::test]
async fn a_case_that_does_not_hold_is_told_with_its_line_and_both_sides() {
    let broken = CASES.replace("\"/cat.jpg\"", "\"/dog.jpg\"").replace("= 400", "= 404");

    let outcome = play(&Folder::new(), &broken, &[]).await;

    assert_eq!(outcome.code, Some(1), "{}{}", outcome.stdout, outcome.stderr);
    for told in [
        "FAIL the origin is asked for the original",
        "hook.test.toml:11: uri",
        "expected /dog.jpg",
        "found    /cat.jpg",
        "hook.test.toml:20: status",
        "expected 404",
        "found    400",
        "0 passed, 2 failed",
    ] {
        assert!(outcome.stdout.contains(told), "{told} in\n{}", outcome.stdout);
    }
}

#[tokio::test]
async fn a_limit_that_is_reached_is_a_failure_by_its_token() {
    let starved = CASES.replace("[hook]", "[hook]\nlimits = { memory = \"64KiB\" }");

    let outcome = play(&Folder::new(), &starved, &[]).await;

    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stdout.contains("fail, hook-memory"), "{}{}", outcome.stdout, outcome.stderr);
    let expected = starved
        .replace("outcome = \"next\"\nuri     = \"/cat.jpg\"\nheaders = { accept-encoding = false, host = \"www.test\" }", "fails = \"hook-memory\"")
        .replace("status  = 400\nbody    = { contains = \"64x64\" }", "fails = \"hook-memory\"");
    let outcome = play(&Folder::new(), &expected, &[]).await;
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
}

#[tokio::test]
async fn a_file_of_cases_that_is_wrong_is_refused_with_its_place() {
    for (from, to, told) in [
        ("status  = 400", "stauts  = 400", "hook.test.toml:20:1"),
        ("event   = \"origin-request\"\n", "", "the component answers several events"),
        ("\"https://www.test/cat.jpg?w=64&h=64\"", "\"/cat.jpg\"", "must be absolute"),
        ("[hook]\n", "[hook]\nlimit = {}\n", "hook.test.toml:2:1"),
    ] {
        let outcome = play(&Folder::new(), &CASES.replace(from, to), &[]).await;

        assert_eq!(outcome.code, Some(1), "{to}: {}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stderr.contains(told), "{told} in {}", outcome.stderr);
    }
}

#[tokio::test]
async fn a_folder_without_cases_or_component_says_what_to_do() {
    let folder = Folder::new();
    let outcome = folder.run(&["hook", "test"]).await;
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("hook.test.toml"), "{}", outcome.stderr);

    folder.write("hook.test.toml", CASES);
    let outcome = folder.run(&["hook", "test"]).await;
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("selvedge hook build"), "{}", outcome.stderr);
}

/// Where tools of npm and PyPI stay between runs, so that each is fetched once.
fn tools(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp has a parent");
    let folder = target.join("tools").join(name);
    std::fs::create_dir_all(&folder).expect("target/tools cannot be made");
    folder
}

/// `hook new`, `hook build` and `hook test` in a row, each to its good end.
async fn whole_loop(language: &str, events: &[&str]) -> Built {
    let folder = Folder::new();
    let mut new = vec!["hook", "new", "greet", "--lang", language];
    events.iter().for_each(|event| new.extend(["--event", event]));
    let made = folder.run(&new).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("selvedge hook build"), "{}", made.stdout);
    let greet = folder.path("greet");
    if greet.join("package.json").is_file() {
        // npm would put a folder in the place of a link, so it is asked before.
        let shared = tools(&format!("{language}-node"));
        let [wanted, there] = [&greet, &shared].map(|folder| std::fs::read(folder.join("package.json")).ok());
        if wanted != there || !shared.join("node_modules/.bin").is_dir() {
            std::fs::copy(greet.join("package.json"), shared.join("package.json")).expect("a copy");
            let npm = tokio::process::Command::new("npm").arg("install").current_dir(&shared).output().await;
            let npm = npm.expect("npm is missing; install it: apt-get install npm");
            assert!(npm.status.success(), "{}", String::from_utf8_lossy(&npm.stderr));
        }
        std::os::unix::fs::symlink(shared.join("node_modules"), greet.join("node_modules")).expect("a link");
    }
    if greet.join("requirements.txt").is_file() {
        std::os::unix::fs::symlink(tools(&format!("{language}-python")), greet.join(".venv"))
            .expect("a link");
    }

    let mut build = folder.command(&["hook", "build", "greet", "--json"]);
    build.env("CARGO_TARGET_DIR", tools("rust")).env_remove("CARGO_ENCODED_RUSTFLAGS");
    let built = tokio::time::timeout(std::time::Duration::from_secs(600), build.output()).await;
    let built = built.expect("the tools do not end").expect("the binary does not start");
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success(), "{}{said}", String::from_utf8_lossy(&built.stdout));
    let built: Value = serde_json::from_slice(&built.stdout).expect("JSON");

    let tested = folder.run(&["hook", "test", "greet"]).await;
    assert_eq!(tested.code, Some(0), "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("0 failed"), "{}", tested.stdout);

    let measured = folder.run(&["hook", "bench", "greet", "--calls", "50", "--json"]).await;
    let costs: Vec<Value> = serde_json::from_str(&measured.stdout).expect("a list in JSON");
    let made_fewer =
        |cost: &Value| cost["instances"] == "fresh" && cost["made"].as_u64() < cost["calls"].as_u64();

    let again = folder.run(&new).await;
    assert_eq!(again.code, Some(1), "a folder that is there was written over");
    Built { said: built, is_put_back: costs.iter().any(made_fewer) }
}

/// A hook that was begun, built and tested.
struct Built {
    /// By `hook build`.
    said: Value,
    /// Whether an instance that has answered is put back for the next call.
    is_put_back: bool,
}

const EVENTS: [&str; 4] = ["viewer-request", "origin-request", "origin-response", "viewer-response"];

#[tokio::test]
async fn a_hook_in_rust_is_begun_built_and_tested() {
    let built = whole_loop("rust", &EVENTS).await;

    assert_eq!(built.said["events"], Value::from(EVENTS.to_vec()));
    assert!(built.said["bytes"].as_u64() < Some(200 << 10), "{}", built.said);
    assert!(built.is_put_back, "hooks/README.md says which are");
}

#[tokio::test]
async fn a_hook_in_javascript_is_begun_built_and_tested() {
    let built = whole_loop("js", &EVENTS).await;

    assert_eq!(built.said["events"], Value::from(EVENTS.to_vec()));
    assert!(!built.is_put_back, "hooks/README.md says which are");
}

#[tokio::test]
async fn a_hook_in_python_is_begun_built_and_tested() {
    let built = whole_loop("python", &EVENTS).await;

    assert_eq!(built.said["events"], Value::from(EVENTS.to_vec()));
    assert!(built.is_put_back, "hooks/README.md says which are");
}

#[tokio::test]
async fn a_watching_node_reads_what_is_saved_and_outlives_what_is_broken() {
    let origin = Origin::start().await;
    let folder = Folder::new();
    let site = |status: &str| {
        format!(
            "{LOOPBACK}\n[site.\"www.test\"]\norigin = \"{}\"\n[[site.\"www.test\".route]]\npath = \"/*\"\n\
             headers = {{ set = {{ x-state = \"{status}\" }} }}\n",
            origin.url()
        )
    };
    folder.write("selvedge.toml", site("first"));
    let node = Node::spawn(folder, &["run", "--watch"]).await;
    let state = async || node.viewer().get("http://www.test/").await.headers.get("x-state").cloned();
    assert_eq!(state().await.unwrap(), "first");

    node.folder().write("selvedge.toml", site("second"));
    node.log_contains("changed: selvedge.toml").await;
    node.log_contains("reloaded").await;
    assert_eq!(state().await.unwrap(), "second");

    node.folder().write("selvedge.toml", "[site");
    node.log_contains("reload failed").await;
    assert_eq!(state().await.unwrap(), "second");

    node.folder().write("selvedge.toml", site("third"));
    eventually("the repaired config to be in force", async || (state().await? == "third").then_some(()))
        .await;
}

#[tokio::test]
async fn a_hook_in_c_is_begun_built_and_tested() {
    let built = whole_loop("c", &EVENTS[..1]).await;

    assert_eq!(built.said["events"], Value::from(EVENTS[..1].to_vec()));
    assert!(built.said["bytes"].as_u64() < Some(200 << 10), "{}", built.said);
    assert!(!built.is_put_back, "hooks/README.md says which are");
}
