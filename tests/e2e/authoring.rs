//! The hook author's loop: from nothing to a hook that is tested.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Folder, Outcome};

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
