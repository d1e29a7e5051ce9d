//! Hits of a text that viewers get compressed: from the variant that a cache keeps, or compressed for each of them.

use crate::failure::Failure;
use crate::load::{Accept, Asking, Plan};
use crate::objects::PROSE;
use crate::origin::Origin;
use crate::peer::{Cores, Nginx, Peer, Selvedge};
use crate::report::Report;
use crate::rounds;
use crate::run::{Run, TESTED, verdict};
use std::time::Duration;

/// Microseconds of processor time that a hit of ours may cost.
const GOAL: f64 = 21.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: Run,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Different objects
    #[arg(long, default_value_t = 100)]
    objects: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    Run::stay_on_the_load_core()?;
    let origin = Origin::start()?;
    let core = Cores::One(TESTED);
    let mut peers = vec![
        Peer::selvedge(&arguments.run.node()?, Selvedge::OneThread, origin.address, core)?,
        Peer::nginx(Nginx::Gzip, origin.address, core)?,
    ];
    peers.extend(Peer::varnish(origin.address, core)?);
    let plan = Plan {
        connections: arguments.connections,
        threads: 1,
        objects: arguments.objects,
        warm_up: Duration::from_millis(500),
        measured: Duration::from_secs_f64(arguments.seconds),
        accept: Accept::Gzip,
        asking: Asking::Again,
    };
    let mut report = Report::new("encoded", "microseconds of processor time an answer");
    let columns = rounds::hits(&peers, PROSE, &plan, arguments.run.rounds(7), &origin)?;
    report.add(PROSE.to_string(), &columns);
    arguments.run.tell(&report)?;
    verdict("µs a compressed hit", report.median(&PROSE.to_string()), GOAL);
    Ok(())
}
