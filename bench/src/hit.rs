//! Cache hits over HTTP/1.1 keep-alive: the node, nginx `proxy_cache`, and the floor under both.

use crate::bare::Model;
use crate::failure::Failure;
use crate::load::{self, Plan, Sample};
use crate::objects::{KINDS, Kind};
use crate::origin::Origin;
use crate::peer::{Cores, Nginx, Peer, this_program};
use crate::processor;
use crate::report::Report;
use std::path::PathBuf;
use std::time::Duration;

/// The load's core, the origin's too, which has nothing to do while hits are measured.
const LOAD: usize = 0;
/// The core of the programs under test, who have nothing to do while another one is loaded.
const TESTED: usize = 1;

/// What a hit of ours may cost, with nginx's as the measure.
const GOAL: f64 = 0.65;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The node's program [default: `selvedge` beside this program]
    #[arg(long, value_name = "FILE")]
    node: Option<PathBuf>,
    /// How often each program is measured in each case
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Different objects of each kind
    #[arg(long, default_value_t = 100)]
    objects: usize,
    /// Where the figures go as JSON [default: `bench-hit.json` beside this program]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if processor::cores() < 2 {
        return Err(Failure::Setup(
            "two cores are needed: one for the load, one for what is loaded".to_owned(),
        ));
    }
    processor::stay_on(LOAD)?;
    let beside = this_program()?;
    let node = arguments.node.clone().unwrap_or_else(|| beside.with_file_name("selvedge"));
    // Absolute: a bare name would be looked for in PATH.
    let node = std::path::absolute(&node).map_err(Failure::system(node.display().to_string()))?;
    let origin = Origin::start()?;
    let core = Cores::One(TESTED);
    let peers = [
        Peer::selvedge(&node, origin.address, core)?,
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
    };
    let mut report = Report::new("hit");
    for kind in KINDS {
        let mut columns = peers.each_ref().map(|peer| (peer.name, Vec::new()));
        for _ in 0..arguments.rounds {
            for (peer, (_, samples)) in peers.iter().zip(&mut columns) {
                samples.push(quiet(|| hits(peer, kind, &plan, &origin))?);
            }
        }
        report.add(kind.to_string(), &columns);
    }
    report.print();
    for program in [Nginx::Usual, Nginx::Tuned].map(Nginx::name) {
        let worst = report.worst_ratio(program);
        let verdict = if worst <= GOAL { "reached" } else { "missed" };
        println!("at most {GOAL} of {program}: {verdict}, {worst:.2} at worst");
    }
    let json = arguments.json.clone().unwrap_or_else(|| beside.with_file_name("bench-hit.json"));
    report.write(&json)?;
    println!("figures: {}", json.display());
    Ok(())
}

/// How much of a sample may be disturbed, and how often it is taken again until then.
const DISTURBANCE: f64 = 0.02;
const ATTEMPTS: usize = 8;

/// The first sample during which the program had its core to itself, or the least disturbed one.
fn quiet(take: impl Fn() -> Result<Sample, Failure>) -> Result<Sample, Failure> {
    let mut quietest = take()?;
    for _ in 1..ATTEMPTS {
        if quietest.disturbance() <= DISTURBANCE {
            break;
        }
        let sample = take()?;
        if sample.disturbance() < quietest.disturbance() {
            quietest = sample;
        }
    }
    Ok(quietest)
}

/// A sample in which the origin was not asked once.
fn hits(peer: &Peer, kind: Kind, plan: &Plan, origin: &Origin) -> Result<Sample, Failure> {
    let fetched = std::cell::Cell::new((0, 0));
    let sample = load::measure(peer.address, kind, plan, || {
        fetched.set((fetched.get().1, origin.answered()));
        peer.used()
    })?;
    match fetched.get() {
        (before, after) if before == after => Ok(sample),
        (before, after) => Err(Failure::Answer(format!(
            "{} asked the origin {} times while hits were measured",
            peer.name,
            after - before
        ))),
    }
}
