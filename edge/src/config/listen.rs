//! Where the node listens: for viewers, and for its own admin.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::word;

/// What viewers speak on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain HTTP/1.1 and HTTP/2 by prior knowledge.
    Http,
    /// TLS, then what ALPN agrees on.
    Https,
}

impl Scheme {
    /// `http` or `https`, as in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// One address for viewers, such as `"http://0.0.0.0:80"` or `"https://[::]:443"`. Port 0 is any free port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Listen {
    /// What is spoken there.
    pub scheme: Scheme,
    /// The address to bind.
    pub address: SocketAddr,
}

/// Why a string names no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Neither `http://` nor `https://`.
    #[error("`{0}` does not say what is spoken: write http://ADDRESS:PORT or https://ADDRESS:PORT")]
    Scheme(String),
    /// No IP address and port.
    #[error(
        "`{0}` is no IP address and port, such as 0.0.0.0:80 or [::]:443; host names belong to the hosts of a site"
    )]
    Address(String),
}

impl Listen {
    /// The shorter forms that people type after `--from`: `:8080`, `8080`, `127.0.0.1:8080` (plain HTTP), or a URL.
    pub fn from_argument(text: &str) -> Result<Self, ListenError> {
        if text.contains("://") {
            return text.parse();
        }
        Ok(Listen { scheme: Scheme::Http, address: address(text, Scheme::Http)? })
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            _ => return Err(ListenError::Scheme(text.into())),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        Ok(Listen { scheme, address: address(rest, scheme)? })
    }
}

/// `IP:PORT`, `:PORT` and `PORT` (every IPv4 address), `localhost:PORT`, `IP` (the scheme's own port).
fn address(text: &str, scheme: Scheme) -> Result<SocketAddr, ListenError> {
    let bad = || ListenError::Address(text.into());
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = unbracketed.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, scheme.default_port()));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port.parse().map_err(|_| bad())?;
    let ip = match host {
        "" => Ipv4Addr::UNSPECIFIED,
        "localhost" => Ipv4Addr::LOCALHOST,
        _ => return Err(bad()),
    };
    Ok(SocketAddr::new(ip.into(), port))
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme.as_str(), self.address)
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

/// Where the admin API answers, such as `"127.0.0.1:9180"`, or `"off"`. Off loopback it needs `admin-token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub enum AdminListen {
    /// There is no admin API.
    Off,
    /// The address to bind; port 0 is any free port.
    At(SocketAddr),
}

impl AdminListen {
    /// Whether machines other than this one can reach it.
    pub fn is_exposed(self) -> bool {
        matches!(self, AdminListen::At(address) if !address.ip().is_loopback())
    }
}

impl Default for AdminListen {
    fn default() -> Self {
        AdminListen::At(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9180))
    }
}

impl FromStr for AdminListen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if text == "off" {
            return Ok(AdminListen::Off);
        }
        text.parse().map(AdminListen::At).map_err(|_| ListenError::Address(text.into()))
    }
}

impl fmt::Display for AdminListen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminListen::Off => formatter.write_str("off"),
            AdminListen::At(address) => write!(formatter, "{address}"),
        }
    }
}

impl Serialize for AdminListen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AdminListen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_urls_of_addresses() {
        for (text, shown) in [
            ("http://0.0.0.0:80", "http://0.0.0.0:80"),
            ("https://[::]:443/", "https://[::]:443"),
            ("http://:8080", "http://0.0.0.0:8080"),
            ("https://127.0.0.1", "https://127.0.0.1:443"),
            ("https://[::1]", "https://[::1]:443"),
            ("http://localhost:0", "http://127.0.0.1:0"),
        ] {
            assert_eq!(text.parse::<Listen>().map(|listen| listen.to_string()), Ok(shown.into()));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "0.0.0.0:80", "ftp://0.0.0.0:80", "HTTP//x"] {
            assert!(matches!(text.parse::<Listen>(), Err(ListenError::Scheme(_))), "{text}");
        }
        for text in
            ["http://example.com:80", "http://0.0.0.0:65536", "http://:", "http://1.2.3.4:80/path", "http://"]
        {
            assert!(matches!(text.parse::<Listen>(), Err(ListenError::Address(_))), "{text}");
        }
    }

    #[test]
    fn an_argument_may_be_short() {
        for (text, shown) in [
            (":8080", "http://0.0.0.0:8080"),
            ("8080", "http://0.0.0.0:8080"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("https://:8443", "https://0.0.0.0:8443"),
        ] {
            assert_eq!(Listen::from_argument(text).map(|listen| listen.to_string()), Ok(shown.into()));
        }
        assert!(Listen::from_argument("example.com").is_err());
    }

    #[test]
    fn only_an_admin_beyond_loopback_is_exposed() {
        assert!(!AdminListen::default().is_exposed());
        assert!(!AdminListen::Off.is_exposed());
        assert!("0.0.0.0:9180".parse::<AdminListen>().unwrap().is_exposed());
        assert!("on".parse::<AdminListen>().is_err());
    }
}
