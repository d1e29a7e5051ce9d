//! Load on the node and on its peers, side by side in one run. `bench/README.md` says how to run it and what came out.
#![forbid(unsafe_code)]

mod answer;
mod bare;
mod distance;
mod encoded;
mod failure;
mod herd;
mod hit;
mod load;
mod memory;
mod objects;
mod origin;
mod pass;
mod peer;
mod pools;
mod processor;
mod purge;
mod relay;
mod report;
mod resident;
mod rounds;
mod run;
mod runtimes;
mod thumbnails;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Measures Selvedge beside its peers")]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Cache hits over HTTP/1.1 keep-alive: Selvedge, nginx and the floor under both, on one core each
    Hit(hit::Arguments),
    /// Hits of a text that viewers get compressed
    Encoded(encoded::Arguments),
    /// Many viewers at once who want one object that no cache has
    Herd(herd::Arguments),
    /// The first fetch of a large object over a long distance, through an edge and a shield; needs root
    Distance(distance::Arguments),
    /// Resident bytes of a cached object
    Memory(memory::Arguments),
    /// What the origin answers: passed through, and stored on the way
    Pass(pass::Arguments),
    /// Connections to the origin that cores share, beside a pool for each core
    Pools(pools::Arguments),
    /// Purges among a million objects
    Purge(purge::Arguments),
    /// One current-thread runtime a core beside one work-stealing runtime
    Runtimes(runtimes::Arguments),
    /// Hits beside a hundred thumbnails in the making, on one core
    Thumbnails(thumbnails::Arguments),
    /// The floor itself: hyper and Moka, nothing else; started by the scenarios
    Bare(bare::Arguments),
    /// The floor of passing through: hyper on both sides, nothing else; started by the scenarios
    Relay(relay::Arguments),
    /// A long way between two devices; started by `distance`
    #[command(hide = true)]
    Tunnel(distance::tunnel::Arguments),
    /// The origin at its far end; started by `distance`
    #[command(hide = true)]
    Far(distance::far::Arguments),
    /// One fetch of a viewer; started by `distance`
    #[command(hide = true)]
    Fetch(distance::fetch::Arguments),
}

fn main() -> ExitCode {
    let outcome = match &Arguments::parse().scenario {
        Scenario::Hit(arguments) => hit::run(arguments),
        Scenario::Encoded(arguments) => encoded::run(arguments),
        Scenario::Herd(arguments) => herd::run(arguments),
        Scenario::Distance(arguments) => distance::run(arguments),
        Scenario::Memory(arguments) => memory::run(arguments),
        Scenario::Pass(arguments) => pass::run(arguments),
        Scenario::Pools(arguments) => pools::run(arguments),
        Scenario::Purge(arguments) => purge::run(arguments),
        Scenario::Runtimes(arguments) => runtimes::run(arguments),
        Scenario::Thumbnails(arguments) => thumbnails::run(arguments),
        Scenario::Bare(arguments) => bare::run(arguments),
        Scenario::Relay(arguments) => relay::run(arguments),
        Scenario::Tunnel(arguments) => distance::tunnel::run(arguments),
        Scenario::Far(arguments) => distance::far::run(arguments),
        Scenario::Fetch(arguments) => distance::fetch::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
