use std::{io, path::PathBuf, time::Duration};

/// Everything that can go wrong in this room. Each message says where, why, and what to do; nothing here comes from a
/// viewer: a bad query is answered with a response code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GeoError {
    /// The settings name a country that is not two upper-case letters.
    #[error("{0:?} is no country code: write the two upper-case letters of ISO 3166-1, such as \"KR\"")]
    Country(String),
    /// A pool's target is neither an address nor `cname:` and a name.
    #[error(
        "{target:?} is no target: {cause}; write an address such as \"203.0.113.10\", or \"cname:cdn.example.net.\""
    )]
    Target {
        /// What the settings say.
        target: String,
        /// Why it cannot be one.
        cause: String,
    },
    /// A route's `geo` has both lists.
    #[error(
        "a route's geo has both allow and deny: keep one (allow refuses everybody else, deny admits everybody else)"
    )]
    AllowAndDeny,
    /// A route's `geo` has an empty `allow`.
    #[error("a route's geo allows no country at all: name at least one, or remove allow")]
    NobodyAllowed,

    /// A database file cannot be read.
    #[error("cannot read the geo database {}: {source}; check the path and its permissions in [geo] database", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A database is not in MaxMind format, or damaged.
    #[error("the geo database {database} is damaged or not in MaxMind format: {source}; download it again")]
    Damaged {
        /// The file, or "in memory".
        database: String,
        /// What the reader found, with the offset where it is known.
        source: maxminddb::MaxMindDbError,
    },

    /// A name in `[dns]` is not a domain name.
    #[error("[dns]: {name:?} is no domain name: {cause}")]
    Name {
        /// What the settings say.
        name: String,
        /// Why it cannot be one.
        cause: String,
    },
    /// A time to live does not fit a DNS record (RFC 2181 section 8).
    #[error(
        "dns.steer.{name:?}.ttl = {ttl:?}: DNS counts whole seconds from 0 to 2147483647 (RFC 2181 section 8)"
    )]
    Ttl {
        /// The steering name.
        name: String,
        /// What the settings say.
        ttl: Duration,
    },
    /// A pool cannot be answered with.
    #[error("dns.steer.{name:?}.pools.{pool:?}: {cause}")]
    Pool {
        /// The steering name.
        name: String,
        /// The pool.
        pool: String,
        /// What is wrong with it and what to write instead.
        cause: &'static str,
    },
    /// A rule cannot be followed.
    #[error("dns.steer.{name:?}.rules, rule {rule}: {cause}")]
    Rule {
        /// The steering name.
        name: String,
        /// The rule, counted from 1.
        rule: usize,
        /// What is wrong with it and what to write instead.
        cause: &'static str,
    },
    /// A rule sends viewers to a pool that does not exist.
    #[error("dns.steer.{name:?}.rules, rule {rule}: there is no pool {pool:?}{hint}")]
    UnknownPool {
        /// The steering name.
        name: String,
        /// The rule, counted from 1.
        rule: usize,
        /// The pool that the rule names.
        pool: String,
        /// `; did you mean "…"?`, or the pools that there are.
        hint: String,
    },
    /// No rule catches the viewers that all others leave.
    #[error(
        "dns.steer.{0:?}.rules: the last rule must be a default, such as {{ default = true, pool = \"…\" }}: a viewer whose place is unknown needs an answer too"
    )]
    NoDefault(String),

    /// The DNS address cannot be listened on.
    #[error(
        "cannot listen for DNS on {listen:?}: {source}; write host:port in dns.listen (a port below 1024 needs CAP_NET_BIND_SERVICE), and check that nothing else holds it (often systemd-resolved)"
    )]
    Listen {
        /// `dns.listen`.
        listen: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The DNS sockets closed under us.
    #[error("the DNS node stopped: {0}")]
    Stopped(String),
}
