//! `selvedge hook bench`: what does a call of a hook cost, with an instance of its own and with one that is used again?

use super::super::{Exit, data, talk};
use super::folder;
use crate::hook_cases::{self, Cost, Instances};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The hook's folder: its cases say what it is called with
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// The component, where it is not in the folder
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// Calls of each case, or as many as three seconds hold
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    calls: usize,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match measure(arguments) {
        Ok(costs) => {
            match arguments.json {
                true => data(&format!("{:#}", Value::from_iter(costs.iter().map(as_json)))),
                false => data(&table(&costs)),
            }
            // A case whose every call fails says nothing of what calls cost.
            if costs.iter().all(|cost| cost.failed < cost.calls) { Exit::Ok } else { Exit::Failed }
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

fn measure(arguments: &Arguments) -> Result<Vec<Cost>, String> {
    let folder = &arguments.folder;
    let files = hook_cases::files(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if files.is_empty() {
        let folder = folder.display();
        return Err(format!("no cases: {folder}/hook.test.toml and {folder}/tests/*.toml are not there"));
    }
    let wasm = match &arguments.wasm {
        Some(wasm) => wasm.clone(),
        None => folder::component(folder)?,
    };
    let engine = folder::engine()?;
    let mut costs = Vec::new();
    for file in &files {
        for instances in [Instances::Fresh, Instances::Reused] {
            talk(&format!("measuring {}, {}", file.display(), word(instances)));
            let measured = hook_cases::measure(&engine, file, &wasm, instances, arguments.calls.max(1));
            costs.extend(measured.map_err(|error| error.to_string())?);
        }
    }
    Ok(costs)
}

fn word(instances: Instances) -> &'static str {
    match instances {
        Instances::Fresh => "fresh",
        Instances::Reused => "reused",
    }
}

fn table(costs: &[Cost]) -> String {
    let mut lines = format!(
        "{:8} {:>9} {:>9} {:>9} {:>7} {:>7} {:>6}  case\n",
        "instance", "median µs", "p99 µs", "KiB", "calls", "made", "failed"
    );
    for cost in costs {
        // Writing to a String cannot fail.
        let _ = writeln!(
            lines,
            "{:8} {:>9.1} {:>9.1} {:>9} {:>7} {:>7} {:>6}  {}",
            word(cost.instances),
            cost.median.as_secs_f64() * 1e6,
            cost.p99.as_secs_f64() * 1e6,
            cost.memory >> 10,
            cost.calls,
            cost.made,
            cost.failed,
            cost.name,
        );
    }
    lines
}

fn as_json(cost: &Cost) -> Value {
    json!({
        "case": cost.name,
        "instances": word(cost.instances),
        "calls": cost.calls,
        "made": cost.made,
        "failed": cost.failed,
        "median_us": cost.median.as_secs_f64() * 1e6,
        "p99_us": cost.p99.as_secs_f64() * 1e6,
        "memory_bytes": cost.memory,
    })
}
