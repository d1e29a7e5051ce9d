//! `selvedge hook deploy`: another version of a hook for a running node.

use super::super::remote;
use super::super::{Exit, talk};
use super::{encoded, list, path};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The hook, as the node's config names it
    #[arg(value_name = "NAME")]
    name: String,
    /// The component
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,
    /// On trial with this share of viewers, from 0 to 100
    #[arg(long, value_name = "SHARE")]
    percent: Option<String>,
    /// On trial with who sends this header field: "x-canary: 1"
    #[arg(long, value_name = "FIELD")]
    header: Option<String>,
    /// A share that grows evenly, for so long, and then becomes live
    #[arg(long, value_name = "TIME")]
    ramp: Option<String>,
    /// Where the ramp ends instead, in percent
    #[arg(long, value_name = "SHARE", requires = "ramp")]
    to: Option<String>,
    /// What makes two requests the same viewer's: "address" or "cookie:NAME"
    #[arg(long, value_name = "WHAT")]
    sticky: Option<String>,
    /// By how much its share of failed calls may be above the live version's: 0.01
    #[arg(long, value_name = "RATE")]
    error_rate: Option<String>,
    /// By how much the 99th percentile of its call times may be above
    #[arg(long, value_name = "TIME")]
    p99: Option<String>,
    /// Calls before it is judged
    #[arg(long, value_name = "COUNT")]
    min_requests: Option<String>,
    /// How far back its calls are compared with the live version's
    #[arg(long, value_name = "TIME")]
    window: Option<String>,
    /// What it is about, for the list of versions
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    remote: remote::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let component = match std::fs::read(&arguments.wasm) {
        Ok(component) => component,
        Err(error) => {
            talk(&format!("error: {}: {error}", arguments.wasm.display()));
            return Exit::Failed;
        }
    };
    let path = format!("{}{}", path(&arguments.name, "/deploy"), query(arguments));
    remote::deploy(&path, &component, &arguments.remote, |hook| list::standing(&arguments.name, hook))
}

/// The node knows what makes sense; here it is only written down.
fn query(arguments: &Arguments) -> String {
    let Arguments { percent, header, ramp, to, sticky, error_rate, p99, min_requests, window, note, .. } =
        arguments;
    let said = [
        ("percent", percent),
        ("header", header),
        ("ramp", ramp),
        ("to", to),
        ("sticky", sticky),
        ("error-rate", error_rate),
        ("p99", p99),
        ("min-requests", min_requests),
        ("window", window),
        ("note", note),
    ];
    let pairs =
        said.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_ref()?))));
    let query = pairs.collect::<Vec<_>>().join("&");
    if query.is_empty() { query } else { format!("?{query}") }
}
