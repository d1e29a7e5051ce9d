//! Config files and the verbs that read them: a mistake is shown with its place, its cause and its remedy.

use tests::{Folder, LOOPBACK, Outcome};

const GOOD: &str = "[site.\"www.test\"]\norigin = \"http://127.0.0.1:9000\"\n";

async fn check(config: &str) -> Outcome {
    let folder = Folder::new();
    folder.write("selvedge.toml", config);
    folder.run(&["check", "selvedge.toml"]).await
}

#[tokio::test]
async fn a_good_config_passes() {
    let outcome = check(&format!("{LOOPBACK}{GOOD}")).await;

    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

#[tokio::test]
async fn a_mistake_is_exit_3_with_file_line_column_and_remedy() {
    let cases = [
        ("[site.\"a.test\"]\norgin = \"http://127.0.0.1:9\"\n", "selvedge.toml:2:1", "did you mean `origin`"),
        (
            "[site.\"a.test\"]\norigin = \"mian\"\n[origin.main]\nurl = \"http://127.0.0.1:9\"\n",
            "selvedge.toml:2:",
            "main",
        ),
        (
            "[origin.a]\nurl = \"http://127.0.0.1:9\"\nconnect-timeout = \"3 parsecs\"\n",
            "selvedge.toml:3:",
            "3 parsecs",
        ),
        ("[node]\nmemory = \"lots\"\n", "selvedge.toml:2:", "memory"),
        ("[site.\"a.test\"\norigin = \"x\"\n", "selvedge.toml:1:", ""),
        ("[sites.\"a.test\"]\norigin = \"http://127.0.0.1:9\"\n", "selvedge.toml:1:", "did you mean `site`"),
        ("[node]\nlisten = [\"gopher://127.0.0.1:70\"]\n", "selvedge.toml:2:", "gopher"),
    ];
    for (config, place, remedy) in cases {
        let outcome = check(config).await;
        assert_eq!(outcome.code, Some(3), "{config}\n{}", outcome.stderr);
        assert!(outcome.stderr.contains(place), "{config}\n{}", outcome.stderr);
        assert!(outcome.stderr.contains(remedy), "{config}\n{}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    }
}

#[tokio::test]
async fn run_refuses_what_check_refuses() {
    let folder = Folder::new();
    folder.write("selvedge.toml", "[site.\"a.test\"]\norgin = \"http://127.0.0.1:9\"\n");

    let outcome = folder.run(&["run", "--config", "selvedge.toml"]).await;

    assert_eq!(outcome.code, Some(3));
    assert!(outcome.stderr.contains("selvedge.toml:2:1"), "{}", outcome.stderr);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let outcome = Folder::new().run(&["run", "--config", "nowhere.toml"]).await;

    assert_eq!(outcome.code, Some(3));
    assert!(outcome.stderr.contains("nowhere.toml"), "{}", outcome.stderr);
}

#[tokio::test]
async fn all_settings_in_force_are_printed_and_may_be_used_as_a_config() {
    let folder = Folder::new();
    folder.write("selvedge.toml", format!("{LOOPBACK}{GOOD}"));

    let shown = folder.run(&["config", "selvedge.toml", "--effective"]).await;
    folder.write("effective.toml", &shown.stdout);
    let again = folder.run(&["check", "effective.toml"]).await;

    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("http://127.0.0.1:9000"), "{}", shown.stdout);
    assert!(shown.stdout.contains("default"), "defaults are marked: {}", shown.stdout);
    assert_eq!(again.code, Some(0), "{}\n{}", again.stderr, shown.stdout);
}

#[tokio::test]
async fn the_schema_is_json_and_knows_the_sections() {
    let outcome = Folder::new().run(&["config", "--schema"]).await;

    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let schema: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("not JSON");
    for section in
        ["node", "site", "origin", "origin-group", "cache-policy", "key", "key-group", "hook", "geo", "dns"]
    {
        assert!(schema["properties"][section].is_object(), "no {section}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_exit_2() {
    for arguments in [&["rum"][..], &["run", "--confg", "x"], &["proxy", "--from", "127.0.0.1:0"]] {
        let outcome = Folder::new().run(arguments).await;
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "stdout is data, stderr is talk");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    folder.write("selvedge.toml", format!("{}{GOOD}", LOOPBACK.replacen("127.0.0.1:0", &address, 1)));

    let outcome = folder.run(&["run", "--config", "selvedge.toml"]).await;

    assert!(outcome.code.is_some_and(|code| code != 0), "{:?}", outcome.code);
    assert!(outcome.stderr.contains(&address), "{}", outcome.stderr);
}
