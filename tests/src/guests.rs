//! The example hooks as components, built as their readers would build them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folders of `hooks/examples`.
///
/// # Panics
/// When they cannot be listed.
#[must_use]
pub fn example_folders() -> Vec<PathBuf> {
    let folder = project().join("hooks/examples");
    let entries = std::fs::read_dir(&folder).expect("hooks/examples is there");
    let mut folders: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    folders.retain(|path| path.join("Cargo.toml").exists());
    folders.sort();
    assert!(!folders.is_empty(), "{} holds no examples", folder.display());
    folders
}

/// The component of an example hook; the first call builds all of them.
///
/// # Panics
/// When they do not build, or there is none of this name.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    static COMPONENTS: OnceLock<PathBuf> = OnceLock::new();
    let file = COMPONENTS.get_or_init(build).join(format!("{}.wasm", name.replace('-', "_")));
    assert!(file.exists(), "{} was not built", file.display());
    file
}

/// With the profile and in the folder of the builtin hooks, so that what they share is compiled once.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let target = test.ancestors().nth(3).expect("cargo puts tests into target/<profile>/deps").join("guest");
    let folders = example_folders();
    let names = folders.iter().filter_map(|folder| folder.file_name());
    let built = Command::new(env!("CARGO"))
        .arg("build")
        .args(names.flat_map(|name| ["--package".as_ref(), name]))
        .args(["--profile", "guest", "--locked", "--target", "wasm32-wasip2", "--target-dir"])
        .arg(&target)
        .current_dir(project())
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-Ctarget-feature=+simd128")
        .output()
        .expect("cargo does not start");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("wasm32-wasip2/guest")
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the project")
}
