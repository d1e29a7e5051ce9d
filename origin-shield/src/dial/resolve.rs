//! From the host of an origin to addresses. The only place that knows hickory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::failure::{Cause, Failure};

/// An answer is used at least this long, so that a TTL of 0 does not cost a query per connection.
const SHORTEST_TTL: Duration = Duration::from_secs(1);
/// An answer is used at most this long, so that a moved origin is found again.
const LONGEST_TTL: Duration = Duration::from_secs(300);
/// "There is no such name" is believed at most this long: the name may be about to appear.
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(10);

/// Finds addresses and keeps them for their TTL. The machine's name servers are looked up when the first name needs
/// them, and again until they are found: a node starts, and serves what it can, without DNS.
pub(crate) struct Resolver {
    patience: Duration,
    system: OnceLock<TokioResolver>,
}

impl Resolver {
    /// A resolver whose single queries leave time for a second one within `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, system: OnceLock::new() }
    }

    /// The addresses of `host`, in the order in which to try them.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Cause> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        if is_localhost(host) {
            let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            return Ok(loopback.map(|address| SocketAddr::new(address, port)).to_vec());
        }
        let found = match self.system() {
            Ok(system) => system.lookup_ip(host).await,
            // Without name servers there is still /etc/hosts, and the reason to tell should it not help.
            Err(unusable) => match hosts_only() {
                Ok(hosts) => hosts.lookup_ip(host).await.map_err(|_| unusable),
                Err(_) => Err(unusable),
            },
        };
        let found = found.map_err(|error| failed(host, &error))?;
        Ok(alternate(found.iter()).into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    fn system(&self) -> Result<&TokioResolver, NetError> {
        if let Some(system) = self.system.get() {
            return Ok(system);
        }
        let mut builder = TokioResolver::builder_tokio()?;
        let options = builder.options_mut();
        options.timeout = options.timeout.min(self.patience / 2);
        options.positive_min_ttl = Some(SHORTEST_TTL);
        options.positive_max_ttl = Some(LONGEST_TTL);
        options.negative_max_ttl = Some(LONGEST_NEGATIVE_TTL);
        let system = builder.build()?;
        Ok(self.system.get_or_init(|| system))
    }
}

/// RFC 6761 section 6.3: these names are always the loopback address, whatever a name server says.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn hosts_only() -> Result<TokioResolver, NetError> {
    let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    TokioResolver::builder_with_config(nobody, TokioRuntimeProvider::default()).build()
}

fn failed(host: &str, error: &NetError) -> Cause {
    let failure = match error {
        NetError::Timeout => Failure::DnsTimeout,
        _ => Failure::DnsError,
    };
    Cause::new(failure, format!("{host}: {error}"))
}

/// RFC 8305 section 4: the families take turns, so that a broken one costs one delay and not all of them.
fn alternate(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let (first, second): (Vec<_>, Vec<_>) = addresses.partition(IpAddr::is_ipv6);
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(host: &str) -> Result<Vec<SocketAddr>, Cause> {
        Resolver::new(Duration::from_millis(400)).addresses(host, 80).await
    }

    #[tokio::test]
    async fn literal_addresses_and_localhost_need_no_dns() {
        assert_eq!(resolve("192.0.2.7").await.unwrap(), ["192.0.2.7:80".parse().unwrap()]);
        assert_eq!(resolve("2001:db8::7").await.unwrap(), ["[2001:db8::7]:80".parse().unwrap()]);
        for name in ["localhost", "LocalHost.", "app.localhost"] {
            let found = resolve(name).await.unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback()), "{name}: {found:?}");
            assert_eq!(found[0], "127.0.0.1:80".parse().unwrap(), "{name}");
        }
    }

    #[tokio::test]
    async fn without_name_servers_the_hosts_file_is_still_read_and_nothing_hangs() {
        let error = hosts_only().unwrap().lookup_ip("name.invalid.").await.unwrap_err();
        assert_eq!(failed("name.invalid", &error).failure, Failure::DnsError);
    }

    #[test]
    fn families_take_turns() {
        let addresses = ["10.0.0.1", "10.0.0.2", "2001:db8::1", "10.0.0.3"].map(|text| text.parse().unwrap());
        let expected =
            ["2001:db8::1", "10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(alternate(addresses.into_iter()), expected);
    }

    #[test]
    fn a_late_name_server_is_told_from_a_wrong_name() {
        assert_eq!(failed("a", &NetError::Timeout).failure, Failure::DnsTimeout);
        assert_eq!(failed("a", &NetError::NoConnections).failure, Failure::DnsError);
    }
}
