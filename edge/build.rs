//! Packs what `selvedge hook new` writes into the binary: the contract, the SDK, templates, and bindings for C.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

const EVENTS: [&str; 4] = ["viewer-request", "origin-request", "origin-response", "viewer-response"];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let hooks = root.join("hooks");
    for watched in ["hooks/wit", "hooks/templates", "hooks/sdk/rust", "Cargo.toml", "edge/build.rs"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let mut code = String::new();
    list(&mut code, "WIT", &files(&hooks.join("wit"))?)?;
    let mut sdk = files(&hooks.join("sdk/rust/src"))?;
    sdk.iter_mut().for_each(|(name, _)| name.insert_str(0, "src/"));
    sdk.push(("README.md".into(), hooks.join("sdk/rust/README.md")));
    sdk.push(("Cargo.toml".into(), standalone(&root, &out)?));
    list(&mut code, "SDK", &sdk)?;
    for (name, folder) in [("ANY", "any"), ("RUST", "rust"), ("JS", "js"), ("PYTHON", "python"), ("C", "c")] {
        list(&mut code, name, &files(&hooks.join("templates").join(folder))?)?;
    }
    for event in EVENTS {
        let name = event.to_uppercase().replace('-', "_");
        list(&mut code, &name, &bindings(&hooks.join("wit"), event, &out.join(event))?)?;
    }
    fs::write(out.join("embedded.rs"), code)?;
    Ok(())
}

/// A constant of names and contents.
fn list(code: &mut String, name: &str, files: &[(String, PathBuf)]) -> Outcome<()> {
    writeln!(code, "pub(super) const {name}: &[(&str, &[u8])] = &[")?;
    for (name, path) in files {
        writeln!(code, "    ({name:?}, include_bytes!({:?})),", path.to_string_lossy())?;
    }
    writeln!(code, "];")?;
    Ok(())
}

/// All files below a folder by their paths in it.
fn files(folder: &Path) -> Outcome<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().ok_or("a file without a name")?.to_string_lossy().into_owned();
        if path.is_dir() {
            let below = files(&path)?;
            found.extend(below.into_iter().map(|(below, path)| (format!("{name}/{below}"), path)));
        } else {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The SDK's manifest without this workspace around it: what it takes from there is written out.
fn standalone(root: &Path, out: &Path) -> Outcome<PathBuf> {
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest = fs::read_to_string(root.join("hooks/sdk/rust/Cargo.toml"))?;
    let mut text = String::new();
    for line in manifest.replace("[lints]\nworkspace = true\n", "").lines() {
        match line.split_once(".workspace = true") {
            Some((key, _)) => {
                let given = workspace.lines().find(|line| line.starts_with(&format!("{key} = ")));
                writeln!(text, "{}", given.ok_or_else(|| format!("the workspace has no {key}"))?)?;
            }
            None => writeln!(text, "{line}")?,
        }
    }
    let path = out.join("sdk-Cargo.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// What C sees of the contract, for a hook of one event.
fn bindings(wit: &Path, event: &str, out: &Path) -> Outcome<Vec<(String, PathBuf)>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some(&format!("{event}-hook")))?;
    let options = wit_bindgen_c::Opts {
        rename_world: Some("hook".into()),
        // The engine refuses an answer while a borrowed request or response is still held.
        autodrop_borrows: wit_bindgen_c::Enabled::Yes,
        ..Default::default()
    };
    let mut made = Files::default();
    options.build().generate(&mut resolve, world, &mut made)?;
    fs::create_dir_all(out)?;
    let write = |(name, contents): (&str, &[u8])| {
        let path = out.join(name);
        fs::write(&path, contents)?;
        Ok((name.to_owned(), path))
    };
    made.iter().map(write).collect()
}
