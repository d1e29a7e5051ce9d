//! The command line: one verb per file. Standard output is data, standard error is talk.

mod asked;
mod cert;
mod check;
mod completion;
mod config;
mod demo;
mod explain;
mod hook;
mod key;
mod proxy;
mod purge;
mod remote;
mod run;
mod sign;
mod signer;
mod status;
mod verify;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use serde_json::json;

use crate::config::{ConfigErrors, Loaded};
use crate::process::StartError;

/// The config file when none is named.
const DEFAULT_FILE: &str = "selvedge.toml";

/// A CDN edge: a caching, programmable reverse proxy.
#[derive(Debug, Parser)]
#[command(name = "selvedge", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Try a whole node with origins of its own; nothing to configure
    Demo(demo::Arguments),
    /// Run a node until it is told to stop
    Run(run::Arguments),
    /// Run a caching reverse proxy without a config file
    Proxy(proxy::Arguments),
    /// Check a config file and build everything that it describes, without listening
    Check(check::Arguments),
    /// Print the settings in force, or the JSON Schema of config files
    Config(config::Arguments),
    /// Print the root certificate of the local development authority, to be trusted
    Cert(cert::Arguments),
    /// Tell how a running node is
    Status(remote::Arguments),
    /// Have a running node read its config again; all or nothing
    Reload(remote::Arguments),
    /// Have a running node finish what is in flight and end
    Drain(remote::Arguments),
    /// Say what a running node would do with a request, and why
    Explain(explain::Arguments),
    /// Have a running node refresh or forget what it has stored
    Purge(purge::Arguments),
    /// Write, try and run hooks
    Hook(hook::Arguments),
    /// Make keys for signed URLs
    Key(key::Arguments),
    /// Sign a URL
    Sign(sign::Arguments),
    /// Say whether a signed URL is good, and if not, why
    Verify(verify::Arguments),
    /// Print a completion script for a shell
    Completion(completion::Arguments),
}

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Ok = 0,
    /// A check failed, or the node could not start.
    Failed = 1,
    /// The command line asks for what cannot be; clap ends those that it does not understand by itself.
    Usage = 2,
    /// The config is wrong.
    InvalidConfig = 3,
    /// No node answers.
    Unreachable = 4,
}

impl Exit {
    /// What a node that does not start ends with.
    fn of_start(error: &StartError) -> Self {
        match error {
            StartError::Node(_) | StartError::NoCertificate(_) | StartError::Admin(_) => Exit::InvalidConfig,
            StartError::Listen(..) | StartError::Dns(_) | StartError::System(_) => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Proxy(arguments) => proxy::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Config(arguments) => config::run(&arguments),
        Verb::Cert(arguments) => cert::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Reload(arguments) => remote::reload(&arguments),
        Verb::Drain(arguments) => remote::drain(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Purge(arguments) => purge::run(&arguments),
        Verb::Hook(arguments) => hook::run(&arguments),
        Verb::Key(arguments) => key::run(&arguments),
        Verb::Sign(arguments) => sign::run(&arguments),
        Verb::Verify(arguments) => verify::run(&arguments),
        Verb::Completion(arguments) => completion::run(&arguments, Cli::command()),
    };
    exit.into()
}

/// In which form a verb answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// What every verb that reads a config file takes.
#[derive(Debug, clap::Args)]
struct Reading {
    /// The config file
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    file: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl Reading {
    fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }

    /// The config, or what the process ends with after saying why there is none.
    fn load(&self) -> Result<Loaded, Exit> {
        load(&self.file, self.form())
    }
}

fn load(file: &Path, form: Form) -> Result<Loaded, Exit> {
    Loaded::load(file).map_err(|errors| invalid(&errors, form))
}

/// Says what is wrong with a config.
fn invalid(errors: &ConfigErrors, form: Form) -> Exit {
    match form {
        Form::Text => talk(&errors.to_string()),
        Form::Json => {
            let list: Vec<_> = errors
                .iter()
                .map(|error| {
                    json!({
                        "file": error.file,
                        "line": error.place.map(|place| place.line),
                        "column": error.place.map(|place| place.column),
                        "message": error.message,
                        "hint": error.hint,
                    })
                })
                .collect();
            data(&format!("{:#}", json!({ "ok": false, "errors": list })));
        }
    }
    Exit::InvalidConfig
}

/// Writes to standard output. Whoever reads it may go away; that is no failure.
fn data(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Writes to standard error, where there may be nobody either.
fn talk(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_is_understood() {
        for line in [
            "selvedge run",
            "selvedge run --config a.toml",
            "selvedge run --watch",
            "selvedge hook new greet",
            "selvedge hook new greet --lang python --event viewer-request --event viewer-response",
            "selvedge hook build greet --json",
            "selvedge hook test greet --wasm a.wasm",
            "selvedge proxy --from :8080 --to http://127.0.0.1:9000",
            "selvedge check",
            "selvedge check a.toml --json",
            "selvedge config --effective",
            "selvedge config a.toml --effective --json",
            "selvedge config --schema",
            "selvedge cert",
            "selvedge completion bash",
            "selvedge purge https://a/b",
            "selvedge purge https://a/b HTTP://a/c --hard",
            "selvedge purge --prefix a/b --dry-run --json",
            "selvedge purge --tag a --tag b --admin 127.0.0.1:9180",
            "selvedge purge --site www",
            "selvedge explain https://a/b --ip 192.0.2.1 --header a:b --cookie a=b --json",
            "selvedge demo",
            "selvedge demo --print-config",
            "selvedge hook list thumb --json",
            "selvedge hook deploy thumb --wasm a.wasm",
            "selvedge hook deploy thumb --wasm a.wasm --percent 5 --header x-canary --ramp 30m",
            "selvedge hook promote thumb --ramp 30m",
            "selvedge hook kv list",
            "selvedge hook kv list sessions --prefix user: --limit 10 --json",
            "selvedge hook kv get sessions a/b",
            "selvedge hook kv put sessions a b --ttl 1h",
            "selvedge hook kv put sessions a --path -",
            "selvedge hook kv delete sessions a b",
            "selvedge hook rollback thumb --to previous",
            "selvedge key new --out keys",
            "selvedge key new --out keys --id premium1",
            "selvedge sign https://a/b --key premium1 --private a.pem --expires 1h",
            "selvedge sign https://a/b",
            "selvedge sign https://a/b --key-pair-id K1 --private-key file://a.pem --date-less-than 2027-01-15",
            "selvedge verify https://a/b --public a.pem --key premium1 --json",
            "selvedge verify https://a/b --config a.toml --at -10m --ip 192.0.2.1 --cookie a=b",
            "selvedge key new",
            "selvedge key new --group films",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "selvedge",
            "selvedge chek",
            "selvedge hook new ../greet",
            "selvedge hook new greet --event response",
            "selvedge completion dos",
            "selvedge key",
            "selvedge hook deploy thumb",
            "selvedge hook deploy thumb --wasm a.wasm --to 50",
            "selvedge hook kv put sessions a",
            "selvedge hook kv put sessions a b --path c",
            "selvedge hook kv list --prefix a",
            "selvedge hook kv delete sessions",
            "selvedge key new --out keys --id ../a",
            "selvedge sign https://a/b --key premium1 --private a.pem --expires soon",
            "selvedge verify a/b --public a.pem --key premium1",
            "selvedge verify https://a/b --public a.pem",
            "selvedge purge",
            "selvedge purge a/b",
            "selvedge purge --hard",
            "selvedge purge https://a/b --tag a",
            "selvedge purge --tag a --site b",
            "selvedge purge --tag",
            "selvedge config --schema --effective",
            "selvedge proxy --from x --to y",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
