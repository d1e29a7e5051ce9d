//! `selvedge check` and `selvedge config`, by the binary itself: exit codes, and what goes to which stream.
#![allow(clippy::unwrap_used, reason = "test code: a broken step must end its test at once")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/config")
}

fn selvedge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_selvedge")).args(arguments).current_dir(golden()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_good_file_is_ok_and_says_so_as_talk() {
    let output = selvedge(&["check", "good/smallest.toml"]);
    assert_eq!(text(&output.stderr), "good/smallest.toml: ok: 1 site\n");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), ""));
    assert!(!golden().join("good/.selvedge").exists(), "a check leaves no traces");
}

#[test]
fn what_reads_well_but_cannot_be_built_is_told_at_its_section() {
    let output = selvedge(&["check", "good/hooks.toml"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    // The component of that hook is a stand-in.
    assert!(said.starts_with("good/hooks.toml:19:7: hook \"auth\": "), "{said}");
}

#[test]
fn a_wrong_config_ends_with_3_and_an_unknown_option_with_2() {
    let output = selvedge(&["check", "bad/unknown-key.toml"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).starts_with(
        "bad/unknown-key.toml:3:1: unknown key `orgin` in [site.www]\n  did you mean `origin`?\n"
    ));
    assert_eq!(selvedge(&["check", "--unknown"]).status.code(), Some(2));
    assert_eq!(selvedge(&["chek"]).status.code(), Some(2));
    assert_eq!(selvedge(&["--help"]).status.code(), Some(0));
}

#[test]
fn errors_are_data_when_asked_for_as_json() {
    let output = selvedge(&["check", "--json", "bad/no-such-names.toml"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(3), ""));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    let first = &answer["errors"][0];
    assert_eq!((&first["line"], &first["column"]), (&5.into(), &19.into()));
    assert!(first["message"].as_str().unwrap().contains("`bucket`"));
}

#[test]
fn an_absent_file_tells_how_to_start() {
    let output = selvedge(&["check"]);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.starts_with("selvedge.toml: there is no such file\n"), "{said}");
    assert!(said.contains("selvedge proxy --from :8080 --to http://127.0.0.1:9000"), "{said}");
}

#[test]
fn the_effective_config_and_the_schema_are_data() {
    let output = selvedge(&["config", "good/smallest.toml", "--effective"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    assert!(text(&output.stdout).contains("\nthreads = 0  # default\n"));
    assert!(text(&output.stdout).contains("\norigin = \"http://127.0.0.1:9000\"\n"));

    let json: serde_json::Value =
        serde_json::from_slice(&selvedge(&["config", "good/smallest.toml", "--json"]).stdout).unwrap();
    assert_eq!(json["config"]["node"]["threads"], 0);

    let schema: serde_json::Value =
        serde_json::from_slice(&selvedge(&["config", "--schema"]).stdout).unwrap();
    assert_eq!(schema["properties"]["site"]["type"], "object");
}

#[test]
fn a_public_route_before_a_signed_one_is_warned_of() {
    let output = selvedge(&["check", "good/shadowed.toml"]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    assert!(
        said.starts_with("good/shadowed.toml:15:10: warning: `/private/*` is signed but never reached"),
        "{said}"
    );
    let json = selvedge(&["check", "--json", "good/shadowed.toml"]).stdout;
    let answer: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(answer["warnings"][0]["line"], 15);
}

#[test]
fn shells_get_a_script_that_knows_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let output = selvedge(&["completion", shell]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
        assert!(text(&output.stdout).contains("check"), "{shell}");
    }
}
