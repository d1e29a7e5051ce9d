//! `selvedge demo`: a whole node to try, with nothing to configure.

use super::run::{announce, failed};
use super::{Exit, data, talk};
use crate::demo::{self, Demo, DemoError};
use crate::process::{self, Source};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print the config that the demo runs with, and start nothing
    #[arg(long)]
    print_config: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    if arguments.print_config {
        data(demo::CONFIG);
        return Exit::Ok;
    }
    let demo = match Demo::prepare() {
        Ok(demo) => demo,
        Err(error) => {
            talk(&format!("error: {error}"));
            return match error {
                DemoError::Config(_) => Exit::InvalidConfig,
                _ => Exit::Failed,
            };
        }
    };
    let outcome = process::run(demo.config.clone(), Source::Given, |ready| {
        data(&demo.introduce(ready));
        announce(ready);
    });
    match outcome {
        Ok(()) => Exit::Ok,
        Err(error) => failed(&error),
    }
}
