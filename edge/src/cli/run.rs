//! `selvedge run`: a node from a config file.

use std::path::PathBuf;

use super::{DEFAULT_FILE, Exit, Form, invalid, load, talk};
use crate::config::{ConfigError, ConfigErrors, Loaded};
use crate::node::NodeError;
use crate::process::{self, Ready, Source, StartError};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The config file; SIGHUP reads it again
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Read it again whenever it changes, or a hook, certificate or other file that it names
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let loaded = match load(&arguments.config, Form::Text) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let source = if arguments.watch { Source::Watched } else { Source::File };
    match process::run(loaded.config.clone(), source(arguments.config.clone()), announce) {
        Ok(()) => Exit::Ok,
        Err(StartError::Node(error)) => invalid(&ConfigErrors::from(located(&loaded, &error)), Form::Text),
        Err(error) => failed(&error),
    }
}

/// Says where the node can be reached, one line each, and last that it is ready.
pub(super) fn announce(ready: &Ready) {
    ready.listening.iter().for_each(|listener| talk(&format!("listening {listener}")));
    ready.dns.iter().for_each(|address| talk(&format!("listening dns {address}")));
    if let Some(address) = ready.admin {
        talk(&format!("admin http://{address}"));
    }
    if let Some(root) = &ready.root {
        talk(&format!("local certificates are signed by {}: trust it to try https", root.display()));
    }
    talk("ready");
}

/// Says why a node did not start.
pub(super) fn failed(error: &StartError) -> Exit {
    talk(&format!("error: {error}"));
    Exit::of_start(error)
}

/// What is wrong with the things that a config names, at the section that names them.
pub(super) fn located(loaded: &Loaded, error: &NodeError) -> ConfigError {
    loaded.sources.error_at(&section(error), error.to_string())
}

fn section(error: &NodeError) -> Vec<&str> {
    match error {
        NodeError::Origin(name, _) => vec!["origin", name],
        NodeError::Component(name, _) => vec!["origin", name, "wasm"],
        NodeError::Url(name, ..) => vec!["site", name, "origin"],
        NodeError::Key(id, ..) | NodeError::KeyMaterial(id, ..) => vec!["key", id],
        NodeError::Hook(name, _) => vec!["hook", name],
        NodeError::Geo(_) => vec!["geo"],
        NodeError::Disk(_) => vec!["cache", "disk"],
        NodeError::Certificate(site, _) => vec!["site", site, "tls"],
        NodeError::Name(_) => vec!["node", "name"],
        _ => vec![],
    }
}
