//! Which pool a viewer is given. Pure: the place and a draw go in, a pool comes out.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use hickory_proto::rr::Name;

use crate::{
    Continent, Country, GeoError, Place, RuleSettings, SteerSettings, Target, settings::domain_name,
};

/// How one name is steered: every rule leads to pools that exist, and the last catches everybody.
#[derive(Debug, Clone)]
pub struct Steering {
    /// Seconds, below 2^31 (RFC 2181 section 8).
    pub(crate) ttl: u32,
    rules: Vec<(Viewers, Choice)>,
    default: Choice,
}

/// What a steering name answers with to one viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The rule that led to it, counted from 1 as in the settings.
    pub rule: usize,
}

/// A set of targets that are answered together.
#[derive(Debug, PartialEq, Eq)]
pub struct Pool {
    name: String,
    pub(crate) targets: Targets,
}

/// The targets of a pool, by what kind of records they make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Targets {
    Addresses { v4: Vec<Ipv4Addr>, v6: Vec<Ipv6Addr> },
    Alias(Name),
}

#[derive(Debug, Clone)]
enum Viewers {
    Countries(Vec<Country>),
    Continents(Vec<Continent>),
}

/// A pool by weights. Each share reaches up to its bound, exclusive; the last pool has what is left up to `total`.
#[derive(Debug, Clone)]
struct Choice {
    shares: Vec<(u64, Arc<Pool>)>,
    last: Arc<Pool>,
    total: u64,
}

/// The answer of `steering` to a viewer at `place`: the first rule that fits. Where the rule has weights, `draw` (from
/// [`draw()`]) decides, so that a subnet's answer stays the same; when weights change only as many subnets move as must.
pub fn steer<'a>(steering: &'a Steering, place: &Place, draw: u64) -> Answer<'a> {
    let mut rules = steering.rules.iter().enumerate();
    match rules.find(|(_, (viewers, _))| viewers.include(place)) {
        Some((index, (_, choice))) => Answer { pool: choice.pick(draw), rule: index + 1 },
        None => Answer { pool: steering.default.pick(draw), rule: steering.rules.len() + 1 },
    }
}

/// The draw of a viewer's network: equal for all addresses of an IPv4 /24 or an IPv6 /56, the longest prefixes that
/// resolvers should send (RFC 7871 section 11.1), and for the network itself when `prefix` is shorter.
pub fn draw(address: IpAddr, prefix: u8) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            u64::from(address.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix.min(24))).unwrap_or(0))
        }
        IpAddr::V6(address) => {
            (address.to_bits() >> 64) as u64
                & u64::MAX.checked_shl(64 - u32::from(prefix.min(56))).unwrap_or(0)
        }
    }
}

impl Pool {
    /// The name in the settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn build(name: &str, pool: &str, targets: &[Target]) -> Result<Self, GeoError> {
        let wrong = |cause| GeoError::Pool { name: name.to_owned(), pool: pool.to_owned(), cause };
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for target in targets {
            match target {
                Target::Address(IpAddr::V4(address)) => v4.push(*address),
                Target::Address(IpAddr::V6(address)) => v6.push(*address),
                Target::Alias(alias) if targets.len() == 1 => {
                    let alias =
                        domain_name(alias).map_err(|cause| GeoError::Name { name: alias.clone(), cause })?;
                    return Ok(Self { name: pool.to_owned(), targets: Targets::Alias(alias) });
                }
                // RFC 1034 section 3.6.2: a name with a CNAME has no other data.
                Target::Alias(_) => {
                    return Err(wrong("a cname: stands alone in its pool; move it to a pool of its own"));
                }
            }
        }
        if targets.is_empty() {
            return Err(wrong("the pool is empty; give it an address or a cname:"));
        }
        Ok(Self { name: pool.to_owned(), targets: Targets::Addresses { v4, v6 } })
    }
}

impl Viewers {
    fn include(&self, place: &Place) -> bool {
        match self {
            Self::Countries(countries) => place.country.is_some_and(|country| countries.contains(&country)),
            Self::Continents(continents) => {
                place.continent.is_some_and(|continent| continents.contains(&continent))
            }
        }
    }
}

impl Choice {
    fn pick(&self, draw: u64) -> &Pool {
        // Scales a well-mixed 64-bit number to 0..total without the bias of a remainder.
        let point = ((u128::from(mixed(draw)) * u128::from(self.total)) >> 64) as u64;
        self.shares.iter().find(|(bound, _)| point < *bound).map_or(&self.last, |(_, pool)| pool)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): neighbouring networks draw independently. Written out because
/// an answer must not move with a new version of a hasher.
fn mixed(draw: u64) -> u64 {
    let mut bits = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Steering {
    /// Builds the steering of `name`. Errors name the pool or rule that is wrong.
    pub fn build(name: &str, settings: &SteerSettings) -> Result<Self, GeoError> {
        let ttl = u32::try_from(settings.ttl.as_secs())
            .ok()
            .filter(|ttl| *ttl < 1 << 31 && settings.ttl.subsec_nanos() == 0);
        let ttl = ttl.ok_or_else(|| GeoError::Ttl { name: name.to_owned(), ttl: settings.ttl })?;
        let pools: BTreeMap<&str, Arc<Pool>> = settings
            .pools
            .iter()
            .map(|(pool, targets)| Ok((pool.as_str(), Arc::new(Pool::build(name, pool, targets)?))))
            .collect::<Result<_, GeoError>>()?;
        let Some((last, before)) = settings.rules.split_last().filter(|(last, _)| last.default) else {
            return Err(GeoError::NoDefault(name.to_owned()));
        };
        let default = RuleReader { name, number: settings.rules.len(), rule: last, pools: &pools };
        default.only_default()?;
        let rules = before.iter().enumerate().map(|(index, rule)| {
            let rule = RuleReader { name, number: index + 1, rule, pools: &pools };
            Ok((rule.viewers()?, rule.choice()?))
        });
        Ok(Self { ttl, rules: rules.collect::<Result<_, GeoError>>()?, default: default.choice()? })
    }

    /// Whether viewers at different places, or in different subnets, can get different answers.
    pub(crate) fn depends_on_viewer(&self) -> bool {
        !self.rules.is_empty() || !self.default.shares.is_empty()
    }
}

/// One rule being read, with what its errors need to name.
struct RuleReader<'a> {
    name: &'a str,
    number: usize,
    rule: &'a RuleSettings,
    pools: &'a BTreeMap<&'a str, Arc<Pool>>,
}

impl RuleReader<'_> {
    fn wrong(&self, cause: &'static str) -> GeoError {
        GeoError::Rule { name: self.name.to_owned(), rule: self.number, cause }
    }

    fn only_default(&self) -> Result<(), GeoError> {
        if !self.rule.country.is_empty() || !self.rule.continent.is_empty() {
            return Err(self
                .wrong("a default catches every viewer; remove its country and continent, or its default"));
        }
        Ok(())
    }

    fn viewers(&self) -> Result<Viewers, GeoError> {
        match (self.rule.country.as_slice(), self.rule.continent.as_slice(), self.rule.default) {
            (_, _, true) => Err(self.wrong(
                "a default catches every viewer, so the rules after it are never reached; move it to the end",
            )),
            ([], [], false) => {
                Err(self.wrong("it does not say for whom; add country = [\"…\"] or continent = [\"…\"]"))
            }
            (countries, [], false) => Ok(Viewers::Countries(countries.to_vec())),
            ([], continents, false) => Ok(Viewers::Continents(continents.to_vec())),
            _ => Err(self.wrong("it has both country and continent; write two rules")),
        }
    }

    fn choice(&self) -> Result<Choice, GeoError> {
        let mut weighted = Vec::new();
        match (&self.rule.pool, self.rule.weights.is_empty()) {
            (Some(pool), true) => weighted.push((1, self.pool(pool)?)),
            (None, false) => {
                for (pool, weight) in &self.rule.weights {
                    weighted.push((u64::from(*weight), self.pool(pool)?));
                }
            }
            (Some(_), false) => return Err(self.wrong("it has both pool and weights; keep one")),
            (None, true) => {
                return Err(self.wrong("it does not say what to answer; add pool = \"…\" or weights = { … }"));
            }
        }
        weighted.retain(|(weight, _)| *weight > 0);
        let total = weighted.iter().map(|(weight, _)| weight).sum();
        let Some((_, last)) = weighted.pop() else {
            return Err(self.wrong("all weights are 0; give at least one pool a share"));
        };
        let shares = weighted.into_iter().scan(0, |bound, (weight, pool)| {
            *bound += weight;
            Some((*bound, pool))
        });
        Ok(Choice { shares: shares.collect(), last, total })
    }

    fn pool(&self, wanted: &str) -> Result<Arc<Pool>, GeoError> {
        self.pools.get(wanted).cloned().ok_or_else(|| GeoError::UnknownPool {
            name: self.name.to_owned(),
            rule: self.number,
            pool: wanted.to_owned(),
            hint: self.hint(wanted),
        })
    }

    /// The pool that was probably meant, else all that there are.
    fn hint(&self, wanted: &str) -> String {
        let distance = |pool: &&str| strsim::damerau_levenshtein(pool, wanted);
        match self.pools.keys().min_by_key(|pool| distance(pool)) {
            Some(pool) if distance(pool) <= 1 + wanted.chars().count() / 4 => {
                format!("; did you mean {pool:?}?")
            }
            Some(_) => format!("; there are {:?}", self.pools.keys().collect::<Vec<_>>()),
            None => "; pools is empty".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steering(rules: &str) -> Result<Steering, String> {
        let text = format!(
            "pools = {{ own = [\"203.0.113.10\", \"2001:db8::10\"], china = [\"cname:cn.example.\"], spare = [\"203.0.113.20\"] }}\nrules = [{rules}]"
        );
        let settings: SteerSettings = toml::from_str(&text).map_err(|error| error.to_string())?;
        Steering::build("cdn.example.com", &settings).map_err(|error| error.to_string())
    }

    fn place(country: &str, continent: &str) -> Place {
        Place { country: country.parse().ok(), continent: Continent::from_code(continent), asn: None }
    }

    const DOCUMENTED: &str = "{ country = [\"CN\", \"HK\"], pool = \"china\" }, { continent = [\"AS\"], pool = \"own\" }, { default = true, pool = \"spare\" }";

    #[test]
    fn the_first_rule_that_fits_is_followed() {
        let steering = steering(DOCUMENTED).unwrap();
        let cases = [
            ("CN", "AS", "china", 1),
            ("HK", "AS", "china", 1),
            ("CN", "", "china", 1),
            ("KR", "AS", "own", 2),
            ("", "AS", "own", 2),
            ("DE", "EU", "spare", 3),
            ("", "", "spare", 3),
        ];
        for (country, continent, pool, rule) in cases {
            let answer = steer(&steering, &place(country, continent), 0);
            assert_eq!((answer.pool.name(), answer.rule), (pool, rule), "{country} {continent}");
        }
    }

    #[test]
    fn weights_are_kept_over_many_subnets_and_stable_for_each() {
        let cases = [
            ("own = 80, china = 20", [("own", 0.80), ("china", 0.20), ("spare", 0.0)]),
            ("own = 1, china = 1, spare = 2", [("own", 0.25), ("china", 0.25), ("spare", 0.50)]),
            ("own = 1, china = 0", [("own", 1.0), ("china", 0.0), ("spare", 0.0)]),
            ("own = 4294967295, china = 4294967295", [("own", 0.5), ("china", 0.5), ("spare", 0.0)]),
        ];
        for (weights, expected) in cases {
            let steering = steering(&format!("{{ default = true, weights = {{ {weights} }} }}")).unwrap();
            let mut counts = BTreeMap::<&str, u32>::new();
            let subnets = 20_000u32;
            for subnet in 0..subnets {
                let draw = draw(IpAddr::V4(Ipv4Addr::from_bits(subnet << 8)), 24);
                let answer = steer(&steering, &Place::default(), draw);
                assert_eq!(answer, steer(&steering, &Place::default(), draw));
                *counts.entry(answer.pool.name()).or_default() += 1;
            }
            for (pool, share) in expected {
                let seen = f64::from(counts.get(pool).copied().unwrap_or(0)) / f64::from(subnets);
                assert!((seen - share).abs() < 0.01, "{weights}: {pool} has {seen}");
            }
        }
    }

    #[test]
    fn a_changed_weight_moves_only_the_difference() {
        let before = steering("{ default = true, weights = { china = 20, own = 80 } }").unwrap();
        let after = steering("{ default = true, weights = { china = 30, own = 70 } }").unwrap();
        let moved = (0..10_000u64)
            .filter(|draw| {
                steer(&before, &Place::default(), *draw) != steer(&after, &Place::default(), *draw)
            })
            .count();
        assert!((800..1_200).contains(&moved), "{moved} of 10000 moved");
    }

    #[test]
    fn a_draw_is_the_same_all_over_a_subnet_and_differs_between_subnets() {
        let of = |text: &str, prefix| draw(text.parse().unwrap(), prefix);
        assert_eq!(of("192.0.2.1", 32), of("192.0.2.255", 24));
        assert_eq!(of("::ffff:192.0.2.1", 128), of("192.0.2.0", 24));
        assert_ne!(of("192.0.2.0", 24), of("192.0.3.0", 24));
        assert_eq!(of("192.0.2.0", 16), of("192.0.3.0", 16));
        assert_eq!(of("2001:db8::1", 128), of("2001:db8:0:ff::", 56));
        assert_ne!(of("2001:db8::", 56), of("2001:db8:0:100::", 56));
        assert_eq!(of("255.255.255.255", 0), 0);
        assert_eq!(of("ffff::", 0), 0);
    }

    #[test]
    fn an_answer_depends_on_the_viewer_only_where_it_can_differ() {
        for (rules, depends) in [
            (DOCUMENTED, true),
            ("{ default = true, weights = { own = 1, china = 1 } }", true),
            ("{ default = true, pool = \"own\" }", false),
            ("{ default = true, weights = { own = 1, china = 0 } }", false),
        ] {
            assert_eq!(steering(rules).unwrap().depends_on_viewer(), depends, "{rules}");
        }
    }

    #[test]
    fn mistakes_name_the_rule_and_the_remedy() {
        let cases = [
            (
                "{ country = [\"CN\"], pool = \"chian\" }, { default = true, pool = \"own\" }",
                "rule 1: there is no pool \"chian\"; did you mean \"china\"?",
            ),
            (
                "{ default = true, weights = { own = 1, elsewhere = 2 } }",
                "rule 1: there is no pool \"elsewhere\"; there are [\"china\", \"own\", \"spare\"]",
            ),
            ("", "the last rule must be a default"),
            ("{ country = [\"CN\"], pool = \"china\" }", "the last rule must be a default"),
            (
                "{ default = true, pool = \"own\" }, { country = [\"CN\"], pool = \"own\" }, { default = true, pool = \"own\" }",
                "rule 1: a default catches",
            ),
            ("{ default = true, country = [\"CN\"], pool = \"own\" }", "rule 1: a default catches"),
            ("{ pool = \"own\" }, { default = true, pool = \"own\" }", "for whom"),
            (
                "{ country = [\"CN\"], continent = [\"AS\"], pool = \"own\" }, { default = true, pool = \"own\" }",
                "write two rules",
            ),
            ("{ default = true }", "what to answer"),
            ("{ default = true, pool = \"own\", weights = { own = 1 } }", "keep one"),
            ("{ default = true, weights = { own = 0 } }", "all weights are 0"),
        ];
        for (rules, expected) in cases {
            let error = steering(rules).unwrap_err();
            assert!(error.contains(expected), "{rules}: {error}");
        }
    }

    #[test]
    fn pools_and_times_that_dns_cannot_express_are_errors() {
        let cases = [
            ("pools = { own = [] }", "pools.\"own\": the pool is empty"),
            ("pools = { own = [\"cname:a.example.\", \"203.0.113.1\"] }", "stands alone"),
            ("pools = { own = [\"cname:a.example.\", \"cname:b.example.\"] }", "stands alone"),
            ("pools = { own = [\"203.0.113.1\"] }\nttl = \"500ms\"", "whole seconds"),
            ("pools = { own = [\"203.0.113.1\"] }\nttl = \"100years\"", "whole seconds"),
        ];
        for (text, expected) in cases {
            let settings: SteerSettings =
                toml::from_str(&format!("{text}\nrules = [{{ default = true, pool = \"own\" }}]")).unwrap();
            let error = Steering::build("cdn.example.com", &settings).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
