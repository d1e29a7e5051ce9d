//! Hooks that are configured wrongly: found before the node takes traffic.

use tests::{Folder, LOOPBACK};

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
