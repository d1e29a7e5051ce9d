//! `selvedge hook rollback`: the canary is taken back, or the live version is left for one that is named.

use super::super::Exit;
use super::super::remote::{self, Call};
use super::{list, path};
use serde_json::json;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The hook, as the node's config names it
    #[arg(value_name = "NAME")]
    name: String,
    /// The version that is to be live: its first digits, "previous" or "config". Default: the canary is taken back, and the
    /// live version stays
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    #[command(flatten)]
    remote: remote::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let path = path(&arguments.name, "/rollback");
    let call = Call { method: "POST", path: &path, body: Some(json!({ "to": arguments.to })) };
    remote::call(&call, &arguments.remote, |hook| list::standing(&arguments.name, hook))
}
