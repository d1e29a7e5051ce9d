//! A short fuzz of every parser, on stable Rust: each file of a corpus is replayed as it is, then mutated.
//!
//! The mutations are the same in every run (a fixed seed), so a failure repeats. `FUZZ_ROUNDS` makes a run longer and
//! `FUZZ_SEED` another one. An input that once broke something belongs into `corpus/<parser>/` for good.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken rule must end its test at once, with the input that broke it"
)]

mod mutate;
mod parsers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use mutate::Mutator;

/// No parser may think longer than this about a few kilobytes, even unoptimised and on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Feeds `parser` the files in `folders` (below the package) and `rounds` mutations of them.
fn fuzz(folders: &[&str], rounds: u64, parser: impl Fn(&[u8])) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus: Vec<Vec<u8>> = folders.iter().flat_map(|folder| files(&package.join(folder))).collect();
    assert!(!corpus.is_empty(), "no files in {folders:?}");
    for input in &corpus {
        attempt(&parser, input, folders);
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let mut mutator = Mutator::new(number("FUZZ_SEED").unwrap_or(20_261_121), &corpus);
    for _ in 0..number("FUZZ_ROUNDS").unwrap_or(rounds) {
        attempt(&parser, &mutator.next(), folders);
    }
}

fn attempt(parser: &impl Fn(&[u8]), input: &[u8], folders: &[&str]) {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| parser(input)));
    let taken = begun.elapsed();
    let shown = input.escape_ascii();
    assert!(outcome.is_ok(), "this input breaks the parser; keep it in {}/: b\"{shown}\"", folders[0]);
    assert!(taken < PATIENCE, "this input takes {taken:?}; keep it in {}/: b\"{shown}\"", folders[0]);
}

/// The contents of all files below `folder`, in the order of their names.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &Path| if path.is_dir() { files(path) } else { vec![std::fs::read(path).unwrap()] };
    paths.iter().flat_map(|path| read(path)).collect()
}
