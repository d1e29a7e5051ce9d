//! What a call costs, of a hook in Rust. `cargo bench -p hooks`; `languages` has those in other languages. And what
//! loading a component costs, the thumbnail hook's: compiled, found on disk, shared; with the first call after it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot run has failed, and it talks"
)]

mod cost;
#[path = "../tests/support/mod.rs"]
mod support;

use cost::processor_time;
use hooks::{Engine, EngineSettings, Event, Hook, WasmSource};
use support::{engine, facts, guest, on_one_core, request, settings};

const ROUNDS: usize = 15;
const CALLS: u32 = 20_000;

fn main() {
    loads();
    calls();
}

fn loads() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(WasmSource::Builtin("thumbnail".into()), &[Event::OriginRequest], &[]);
    let load = |engine: &Engine, how: &str| {
        let begin = processor_time();
        let hook = Hook::load(engine, "thumb", &settings).unwrap();
        let loaded = processor_time();
        on_one_core(hook.origin_request(request("/cat.jpg?w=8&h=8", &[]), &facts())).unwrap();
        let called = processor_time();
        println!(
            "{how:>10}: {:7.3} ms to load, {:.3} ms for the first call",
            (loaded - begin).as_secs_f64() * 1e3,
            (called - loaded).as_secs_f64() * 1e3
        );
        hook
    };
    drop(load(&Engine::keeping(folder.path(), &EngineSettings::default()).unwrap().0, "compiled"));
    let engine = Engine::keeping(folder.path(), &EngineSettings::default()).unwrap().0;
    let _found = load(&engine, "from disk");
    load(&engine, "shared");
}

fn calls() {
    let load = |adjust: fn(&mut hooks::HookSettings)| {
        let mut settings = settings(WasmSource::File(guest("editing")), &[Event::ViewerRequest], &[]);
        settings.limits = hooks::LimitSettings::default();
        adjust(&mut settings);
        Hook::load(engine(), "editing", &settings).unwrap()
    };
    let subjects = [
        ("no hook".to_owned(), None),
        ("fresh".to_owned(), Some(load(|_| {}))),
        ("reused".to_owned(), Some(load(|settings| settings.reuse = Some(hooks::ReuseSettings::default())))),
    ];
    cost::compare(&subjects, cost::number("CALLS", CALLS), cost::number("ROUNDS", ROUNDS));
}
