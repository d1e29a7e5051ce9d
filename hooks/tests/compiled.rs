//! A component is compiled once: kept on disk between starts, shared between configs.
#![allow(clippy::unwrap_used, reason = "helpers of stories fail as stories do")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use hooks::{Engine, EngineSettings, Event, Hook, WasmSource};
use support::{facts, on_one_core, request, settings};

fn load(engine: &Engine) -> (Hook, Duration) {
    let settings = settings(WasmSource::Builtin("thumbnail".into()), &[Event::OriginRequest], &[]);
    let begin = Instant::now();
    let hook = Hook::load(engine, "thumb", &settings).unwrap();
    (hook, begin.elapsed())
}

fn keeping(folder: &Path) -> Engine {
    let (engine, complaint) = Engine::keeping(folder, &EngineSettings::default()).unwrap();
    assert_eq!(complaint, None);
    engine
}

fn works(hook: &Hook) -> bool {
    on_one_core(hook.origin_request(request("/cat.jpg?w=8&h=8", &[]), &facts())).is_ok()
}

/// Files of native code below `folder`.
fn kept(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(kept(&entry.path())),
            false if entry.path().extension().is_none() => found.push(entry.path()),
            false => {}
        }
    }
    found
}

#[test]
fn the_next_start_finds_what_this_one_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, compiled) = load(&keeping(folder.path()));
    assert!(works(&hook));
    assert_eq!(kept(folder.path()).len(), 1, "one component, one file");
    let (hook, found) = load(&keeping(folder.path()));
    assert!(works(&hook));
    assert!(found * 4 < compiled, "compiled in {compiled:?}, found in {found:?}");
}

#[test]
fn native_code_that_was_cut_short_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    load(&keeping(folder.path()));
    let file = kept(folder.path()).remove(0);
    let whole = std::fs::read(&file).unwrap();
    for cut in [whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..cut]).unwrap();
        assert!(works(&load(&keeping(folder.path())).0), "{cut} bytes of {}", whole.len());
    }
}

#[test]
fn a_folder_that_cannot_be_used_costs_the_start_its_time_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let (engine, complaint) =
        Engine::keeping(&folder.path().join("file"), &EngineSettings::default()).unwrap();
    assert!(complaint.unwrap().contains("file"));
    assert!(works(&load(&engine).0));
}

#[test]
fn the_same_component_is_loaded_once_while_somebody_uses_it() {
    let engine = Engine::new().unwrap();
    let (first, compiled) = load(&engine);
    let (second, found) = load(&engine);
    assert!(found * 10 < compiled, "compiled in {compiled:?}, found in {found:?}");
    assert!(works(&first) && works(&second));
}
