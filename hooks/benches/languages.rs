//! What a call costs in other languages, as `calls` measures it for Rust: the hooks of `benches/languages`, or others that
//! do the same. `COMPONENTS="js=…/editing.wasm python=…/editing.wasm" cargo bench -p hooks --bench languages`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that cannot run has failed, and it talks"
)]

mod cost;
#[path = "../tests/support/mod.rs"]
mod support;

use hooks::{Event, Hook, HookSettings, ReuseSettings, WasmSource};
use support::engine;

const ROUNDS: usize = 9;
const CALLS: u32 = 500;

const MISSING: &str = "COMPONENTS names no components; build them, and name them as LANGUAGE=FILE with spaces between:
  selvedge hook new editing-js --lang js
  cp hooks/benches/languages/hook.js editing-js/ && selvedge hook build editing-js
  selvedge hook new editing-python --lang python
  cp hooks/benches/languages/app.py editing-python/ && selvedge hook build editing-python
  COMPONENTS=\"js=$PWD/editing-js/editing-js.wasm python=$PWD/editing-python/editing-python.wasm\" cargo bench -p hooks --bench languages";

fn main() {
    let components = std::env::var("COMPONENTS").unwrap_or_default();
    let components: Vec<_> = components.split_whitespace().filter_map(|one| one.split_once('=')).collect();
    if components.is_empty() {
        eprintln!("{MISSING}");
        std::process::exit(1);
    }
    let mut subjects = vec![("no hook".to_owned(), None)];
    for (language, file) in components {
        for reuse in [None, Some(ReuseSettings::default())] {
            let how = if reuse.is_some() { "reused" } else { "fresh" };
            let wasm = WasmSource::File(file.into());
            let settings = HookSettings { reuse, ..HookSettings::new(wasm, vec![Event::ViewerRequest]) };
            let hook = Hook::load(engine(), language, &settings).unwrap();
            subjects.push((format!("{language}, {how}"), Some(hook)));
        }
    }
    cost::compare(&subjects, cost::number("CALLS", CALLS), cost::number("ROUNDS", ROUNDS));
}
