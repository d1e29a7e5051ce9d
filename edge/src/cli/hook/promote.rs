//! `selvedge hook promote`: the canary becomes live.

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
    /// Not at once: its share grows evenly, for so long
    #[arg(long, value_name = "TIME")]
    ramp: Option<String>,
    #[command(flatten)]
    remote: remote::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let path = path(&arguments.name, "/promote");
    let call = Call { method: "POST", path: &path, body: Some(json!({ "ramp": arguments.ramp })) };
    remote::call(&call, &arguments.remote, |hook| list::standing(&arguments.name, hook))
}
