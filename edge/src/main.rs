//! The binary `selvedge`: argv → verb.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    edge::cli::main()
}
