//! `selvedge completion`: what a shell needs to complete verbs and options.

use clap_complete::Shell;

use super::{Exit, data};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell that will read the script
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, mut command: clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "selvedge", &mut script);
    data(&String::from_utf8_lossy(&script));
    Exit::Ok
}
