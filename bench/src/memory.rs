//! What a cached object costs in memory: the program's own, before and after it was filled through HTTP.

use crate::answer::{Connection, Expected};
use crate::failure::Failure;
use crate::load::runtime;
use crate::origin::{Origin, not_found, ok};
use crate::peer::{Cores, Peer, Selvedge};
use crate::report::Report;
use crate::run::{Run, verdict};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime};
use tokio::task::JoinSet;

/// Bytes of each object.
const SIZE: usize = 1 << 10;
/// Resident bytes that one of them may cost.
const GOAL: f64 = (SIZE + 500) as f64;
/// Objects that are there before anything is measured: connections and pools have their buffers then.
const BEFORE: u64 = 1000;
/// How many of the objects are asked for again.
const VERIFIED: u64 = 10_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: Run,
    /// Objects to fill with
    #[arg(long, default_value_t = 1_000_000)]
    objects: u64,
    /// Connections that fill
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let origin = Origin::scripted(answer)?;
    let mut columns: Vec<(&'static str, Vec<f64>)> = Vec::new();
    for _ in 0..arguments.run.rounds(1) {
        // Anew each round: memory that was freed and used again would tell nothing.
        let node = arguments.run.node()?;
        let selvedge = Peer::selvedge(&node, Selvedge::Large, origin.address, Cores::All)?;
        let mut peers = vec![selvedge];
        peers.extend(Peer::varnish(origin.address, Cores::All)?);
        for peer in peers {
            let cost = cost(&peer, arguments, &origin)?;
            match columns.iter_mut().find(|(name, _)| *name == peer.name) {
                Some((_, costs)) => costs.push(cost),
                None => columns.push((peer.name, vec![cost])),
            }
        }
    }
    let mut report = Report::new("memory", "resident bytes an object of 1 KiB");
    let case = format!("{} objects", arguments.objects);
    report.add(case.clone(), &columns);
    arguments.run.tell(&report)?;
    verdict("bytes", report.median(&case), GOAL);
    Ok(())
}

/// Resident bytes an object.
fn cost(peer: &Peer, arguments: &Arguments, origin: &Origin) -> Result<f64, Failure> {
    let Arguments { objects, connections, .. } = *arguments;
    ask(peer.address, connections, "before", 0..BEFORE, 1)?;
    let (before, begun) = (peer.resident()?, Instant::now());
    ask(peer.address, connections, "object", 0..objects, 1)?;
    let (after, took) = (peer.resident()?, begun.elapsed());
    verify(peer, objects, origin)?;
    println!("{}: filled in {:.0} s, {} MiB", peer.name, took.as_secs_f64(), after >> 20);
    Ok(after.saturating_sub(before) as f64 / objects as f64)
}

/// A sample of the objects, spread over all of them, must be there.
fn verify(peer: &Peer, objects: u64, origin: &Origin) -> Result<(), Failure> {
    let (asked, step) = (origin.answered(), objects.div_ceil(VERIFIED));
    ask(peer.address, 1, "object", 0..objects, step)?;
    match origin.answered() - asked {
        0 => Ok(()),
        missing => {
            Err(Failure::Answer(format!("{}: {missing} objects of a sample are not cached", peer.name)))
        }
    }
}

/// Asks for every so manieth object of a folder once, over kept connections.
pub(crate) fn ask(
    target: SocketAddr,
    connections: usize,
    folder: &str,
    objects: Range<u64>,
    step: u64,
) -> Result<(), Failure> {
    let next = Arc::new(AtomicU64::new(objects.start));
    runtime()?.block_on(async {
        let mut crew = JoinSet::new();
        for _ in 0..connections {
            let (next, end, folder) = (Arc::clone(&next), objects.end, folder.to_owned());
            crew.spawn(async move {
                let expected = Expected::Plain(SIZE);
                let mut connection = Connection::open(target, expected).await?;
                loop {
                    let number = next.fetch_add(step, Relaxed);
                    if number >= end {
                        return Ok::<_, Failure>(());
                    }
                    connection.ask(&expected.request(&format!("/{folder}/{number}"))).await?;
                }
            });
        }
        while let Some(ended) = crew.join_next().await {
            ended.map_err(|error| Failure::Setup(error.to_string()))??;
        }
        Ok(())
    })
}

/// What well-kept origins say of an object, and of no other.
#[allow(
    clippy::disallowed_methods,
    reason = "an origin dates its answers; caches reckon their age from that"
)]
fn answer(path: &str) -> Vec<u8> {
    let Some((_, number)) = path.rsplit_once('/') else { return not_found() };
    let Ok(number) = number.parse::<u64>() else { return not_found() };
    // Fibonacci hashing: entity tags that look like those of files, different for each object.
    let tag = format!("\"{:016x}\"", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let headers = [
        ("date", &*httpdate::fmt_http_date(SystemTime::now())),
        ("content-type", "image/jpeg"),
        ("cache-control", "public, max-age=86400"),
        ("etag", &tag),
    ];
    ok(&headers, &[b'x'; SIZE])
}
