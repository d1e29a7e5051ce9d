//! Hooks that are configured wrongly: found before the node takes traffic.

use std::path::PathBuf;

use http_body_util::Full;
use tests::{Folder, LOOPBACK, Node, Origin, Viewer};

use crate::{guest, site};

fn config(hook: &str) -> String {
    let site =
        "[site.\"www.test\"]\norigin = \"http://127.0.0.1:9\"\n[[site.\"www.test\".route]]\npath = \"/*\"\n";
    format!("{LOOPBACK}\n{site}hooks = [\"broken\"]\n[hook.broken]\n{hook}\n")
}

/// What `check` says of this hook; it is to refuse it.
async fn complaint(folder: &Folder, hook: &str) -> String {
    folder.write("selvedge.toml", config(hook));
    let outcome = folder.run(&["check", "selvedge.toml"]).await;
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    outcome.stderr
}

#[tokio::test]
async fn a_module_that_is_not_wasm_is_refused_by_name() {
    let folder = Folder::new();
    folder.write("broken.wasm", "this is no module");

    let said = complaint(&folder, "wasm = \"broken.wasm\"\non = \"origin-response\"").await;

    assert!(said.contains("broken.wasm"), "{said}");
}

#[tokio::test]
async fn a_module_cut_in_half_is_refused() {
    let folder = Folder::new();
    folder.write("broken.wasm", b"\0asm\x0d\0\x01\0\x07");

    let said = complaint(&folder, "wasm = \"broken.wasm\"\non = \"origin-response\"").await;

    assert!(said.contains("broken.wasm"), "{said}");
}

#[tokio::test]
async fn a_module_that_is_not_there_is_refused() {
    let said = complaint(&Folder::new(), "wasm = \"nowhere.wasm\"\non = \"origin-response\"").await;

    assert!(said.contains("nowhere.wasm"), "{said}");
}

#[tokio::test]
async fn an_event_that_does_not_exist_is_refused_with_its_place() {
    let said = complaint(&Folder::new(), "wasm = \"builtin:thumbnail\"\non = \"origin-answer\"").await;

    assert!(said.contains("origin-answer") && said.contains("selvedge.toml:"), "{said}");
}

#[tokio::test]
async fn a_builtin_that_does_not_exist_is_refused() {
    let said = complaint(&Folder::new(), "wasm = \"builtin:thumbnails\"\non = \"origin-response\"").await;

    assert!(said.contains("thumbnails"), "{said}");
}

/// A folder where a node has run whose hook was deployed in another version: its config, and that version's file.
async fn deployed() -> (Folder, String, PathBuf) {
    let (origin, folder) = (Origin::start().await, Folder::new());
    folder.write("hook.wasm", std::fs::read(guest::misbehaving()).unwrap());
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\nhooks = [\"greet\"]\n";
    let config =
        format!("{}\n{route}[hook.greet]\nwasm = \"hook.wasm\"\non = \"origin-request\"\n", site(&origin));
    let node = Node::start_in(folder, &config).await;
    let admin = node.admin();
    let request = http::Request::post(format!("http://{admin}/hooks/greet/deploy"))
        .header("content-type", "application/wasm")
        .body(Full::from(std::fs::read(guest::outward()).unwrap()))
        .unwrap();
    let reply = Viewer::http(admin).send(request).await;
    let report: serde_json::Value = serde_json::from_str(&reply.text()).unwrap();
    let version = report["live"].as_str().unwrap_or_else(|| panic!("{}", reply.text())).to_owned();
    let folder = node.stop().await;
    let file = folder.path(&format!("state/hooks/greet/{version}.wasm"));
    assert!(file.exists(), "{}", file.display());
    (folder, config, file)
}

/// What `check` warns of; nothing of it keeps a node from starting.
async fn warned(folder: &Folder, config: &str) -> String {
    folder.write("selvedge.toml", config);
    let outcome = folder.run(&["check", "selvedge.toml"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome.stderr
}

#[tokio::test]
async fn a_check_finds_what_is_wrong_with_versions_that_were_deployed() {
    let (folder, config, file) = deployed().await;
    let said = warned(&folder, &config).await;
    assert!(!said.contains("warning"), "all is well: {said}");

    // The config's own component answers that event too; the one that was deployed does not.
    let other = config.replace("\"origin-request\"", "[\"origin-request\", \"viewer-response\"]");
    let said = warned(&folder, &other).await;
    assert!(said.contains("does not export selvedge:edge/viewer-response"), "{said}");
    assert!(said.contains("deploy one that fits, or roll back"), "{said}");

    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let said = warned(&folder, &config).await;
    assert!(
        said.contains("selvedge.toml:") && said.contains("is not what was written; deploy it again"),
        "{said}"
    );

    std::fs::remove_file(&file).unwrap();
    let said = warned(&folder, &config).await;
    assert!(said.contains("was deployed, but") && said.contains("; deploy it again"), "{said}");
    assert!(said.contains("the component that the config names serves"), "{said}");

    folder.write("state/hooks/greet/versions.json", "{");
    let said = warned(&folder, &config).await;
    assert!(said.contains("versions.json cannot be used"), "{said}");
}
