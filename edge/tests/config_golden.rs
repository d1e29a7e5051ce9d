//! The golden config files: good ones load and mean the same when printed, bad ones say what is wrong and where, and
//! whatever becomes of either, reading it never panics.
//!
//! `SELVEDGE_BLESS=1` rewrites `bad/*.expected` with what is said now; read the difference before committing it.
#![allow(clippy::unwrap_used, reason = "test code: a broken step must end its test at once")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use edge::config::{ConfigErrors, Loaded, effective_toml};

const UNKNOWN: &str = "zzz-unknown";

fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/config").join(folder)
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no config", folder.display());
    files
}

fn parse(text: &str, file: &Path) -> Result<Loaded, ConfigErrors> {
    let name = file.file_name().unwrap().to_str().unwrap();
    Loaded::parse(text, name, file.parent().unwrap())
}

#[test]
fn good_files_load() {
    for file in toml_files(&golden("good")) {
        if let Err(errors) = Loaded::load(&file) {
            panic!("{errors}");
        }
    }
}

#[test]
fn good_files_mean_the_same_when_printed() {
    for file in toml_files(&golden("good")) {
        let loaded = Loaded::load(&file).unwrap();
        let text = effective_toml(&loaded).unwrap();
        let again = parse(&text, &file).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(again.config, loaded.config, "{}\n{text}", file.display());
        assert!(!effective_toml(&again).unwrap().contains("# default"), "{text}");
    }
}

#[test]
fn the_file_with_everything_sets_every_section() {
    let file = golden("good/everything.toml");
    let loaded = Loaded::load(&file).unwrap();
    let written = serde_json::to_value(&loaded.config).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&edge::config::schema()).unwrap();
    for section in schema["properties"].as_object().unwrap().keys().filter(|section| *section != "include") {
        assert!(!written[section].is_null(), "{section} is missing in {}", file.display());
    }
}

#[test]
fn bad_files_say_what_is_wrong_and_where() {
    let folder = golden("bad");
    for file in toml_files(&folder) {
        let errors = Loaded::load(&file).expect_err(&file.display().to_string());
        let said = errors.to_string().replace(&format!("{}/", folder.display()), "") + "\n";
        let expected = file.with_extension("expected");
        if std::env::var_os("SELVEDGE_BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(said, expected, "{}", file.display());
    }
}

#[test]
fn an_unknown_key_in_any_table_is_named_at_its_line() {
    let files = [toml_files(&golden("good")), toml_files(&golden("good/sites"))].concat();
    let mut tables = 0;
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        for (line, mutated) in with_unknown_key(&text) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let errors = parse(&mutated, file).expect_err(&mutated);
            let place = format!("{name}:{line}:");
            let named = errors
                .iter()
                .map(ToString::to_string)
                .any(|error| error.starts_with(&place) && error.contains(UNKNOWN));
            assert!(named, "{place} is not among\n{errors}\nfor\n{mutated}");
            tables += 1;
        }
    }
    assert!(tables > 60, "only {tables} tables were tried");
}

/// The text with an unknown key in one of its tables, for each table, and the line of that key.
fn with_unknown_key(text: &str) -> Vec<(usize, String)> {
    let mut mutated = vec![(1, format!("{UNKNOWN} = 1\n{text}"))];
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let after = offset + line.len();
        if line.starts_with('[') {
            mutated.push((index + 2, inserted(text, after, &format!("{UNKNOWN} = 1\n"))));
        }
        for (at, _) in line.match_indices("{ ") {
            mutated.push((index + 1, inserted(text, offset + at + 1, &format!(" {UNKNOWN} = 1,"))));
        }
        offset = after;
    }
    mutated
}

fn inserted(text: &str, at: usize, what: &str) -> String {
    format!("{}{what}{}", &text[..at], &text[at..])
}

/// Deterministic pseudo-random numbers (xorshift64*): a failure can be repeated.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        drawn as usize % bound.max(1)
    }
}

#[test]
fn no_damage_to_a_file_makes_reading_it_panic() {
    let files = [toml_files(&golden("good")), toml_files(&golden("bad"))].concat();
    let mut draw = Draw(0x5E1_7ED6E);
    for file in &files {
        let text = fs::read(file).unwrap();
        for _ in 0..120 {
            let damaged = damaged(&text, &mut draw);
            let read = catch_unwind(|| {
                if let Ok(loaded) = parse(&damaged, file) {
                    effective_toml(&loaded).unwrap();
                }
            });
            assert!(read.is_ok(), "this made reading panic:\n{damaged}");
        }
    }
}

fn damaged(text: &[u8], draw: &mut Draw) -> String {
    const PIECES: [&[u8]; 12] = [
        b"[",
        b"]",
        b"{",
        b"}",
        b"=",
        b"\"",
        b"\n",
        b".",
        b"-1",
        b"99999999999999999999",
        b"\xff\xc3\xa9",
        b"a.b.c",
    ];
    let mut bytes = text.to_vec();
    for _ in 0..=draw.below(4) {
        let at = draw.below(bytes.len() + 1);
        let until = (at + draw.below(12)).min(bytes.len());
        match draw.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..until)),
            2 => drop(bytes.splice(at..at, PIECES[draw.below(PIECES.len())].iter().copied())),
            3 => {
                let copy = bytes[at..until].to_vec();
                let to = draw.below(bytes.len() + 1);
                drop(bytes.splice(to..to, copy));
            }
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << draw.below(8)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn deep_and_large_files_are_refused_in_bounded_time() {
    let file = golden("good/smallest.toml");
    let many_sites: String =
        (0..20_000).map(|site| format!("[site.s{site}]\norigin = \"nowhere{site}\"\n")).collect();
    let many_keys: String = (0..100_000).map(|key| format!("key{key} = 1\n")).collect();
    for (what, text) in [
        ("arrays in arrays", format!("a = {}", "[".repeat(200_000))),
        ("tables in tables", format!("a = {}", "{a=".repeat(200_000))),
        ("a long dotted key", format!("{}a = 1", "a.".repeat(200_000))),
        ("a long table name", format!("[{}a]", "a.".repeat(200_000))),
        ("many unknown keys", many_keys),
        ("many dangling references", many_sites),
        ("one long word", format!("[node]\nname = \"{}\"", "x".repeat(4_000_000))),
        ("one long unknown key", format!("{} = 1", "x".repeat(1_000_000))),
    ] {
        let errors = parse(&text, &file).err().unwrap_or_else(|| panic!("{what} was taken"));
        assert!(errors.len() <= 100, "{what}: {} errors", errors.len());
    }
}
