//! Compiles the builtin thumbnail hook to WebAssembly, so that every node carries it.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";

fn main() -> Result<(), Box<dyn Error>> {
    for path in [
        "thumbnail/src",
        "thumbnail/Cargo.toml",
        "../picture/src",
        "../picture/Cargo.toml",
        "wit",
        "build.rs",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let room = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    require_target()?;
    let target_dir = guest_target_dir(&out)?;
    build(&room.join("thumbnail/Cargo.toml"), &target_dir)?;
    let component = target_dir.join(TARGET).join("guest/thumbnail.wasm");
    fs::copy(&component, out.join("thumbnail.wasm")).map_err(|error| {
        format!("the thumbnail hook was built, but {} cannot be read: {error}", component.display())
    })?;
    Ok(())
}

/// A plain line for people who have not added the target, instead of a page about a missing `core`.
fn require_target() -> Result<(), Box<dyn Error>> {
    let rustc = env::var("RUSTC")?;
    let answer = Command::new(&rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let library = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    if answer.status.success() && library.is_dir() {
        return Ok(());
    }
    Err(format!(
        "the builtin hooks need the Rust target {TARGET}: run `rustup target add {TARGET}` and build again"
    )
    .into())
}

/// `<target>/guest`: a folder of its own, because cargo holds the lock of the outer one while this script runs.
fn guest_target_dir(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    // OUT_DIR is <target>/<profile>/build/hooks-<hash>/out, with the triple before the profile when cross-compiling.
    let build = out
        .ancestors()
        .find(|folder| folder.ends_with("build"))
        .ok_or("OUT_DIR has no folder called build")?;
    let target = build.parent().and_then(Path::parent).ok_or("OUT_DIR has no target folder")?;
    Ok(target.join("guest"))
}

fn build(manifest: &Path, target_dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args([
            "build",
            "--package",
            "thumbnail",
            "--lib",
            "--profile",
            "guest",
            "--locked",
            "--target",
            TARGET,
        ])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target_dir);
    // What the outer build was told (lints, coverage, a wrapper such as clippy's) is not meant for the guest.
    for name in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
        "__CARGO_FIX_PLZ",
    ] {
        cargo.env_remove(name);
    }
    cargo.env("RUSTFLAGS", "-Ctarget-feature=+simd128");
    let done = cargo.output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("the thumbnail hook does not build:\n{}", String::from_utf8_lossy(&done.stderr)).into())
}
