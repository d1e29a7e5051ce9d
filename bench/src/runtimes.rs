//! One current-thread runtime a core beside one work-stealing runtime, with nothing but hyper and Moka on them.

use crate::bare::Model;
use crate::failure::Failure;
use crate::load::{self, Accept, Asking, Plan};
use crate::objects::KINDS;
use crate::peer::{Cores, Peer, this_program};
use crate::processor;
use crate::report::Report;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each model is measured in each case
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Where the figures go as JSON [default: `bench-runtimes.json` beside this program]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Different objects of each kind.
const OBJECTS: usize = 100;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let cores = processor::cores();
    let models = [("per core", Model::PerCore), ("work stealing", Model::WorkStealing)];
    let mut report = Report::new("runtimes", "microseconds of processor time an answer");
    for (place, threads) in [(Cores::One(cores - 1), 1), (Cores::All, cores)] {
        let peers = models.map(|(name, model)| Peer::bare(name, model, threads, OBJECTS, place));
        let peers = peers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let plan = Plan {
            connections: arguments.connections,
            threads,
            objects: OBJECTS,
            warm_up: Duration::from_millis(500),
            measured: Duration::from_secs_f64(arguments.seconds),
            accept: Accept::Identity,
            asking: Asking::Again,
        };
        for kind in KINDS.into_iter().take(2) {
            let mut columns: Vec<_> = peers.iter().map(|peer| (peer.name, Vec::new())).collect();
            for _ in 0..arguments.rounds {
                for (peer, (_, samples)) in peers.iter().zip(&mut columns) {
                    samples.push(load::measure(peer.address, kind, &plan, || peer.used())?.cost());
                }
            }
            report.add(format!("{kind}, {threads} thread(s)"), &columns);
        }
    }
    report.print();
    let json = match &arguments.json {
        Some(json) => json.clone(),
        None => this_program()?.with_file_name("bench-runtimes.json"),
    };
    report.write(&json)?;
    println!("figures: {}", json.display());
    Ok(())
}
