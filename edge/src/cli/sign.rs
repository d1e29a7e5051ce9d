//! `selvedge sign`: mints a signed URL, as a publisher does.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use humantime_serde::re::humantime::parse_duration;
use signing::PrivateKey;

use super::key::key_id;
use super::{Exit, data, talk};
use crate::process;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The URL exactly as viewers will ask for it
    url: String,
    /// The id of the key in the node's config
    #[arg(long, value_name = "ID", value_parser = key_id)]
    key: String,
    /// The private key: a PEM file
    #[arg(long, value_name = "FILE")]
    private: PathBuf,
    /// How long from now the URL is good
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    expires: Duration,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match signed(arguments, process::now()) {
        Ok(url) => {
            data(&url);
            Exit::Ok
        }
        Err(message) => {
            talk(&format!("error: {message}"));
            Exit::Failed
        }
    }
}

fn signed(arguments: &Arguments, now: SystemTime) -> Result<String, String> {
    let text = read(&arguments.private)?;
    let key =
        PrivateKey::from_pem(&text).map_err(|error| format!("{}: {error}", arguments.private.display()))?;
    let expires = now.checked_add(arguments.expires).ok_or("--expires lies beyond what a clock can say")?;
    signing::sign_canned(&arguments.url, expires, &arguments.key, &key).map_err(|error| error.to_string())
}

/// A key file's text.
pub(super) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
