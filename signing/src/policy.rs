//! CloudFront's custom policies: what a signature is about, when, and for whom.
//!
//! Source: Amazon CloudFront Developer Guide, "Create a signed URL using a custom policy".

use crate::resource::Resource;
use crate::strict::{Object, present};
use crate::url::is_url_text;
use crate::{Presented, Reason, SigningError};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Up to the year 33658; within what every clock can hold.
pub(crate) const MOST_SECONDS: u64 = 999_999_999_999;

/// A custom policy: the resources that it opens, until when, and if need be from when and from where.
///
/// ```
/// use signing::Policy;
/// use std::time::{Duration, SystemTime};
///
/// let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
/// let policy = Policy::new("https://cdn.test/films/*", expires)?.only_from("203.0.113.0/24")?;
/// assert_eq!(
///     policy.to_json(),
///     r#"{"Statement":[{"Resource":"https://cdn.test/films/*","Condition":{"DateLessThan":{"AWS:EpochTime":1800000000},"IpAddress":{"AWS:SourceIp":"203.0.113.0/24"}}}]}"#
/// );
/// # Ok::<(), signing::SigningError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// As it was given; what is compared is `resource`.
    written: Option<Arc<str>>,
    resource: Option<Resource>,
    expires: u64,
    starts: Option<u64>,
    address: Option<IpNet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "Statement")]
    statement: [Object<Statement>; 1],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Resource", default, deserialize_with = "present")]
    resource: Option<String>,
    #[serde(rename = "Condition")]
    condition: Object<Condition>,
}

// An unknown condition is an error: it would restrict, and passing over it would widen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(rename = "DateLessThan")]
    date_less_than: Object<Moment>,
    #[serde(rename = "DateGreaterThan", default, deserialize_with = "present")]
    date_greater_than: Option<Object<Moment>>,
    #[serde(rename = "IpAddress", default, deserialize_with = "present")]
    ip_address: Option<Object<Source>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moment {
    #[serde(rename = "AWS:EpochTime")]
    seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    #[serde(rename = "AWS:SourceIp")]
    network: String,
}

impl Policy {
    /// A policy for `resource`, which may have the wildcards `*` and `?`, good until `expires` (whole seconds).
    ///
    /// # Errors
    /// The resource is no URL with wildcards, or the expiry cannot be written.
    pub fn new(resource: &str, expires: SystemTime) -> Result<Self, SigningError> {
        let refuse = |cause| Err(SigningError::Url { url: resource.to_owned(), cause });
        if !is_url_text(resource) {
            return refuse("percent-encode spaces, quotes, control and non-ASCII characters");
        }
        if !["http://", "https://", "http*://", "*"].iter().any(|start| resource.starts_with(start)) {
            return refuse("a resource starts with https://, http://, http*:// or *");
        }
        let Some(parsed) = Resource::parse(resource) else {
            return refuse("a resource starts with https://, http://, http*:// or *");
        };
        Ok(Self {
            written: Some(resource.into()),
            resource: Some(parsed),
            expires: seconds(expires)?,
            starts: None,
            address: None,
        })
    }

    /// The same, not before `starts` (whole seconds).
    ///
    /// # Errors
    /// The moment cannot be written.
    pub fn starting(self, starts: SystemTime) -> Result<Self, SigningError> {
        Ok(Self { starts: Some(seconds(starts)?), ..self })
    }

    /// The same, only for viewers at this address or in this network (`203.0.113.7`, `203.0.113.0/24`, `2001:db8::/32`). IPv6 is
    /// an extension of ours: CloudFront knows IPv4 only.
    ///
    /// # Errors
    /// It is neither.
    pub fn only_from(self, network: &str) -> Result<Self, SigningError> {
        let address = network_of(network).ok_or_else(|| SigningError::Network(network.to_owned()))?;
        Ok(Self { address: Some(address), ..self })
    }

    /// Reads what somebody has signed, white space and the order of names being free.
    ///
    /// # Errors
    /// [`Reason::PolicyMalformed`].
    pub fn parse(json: &[u8]) -> Result<Self, Reason> {
        let Object(document): Object<Document> = serde_json::from_slice(json)
            .map_err(|_| Reason::PolicyMalformed("not one statement as CloudFront's"))?;
        let [Object(Statement { resource: written, condition: Object(condition) })] = document.statement;
        let refused = |_: &()| Reason::PolicyMalformed("the resource is no URL");
        let resource = match &written {
            Some(text) => Some(Resource::parse(text).ok_or(()).map_err(|error| refused(&error))?),
            None => None,
        };
        let address = match condition.ip_address {
            Some(Object(source)) => {
                Some(network_of(&source.network).ok_or(Reason::PolicyMalformed("the address is none"))?)
            }
            None => None,
        };
        let expires = condition.date_less_than.0.seconds;
        let starts = condition.date_greater_than.map(|moment| moment.0.seconds);
        if [Some(expires), starts].into_iter().flatten().any(|seconds| seconds > MOST_SECONDS) {
            return Err(Reason::PolicyMalformed("a time lies beyond what a clock can say"));
        }
        Ok(Self { written: written.map(Arc::from), resource, expires, starts, address })
    }

    /// The text that is signed: without white space, names in CloudFront's order.
    #[must_use]
    pub fn to_json(&self) -> String {
        let resource = match &self.written {
            Some(resource) => format!(r#""Resource":{},"#, serde_json::Value::from(&**resource)),
            None => String::new(),
        };
        let starts = match self.starts {
            Some(starts) => format!(r#","DateGreaterThan":{{"AWS:EpochTime":{starts}}}"#),
            None => String::new(),
        };
        let address = match self.address {
            Some(address) => format!(r#","IpAddress":{{"AWS:SourceIp":"{address}"}}"#),
            None => String::new(),
        };
        let expires = self.expires;
        format!(
            r#"{{"Statement":[{{{resource}"Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}{starts}{address}}}}}]}}"#
        )
    }

    /// The first moment at which it is no longer good.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        moment(self.expires)
    }

    /// The resource as it was given, wildcards included; `None` for everything that the key group guards.
    #[must_use]
    pub fn resource(&self) -> Option<&Arc<str>> {
        self.written.as_ref()
    }

    /// What can be told before the signature is checked, at next to no cost: time, address, and a resource without wildcards.
    pub(crate) fn check_cheaply(
        &self,
        presented: &Presented<'_>,
        resource: &str,
        now: SystemTime,
    ) -> Result<(), Reason> {
        check_time(self.expires, self.starts, now)?;
        if let Some(network) = &self.address
            && !contains(network, presented.address)
        {
            return Err(Reason::AddressMismatch);
        }
        match &self.resource {
            Some(exact) if exact.is_exact() && !exact.covers(presented, resource) => {
                Err(Reason::ResourceMismatch)
            }
            _ => Ok(()),
        }
    }

    /// What remains to be told, patterns being dear.
    pub(crate) fn check_resource(&self, presented: &Presented<'_>, resource: &str) -> Result<(), Reason> {
        match &self.resource {
            Some(pattern) if !pattern.is_exact() && !pattern.covers(presented, resource) => {
                Err(Reason::ResourceMismatch)
            }
            _ => Ok(()),
        }
    }
}

/// `DateLessThan` and `DateGreaterThan`: neither moment itself belongs to the time between.
pub(crate) fn check_time(expires: u64, starts: Option<u64>, now: SystemTime) -> Result<(), Reason> {
    if now >= moment(expires) {
        return Err(Reason::SignatureExpired);
    }
    match starts {
        Some(starts) if now <= moment(starts) => Err(Reason::SignatureEarly),
        _ => Ok(()),
    }
}

pub(crate) fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(MOST_SECONDS))
}

pub(crate) fn seconds(time: SystemTime) -> Result<u64, SigningError> {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| SigningError::Expiry)?;
    Some(since_1970.as_secs())
        .filter(|seconds| (1..=MOST_SECONDS).contains(seconds))
        .ok_or(SigningError::Expiry)
}

/// A network, or one address.
pub(crate) fn network_of(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Whether the viewer is in `network`. `0.0.0.0/0` is how signers write "anywhere", and so includes IPv6.
pub(crate) fn contains(network: &IpNet, viewer: Option<IpAddr>) -> bool {
    let everywhere = matches!(network, IpNet::V4(network) if network.prefix_len() == 0);
    everywhere || viewer.is_some_and(|viewer| network.contains(&viewer.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{"Statement":[{"Resource":"https://cdn.test/*","Condition":{"DateLessThan":{"AWS:EpochTime":1000}}}]}"#;

    #[test]
    fn what_is_written_is_read_back() {
        for json in [
            PLAIN,
            r#"{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":1000}}}]}"#,
            r#"{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":1000},"DateGreaterThan":{"AWS:EpochTime":7},"IpAddress":{"AWS:SourceIp":"2001:db8::/32"}}}]}"#,
        ] {
            assert_eq!(Policy::parse(json.as_bytes()).unwrap().to_json(), json);
        }
    }

    #[test]
    fn white_space_order_and_escaped_slashes_are_free() {
        let loose = "{ \"Statement\": [{\r\n \"Condition\":{ \"IpAddress\": {\"AWS:SourceIp\":\"192.0.2.1\"}, \
                     \"DateGreaterThan\":{\"AWS:EpochTime\":5},\t\"DateLessThan\":{\"AWS:EpochTime\":9}},\
                     \"Resource\":\"https:\\/\\/cdn.test\\/a\"}] }\n";
        let policy = Policy::parse(loose.as_bytes()).unwrap();
        assert_eq!(policy.written.as_deref(), Some("https://cdn.test/a"));
        assert_eq!((policy.expires, policy.starts), (9, Some(5)));
        assert_eq!(policy.address, Some("192.0.2.1/32".parse().unwrap()));
    }

    #[test]
    fn whatever_else_stands_in_a_policy_is_refused() {
        let statement = &PLAIN["{\"Statement\":[".len()..PLAIN.len() - 2];
        for json in [
            String::new(),
            "{}".to_owned(),
            "[]".to_owned(),
            r#"{"Statement":[]}"#.to_owned(),
            format!(r#"{{"Statement":{statement}}}"#),
            format!(r#"{{"Statement":[{statement},{statement}]}}"#),
            format!("{PLAIN} x"),
            format!("{PLAIN}{PLAIN}"),
            PLAIN.replace("1000", "\"1000\""),
            PLAIN.replace("1000", "1000.5"),
            PLAIN.replace("1000", "-1"),
            PLAIN.replace("1000", "1000000000000"),
            PLAIN.replace("DateLessThan", "datelessthan"),
            PLAIN.replace("https:", "ftp"),
            PLAIN.replace(r#""Condition":{"#, r#""Condition":{"DateLessThan":{"AWS:EpochTime":9},"#),
            PLAIN.replace(r#""Resource""#, r#""Resource":"*","Resource""#),
            PLAIN.replace(r#""Resource""#, r#""NotResource""#),
            PLAIN.replace(r#""Condition":{"#, r#""Condition":{"NotIpAddress":{},"#),
            PLAIN.replace(r#""Condition":{"#, r#""Condition":{"IpAddress":{"AWS:SourceIp":"all"},"#),
            PLAIN.replace(r#""Condition":{"#, r#""Condition":{"IpAddress":{"AWS:SourceIp":["192.0.2.1"]},"#),
            PLAIN.replace(r#""https://cdn.test/*""#, "null"),
            PLAIN.replace(r#""Condition":{"#, r#""Condition":{"IpAddress":null,"#),
            PLAIN.replace(r#""Condition":{"#, r#""Condition":{"DateGreaterThan":null,"#),
            PLAIN.replace(r#"{"AWS:EpochTime":1000}"#, "[1000]"),
            PLAIN.replace(
                r#"{"DateLessThan":{"AWS:EpochTime":1000}}"#,
                r#"[{"AWS:EpochTime":1000},null,null]"#,
            ),
            format!("[[{statement}]]"),
            r#"{"Statement":[["https://cdn.test/*",{"DateLessThan":{"AWS:EpochTime":1000}}]]}"#.to_owned(),
        ] {
            assert!(matches!(Policy::parse(json.as_bytes()), Err(Reason::PolicyMalformed(_))), "{json}");
        }
    }

    #[test]
    fn time_lies_between_the_two_moments() {
        let at = moment;
        let tick = Duration::from_nanos(1);
        for (now, verdict) in [
            (at(5), Err(Reason::SignatureEarly)),
            (at(5) + tick, Ok(())),
            (at(9) - tick, Ok(())),
            (at(9), Err(Reason::SignatureExpired)),
        ] {
            assert_eq!(check_time(9, Some(5), now), verdict, "{now:?}");
        }
    }

    #[test]
    fn addresses_are_those_of_the_network() {
        let is_in = |network: &str, viewer: &str| {
            contains(&network_of(network).unwrap(), Some(viewer.parse().unwrap()))
        };
        assert!(is_in("203.0.113.0/24", "203.0.113.9") && !is_in("203.0.113.0/24", "203.0.114.9"));
        assert!(is_in("203.0.113.0/24", "::ffff:203.0.113.9"));
        assert!(is_in("192.0.2.1", "192.0.2.1") && !is_in("192.0.2.1", "192.0.2.2"));
        assert!(is_in("0.0.0.0/0", "2001:db8::1"));
        assert!(is_in("2001:db8::/32", "2001:db8::1") && !is_in("2001:db8::/32", "192.0.2.1"));
        assert!(!contains(&network_of("192.0.2.1").unwrap(), None));
    }

    #[test]
    fn what_nobody_could_ask_for_is_not_signed() {
        let good = |resource| Policy::new(resource, moment(9)).is_ok();
        assert!(good("https://cdn.test/*") && good("*") && good("http*://cdn.test/a?b"));
        assert!(!good("cdn.test/*") && !good("https://cdn.test/a b") && !good("ftp://a/*"));
        assert!(Policy::new("*", SystemTime::UNIX_EPOCH).is_err());
        assert!(Policy::new("*", moment(9)).unwrap().only_from("here").is_err());
    }
}
