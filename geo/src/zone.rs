//! What is answered: a question and a viewer go in, records come out.

use std::collections::{HashMap, hash_map::Entry};

use hickory_proto::{
    op::{LowerQuery, ResponseCode},
    rr::{
        DNSClass, LowerName, Name, RData, Record, RecordType,
        rdata::{CNAME, NS, SOA},
    },
};

use crate::{
    DnsSettings, GeoError, Place, Steering,
    settings::domain_name,
    steer::{Targets, steer},
};

/// Every steering name is the apex of a zone of its own, because that is what a parent zone delegates. The names
/// between two zones of ours exist too, without data (RFC 4592 section 2.2.2).
pub(crate) struct Zones {
    nodes: HashMap<LowerName, Node>,
}

enum Node {
    Apex(Box<Zone>),
    EmptyNonTerminal,
}

struct Zone {
    steering: Steering,
    soa: Record,
    name_servers: Vec<Record>,
}

/// For whom an answer is.
pub(crate) struct Viewer {
    pub(crate) place: Place,
    pub(crate) draw: u64,
}

/// The part of a response that depends on the zones.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    /// Whether another viewer could be answered otherwise (RFC 7871 section 7.2.1).
    pub(crate) depends_on_viewer: bool,
}

impl Reply {
    /// A response code and nothing else, for what is not ours to answer.
    pub(crate) fn bare(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            answers: Vec::new(),
            authority: Vec::new(),
            depends_on_viewer: false,
        }
    }
}

impl Zones {
    /// Builds the zone of every steering name. Errors name what is wrong in the settings.
    pub(crate) fn build(settings: &DnsSettings) -> Result<Self, GeoError> {
        let mut nodes = HashMap::new();
        for (text, steer) in &settings.steer {
            let wrong = |cause: String| GeoError::Name { name: text.clone(), cause };
            let apex = domain_name(text).map_err(wrong)?.to_lowercase();
            let zone = Zone::build(&apex, Steering::build(text, steer)?, &settings.name_servers)?;
            if nodes.insert(LowerName::from(&apex), Node::Apex(Box::new(zone))).is_some() {
                return Err(wrong(
                    "it is steered twice; names do not differ by case or a final dot".to_owned(),
                ));
            }
        }
        let mut zones = Self { nodes };
        let apexes: Vec<LowerName> = zones.nodes.keys().cloned().collect();
        apexes.iter().for_each(|apex| zones.add_names_above(apex));
        Ok(zones)
    }

    /// The names between `apex` and the zone that it lies in, if it lies in one.
    fn add_names_above(&mut self, apex: &LowerName) {
        if apex.is_root() || self.zone_around(&apex.base_name()).is_none() {
            return;
        }
        let mut name = apex.base_name();
        while let Entry::Vacant(free) = self.nodes.entry(name.clone()) {
            free.insert(Node::EmptyNonTerminal);
            name = name.base_name();
        }
    }

    /// The zone that `name` lies in: the closest steering name at or above it.
    fn zone_around(&self, name: &LowerName) -> Option<&Zone> {
        let mut name = name.clone();
        loop {
            match self.nodes.get(&name) {
                Some(Node::Apex(zone)) => return Some(zone),
                _ if name.is_root() => return None,
                _ => name = name.base_name(),
            }
        }
    }

    /// Answers one question (RFC 1034 section 4.3.2, without recursion).
    pub(crate) fn answer(&self, query: &LowerQuery, viewer: &Viewer) -> Reply {
        // Zone transfers are for secondaries, and there is nothing to transfer; other classes are not served.
        if !matches!(query.query_class(), DNSClass::IN | DNSClass::ANY)
            || matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR)
        {
            return Reply::bare(ResponseCode::Refused);
        }
        match self.nodes.get(query.name()) {
            Some(Node::Apex(zone)) => zone.answer(query, viewer),
            other => match self.zone_around(query.name()) {
                None => Reply::bare(ResponseCode::Refused),
                // An empty non-terminal has no data, but does exist: RFC 8020 section 2.
                Some(zone) if other.is_some() => zone.negative(ResponseCode::NoError),
                Some(zone) => zone.negative(ResponseCode::NXDomain),
            },
        }
    }
}

impl Zone {
    fn build(apex: &Name, steering: Steering, name_servers: &[String]) -> Result<Self, GeoError> {
        let ttl = steering.ttl;
        let hosts = name_servers.iter().map(|text| name_server(text, apex)).collect::<Result<Vec<_>, _>>()?;
        let contact = apex.prepend_label("hostmaster").unwrap_or_else(|_| apex.clone());
        let primary = hosts.first().unwrap_or(apex).clone();
        // The serial never moves: nobody transfers this zone. The minimum, how long "there is none" may be kept
        // (RFC 2308 section 4), is as long as an answer, so that a new target is seen as soon.
        let soa = SOA::new(primary, contact, 1, 7_200, 3_600, 1_209_600, ttl);
        let ns = |host| Record::from_rdata(apex.clone(), ttl, RData::NS(NS(host)));
        Ok(Self {
            soa: Record::from_rdata(apex.clone(), ttl, RData::SOA(soa)),
            name_servers: hosts.into_iter().map(ns).collect(),
            steering,
        })
    }

    fn answer(&self, query: &LowerQuery, viewer: &Viewer) -> Reply {
        match query.query_type() {
            RecordType::SOA => self.positive(vec![self.soa.clone()]),
            RecordType::NS => self.positive(self.name_servers.clone()),
            kind => {
                let records = self.steered(kind, query.original().name(), viewer);
                Reply {
                    depends_on_viewer: !records.is_empty() && self.steering.depends_on_viewer(),
                    ..self.positive(records)
                }
            }
        }
    }

    /// The records that the viewer's pool has for a query of type `kind`, under the name as it was asked: resolvers that
    /// mix upper and lower case compare it (draft-vixie-dnsext-dns0x20).
    fn steered(&self, kind: RecordType, name: &Name, viewer: &Viewer) -> Vec<Record> {
        let record = |data| Record::from_rdata(name.clone(), self.steering.ttl, data);
        let answer = steer(&self.steering, &viewer.place, viewer.draw);
        match (&answer.pool.targets, kind) {
            // RFC 1034 section 3.6.2: a CNAME answers every type, HTTPS (RFC 9460) included. SOA and NS, which the apex
            // of a zone must have, never come here.
            (Targets::Alias(alias), _) => vec![record(RData::CNAME(CNAME(alias.clone())))],
            // RFC 8482 section 4.1: to ANY, one of the sets that there are is answer enough.
            (Targets::Addresses { v4, v6 }, RecordType::ANY) if v4.is_empty() => {
                v6.iter().map(|address| record(RData::AAAA((*address).into()))).collect()
            }
            (Targets::Addresses { v4, .. }, RecordType::A | RecordType::ANY) => {
                v4.iter().map(|address| record(RData::A((*address).into()))).collect()
            }
            (Targets::Addresses { v6, .. }, RecordType::AAAA) => {
                v6.iter().map(|address| record(RData::AAAA((*address).into()))).collect()
            }
            (Targets::Addresses { .. }, _) => Vec::new(),
        }
    }

    fn positive(&self, answers: Vec<Record>) -> Reply {
        if answers.is_empty() {
            return self.negative(ResponseCode::NoError);
        }
        Reply { authoritative: true, answers, ..Reply::bare(ResponseCode::NoError) }
    }

    /// RFC 2308 section 3: that there is nothing comes with the SOA, which says how long to believe it. It holds for
    /// every viewer: resolvers treat negative answers so whatever we say (RFC 7871 section 7.4).
    fn negative(&self, code: ResponseCode) -> Reply {
        Reply { authoritative: true, authority: vec![self.soa.clone()], ..Reply::bare(code) }
    }
}

/// A name server's name; one below the steering name could never be resolved, as nothing there has an address.
fn name_server(text: &str, apex: &Name) -> Result<Name, GeoError> {
    let wrong = |cause: String| GeoError::Name { name: text.to_owned(), cause };
    let host = domain_name(text).map_err(wrong)?;
    if apex.zone_of(&host) {
        return Err(wrong(format!(
            "name-servers cannot lie in the steering name {apex} itself; use a name of another zone"
        )));
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;

    use super::*;

    const SETTINGS: &str = r#"
        name-servers = ["ns1.example.net"]
        [steer."cdn.example.com"]
        pools = { own = ["203.0.113.10", "203.0.113.11", "2001:db8::10"], china = ["cname:CN.example.net."], six = ["2001:db8::66"] }
        rules = [{ country = ["CN"], pool = "china" }, { country = ["DE"], pool = "six" }, { default = true, pool = "own" }]
        [steer."a.b.cdn.example.com"]
        pools = { own = ["203.0.113.20"] }
        rules = [{ default = true, pool = "own" }]
    "#;

    fn zones(text: &str) -> Result<Zones, String> {
        Zones::build(&toml::from_str(text).unwrap()).map_err(|error| error.to_string())
    }

    /// The reply in one line: code, AA, answers, authority, whether it depends on the viewer.
    fn asked(zones: &Zones, name: &str, kind: RecordType, class: DNSClass, country: &str) -> String {
        let mut query = Query::query(Name::from_ascii(name).unwrap(), kind);
        query.set_query_class(class);
        let place = Place { country: country.parse().ok(), ..Place::default() };
        let reply = zones.answer(&query.into(), &Viewer { place, draw: 0 });
        let written = |records: &[Record]| {
            records
                .iter()
                .map(|record| format!("{} {} {}", record.name, record.record_type(), record.data))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let authority = reply
            .authority
            .iter()
            .map(|record| format!("{} {}", record.name, record.record_type()))
            .collect::<String>();
        let viewer = if reply.depends_on_viewer { " varies" } else { "" };
        format!(
            "{:?} aa={} [{}] [{authority}]{viewer}",
            reply.code,
            reply.authoritative,
            written(&reply.answers)
        )
    }

    #[test]
    fn each_question_has_its_answer() {
        use RecordType::{A, AAAA, ANY, AXFR, CNAME, HTTPS, NS, TXT};
        let zones = zones(SETTINGS).unwrap();
        let cdn = "cdn.example.com.";
        let own =
            "NoError aa=true [cdn.example.com. A 203.0.113.10, cdn.example.com. A 203.0.113.11] [] varies";
        let alias = "NoError aa=true [cdn.example.com. CNAME CN.example.net.] [] varies";
        let nothing = "NoError aa=true [] [cdn.example.com. SOA]";
        let cases = [
            (cdn, A, "KR", own),
            (cdn, A, "", own),
            (cdn, ANY, "KR", own),
            (cdn, AAAA, "KR", "NoError aa=true [cdn.example.com. AAAA 2001:db8::10] [] varies"),
            (cdn, ANY, "DE", "NoError aa=true [cdn.example.com. AAAA 2001:db8::66] [] varies"),
            (cdn, A, "DE", nothing),
            (cdn, A, "CN", alias),
            (cdn, AAAA, "CN", alias),
            (cdn, ANY, "CN", alias),
            (cdn, CNAME, "CN", alias),
            (cdn, HTTPS, "CN", alias),
            (cdn, CNAME, "KR", nothing),
            (cdn, TXT, "KR", nothing),
            (cdn, NS, "CN", "NoError aa=true [cdn.example.com. NS ns1.example.net.] []"),
            (
                "CDN.eXample.com.",
                AAAA,
                "KR",
                "NoError aa=true [CDN.eXample.com. AAAA 2001:db8::10] [] varies",
            ),
            ("no.cdn.example.com.", A, "KR", "NXDomain aa=true [] [cdn.example.com. SOA]"),
            ("no.b.cdn.example.com.", A, "KR", "NXDomain aa=true [] [cdn.example.com. SOA]"),
            ("b.cdn.example.com.", A, "KR", nothing),
            ("a.b.cdn.example.com.", A, "KR", "NoError aa=true [a.b.cdn.example.com. A 203.0.113.20] []"),
            ("x.a.b.cdn.example.com.", A, "KR", "NXDomain aa=true [] [a.b.cdn.example.com. SOA]"),
            ("example.com.", A, "KR", "Refused aa=false [] []"),
            ("cdn.example.org.", A, "KR", "Refused aa=false [] []"),
            (".", NS, "KR", "Refused aa=false [] []"),
            (cdn, AXFR, "KR", "Refused aa=false [] []"),
        ];
        for (name, kind, country, expected) in cases {
            assert_eq!(asked(&zones, name, kind, DNSClass::IN, country), expected, "{name} {kind} {country}");
        }
        assert_eq!(asked(&zones, cdn, TXT, DNSClass::CH, "KR"), "Refused aa=false [] []");
        let soa = asked(&zones, cdn, RecordType::SOA, DNSClass::IN, "CN");
        assert!(
            soa.contains("SOA ns1.example.net. hostmaster.cdn.example.com. 1 7200 3600 1209600 30"),
            "{soa}"
        );
    }

    #[test]
    fn without_name_servers_there_are_no_ns_records() {
        let zones = zones(
            "[steer.\"a.test\"]\npools.own = [\"203.0.113.1\"]\nrules = [{ default = true, pool = \"own\" }]",
        )
        .unwrap();
        assert_eq!(
            asked(&zones, "a.test.", RecordType::NS, DNSClass::IN, ""),
            "NoError aa=true [] [a.test. SOA]"
        );
    }

    #[test]
    fn names_that_cannot_be_served_are_errors() {
        let steer = "pools.own = [\"203.0.113.1\"]\nrules = [{ default = true, pool = \"own\" }]\n";
        let cases = [
            (format!("[steer.\"a..test\"]\n{steer}"), "\"a..test\" is no domain name"),
            (format!("[steer.\".\"]\n{steer}"), "a name is missing"),
            (format!("[steer.\"A.test\"]\n{steer}[steer.\"a.test.\"]\n{steer}"), "steered twice"),
            (
                format!("name-servers = [\"ns.a.test\"]\n[steer.\"a.test\"]\n{steer}"),
                "name-servers cannot lie in",
            ),
            (format!("name-servers = [\"\"]\n[steer.\"a.test\"]\n{steer}"), "a name is missing"),
        ];
        for (text, expected) in cases {
            let error = zones(&text).err().unwrap();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
