//! Hooks for stories, built from the guests of the hooks room.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The component that fetches, stores, reads and rewrites as its config says.
pub(crate) fn outward() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| build("outward"))
}

/// A component that says `words`: a version of its own.
pub(crate) fn spoken(words: &str) -> Vec<u8> {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    const PLACE: &[u8] = b"words of a story: ";
    const ROOM: usize = 30;
    let mut component = std::fs::read(GUEST.get_or_init(|| build("spoken"))).expect("it was built");
    let at = component.windows(PLACE.len()).position(|there| there == PLACE).expect("the words are in it");
    let room = &mut component[at + PLACE.len()..][..ROOM];
    room.fill(b' ');
    room[..words.len()].copy_from_slice(words.as_bytes());
    component
}

/// The component that tries what the contract offers beside messages, as its config says.
pub(crate) fn offered() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| build("offered"))
}

/// The component that is an origin and does what the path says.
pub(crate) fn serving() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| build("serving"))
}

/// The component that loops, traps, grows and so on as its config or the request says.
pub(crate) fn misbehaving() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| build("misbehaving"))
}

fn build(guest: &str) -> PathBuf {
    // Beside the guests that the build itself makes, whose crates it shares.
    let target =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder").join("guest");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the project");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--package", "thumbnail", "--example", guest, "--profile", "guest", "--locked"])
        .args(["--target", "wasm32-wasip2", "--config", "profile.guest.strip=false", "--manifest-path"])
        .arg(root.join("hooks/thumbnail/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-Ctarget-feature=+simd128")
        .output()
        .expect("cargo does not start");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("wasm32-wasip2/guest/examples").join(guest).with_extension("wasm")
}
