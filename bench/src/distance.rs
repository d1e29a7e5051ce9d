//! The first fetch of a large object whose origin is far away: straight to it, through an edge near the viewer, and through
//! an edge and a shield beside the origin.
//!
//! Viewer, edge and origin have a network each. A short way joins viewer and edge, a long one edge and origin; who goes straight
//! to the origin goes both. The kernel here has no `netem`: a small program of ours carries the packets.

pub(crate) mod far;
pub(crate) mod fetch;
mod nodes;
mod path;
mod place;
mod stage;
pub(crate) mod tunnel;

use crate::failure::Failure;
use crate::report::{Column, Report};
use crate::run::Run;
use stage::{SHIELDED, STRAIGHT, Stage};
use std::time::Duration;
use tunnel::Nature;

/// How many times faster than straight to the origin, without loss and with it; both against a straight fetch without.
const GOAL: f64 = 2.6;
const GOAL_WITH_LOSS: f64 = 2.3;

/// Who competes, and who does while packets are lost: others would only take long, as CUBIC does.
const ALL: [&str; 6] = [STRAIGHT, SHIELDED, "over HTTP/2", "shield with CUBIC", "edge alone", nodes::NGINX];
const WITH_LOSS: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: Run,
    /// Milliseconds of the long way, one way
    #[arg(long, default_value_t = 130)]
    delay: u64,
    /// Megabits a second that fit through it
    #[arg(long, default_value_t = 25.0)]
    rate: f64,
    /// Bytes that may wait in front of it; what comes then is lost
    #[arg(long, default_value_t = 64_000)]
    queue: usize,
    /// Packets lost of a thousand, in the second half of the table
    #[arg(long, default_value_t = 3.0)]
    loss: f64,
    /// Seconds between the fetch that connections have seen before and the one that is measured
    #[arg(long, default_value_t = 5.0)]
    idle: f64,
    /// Only those whose names contain this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::Setup(
            "root is needed, to make networks and devices: try it with sudo".to_owned(),
        ));
    }
    let unit =
        "seconds until 10 MiB are there; milliseconds until the first byte of an answer that is made slowly";
    let mut report = Report::new("distance", unit);
    let lossy = format!("{} in 1,000 lost", arguments.loss);
    without_loss(arguments, &mut report)?;
    let stage = set(arguments, arguments.loss, &ALL[..WITH_LOSS])?;
    report.add(lossy.clone(), &cold(arguments, &stage)?);
    arguments.run.tell(&report)?;
    let straight = report.figure("no loss", STRAIGHT);
    for (case, goal) in [("no loss", GOAL), (lossy.as_str(), GOAL_WITH_LOSS)] {
        let times = straight / report.figure(case, SHIELDED);
        let verdict = if times >= goal { "reached" } else { "missed" };
        println!("{case}: at least {goal} times faster than straight without loss: {verdict}, {times:.2}");
    }
    Ok(())
}

fn without_loss(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let stage = set(arguments, 0.0, &ALL)?;
    report.add("no loss".to_owned(), &cold(arguments, &stage)?);
    let first = each(arguments, &stage, |contestant, round| Ok(stage.slow(contestant, round)?.first))?;
    report.add("first byte".to_owned(), &first);
    Ok(())
}

fn set(arguments: &Arguments, loss: f64, names: &[&'static str]) -> Result<Stage, Failure> {
    let Arguments { delay, rate, queue, .. } = *arguments;
    let names: Vec<_> = names.iter().copied().filter(|name| name.contains(&arguments.only)).collect();
    Stage::set(Nature { delay, rate, queue, loss }, &arguments.run.node()?, &names)
}

fn cold(arguments: &Arguments, stage: &Stage) -> Result<Vec<Column>, Failure> {
    let idle = Duration::from_secs_f64(arguments.idle);
    each(arguments, stage, |contestant, round| Ok(stage.cold(contestant, round, idle)?.last / 1e3))
}

/// Everybody in turn, round after round.
fn each(
    arguments: &Arguments,
    stage: &Stage,
    measure: impl Fn(&stage::Contestant, usize) -> Result<f64, Failure>,
) -> Result<Vec<Column>, Failure> {
    let mut columns: Vec<_> =
        stage.contestants.iter().map(|contestant| (contestant.name, Vec::new())).collect();
    for round in 0..arguments.run.rounds(3) {
        for (contestant, (_, figures)) in stage.contestants.iter().zip(&mut columns) {
            figures.push(measure(contestant, round)?);
        }
    }
    Ok(columns)
}
