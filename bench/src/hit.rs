//! Cache hits over HTTP/1.1 keep-alive: the node, nginx `proxy_cache`, and the floor under both.

use crate::bare::Model;
use crate::failure::Failure;
use crate::load::{Accept, Asking, Plan};
use crate::objects::KINDS;
use crate::origin::Origin;
use crate::peer::{Cores, Nginx, Peer, Selvedge};
use crate::report::Report;
use crate::rounds;
use crate::run::{Run, TESTED, verdict};
use std::time::Duration;

/// What a hit of ours may cost, with nginx's as the measure.
const GOAL: f64 = 0.65;

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
    /// Different objects of each kind
    #[arg(long, default_value_t = 100)]
    objects: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    Run::stay_on_the_load_core()?;
    let origin = Origin::start()?;
    let core = Cores::One(TESTED);
    let peers = [
        Peer::selvedge(&arguments.run.node()?, Selvedge::OneThread, origin.address, core)?,
        Peer::nginx(Nginx::Usual, origin.address, core)?,
        Peer::nginx(Nginx::Tuned, origin.address, core)?,
        Peer::bare("hyper and Moka", Model::PerCore, 1, arguments.objects, core)?,
    ];
    let plan = Plan {
        connections: arguments.connections,
        threads: 1,
        objects: arguments.objects,
        warm_up: Duration::from_millis(500),
        measured: Duration::from_secs_f64(arguments.seconds),
        accept: Accept::Identity,
        asking: Asking::Again,
    };
    let mut report = Report::new("hit", "microseconds of processor time an answer");
    for kind in KINDS {
        let columns = rounds::hits(&peers, kind, &plan, arguments.run.rounds(7), &origin)?;
        report.add(kind.to_string(), &columns);
    }
    arguments.run.tell(&report)?;
    for program in [Nginx::Usual, Nginx::Tuned].map(Nginx::name) {
        verdict(&format!("of {program}, at worst"), report.worst_ratio(program), GOAL);
    }
    Ok(())
}
