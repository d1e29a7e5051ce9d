//! Congestion controls that are asked for and cannot be had here: a reason to say so, not to serve nobody.

use super::{Config, Loaded, Warning};

/// A warning for each setting whose algorithm this machine does not have, or not for this process.
pub fn refused_congestion(loaded: &Loaded) -> Vec<Warning> {
    let warning = |(path, message): (Vec<&str>, String)| {
        let (file, at) = loaded.sources.place_of(&path)?;
        Some(Warning { file: file.into(), line: at.line, column: at.column, message })
    };
    refused(&loaded.config).into_iter().filter_map(warning).collect()
}

impl Config {
    /// The same for a node that starts: a line each.
    #[must_use]
    pub fn refused_congestion(&self) -> Vec<String> {
        refused(self).into_iter().map(|(path, message)| format!("{}: {message}", path.join("."))).collect()
    }
}

fn refused(config: &Config) -> Vec<(Vec<&str>, String)> {
    let node = (vec!["node", "congestion"], config.node.algorithm());
    let origins = config.origin.iter();
    let origins = origins.map(|(name, origin)| (vec!["origin", name, "congestion"], origin.algorithm()));
    let settings = [node].into_iter().chain(origins);
    settings.filter_map(|(path, setting)| Some((path, setting.err()?.to_string()))).collect()
}
