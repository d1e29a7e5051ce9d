//! Three places, two ways, and the programs that compete.

use super::far;
use super::fetch::Times;
use super::nodes::{self, Node};
use super::path::{End, Leads, Way};
use super::place::{Place, said};
use super::tunnel::Nature;
use crate::failure::Failure;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// From a viewer to the edge of its town: 10 ms there and back.
const SHORT: Nature = Nature { delay: 5, rate: 200.0, queue: 1 << 20, loss: 0.0 };

const VIEWER: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 1);
const EDGE: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 2);
const EDGE_ABROAD: Ipv4Addr = Ipv4Addr::new(10, 99, 2, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 2, 2);
const ORIGIN: SocketAddr = SocketAddr::new(IpAddr::V4(FAR), 8000);

/// Straight to the origin, which all others are compared with.
pub(crate) const STRAIGHT: &str = "straight";
/// With nothing set but where the shield is.
pub(crate) const SHIELDED: &str = "edge and shield";

pub(crate) struct Stage {
    viewer: Place,
    pub(crate) contestants: Vec<Contestant>,
    _others: (Place, Place, Way, Way, Node),
}

/// How an object reaches the viewer.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    /// Whom the viewer asks.
    address: SocketAddr,
    _nodes: Vec<Node>,
}

impl Stage {
    /// With a long way of this nature.
    pub(crate) fn set(long: Nature, node: &Path, names: &[&'static str]) -> Result<Self, Failure> {
        let (viewer, edge, far) = (Place::new()?, Place::new()?, Place::new()?);
        let end = |place, address, leads| End { place, address, leads };
        let short =
            Way::between(end(&viewer, VIEWER, Leads::Everywhere), end(&edge, EDGE, Leads::There), SHORT, 1)?;
        let long =
            Way::between(end(&edge, EDGE_ABROAD, Leads::There), end(&far, FAR, Leads::Everywhere), long, 2)?;
        let origin = nodes::origin(&far, ORIGIN, "cubic")?;
        let names = names.iter().copied().filter(|name| *name != nodes::NGINX || nodes::has_nginx());
        let contestants = names.map(|name| contestant(name, &edge, &far, node)).collect::<Result<_, _>>()?;
        Ok(Self { viewer, contestants, _others: (edge, far, short, long, origin) })
    }

    /// Fetches what nobody asked for before. Where a node is on the way, its connections have carried another such object before
    /// and have been idle since.
    pub(crate) fn cold(
        &self,
        contestant: &Contestant,
        round: usize,
        idle: Duration,
    ) -> Result<Times, Failure> {
        if contestant.address != ORIGIN {
            self.fetch(contestant, &format!("/cold/before-{round}"), far::SIZE)?;
            pause(idle);
        }
        self.fetch(contestant, &format!("/cold/{round}"), far::SIZE)
    }

    /// Fetches what its origin makes slowly.
    pub(crate) fn slow(&self, contestant: &Contestant, round: usize) -> Result<Times, Failure> {
        self.fetch(contestant, &format!("/slow/{round}"), far::SLOW_SIZE)
    }

    fn fetch(&self, contestant: &Contestant, path: &str, size: usize) -> Result<Times, Failure> {
        let mut viewer = self.viewer.part("fetch")?;
        viewer.args(["--address", &contestant.address.to_string(), "--path", path]);
        viewer.args(["--size", &size.to_string()]);
        let times = said(&viewer.output().map_err(Failure::system("a viewer"))?)?;
        serde_json::from_str(&times).map_err(|error| Failure::Answer(format!("{}: {error}", contestant.name)))
    }
}

/// The programs of one way to go, each on a port of its own.
fn contestant(name: &'static str, edge: &Place, far: &Place, node: &Path) -> Result<Contestant, Failure> {
    let at = |address: Ipv4Addr, port| SocketAddr::new(address.into(), port);
    let url = format!("url = \"http://{ORIGIN}\"\npool = {{ idle = \"10m\" }}");
    let shielded = |port, settings: &str, protocol: &str| {
        let (edge_at, shield_at) = (at(EDGE, port), at(FAR, port));
        let key = format!("{{ env = \"{}\" }}", nodes::KEY);
        let settings =
            format!("{settings}\nlimits = {{ idle-timeout = \"10m\" }}\nedges = {{ key = {key} }}");
        let shield = nodes::selvedge(far, node, shield_at, &settings, &url)?;
        let there = format!(
            "shield = [\"http://{shield_at}\"]\nkey = {key}\npool = {{ warm = 1 }}\nprotocol = \"{protocol}\""
        );
        let edge = nodes::selvedge(edge, node, edge_at, "", &there)?;
        Ok::<_, Failure>((edge_at, vec![shield, edge]))
    };
    let (address, nodes) = match name {
        STRAIGHT => (ORIGIN, Vec::new()),
        SHIELDED => shielded(8001, "", "auto")?,
        "over HTTP/2" => shielded(8002, "", "http2")?,
        "shield with CUBIC" => shielded(8003, "congestion = \"cubic\"", "auto")?,
        nodes::NGINX => (at(EDGE, 8004), vec![nodes::nginx(edge, at(EDGE, 8004), ORIGIN)?]),
        _ => (at(EDGE, 8005), vec![nodes::selvedge(edge, node, at(EDGE, 8005), "", &url)?]),
    };
    Ok(Contestant { name, address, _nodes: nodes })
}

#[allow(clippy::disallowed_methods, reason = "that nothing happens for a while is what is asked for")]
fn pause(idle: Duration) {
    thread::sleep(idle);
}
