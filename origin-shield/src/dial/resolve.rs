//! One question to the name servers. The only place that knows hickory.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use crate::failure::{Cause, Failure};

/// How long one query may take, answers of further name servers included. Two fit into the default connect timeout.
const QUERY_PATIENCE: Duration = Duration::from_millis(1400);
/// How long "there is no such name" holds where the name servers do not say.
const NEGATIVE_TTL: Duration = Duration::from_secs(10);

/// What is asked about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Its IPv6 addresses.
    V6,
    /// Its IPv4 addresses.
    V4,
    /// The machines that offer it (RFC 2782).
    Service,
}

/// What name servers know of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Record {
    Address(IpAddr),
    Service(Service),
}

/// RFC 2782: a machine that offers a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service {
    /// The lowest is tried first.
    pub(super) priority: u16,
    /// The share of those with the same priority.
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
}

/// What the name servers said. No records: there are none, which is an answer too.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) records: Vec<Record>,
    /// How long it may be used, as the name servers say.
    pub(super) ttl: Duration,
}

/// Asks the name servers that are given, else the machine's, which are looked up when the first name needs them, and again until
/// they are found: a node starts, and serves what it can, without DNS.
pub(super) struct Resolver {
    given: Vec<SocketAddr>,
    found: OnceLock<Servers>,
}

struct Servers {
    resolver: TokioResolver,
    search: Vec<String>,
    /// From how many dots on a name is first taken as it is (resolv.conf(5), `ndots`).
    ndots: usize,
}

impl Resolver {
    pub(super) fn new(given: &[SocketAddr]) -> Self {
        Self { given: given.to_vec(), found: OnceLock::new() }
    }

    /// # Errors
    /// The name servers cannot be asked, do not answer, or say that they do not know.
    pub(super) async fn ask(&self, host: &str, kind: Kind) -> Result<Answer, Cause> {
        let servers = match self.servers() {
            Ok(servers) => servers,
            // Without name servers there is still /etc/hosts, and the reason to tell should it not help.
            Err(unusable) => {
                let hosts = Servers::build(ResolverConfig::default(), ResolverOpts::default());
                let found = hosts.map(|hosts| async move { hosts.ask_one(&absolute(host), kind).await });
                return match found {
                    Ok(found) => found.await.map_err(|_| failed(host, &unusable)),
                    Err(_) => Err(failed(host, &unusable)),
                };
            }
        };
        let mut outcome = Ok(Answer { records: Vec::new(), ttl: NEGATIVE_TTL });
        for name in candidates(host, &servers.search, servers.ndots) {
            match servers.ask_one(&name, kind).await {
                Ok(answer) if !answer.records.is_empty() => return Ok(answer),
                // That another name does not exist says nothing about one that could not be asked for.
                Ok(answer) => outcome = outcome.map(|_| answer),
                Err(error) => outcome = Err(failed(&name, &error)),
            }
        }
        outcome
    }

    fn servers(&self) -> Result<&Servers, NetError> {
        if let Some(servers) = self.found.get() {
            return Ok(servers);
        }
        let (config, options) = if self.given.is_empty() {
            read_system_conf()?
        } else {
            let servers = self.given.iter().map(name_server).collect();
            (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
        };
        let servers = Servers::build(config, options)?;
        Ok(self.found.get_or_init(|| servers))
    }
}

impl Servers {
    fn build(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, NetError> {
        let domains = config.domain().into_iter().chain(config.search());
        let search = domains.map(ToString::to_string).collect();
        let ndots = options.ndots;
        options.timeout = options.timeout.min(QUERY_PATIENCE);
        // Answers are kept by whoever asks: these are dropped when they are too old, and then nothing is known.
        options.cache_size = 0;
        let mut resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *resolver.options_mut() = options;
        Ok(Self { resolver: resolver.build()?, search, ndots })
    }

    async fn ask_one(&self, name: &str, kind: Kind) -> Result<Answer, NetError> {
        let found = match kind {
            Kind::V6 => self.resolver.ipv6_lookup(name).await,
            Kind::V4 => self.resolver.ipv4_lookup(name).await,
            Kind::Service => self.resolver.srv_lookup(name).await,
        };
        match found {
            Ok(lookup) => Ok(answer(&lookup, kind)),
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                let ttl = none.negative_ttl.map_or(NEGATIVE_TTL, |ttl| Duration::from_secs(ttl.into()));
                Ok(Answer { records: Vec::new(), ttl })
            }
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").field("given", &self.given).finish_non_exhaustive()
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = address.port());
    server
}

/// The names that `host` may stand for, absolute, in the order of resolv.conf(5).
fn candidates(host: &str, search: &[String], ndots: usize) -> Vec<String> {
    if host.ends_with('.') {
        return vec![host.to_owned()];
    }
    let mut names: Vec<_> = search.iter().map(|domain| absolute(&format!("{host}.{domain}"))).collect();
    // The machine's own domain is often the first one to search, too.
    names.dedup();
    let place = if host.matches('.').count() >= ndots { 0 } else { names.len() };
    names.insert(place, absolute(host));
    names
}

fn absolute(host: &str) -> String {
    format!("{}.", host.trim_end_matches('.'))
}

fn answer(lookup: &Lookup, kind: Kind) -> Answer {
    let record = |data: &RData| match (data, kind) {
        (RData::AAAA(address), Kind::V6) => Some(Record::Address(IpAddr::V6(address.0))),
        (RData::A(address), Kind::V4) => Some(Record::Address(IpAddr::V4(address.0))),
        (RData::SRV(srv), Kind::Service) => Some(Record::Service(Service {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_string(),
        })),
        _ => None,
    };
    // RFC 2181 section 5.2: the least of them, the aliases on the way included.
    let wanted = [RecordType::CNAME, kind.into()];
    let of_use = lookup.answers().iter().filter(|record| wanted.contains(&record.record_type()));
    let ttl = of_use.map(|record| record.ttl).min().unwrap_or_default();
    let records = lookup.answers().iter().filter_map(|found| record(&found.data)).collect();
    Answer { records, ttl: Duration::from_secs(ttl.into()) }
}

impl From<Kind> for RecordType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::V6 => Self::AAAA,
            Kind::V4 => Self::A,
            Kind::Service => Self::SRV,
        }
    }
}

fn failed(host: &str, error: &NetError) -> Cause {
    let failure = match error {
        NetError::Timeout => Failure::DnsTimeout,
        _ => Failure::DnsError,
    };
    Cause::new(failure, format!("{host}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_name_servers_the_hosts_file_is_still_read_and_nothing_hangs() {
        let hosts = Servers::build(ResolverConfig::default(), ResolverOpts::default()).unwrap();
        let error = hosts.ask_one("name.test.", Kind::V4).await.unwrap_err();
        assert_eq!(failed("name.test", &error).failure, Failure::DnsError);
    }

    #[test]
    fn a_late_name_server_is_told_from_a_wrong_name() {
        assert_eq!(failed("a", &NetError::Timeout).failure, Failure::DnsTimeout);
        assert_eq!(failed("a", &NetError::NoConnections).failure, Failure::DnsError);
    }

    #[test]
    fn short_names_are_first_looked_for_where_the_machine_is_at_home() {
        let search = ["svc.test.".to_owned(), "test".to_owned()];
        assert_eq!(candidates("app", &search, 1), ["app.svc.test.", "app.test.", "app."]);
        assert_eq!(candidates("app.db", &search, 1), ["app.db.", "app.db.svc.test.", "app.db.test."]);
        assert_eq!(candidates("app.db", &search, 5)[2], "app.db.");
        assert_eq!(candidates("app.", &search, 1), ["app."]);
        assert_eq!(candidates("app", &[], 1), ["app."]);
    }
}
