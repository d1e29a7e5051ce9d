//! Where an origin is: the addresses to try, in order, and which kept connections lead elsewhere.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::names::{Entry, Names};
use super::resolve::{Kind, Record, Service};
use super::service;
use crate::failure::{Cause, Failure};

/// RFC 8305 section 3, "Resolution Delay": how long IPv4 addresses that are there wait for IPv6 ones, and those of one machine for
/// those of another.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// How long an address that did not connect, or not in time, is tried last.
const AVOIDED_FOR: Duration = Duration::from_secs(60);
/// How many such addresses of one origin are remembered.
const AVOIDED: usize = 64;
/// How many machines of one service are tried.
const MACHINES: usize = 16;

/// Where one origin is.
#[derive(Debug)]
pub(super) struct Place {
    kind: Kinds,
    avoided: Mutex<Vec<(SocketAddr, Instant)>>,
}

enum Kinds {
    /// An address, or this machine.
    Fixed(Vec<SocketAddr>),
    Named(Arc<Names>, Host, u16),
    Service(Arc<Names>, Arc<Entry>, Mutex<Vec<(Host, u16)>>),
}

/// One host's addresses, each family known and asked for by itself: one may fail without the other.
#[derive(Clone)]
struct Host {
    v6: Arc<Entry>,
    v4: Arc<Entry>,
}

/// What to try, the preferred first, and what may come later.
pub(super) struct Candidates {
    pub(super) ready: Vec<SocketAddr>,
    pub(super) late: Option<(Arc<Entry>, u16)>,
}

/// Where a connection leads, and as of when that was right.
#[derive(Debug)]
pub(crate) struct Whither {
    address: SocketAddr,
    generation: AtomicU64,
}

impl Whither {
    pub(super) fn new(address: SocketAddr, generation: u64) -> Self {
        Self { address, generation: generation.into() }
    }
}

impl Place {
    /// The origin at `host`, whatever is named so, or at the machines that offer `service` (RFC 2782).
    pub(super) fn new(names: &Arc<Names>, host: &str, port: u16, service: Option<&str>) -> Self {
        let kind = match service {
            Some(service) => {
                Kinds::Service(names.clone(), names.entry(service, Kind::Service), Mutex::default())
            }
            None => match fixed(host, port) {
                Some(addresses) => Kinds::Fixed(addresses),
                None => Kinds::Named(names.clone(), Host::new(names, host), port),
            },
        };
        Self { kind, avoided: Mutex::default() }
    }

    /// The addresses to try now. Waits for name servers only where nothing is known.
    pub(super) async fn candidates(&self) -> Result<Candidates, Cause> {
        let mut candidates = match &self.kind {
            Kinds::Fixed(addresses) => Candidates { ready: addresses.clone(), late: None },
            Kinds::Named(_, host, port) => host.candidates(*port).await?,
            Kinds::Service(names, service, machines) => {
                let found = service.records().await?;
                let ordered = service::ordered(services(&found), |most| fastrand::u32(..=most));
                let hosts = hosts_of(names, &ordered, service)?;
                // Kept, so that what is known of them outlives name servers that fail.
                lock(machines).clone_from(&hosts);
                all_of(&hosts).await?
            }
        };
        self.put_avoided_last(&mut candidates.ready, Instant::now());
        Ok(candidates)
    }

    /// As of which moment an address is right that is connected to from now on.
    pub(super) fn generation(&self) -> u64 {
        self.names().map_or(0, |names| names.generation())
    }

    /// Tells when some name has moved; `None` for what cannot move.
    pub(super) fn changes(&self) -> Option<watch::Receiver<()>> {
        self.names().map(|names| names.changes())
    }

    /// Whether a kept connection still leads to this origin. Costs one load while no name has moved.
    pub(super) fn holds(&self, whither: &Whither) -> bool {
        let generation = self.generation();
        if whither.generation.load(Relaxed) == generation {
            return true;
        }
        // No address at all: a connection that works is then better than none.
        let holds = self.known().is_none_or(|known| known.is_empty() || known.contains(&whither.address));
        if holds {
            whither.generation.store(generation, Relaxed);
        }
        holds
    }

    /// That the origin is in use, though nothing is connected anew: its names go on being asked after.
    pub(super) fn touch(&self) {
        let touch = |host: &Host| {
            host.v6.touch();
            host.v4.touch();
        };
        match &self.kind {
            Kinds::Fixed(_) => {}
            Kinds::Named(_, host, _) => touch(host),
            Kinds::Service(_, service, machines) => {
                service.touch();
                lock(machines).iter().for_each(|(host, _)| touch(host));
            }
        }
    }

    /// Tries `address` last for a while.
    pub(super) fn avoid(&self, address: SocketAddr, now: Instant) {
        let mut avoided = lock(&self.avoided);
        avoided.retain(|(other, since)| *other != address && now < *since + AVOIDED_FOR);
        if avoided.len() < AVOIDED {
            avoided.push((address, now));
        }
    }

    /// `address` connects again.
    pub(super) fn forgive(&self, address: SocketAddr) {
        lock(&self.avoided).retain(|(other, _)| *other != address);
    }

    /// RFC 8305 section 4 lets what was learned of addresses change their order.
    fn put_avoided_last(&self, addresses: &mut [SocketAddr], now: Instant) {
        let avoided = lock(&self.avoided);
        let is_avoided = |address: &SocketAddr| {
            avoided.iter().any(|(other, since)| other == address && now < *since + AVOIDED_FOR)
        };
        addresses.sort_by_key(is_avoided);
    }

    fn names(&self) -> Option<&Arc<Names>> {
        match &self.kind {
            Kinds::Fixed(_) => None,
            Kinds::Named(names, ..) | Kinds::Service(names, ..) => Some(names),
        }
    }

    /// All addresses as they were said last; `None` where that is not known, or never changes.
    fn known(&self) -> Option<Vec<SocketAddr>> {
        match &self.kind {
            Kinds::Fixed(_) => None,
            Kinds::Named(_, host, port) => Some(host.known(*port)),
            Kinds::Service(names, service, _) => {
                let known = hosts_of(names, &services(&service.last()?), service).ok()?;
                Some(known.iter().flat_map(|(host, port)| host.known(*port)).collect())
            }
        }
    }
}

impl Host {
    fn new(names: &Arc<Names>, host: &str) -> Self {
        Self { v6: names.entry(host, Kind::V6), v4: names.entry(host, Kind::V4) }
    }

    /// RFC 8305 section 3: whichever family is known first is used first, but IPv6 gets a small lead.
    async fn candidates(&self, port: u16) -> Result<Candidates, Cause> {
        // An answer that says "none" was given before and will be given again: nothing to wait for.
        let had_no_v6 = self.v6.last().is_some_and(|records| records.is_empty());
        let (mut v6, mut v4) = (pin!(self.v6.records()), pin!(self.v4.records()));
        let (first, second) = tokio::select! {
            biased;
            found = &mut v6 => match found {
                Ok(found) if !found.is_empty() => {
                    // One that is known is there at once.
                    let other = timeout(Duration::ZERO, v4).await;
                    return Ok(candidates(&found, other.ok(), port, &self.v4));
                }
                found => (found, v4.await),
            },
            found = &mut v4 => match found {
                Ok(found) if !found.is_empty() => {
                    let patience = if had_no_v6 { Duration::ZERO } else { RESOLUTION_DELAY };
                    let other = timeout(patience, v6).await;
                    return Ok(candidates(&found, other.ok(), port, &self.v6));
                }
                found => (found, v6.await),
            },
        };
        match (first, second) {
            // The second is what one family has though the other does not.
            (_, Ok(found)) if !found.is_empty() => Ok(candidates(&found, None, port, &self.v4)),
            (Err(cause), _) | (_, Err(cause)) => Err(cause),
            (Ok(_), Ok(_)) => {
                let detail = format!("{}: the name servers say that it has no address", self.v4.host());
                Err(Cause::new(Failure::DnsError, detail))
            }
        }
    }

    fn known(&self, port: u16) -> Vec<SocketAddr> {
        let families = [self.v6.last(), self.v4.last()];
        families.iter().flatten().flat_map(|records| addresses(records, port)).collect()
    }
}

/// The addresses of one family and, if they are there, of the `other`, whose entry brings them later if not.
fn candidates(
    first: &[Record],
    other: Option<Result<Arc<[Record]>, Cause>>,
    port: u16,
    entry: &Arc<Entry>,
) -> Candidates {
    let (other, late) = match other {
        Some(other) => (other.unwrap_or_default(), None),
        None => (Arc::default(), Some((entry.clone(), port))),
    };
    Candidates { ready: alternate(addresses(first, port).chain(addresses(&other, port))), late }
}

pub(super) fn addresses(records: &[Record], port: u16) -> impl Iterator<Item = SocketAddr> {
    records.iter().filter_map(move |record| match record {
        Record::Address(address) => Some(SocketAddr::new(*address, port)),
        Record::Service(_) => None,
    })
}

fn services(records: &[Record]) -> Vec<Service> {
    let services = records.iter().filter_map(|record| match record {
        Record::Service(service) => Some(service.clone()),
        Record::Address(_) => None,
    });
    services.collect()
}

fn hosts_of(names: &Arc<Names>, services: &[Service], entry: &Entry) -> Result<Vec<(Host, u16)>, Cause> {
    // RFC 2782: a single target "." says that there is no such service here.
    let offered = services.iter().filter(|service| service.target != ".").take(MACHINES);
    let hosts: Vec<_> = offered.map(|service| (Host::new(names, &service.target), service.port)).collect();
    if hosts.is_empty() {
        let detail = format!("{}: the name servers say that nobody offers it", entry.host());
        return Err(Cause::new(Failure::DnsError, detail));
    }
    Ok(hosts)
}

/// The addresses of every machine, in the order of the machines. Those that have none are left out, as are those of which nothing
/// is known yet though others have had addresses for a moment.
async fn all_of(hosts: &[(Host, u16)]) -> Result<Candidates, Cause> {
    let mut asking = JoinSet::new();
    for (turn, (host, port)) in hosts.iter().cloned().enumerate() {
        asking.spawn(async move { (turn, host.candidates(port).await) });
    }
    let (mut found, mut last, mut patience) = (BTreeMap::new(), None, None);
    loop {
        let next = match patience {
            None => asking.join_next().await,
            Some(end) => timeout_at(end, asking.join_next()).await.ok().flatten(),
        };
        match next {
            None => break,
            Some(Ok((turn, Ok(candidates)))) => {
                found.insert(turn, candidates.ready);
                patience.get_or_insert_with(|| Instant::now() + RESOLUTION_DELAY);
            }
            Some(Ok((_, Err(cause)))) => last = Some(cause),
            Some(Err(_)) => {}
        }
    }
    let ready: Vec<_> = found.into_values().flatten().collect();
    match last {
        Some(cause) if ready.is_empty() => Err(cause),
        _ => Ok(Candidates { ready, late: None }),
    }
}

/// What needs no name server.
fn fixed(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    let at = |address| SocketAddr::new(address, port);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(vec![at(address)]);
    }
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    is_localhost(host).then(|| loopback.map(at).to_vec())
}

/// RFC 6761 section 6.3: these names are always the loopback address, whatever a name server says.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// RFC 8305 section 4: the families take turns, so that a broken one costs one delay and not all of them.
pub(super) fn alternate(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (first, second): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Kinds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(addresses) => addresses.fmt(formatter),
            Self::Named(_, host, port) => write!(formatter, "{}:{port}", host.v4.host()),
            Self::Service(_, service, _) => formatter.write_str(service.host()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn place(host: &str) -> Place {
        Place::new(&Names::new(&[], Duration::ZERO), host, 80, None)
    }

    #[tokio::test]
    async fn literal_addresses_and_localhost_need_no_dns() {
        for (host, expected) in [("192.0.2.7", "192.0.2.7:80"), ("2001:db8::7", "[2001:db8::7]:80")] {
            assert_eq!(place(host).candidates().await.unwrap().ready, [socket(expected)]);
        }
        for name in ["localhost", "LocalHost.", "app.localhost"] {
            let found = place(name).candidates().await.unwrap().ready;
            assert!(found.iter().all(|address| address.ip().is_loopback()), "{name}: {found:?}");
            assert_eq!(found[0], socket("127.0.0.1:80"), "{name}");
        }
    }

    #[test]
    fn families_take_turns() {
        let addresses = ["10.0.0.1:1", "10.0.0.2:1", "[2001:db8::1]:1", "10.0.0.3:1"].map(socket);
        let expected = ["[2001:db8::1]:1", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].map(socket);
        assert_eq!(alternate(addresses.into_iter()), expected);
    }

    #[test]
    fn an_address_that_failed_lately_goes_last_for_a_minute_or_until_it_connects() {
        let (place, now) = (place("192.0.2.7"), Instant::now());
        let [first, second] = ["192.0.2.1:80", "192.0.2.2:80"].map(socket);
        let order = |now| {
            let mut addresses = [first, second];
            place.put_avoided_last(&mut addresses, now);
            addresses
        };
        place.avoid(first, now);
        assert_eq!(order(now + AVOIDED_FOR - Duration::from_millis(1)), [second, first]);
        assert_eq!(order(now + AVOIDED_FOR), [first, second]);
        place.avoid(second, now);
        assert_eq!(order(now), [first, second], "all failed: as they were");
        place.forgive(first);
        assert_eq!(order(now), [first, second]);
    }

    #[test]
    fn no_more_failures_are_remembered_than_a_name_can_have_addresses() {
        let (place, now) = (place("192.0.2.7"), Instant::now());
        (0..1000).for_each(|port| place.avoid(SocketAddr::new([192, 0, 2, 1].into(), port), now));
        assert_eq!(lock(&place.avoided).len(), AVOIDED);
    }

    #[tokio::test]
    async fn a_machine_whose_name_nobody_knows_does_not_hold_up_the_others() {
        let (_server, names) = crate::dial::names::tests::silent().await;
        let host = |name| Host::new(&names, name);
        let (unknown, first, second) = (host("unknown.test."), host("a.test."), host("b.test."));
        let now = Instant::now();
        for (host, address) in [(&first, "192.0.2.1"), (&second, "192.0.2.2")] {
            host.v6.know(None, now);
            host.v4.know(address.parse().ok(), now);
        }
        let hosts = [(unknown, 1), (first, 2), (second, 3)];
        let found = timeout(Duration::from_secs(1), all_of(&hosts)).await.unwrap().unwrap();
        assert_eq!(found.ready, ["192.0.2.1:2", "192.0.2.2:3"].map(socket));
    }
}
