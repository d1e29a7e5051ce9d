//! `selvedge hook …`: the loop of whoever writes and runs hooks, one verb per file.

mod list;

use super::Exit;
use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the hooks of a running node, their versions and how canaries do
    List(list::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.verb {
        Verb::List(arguments) => list::run(arguments),
    }
}
