//! `selvedge hook test`: does a hook do what its cases say?

use super::super::{Exit, data, talk};
use super::folder;
use crate::hook_cases::{self, CaseError, Verdict};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The hook's folder: its cases are hook.test.toml and tests/*.toml
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// The component, where it is not in the folder
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match play(arguments) {
        Ok(played) => {
            let failed = count(&played, |verdict| !verdict.differences.is_empty());
            match arguments.json {
                true => data(&format!("{:#}", as_json(&played))),
                false => data(&text(&played)),
            }
            if failed == 0 { Exit::Ok } else { Exit::Failed }
        }
        Err(message) => {
            match arguments.json {
                true => data(&format!("{:#}", json!({ "ok": false, "error": message }))),
                false => talk(&format!("error: {message}")),
            }
            Exit::Failed
        }
    }
}

/// The verdicts, file by file.
type Played = Vec<(PathBuf, Vec<Verdict>)>;

fn play(arguments: &Arguments) -> Result<Played, String> {
    let folder = &arguments.folder;
    let files = hook_cases::files(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if files.is_empty() {
        return Err(format!(
            "no cases: {0}/hook.test.toml and {0}/tests/*.toml are not there",
            folder.display()
        ));
    }
    let wasm = match &arguments.wasm {
        Some(wasm) => wasm.clone(),
        None => folder::component(folder)?,
    };
    let engine = folder::engine()?;
    let one = |file: PathBuf| {
        let verdicts = hook_cases::play(&engine, &file, &wasm)?;
        Ok((file, verdicts))
    };
    files.into_iter().map(one).collect::<Result<_, CaseError>>().map_err(|error| error.to_string())
}

fn count(played: &Played, matching: impl Fn(&Verdict) -> bool) -> usize {
    played.iter().flat_map(|(_, verdicts)| verdicts).filter(|verdict| matching(verdict)).count()
}

fn text(played: &Played) -> String {
    let mut lines = String::new();
    for (file, verdicts) in played {
        for verdict in verdicts {
            // Writing to a String cannot fail.
            let _ = one(&mut lines, file, verdict);
        }
    }
    let (all, failed) = (count(played, |_| true), count(played, |verdict| !verdict.differences.is_empty()));
    let _ = writeln!(lines, "{} passed, {failed} failed", all - failed);
    lines
}

fn one(lines: &mut String, file: &Path, verdict: &Verdict) -> std::fmt::Result {
    let word = if verdict.differences.is_empty() { "ok  " } else { "FAIL" };
    let milliseconds = verdict.cpu.as_secs_f64() * 1000.0;
    writeln!(lines, "{word} {} ({milliseconds:.2} ms, {} KiB)", verdict.name, verdict.memory >> 10)?;
    for difference in &verdict.differences {
        writeln!(lines, "     {}:{}: {}", file.display(), difference.line, difference.what)?;
        writeln!(lines, "       expected {}", difference.expected)?;
        writeln!(lines, "       found    {}", difference.found)?;
    }
    Ok(())
}

fn as_json(played: &Played) -> Value {
    let difference = |difference: &hook_cases::Difference| {
        json!({
            "line": difference.line,
            "what": difference.what,
            "expected": difference.expected,
            "found": difference.found,
        })
    };
    let case = |file: &Path, verdict: &Verdict| {
        json!({
            "file": file,
            "line": verdict.line,
            "name": verdict.name,
            "ok": verdict.differences.is_empty(),
            "cpu_us": verdict.cpu.as_secs_f64() * 1e6,
            "memory_bytes": verdict.memory,
            "differences": verdict.differences.iter().map(difference).collect::<Vec<_>>(),
        })
    };
    let cases = played.iter().flat_map(|(file, verdicts)| verdicts.iter().map(|verdict| case(file, verdict)));
    let cases: Vec<_> = cases.collect();
    let failed = count(played, |verdict| !verdict.differences.is_empty());
    json!({ "ok": failed == 0, "passed": cases.len() - failed, "failed": failed, "cases": cases })
}
