//! A pool of connections to the origin for each core beside one that all cores share, with nothing but hyper around them.

use crate::failure::Failure;
use crate::load::{self, Accept, Asking, Plan};
use crate::objects::KINDS;
use crate::origin::Origin;
use crate::peer::{Cores, Peer, this_program};
use crate::processor;
use crate::relay::Pool;
use crate::report::{Column, Report};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each pool is measured in each case
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Where the figures go as JSON [default: `bench-pools.json` beside this program]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Connections of the load: hardly more than there are cores, and many.
const CONNECTIONS: [usize; 2] = [4, 64];

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let threads = processor::cores();
    let pools = [("per core", Pool::PerCore), ("shared", Pool::Shared)];
    let mut cost = Report::new("pools", "microseconds of processor time an answer");
    let mut opened = Vec::new();
    for connections in CONNECTIONS {
        let plan = Plan {
            connections,
            threads,
            objects: 100,
            warm_up: Duration::from_millis(500),
            measured: Duration::from_secs_f64(arguments.seconds),
            accept: Accept::Identity,
            asking: Asking::Again,
        };
        let origin = Origin::quick()?;
        let peers = pools.map(|(name, pool)| Peer::relay(name, pool, threads, origin.address, Cores::All));
        let peers = peers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (costs, connects) = compare(&peers, &plan, &origin, arguments.rounds)?;
        cost.add(format!("{connections} viewers"), &costs);
        opened.extend(connects.into_iter().map(|(name, connects)| (connections, name, connects)));
    }
    cost.print();
    for (connections, name, share) in opened {
        println!("{connections} viewers, {name}: {share:.2} connections opened for 1,000 answers");
    }
    let json = match &arguments.json {
        Some(json) => json.clone(),
        None => this_program()?.with_file_name("bench-pools.json"),
    };
    cost.write(&json)?;
    println!("figures: {}", json.display());
    Ok(())
}

/// Costs, and connections opened for 1,000 answers. Viewers come anew in every round, so each round begins with some that are
/// opened and not only with kept ones.
fn compare(peers: &[Peer], plan: &Plan, origin: &Origin, rounds: usize) -> Result<Compared, Failure> {
    let mut costs: Vec<Column> = peers.iter().map(|peer| (peer.name, Vec::new())).collect();
    let mut heard = vec![(0, 0); peers.len()];
    for _ in 0..rounds {
        for ((peer, column), heard) in peers.iter().zip(&mut costs).zip(&mut heard) {
            let before = (origin.connections(), origin.answered());
            let sample = load::measure(peer.address, KINDS[2], plan, || peer.used())?;
            column.1.push(sample.cost());
            heard.0 += origin.connections() - before.0;
            heard.1 += origin.answered() - before.1;
        }
    }
    let share = |(opened, answered): &(u64, u64)| *opened as f64 * 1000.0 / (*answered as f64);
    let connects = peers.iter().zip(&heard).map(|(peer, heard)| (peer.name, share(heard)));
    Ok((costs, connects.collect()))
}

type Compared = (Vec<Column>, Vec<(&'static str, f64)>);
