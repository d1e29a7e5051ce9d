//! Programs measured in turn, round after round, with every object in their caches.

use crate::failure::Failure;
use crate::load::{self, Plan, Sample};
use crate::objects::Kind;
use crate::origin::Origin;
use crate::peer::Peer;
use crate::report::Column;

/// How much of a sample may be disturbed, and how often it is taken again until then.
const DISTURBANCE: f64 = 0.02;
const ATTEMPTS: usize = 8;

/// Microseconds of processor time a hit.
pub(crate) fn hits(
    peers: &[Peer],
    kind: Kind,
    plan: &Plan,
    rounds: usize,
    origin: &Origin,
) -> Result<Vec<Column>, Failure> {
    costs(peers, rounds, |peer| hit(peer, kind, plan, origin))
}

/// Microseconds of processor time an answer that the origin gave.
pub(crate) fn passed(
    peers: &[Peer],
    kind: Kind,
    plan: &Plan,
    rounds: usize,
    origin: &Origin,
) -> Result<Vec<Column>, Failure> {
    costs(peers, rounds, |peer| pass(peer, kind, plan, origin))
}

fn costs(
    peers: &[Peer],
    rounds: usize,
    take: impl Fn(&Peer) -> Result<Sample, Failure>,
) -> Result<Vec<Column>, Failure> {
    let mut columns: Vec<_> = peers.iter().map(|peer| (peer.name, Vec::new())).collect();
    for _ in 0..rounds {
        for (peer, (_, costs)) in peers.iter().zip(&mut columns) {
            costs.push(quiet(|| take(peer))?.cost());
        }
    }
    Ok(columns)
}

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
fn hit(peer: &Peer, kind: Kind, plan: &Plan, origin: &Origin) -> Result<Sample, Failure> {
    match sample(peer, kind, plan, origin)? {
        (sample, 0) => Ok(sample),
        (_, fetched) => Err(Failure::Answer(format!(
            "{} asked the origin {fetched} times while hits were measured",
            peer.name
        ))),
    }
}

/// A sample in which the origin was asked each time. What is under way as it begins and ends makes a difference of no more
/// than a request a connection.
fn pass(peer: &Peer, kind: Kind, plan: &Plan, origin: &Origin) -> Result<Sample, Failure> {
    let (sample, fetched) = sample(peer, kind, plan, origin)?;
    if fetched.abs_diff(sample.answers) <= plan.connections as u64 {
        return Ok(sample);
    }
    Err(Failure::Answer(format!(
        "{} asked the origin {fetched} times for {} answers",
        peer.name, sample.answers
    )))
}

/// A sample, and how often the origin was asked in its time.
fn sample(peer: &Peer, kind: Kind, plan: &Plan, origin: &Origin) -> Result<(Sample, u64), Failure> {
    let fetched = std::cell::Cell::new((0, 0));
    let sample = load::measure(peer.address, kind, plan, || {
        fetched.set((fetched.get().1, origin.answered()));
        peer.used()
    })?;
    let (before, after) = fetched.get();
    Ok((sample, after - before))
}
