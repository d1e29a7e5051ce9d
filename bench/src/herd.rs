//! A cold herd: many viewers who ask at the same moment for one object that no cache has and that takes its origin a while.

use crate::answer::{Connection, Expected};
use crate::failure::Failure;
use crate::load::runtime;
use crate::origin::{Origin, not_found, ok};
use crate::peer::{Cores, Nginx, Peer, Selvedge};
use crate::report::Report;
use crate::run::{Run, TESTED, verdict};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long the origin takes.
const TAKES: Duration = Duration::from_millis(300);
/// Bytes of the object.
const SIZE: usize = 10 << 10;
/// Milliseconds until all but one in a hundred have the whole answer.
const GOAL: f64 = 330.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: Run,
    /// Viewers, each on a connection of its own
    #[arg(long, default_value_t = 500)]
    viewers: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    Run::stay_on_the_load_core()?;
    let origin = Origin::scripted(answer)?;
    let core = Cores::One(TESTED);
    let mut peers = vec![
        Peer::selvedge(&arguments.run.node()?, Selvedge::OneThread, origin.address, core)?,
        Peer::nginx(Nginx::Usual, origin.address, core)?,
    ];
    peers.extend(Peer::varnish(origin.address, core)?);
    for peer in &peers {
        // What every viewer knows already: asked for here so that rounds count fetches of the cold object only.
        herd(peer, "/known", 1)?;
    }
    let columns = || peers.iter().map(|peer| (peer.name, Vec::new())).collect::<Vec<_>>();
    let (mut fetches, mut medians, mut late) = (columns(), columns(), columns());
    for round in 0..arguments.run.rounds(7) {
        for (number, peer) in peers.iter().enumerate() {
            let before = origin.answered();
            let times = herd(peer, &format!("/slow/{round}"), arguments.viewers)?;
            fetches[number].1.push((origin.answered() - before) as f64);
            medians[number].1.push(at(&times, 0.50));
            late[number].1.push(at(&times, 0.99));
        }
    }
    let mut report = Report::new("herd", "origin fetches; milliseconds until the whole answer is there");
    for (case, columns) in [("fetches", &fetches), ("p50", &medians), ("p99", &late)] {
        report.add(case.to_owned(), columns);
    }
    arguments.run.tell(&report)?;
    verdict("fetches", report.median("fetches"), 1.0);
    verdict("ms, p99", report.median("p99"), GOAL);
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "that it takes a while is what this origin is for")]
fn answer(path: &str) -> Vec<u8> {
    let Some(name) = path.strip_prefix('/') else { return not_found() };
    if name.starts_with("slow/") {
        thread::sleep(TAKES);
    }
    let headers = [("content-type", "image/jpeg"), ("cache-control", "public, max-age=3600")];
    ok(&headers, &[b'x'; SIZE])
}

/// How long each viewer waited, in milliseconds, in rising order. All have their connections, and have used them, before.
fn herd(peer: &Peer, path: &str, viewers: usize) -> Result<Vec<f64>, Failure> {
    runtime()?.block_on(async {
        let (ready, mut herd) = (Arc::new(Barrier::new(viewers)), JoinSet::new());
        for _ in 0..viewers {
            let mut connection = Connection::open(peer.address, Expected::Plain(SIZE)).await?;
            connection.ask(&Expected::Plain(SIZE).request("/known")).await?;
            let (ready, request) = (Arc::clone(&ready), Expected::Plain(SIZE).request(path));
            herd.spawn(async move {
                ready.wait().await;
                let begun = Instant::now();
                connection.ask(&request).await?;
                Ok::<_, Failure>(begun.elapsed().as_secs_f64() * 1e3)
            });
        }
        let mut times = Vec::with_capacity(viewers);
        while let Some(ended) = herd.join_next().await {
            times.push(ended.map_err(|error| Failure::Setup(error.to_string()))??);
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    })
}

/// The time within which this share of the viewers were answered.
pub(crate) fn at(times: &[f64], share: f64) -> f64 {
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_may_be_later() {
        let times: Vec<f64> = (1..=500).map(f64::from).collect();
        assert_eq!((at(&times, 0.50), at(&times, 0.99)), (250.0, 495.0));
        assert_eq!(at(&[7.0], 0.99), 7.0);
    }
}
