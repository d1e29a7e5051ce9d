//! The host names that a site answers.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::word;

/// A host of a site: `"www.example.com"`, `"*.example.com"` (every name below it, at any depth), an IP address
/// (`"127.0.0.1"`, `"[::1]"`), or `"*"` for every host. Without a port; letters are lower-case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub enum HostPattern {
    /// This very host.
    Exact(String),
    /// Every name that ends in a dot and this one.
    Below(String),
    /// Every host that no other site answers.
    Any,
}

/// Why a string is no host; the message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no host: {cause}")]
pub struct HostError {
    text: String,
    cause: &'static str,
}

impl HostPattern {
    /// Whether requests for `host` (lower-case, without port) are meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(name) => name == host,
            HostPattern::Below(name) => {
                host.strip_suffix(name.as_str()).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            }
            HostPattern::Any => true,
        }
    }

    /// Whether only viewers on this machine or by address come here: `localhost`, `*.localhost`, IP addresses.
    pub fn is_local(&self) -> bool {
        let (HostPattern::Exact(name) | HostPattern::Below(name)) = self else {
            return false;
        };
        name == "localhost"
            || name.ends_with(".localhost")
            || name.starts_with('[')
            || name.parse::<Ipv4Addr>().is_ok()
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let lower = text.to_ascii_lowercase();
        let checked = |name: &str| check_name(name).map_err(|cause| HostError { text: text.into(), cause });
        if lower == "*" {
            return Ok(HostPattern::Any);
        }
        if let Some(name) = lower.strip_prefix("*.") {
            checked(name)?;
            return Ok(HostPattern::Below(name.into()));
        }
        if let Some(address) = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let cause = "the brackets hold no IPv6 address";
            let address: Ipv6Addr = address.parse().map_err(|_| HostError { text: text.into(), cause })?;
            return Ok(HostPattern::Exact(format!("[{address}]")));
        }
        checked(&lower)?;
        Ok(HostPattern::Exact(lower))
    }
}

/// Letters, digits, hyphens (RFC 1123 section 2.1) and the underscores that are seen in the wild.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.contains("://") || name.contains('/') {
        return Err("write the name alone, without scheme and path");
    }
    if name.parse::<Ipv6Addr>().is_ok() {
        return Err("write an IPv6 address in brackets, as in a URL");
    }
    if name.contains(':') {
        return Err("leave the port out: ports belong to `listen` in [node]");
    }
    if name.contains('*') {
        return Err("a `*` stands alone or as the whole first label, as in `*.example.com`");
    }
    if !name.is_ascii() {
        return Err("write international names in their ASCII form, which begins with `xn--`");
    }
    if name.len() > 253 {
        return Err("a name has at most 253 characters");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let valid = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
    if !name.split('.').all(valid) {
        return Err("labels are 1 to 63 letters, digits or hyphens with dots between them");
    }
    Ok(())
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(name) => formatter.write_str(name),
            HostPattern::Below(name) => write!(formatter, "*.{name}"),
            HostPattern::Any => formatter.write_str("*"),
        }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_are_compared_in_lower_case() {
        assert!(host("WWW.Example.com").matches("www.example.com"));
        assert!(!host("www.example.com").matches("example.com"));
    }

    #[test]
    fn a_wildcard_means_names_below_at_any_depth_but_not_the_name_itself() {
        let pattern = host("*.example.com");
        assert!(pattern.matches("a.example.com") && pattern.matches("a.b.example.com"));
        assert!(!pattern.matches("example.com") && !pattern.matches(".example.com"));
        assert!(!pattern.matches("badexample.com"));
        assert!(host("*").matches("anything"));
    }

    #[test]
    fn local_hosts_are_those_of_this_machine_and_addresses() {
        for text in ["localhost", "app.localhost", "*.localhost", "127.0.0.1", "[::1]", "203.0.113.7"] {
            assert!(host(text).is_local(), "{text}");
        }
        for text in ["example.com", "*", "*.example.com", "notlocalhost"] {
            assert!(!host(text).is_local(), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_its_remedy() {
        for (text, remedy) in [
            ("http://example.com", "without scheme"),
            ("example.com:443", "leave the port out"),
            ("www.*.com", "whole first label"),
            ("*.", "labels"),
            ("", "labels"),
            ("a..b", "labels"),
            ("a b", "labels"),
            ("bücher.de", "xn--"),
            ("::1", "brackets"),
            ("[zz]", "IPv6"),
            (&"a.".repeat(200), "253"),
        ] {
            let message = text.parse::<HostPattern>().unwrap_err().to_string();
            assert!(message.contains(remedy), "{text}: {message}");
        }
    }
}
