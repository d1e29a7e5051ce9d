//! The folder of a hook: its name, its language, its component.

use hooks::{Engine, EngineSettings};
use std::io;
use std::path::{Path, PathBuf};

/// The name of a hook is that of its folder.
pub(super) fn name(folder: &Path) -> io::Result<String> {
    let folder = folder.canonicalize()?;
    Ok(folder.file_name().map_or_else(|| "hook".to_owned(), |name| name.to_string_lossy().into_owned()))
}

/// The component that `selvedge hook build` has written: `NAME.wasm`, else the only `.wasm` file of the folder.
pub(super) fn component(folder: &Path) -> Result<PathBuf, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", folder.display());
    let usual = folder.join(format!("{}.wasm", name(folder).map_err(unreadable)?));
    if usual.is_file() {
        return Ok(usual);
    }
    let files =
        std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    let mut found = files.iter().map(std::fs::DirEntry::path);
    let mut found =
        found.by_ref().filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(format!(
            "{} is not there yet: run `selvedge hook build {}`",
            usual.display(),
            folder.display()
        )),
        _ => Err(format!(
            "{} has several .wasm files and none is {}; name one",
            folder.display(),
            usual.display()
        )),
    }
}

/// The engine. What it compiles stays in the author's cache folder (XDG base directories): a component of another language than
/// Rust has megabytes, and `build` has compiled it already when `test` and `bench` come.
pub(super) fn engine() -> Result<Engine, String> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let engine = match cache {
        // Where it cannot be kept, it is compiled again.
        Some(cache) => Engine::keeping(&cache.join("selvedge/hooks"), &EngineSettings::default())
            .map(|(engine, _)| engine),
        None => Engine::new(),
    };
    engine.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_named_after_the_folder_or_the_only_one() {
        let root = std::env::temp_dir().join(format!("selvedge-folder-{:016x}", fastrand::u64(..)));
        let folder = root.join("greet");
        std::fs::create_dir_all(&folder).unwrap();
        assert!(component(&folder).unwrap_err().contains("selvedge hook build"));
        std::fs::write(folder.join("other.wasm"), "").unwrap();
        assert_eq!(component(&folder).unwrap(), folder.join("other.wasm"));
        std::fs::write(folder.join("another.wasm"), "").unwrap();
        assert!(component(&folder).unwrap_err().contains("several"));
        std::fs::write(folder.join("greet.wasm"), "").unwrap();
        assert_eq!(component(&folder).unwrap(), folder.join("greet.wasm"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
