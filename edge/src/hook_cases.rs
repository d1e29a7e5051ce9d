//! Cases of hooks: a request in, what is expected out, played against the real engine without a node around it.
//!
//! A file of cases is TOML; [`file`] is the format, `docs/hooks.md` tells authors about it.

mod belongings;
pub mod file;
mod judge;
mod origins;
mod play;
mod scene;

pub use judge::Difference;
pub use play::Seen;

use crate::config::ConfigError;
use belongings::Belongings;
use file::CaseFile;
use hooks::{Engine, Hook, HookError, HookSettings, Inspection, Lineage, WasmSource};
use serde::Deserialize as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why cases could not be played.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The file of cases, or what it names, is wrong.
    #[error("{0}")]
    File(ConfigError),
    /// The component cannot be this hook.
    #[error("{0}")]
    Hook(#[from] HookError),
    /// What it needs around it could not be made.
    #[error("a case cannot be set up: {0}")]
    Setup(#[from] std::io::Error),
}

/// What one case came to.
#[derive(Debug)]
pub struct Verdict {
    /// What the case checks, in its author's words.
    pub name: String,
    /// Where it stands in the file, from 1.
    pub line: usize,
    /// What was expected and not found; empty when the case holds.
    pub differences: Vec<Difference>,
    /// Processor time of the call, the making of its instance included.
    pub cpu: Duration,
    /// Bytes of the instance's memories at the end.
    pub memory: u64,
}

/// Plays every case of a file against a component, in order, each in a call of its own.
///
/// # Errors
/// [`CaseError`], before the first case is played where the file itself is wrong.
pub fn play(engine: &Engine, cases: &Path, wasm: &Path) -> Result<Vec<Verdict>, CaseError> {
    let file = CaseFile::read(cases).map_err(CaseError::File)?;
    let source = WasmSource::File(wasm.to_owned());
    let name = wasm.file_stem().map_or_else(|| "hook".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let inspection = Inspection::of(engine, &name, &source)?;
    let settings = settings(&file, &source, &inspection).map_err(CaseError::File)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut verdicts = Vec::new();
    for case in &file.cases {
        let scene = scene::Scene::of(&file, case, &inspection.events).map_err(CaseError::File)?;
        let belongings = Belongings::lay_out(engine, case.get_ref(), &settings)?;
        let hook = Hook::load(engine, &name, &belongings.settings)?;
        let seen = runtime.block_on(play::call(hook, scene));
        verdicts.push(Verdict {
            name: case.get_ref().name.clone(),
            line: file.line(case.span().start),
            differences: judge::differences(&file, case, &seen, engine.stores()).map_err(CaseError::File)?,
            cpu: seen.cpu,
            memory: seen.memory,
        });
    }
    Ok(verdicts)
}

/// What calls of one case cost.
#[derive(Debug)]
pub struct Cost {
    /// What the case checks, in its author's words.
    pub name: String,
    /// Whether an instance answered many calls, or each had its own.
    pub instances: Instances,
    /// Calls that were measured.
    pub calls: usize,
    /// Calls that failed among them.
    pub failed: usize,
    /// Calls for which an instance was made; the others had one that had answered before.
    pub made: usize,
    /// Processor time of a call, the making of its instance included: half of them took no more.
    pub median: Duration,
    /// Of a hundred calls, 99 took no more.
    pub p99: Duration,
    /// Bytes of the instance's memories at the end of a call, at most.
    pub memory: u64,
}

/// Who answers calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// Each call has an instance of its own.
    Fresh,
    /// An instance answers one call after the other: `reuse`.
    Reused,
}

/// How long the calls of one case are measured at most, so that slow hooks are measured too.
const LONGEST: Duration = Duration::from_secs(3);

/// Calls every case of a file `calls` times, or for three seconds, and measures what they use. Cases that expect a failure are left
/// out: what fails costs whatever its limit is.
///
/// # Errors
/// As of [`play`].
pub fn measure(
    engine: &Engine,
    cases: &Path,
    wasm: &Path,
    instances: Instances,
    calls: usize,
) -> Result<Vec<Cost>, CaseError> {
    let file = CaseFile::read(cases).map_err(CaseError::File)?;
    let source = WasmSource::File(wasm.to_owned());
    let inspection = Inspection::of(engine, "hook", &source)?;
    let mut settings = settings(&file, &source, &inspection).map_err(CaseError::File)?;
    settings.reuse = match instances {
        Instances::Fresh => None,
        Instances::Reused => Some(settings.reuse.unwrap_or_default()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut costs = Vec::new();
    for case in file.cases.iter().filter(|case| !case.get_ref().expect.is_failure()) {
        let belongings = Belongings::lay_out(engine, case.get_ref(), &settings)?;
        let hook = Hook::load(engine, "hook", &belongings.settings)?;
        let (begun, mut seen) = (Instant::now(), Vec::new());
        while seen.len() < calls && (seen.is_empty() || begun.elapsed() < LONGEST) {
            let scene = scene::Scene::of(&file, case, &inspection.events).map_err(CaseError::File)?;
            seen.push(runtime.block_on(play::call(hook.clone(), scene)));
        }
        costs.push(cost(case.get_ref().name.clone(), instances, &seen));
    }
    Ok(costs)
}

fn cost(name: String, instances: Instances, seen: &[Seen]) -> Cost {
    let mut times: Vec<Duration> = seen.iter().map(|seen| seen.cpu).collect();
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    Cost {
        name,
        instances,
        calls: seen.len(),
        failed: seen.iter().filter(|seen| seen.failure.is_some()).count(),
        made: seen.iter().filter(|seen| seen.lineage == Some(Lineage::Made)).count(),
        median: at(50),
        p99: at(99),
        memory: seen.iter().map(|seen| seen.memory).max().unwrap_or_default(),
    }
}

/// The `[hook]` table as a node would read it: the component and its events are known already.
fn settings(file: &CaseFile, wasm: &WasmSource, found: &Inspection) -> Result<HookSettings, ConfigError> {
    let mut table = file.hook.get_ref().clone();
    table.insert("wasm".into(), wasm.to_string().into());
    let events = || found.events.iter().map(|event| event.as_str().into()).collect();
    table.entry("on").or_insert_with(|| toml::Value::Array(events()));
    let mut settings = HookSettings::deserialize(toml::Value::Table(table))
        .map_err(|error| file.error(file.hook.span().start, error.message().to_owned()))?;
    settings.resolve_paths(&file.folder());
    // It is where its caller says; the rest is beside the cases.
    settings.wasm = wasm.clone();
    Ok(settings)
}

/// The files of cases of a hook's folder: `hook.test.toml` and all of `tests/*.toml`, in the order of their names.
///
/// # Errors
/// What the file system says of `tests`.
pub fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let single = folder.join("hook.test.toml");
    if single.is_file() {
        files.push(single);
    }
    let tests = folder.join("tests");
    if tests.is_dir() {
        let mut found =
            std::fs::read_dir(&tests)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        found.sort();
        files.extend(found);
    }
    Ok(files)
}
