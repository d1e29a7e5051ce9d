//! Answers of the origin: passed through, and stored on the way.

use crate::failure::Failure;
use crate::load::{Accept, Asking, Plan};
use crate::objects::KINDS;
use crate::origin::Origin;
use crate::peer::{Cores, Haproxy, Nginx, Peer, Selvedge};
use crate::relay::Pool;
use crate::report::Report;
use crate::rounds;
use crate::run::{Run, TESTED, verdict};
use std::time::Duration;

/// What an answer that passes through may cost, with HAProxy's as the measure.
const GOAL: f64 = 1.0;
/// Which share of the requests to the origin may open a connection.
const OPENED: f64 = 0.01;

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
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    Run::stay_on_the_load_core()?;
    let (origin, core, node) = (Origin::quick()?, Cores::One(TESTED), arguments.run.node()?);
    let again = Plan {
        connections: arguments.connections,
        threads: 1,
        objects: 100,
        warm_up: Duration::from_millis(500),
        measured: Duration::from_secs_f64(arguments.seconds),
        accept: Accept::Identity,
        asking: Asking::Again,
    };
    let anew = Plan { objects: 1, asking: Asking::Anew, ..again };
    let at = origin.address;
    let mut passing = vec![
        Peer::selvedge(&node, Selvedge::PassThrough, at, core)?,
        Peer::nginx(Nginx::PassThrough, at, core)?,
    ];
    passing.extend(Peer::haproxy(Haproxy::PassThrough, at, core)?);
    passing.push(Peer::relay("bare hyper", Pool::PerCore, 1, at, core)?);
    let mut storing =
        vec![Peer::selvedge(&node, Selvedge::OneThread, at, core)?, Peer::nginx(Nginx::Usual, at, core)?];
    storing.extend(Peer::haproxy(Haproxy::Cache, at, core)?);
    let mut report = Report::new("pass", "microseconds of processor time an answer");
    for (case, peers, plan) in [("passed", &passing, &again), ("stored", &storing, &anew)] {
        for kind in KINDS.into_iter().filter(|kind| !kind.is_text()) {
            let columns = rounds::passed(peers, kind, plan, arguments.run.rounds(7), &origin)?;
            report.add(format!("{case}, {kind}"), &columns);
        }
    }
    arguments.run.tell(&report)?;
    verdict("of haproxy, at worst", report.worst_ratio("haproxy"), GOAL);
    verdict("connections opened a request", reuse(&passing[0], &again, &origin)?, OPENED);
    Ok(())
}

/// Connections that the node opens to the origin for each request, in a steady load.
fn reuse(node: &Peer, plan: &Plan, origin: &Origin) -> Result<f64, Failure> {
    let (opened, asked) = (origin.connections(), origin.answered());
    rounds::passed(std::slice::from_ref(node), KINDS[2], plan, 1, origin)?;
    Ok((origin.connections() - opened) as f64 / (origin.answered() - asked) as f64)
}
