//! `selvedge cert`: the local development authority, for those who want their browser to trust it.

use super::{Exit, Reading, data, talk};
use crate::process;
use certs::LocalAuthority;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    reading: Reading,
}

/// Prints the root certificate. It is made if this node has none yet, so that it can be trusted before the first start.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let loaded = match arguments.reading.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let authority = LocalAuthority::open(&loaded.config.node.state.join("local-ca"), process::now());
    match authority {
        Ok(authority) if arguments.reading.json => {
            let answer =
                serde_json::json!({ "root": { "file": authority.root_path(), "pem": authority.root_pem() } });
            data(&format!("{answer:#}"));
            Exit::Ok
        }
        Ok(authority) => {
            talk(&format!(
                "the root of this node's local certificates, in {}",
                authority.root_path().display()
            ));
            data(authority.root_pem());
            Exit::Ok
        }
        Err(error) => {
            talk(&format!("error: {error}"));
            Exit::Failed
        }
    }
}
