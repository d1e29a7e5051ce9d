//! The example hooks, built with the SDK: what they export, import and weigh. What they do is told by their cases, which
//! `tests/e2e/examples.rs` plays.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use hooks::{Event, Inspection, WasmSource};
use support::{engine, examples};

const MAX_BYTES: u64 = 200 << 10;
const MAX_LINES: usize = 80;

fn inspect(name: &str) -> Inspection {
    Inspection::of(engine(), name, &WasmSource::File(examples()[name].clone())).unwrap()
}

fn beside(path: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    std::fs::read_to_string(folder.join(path)).unwrap()
}

#[test]
fn the_table_of_examples_says_what_each_answers() {
    let table = beside("README.md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| [")).collect();
    assert_eq!(rows.len(), examples().len(), "one row for each example");
    for name in examples().keys() {
        let row = rows.iter().find(|row| row.starts_with(&format!("| [{name}]({name}/src/lib.rs) |")));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        let said: Vec<&str> =
            row.split('|').nth(2).unwrap().split(',').map(|event| event.trim().trim_matches('`')).collect();
        let answered: Vec<&str> = inspect(name).events.into_iter().map(Event::as_str).collect();
        assert_eq!(answered, said, "{name} exports the events that it declares and no other");
    }
}

#[test]
fn a_hook_made_with_the_sdk_is_small_and_imports_what_it_uses() {
    for name in examples().keys() {
        let found = inspect(name);
        assert!(found.bytes <= MAX_BYTES, "{name} has {} bytes", found.bytes);
        let lines = beside(&format!("{name}/src/lib.rs")).lines().count();
        assert!(lines <= MAX_LINES, "{name} has {lines} lines: it is no short example");
        let fetches = found.imports.iter().any(|import| import.starts_with("selvedge:edge/fetch"));
        assert!(!fetches, "{name} imports requests that it does not send: {:?}", found.imports);
    }
}
