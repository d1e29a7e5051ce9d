//! `selvedge check`: is this config right?

use serde_json::json;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::run::located;
use super::{Exit, Form, Reading, data, invalid, talk};
use crate::config::{
    Config, ConfigErrors, Warning, amiss_hooks, doubtful_hooks, doubtful_shields, refused_congestion,
    rehearsals, shadowed_routes,
};
use crate::node::{Node, NodeError};
use crate::process;
use hooks::Doubt;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Arguments { reading } = arguments;
    let loaded = match reading.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let file = reading.file.display().to_string();
    let odd = match build(&loaded.config) {
        Ok(Ok(odd)) => odd,
        Ok(Err(error)) => return invalid(&ConfigErrors::from(located(&loaded, &error)), reading.form()),
        Err(error) => {
            talk(&format!("error: no temporary folder to check in: {error}"));
            return Exit::Failed;
        }
    };
    let mut warnings = shadowed_routes(&loaded);
    warnings.extend(refused_congestion(&loaded));
    warnings.extend(doubtful_shields(&loaded));
    warnings.extend(doubtful_hooks(&loaded, &odd.doubts));
    warnings.extend(amiss_hooks(&loaded, &odd.amiss));
    warnings.extend(rehearsals(&loaded, process::now()));
    match reading.form() {
        Form::Text => {
            warnings.iter().for_each(|warning| talk(&warning.to_string()));
            talk(&format!("{file}: ok: {}", summary(&loaded.config)));
        }
        Form::Json => data(&format!("{:#}", as_json(&file, &loaded.config, &warnings))),
    }
    Exit::Ok
}

/// What is odd about the hooks of a node.
struct Odd {
    /// Settings that their components have no use for.
    doubts: Vec<(String, Doubt)>,
    /// Versions that were deployed and cannot serve.
    amiss: Vec<(String, String)>,
}

/// Builds the node, asks what is odd about its hooks and drops it. A local authority that is not there yet is made in a folder that goes away again: a check
/// leaves no traces. The outer error is that of the folder.
fn build(config: &Config) -> io::Result<Result<Odd, NodeError>> {
    if let Some(Err(error)) = config.disk().map(|disk| cache::disk::check(&disk.path)) {
        return Ok(Err(error.into()));
    }
    let (state, mut config) = (&config.node.state, config.clone());
    // A running node may be using it.
    config.cache.disk = None;
    let scratch = (!config.node.state.join("local-ca").exists()).then(scratch_folder).transpose()?;
    if let Some(scratch) = &scratch {
        config.node.state.clone_from(scratch);
    }
    let compiled = config.compiled_hooks();
    let is_new = !compiled.exists();
    let built = Node::build(&Arc::new(config), None, process::now());
    let built = built.map(|node| {
        let amiss = node.deployed(state, process::now());
        Odd { doubts: node.doubts().to_vec(), amiss }
    });
    if is_new && compiled.exists() {
        // The node may run as somebody else, who could not use it.
        remove(&compiled)?;
    }
    if let Some(scratch) = scratch {
        remove(&scratch)?;
    }
    Ok(built)
}

/// Removes a folder, though what was compiled last may still be on its way into it.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of the engine's writes there, and tells nobody when it is done"
)]
fn remove(folder: &Path) -> io::Result<()> {
    const TRIES: usize = 100;
    const PAUSE: Duration = Duration::from_millis(20);

    for _ in 0..TRIES {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
    std::fs::remove_dir_all(folder)
}

/// A new folder that nobody else can have prepared or can look into.
fn scratch_folder() -> io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("selvedge-check-{:016x}", fastrand::u64(..)));
    DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

fn counts(config: &Config) -> [(&'static str, &'static str, usize); 6] {
    [
        ("site", "sites", config.site.len()),
        ("origin", "origins", config.origin.len()),
        ("origin group", "origin groups", config.origin_group.len()),
        ("cache policy", "cache policies", config.cache_policy.len()),
        ("key group", "key groups", config.key_group.len()),
        ("hook", "hooks", config.hook.len()),
    ]
}

/// `2 sites, 1 origin`: what there is none of is left out, but for sites.
fn summary(config: &Config) -> String {
    let told = counts(config).into_iter().filter(|(one, _, count)| *count > 0 || *one == "site");
    let told: Vec<_> =
        told.map(|(one, many, count)| format!("{count} {}", if count == 1 { one } else { many })).collect();
    told.join(", ")
}

fn as_json(file: &str, config: &Config, warnings: &[Warning]) -> serde_json::Value {
    let counts: serde_json::Map<_, _> =
        counts(config).into_iter().map(|(_, many, count)| (many.replace(' ', "-"), count.into())).collect();
    json!({ "ok": true, "file": file, "counts": counts, "warnings": warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_there_is() {
        let text =
            "[site.localhost]\norigin = \"a\"\n[site.b]\norigin = \"a\"\n[origin.a]\nurl = \"http://a\"\n";
        let config = Config::parse(text, "a.toml", Path::new(".")).unwrap();
        assert_eq!(summary(&config), "2 sites, 1 origin");
        assert_eq!(summary(&Config::default()), "0 sites");
        let json = as_json("a.toml", &config, &[]);
        assert_eq!((&json["counts"]["sites"], &json["counts"]["hooks"]), (&2.into(), &0.into()));
    }
}
