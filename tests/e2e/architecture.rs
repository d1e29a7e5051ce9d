//! The map is tested: the tables of ARCHITECTURE.md against the manifests and the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["common", "core", "helper", "helpers", "misc", "types", "util", "utils"];
const MAX_FILE: usize = 600;
const MAX_FUNCTION: usize = 100;
const MAX_PIPELINE: usize = 300;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the project").to_owned()
}

fn map() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is missing")
}

/// The rows of the table whose first heading is `heading`: the cells of each, without backticks.
fn table(document: &str, heading: &str) -> Vec<(String, Vec<String>)> {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
    };
    let start =
        |line: &&str| line.starts_with('|') && cells(line).first().is_some_and(|cell| cell == heading);
    let rows =
        document.lines().skip_while(|line| !start(line)).skip(2).take_while(|line| line.starts_with('|'));
    let list = |cell: &str| {
        cell.split(',').map(|item| item.trim().to_owned()).filter(|item| is_name(item)).collect()
    };
    rows.map(|row| {
        let row = cells(row);
        (row[0].clone(), list(row.get(1).map_or("", String::as_str)))
    })
    .collect()
}

/// A cell may say `nothing` or `—` for an empty list.
fn is_name(item: &str) -> bool {
    !item.is_empty() && item != "nothing" && item.is_ascii()
}

struct Package {
    name: String,
    folder: PathBuf,
    /// Names of all it depends on, with the kind (`normal`, `dev`, `build`).
    dependencies: BTreeSet<(String, String)>,
}

/// The packages of the workspace, as cargo sees them.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo does not start");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let dependency = |value: &serde_json::Value| {
        (text(&value["name"]), value["kind"].as_str().unwrap_or("normal").to_owned())
    };
    let package = |value: &serde_json::Value| Package {
        name: text(&value["name"]),
        folder: PathBuf::from(text(&value["manifest_path"]))
            .parent()
            .expect("a manifest lies in a folder")
            .to_owned(),
        dependencies: list(&value["dependencies"]).iter().map(dependency).collect(),
    };
    list(&metadata["packages"]).iter().map(package).collect()
}

/// The name under which the map speaks of a package: the example hooks are one room.
fn room(package: &Package) -> &str {
    let is_example = package.folder.starts_with(root().join("hooks/examples"));
    if is_example { "examples" } else { &package.name }
}

/// All Rust files below `folder`, as paths from the project's root.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The code that ships: without comments and without the tests at the file's end.
fn shipped(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether `code` names the Rust path `path`, in full or inside the braces of a `use`.
fn names(code: &str, path: &str) -> bool {
    let word = |text: &str| text.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    let starts =
        |position: usize| !code[..position].ends_with(|last: char| last.is_alphanumeric() || last == '_');
    if code.match_indices(path).any(|(position, _)| starts(position) && !word(&code[position + path.len()..]))
    {
        return true;
    }
    let Some((head, rest)) = path.split_once("::") else { return false };
    code.match_indices(&format!("{head}::{{")).any(|(position, opening)| {
        let group = code[position + opening.len()..].split(';').next().unwrap_or_default();
        starts(position)
            && group
                .split([',', '{', '}', ' ', '\n'])
                .any(|item| item == rest || item.starts_with(&format!("{rest}::")))
    })
}

#[test]
fn rooms_use_exactly_the_rooms_that_the_map_allows() {
    let packages = packages();
    let rooms: BTreeSet<&str> = packages.iter().map(room).collect();
    let allowed: BTreeMap<String, BTreeSet<String>> =
        table(&map(), "room").into_iter().map(|(room, uses)| (room, uses.into_iter().collect())).collect();

    for package in &packages {
        let uses: BTreeSet<String> = package
            .dependencies
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| rooms.contains(name.as_str()))
            .collect();
        let expected = allowed
            .get(room(package))
            .unwrap_or_else(|| panic!("{} has no row in ARCHITECTURE.md", package.name));
        assert_eq!(&uses, expected, "the rooms that {} uses, left as built, right as drawn", package.name);
    }
    for room in allowed.keys() {
        assert!(rooms.contains(room.as_str()), "ARCHITECTURE.md draws {room}, which is no package");
    }
}

#[test]
fn engines_stay_in_the_places_that_the_map_gives_them() {
    let packages = packages();
    let rows = table(&map(), "crate");
    assert!(!rows.is_empty(), "ARCHITECTURE.md has no table of crates");

    let mut escaped = Vec::new();
    for (engine, places) in &rows {
        let path = engine.replace('-', "_");
        for package in packages.iter().filter(|package| package.name != "tests" && package.name != "bench") {
            for file in sources(&package.folder.join("src")) {
                let shown = shown(&file);
                let inside =
                    places.iter().any(|place| shown == *place || shown.starts_with(&format!("{place}/")));
                let test = shown.ends_with("tests.rs") || shown.contains("/tests/");
                if !inside && !test && names(&shipped(&read(&file)), &path) {
                    escaped.push(format!("{shown} uses {engine}, which belongs to {}", places.join(", ")));
                }
            }
        }
    }
    assert!(escaped.is_empty(), "{escaped:#?}");
}

#[test]
fn engines_are_dependencies_only_of_the_rooms_that_the_map_gives_them() {
    for (engine, places) in table(&map(), "crate") {
        if engine.contains("::") {
            continue;
        }
        let homes: BTreeSet<&str> = places.iter().filter_map(|place| place.split('/').next()).collect();
        for package in packages().iter().filter(|package| package.name != "tests" && package.name != "bench")
        {
            let ships = package.dependencies.iter().any(|(name, kind)| *name == engine && kind == "normal");
            let home = homes.contains(package.name.as_str());
            assert!(
                home || !ships,
                "{} depends on {engine}, which belongs to {}",
                package.name,
                places.join(", ")
            );
        }
    }
}

#[test]
fn every_place_in_the_map_exists() {
    let map = map();
    let rooms =
        map.split("\n## ").find(|section| section.starts_with("The rooms")).expect("no section `The rooms`");
    let paths = rooms
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| quoted.contains('/') && !quoted.contains([' ', '<', '*', '\n']));
    let mut count = 0;
    for path in paths {
        count += 1;
        assert!(root().join(path).exists(), "ARCHITECTURE.md speaks of {path}, which is not there");
    }
    for (engine, places) in table(&map, "crate") {
        for place in places {
            assert!(
                root().join(&place).exists(),
                "ARCHITECTURE.md puts {engine} into {place}, which is not there"
            );
        }
    }
    assert!(count >= 8, "the section on the rooms names only {count} paths");
}

#[test]
fn no_host_crate_may_contain_unsafe_code() {
    for package in packages() {
        let library = package.folder.join("src/lib.rs");
        let guest = package.folder.starts_with(root().join("hooks")) && package.name != "hooks";
        if guest || !library.exists() {
            continue;
        }
        assert!(read(&library).contains("#![forbid(unsafe_code)]"), "{} allows unsafe code", shown(&library));
    }
}

#[test]
fn every_name_says_what_is_inside() {
    for package in packages() {
        assert!(!EMPTY_NAMES.contains(&package.name.as_str()), "package {}", package.name);
        for file in sources(&package.folder) {
            let parts =
                file.strip_prefix(&package.folder).expect("a source lies in its package").with_extension("");
            for part in parts.iter().map(|part| part.to_string_lossy()) {
                assert!(!EMPTY_NAMES.contains(&part.as_ref()), "{}", shown(&file));
            }
            let code = read(&file);
            for name in EMPTY_NAMES {
                assert!(!names(&code, &format!("mod {name}")), "module {name} in {}", shown(&file));
            }
        }
    }
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Vec::new();
    for file in sources(&root()) {
        let source = read(&file);
        let lines = source.lines().count();
        let limit = if file.ends_with("edge/src/pipeline.rs") { MAX_PIPELINE } else { MAX_FILE };
        if lines > limit {
            long.push(format!("{} has {lines} lines", shown(&file)));
        }
        for (line, length) in functions(&source) {
            if length > MAX_FUNCTION {
                long.push(format!("{}:{line} is a function of {length} lines", shown(&file)));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// Where functions start, and how many lines they have. rustfmt puts the closing brace under the first letter.
fn functions(source: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    let starts = |line: &str| {
        let words = line.split_whitespace().take_while(|word| !word.contains('('));
        let heads = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "fn"];
        line.contains('(')
            && line.contains("fn ")
            && line
                .split_whitespace()
                .next()
                .is_some_and(|word| heads.contains(&word) || word.starts_with("pub("))
            && words.count() < 8
    };
    let length = |start: usize| {
        let indent = &lines[start][..lines[start].len() - lines[start].trim_start().len()];
        let same = |line: &&str| {
            line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with(' ') && !rest.is_empty())
        };
        let next = lines[start + 1..].iter().position(|line| {
            same(line) && !line.trim_start().starts_with([')', '{']) && line.trim() != "where"
        });
        let end = start + 1 + next?;
        lines[end].trim_start().starts_with('}').then_some(end - start + 1)
    };
    (0..lines.len())
        .filter(|&line| starts(lines[line]))
        .filter_map(|line| Some((line + 1, length(line)?)))
        .collect()
}

#[test]
fn the_measuring_is_right() {
    let source = "fn one() {\n    1\n}\n\nimpl A {\n    pub(crate) async fn two(\n        a: u8,\n    ) {\n        a;\n    }\n    fn none();\n}\n";
    assert_eq!(functions(source), [(1, 3), (6, 5)]);
    assert!(names("use hyper_util::{rt::TokioIo, client::legacy::Client};", "hyper_util::client"));
    assert!(names("let a = hyper_util::client::legacy();", "hyper_util::client"));
    assert!(!names("use hyper_util::{rt::TokioIo, server::conn};", "hyper_util::client"));
    assert!(names("use moka::sync::Cache;", "moka"));
    assert!(!names("let mokapot = 1;", "moka"));
    let text = "| room | may use |\n|---|---|\n| `edge` | `cache`, geo |\n| geo | nothing |\n\nend";
    let rows = [("edge".to_owned(), vec!["cache".to_owned(), "geo".to_owned()]), ("geo".to_owned(), vec![])];
    assert_eq!(table(text, "room"), rows);
}
