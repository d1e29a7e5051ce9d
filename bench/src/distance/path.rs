//! A way between two places.

use super::place::{Place, Program};
use super::tunnel::Nature;
use crate::failure::Failure;
use std::net::Ipv4Addr;

/// A place's end of a way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) place: &'a Place,
    pub(crate) address: Ipv4Addr,
    /// What is reached from here.
    pub(crate) leads: Leads,
}

/// What a place reaches over a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leads {
    /// Its other end.
    There,
    /// All that is further away, too.
    Everywhere,
}

/// Packets pass for as long as this is there.
#[derive(Debug)]
pub(crate) struct Way {
    _tunnel: Program,
}

impl Way {
    /// Joins two places.
    pub(crate) fn between(near: End<'_>, far: End<'_>, nature: Nature, seed: u64) -> Result<Self, Failure> {
        let Nature { delay, rate, queue, loss } = nature;
        let name = |end: &End<'_>| format!("to-{:08x}", u32::from(end.address));
        // Named after where they lead to.
        let (here, there) = (name(&far), name(&near));
        let mut command = near.place.prompt_part("tunnel")?;
        command.args(["--near", &here, "--far", &there, "--seed", &seed.to_string()]);
        command.args(["--delay", &delay.to_string(), "--rate", &rate.to_string()]);
        command.args(["--queue", &queue.to_string(), "--loss", &loss.to_string()]);
        let tunnel = Program::saying(command, "ready")?;
        // The tunnel holds both devices open, wherever they are.
        near.place.run("ip", &format!("link set {there} netns {}", far.place.id()))?;
        for (end, other, device) in [(near, far, here), (far, near, there)] {
            let (own, others) = (end.address, other.address);
            end.place.run("ip", &format!("address add {own} peer {others} dev {device}"))?;
            end.place.run("ip", &format!("link set {device} up"))?;
            if end.leads == Leads::Everywhere {
                end.place.run("ip", &format!("route add default dev {device}"))?;
            }
        }
        Ok(Self { _tunnel: tunnel })
    }
}
