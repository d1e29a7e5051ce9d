//! Protocols that a viewer may change to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::word;

/// A protocol as `Upgrade` names it, lower case, such as `websocket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolName(Box<str>);

impl ProtocolName {
    /// WebSocket (RFC 6455).
    pub fn websocket() -> Self {
        Self("websocket".into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProtocolName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // RFC 9110 section 5.6.2, and the version that section 7.8 allows behind a slash.
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
        let name = text.to_ascii_lowercase();
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!(
                "`{text}` is no name of a protocol: write \"websocket\", or as Upgrade has it"
            ));
        }
        // Requests in there would be out of sight: neither routed, nor verified, nor counted.
        if ["h2c", "h2", "tls", "http"].contains(&name.split('/').next().unwrap_or_default()) {
            return Err(format!("`{text}` would carry requests past the rules of this node: leave it out"));
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for ProtocolName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for ProtocolName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProtocolName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_hide_requests_is_no_protocol_to_change_to() {
        assert_eq!("WebSocket".parse::<ProtocolName>().unwrap(), ProtocolName::websocket());
        assert!("IRC/6.9".parse::<ProtocolName>().is_ok());
        for wrong in ["", "web socket", "h2c", "HTTP/2.0", "tls/1.3", "a,b"] {
            assert!(wrong.parse::<ProtocolName>().is_err(), "{wrong}");
        }
    }
}
