//! Header fields that a route may set or remove.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use http::{HeaderName, HeaderValue, header};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::word;

/// The name of a header field that is not the node's own business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName(pub HeaderName);

/// The value of a header field: visible ASCII, spaces and tabs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue(pub HeaderValue);

/// Fields that frame a message or belong to one connection (RFC 9110 section 7.6.1): a wrong one would let two sides
/// disagree about where a message ends.
const FRAMING: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

impl FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = HeaderName::from_bytes(text.as_bytes())
            .map_err(|_| format!("`{text}` is no header name: letters, digits and hyphens make one"))?;
        if FRAMING.contains(&name) {
            return Err(format!("`{text}` frames messages, which the node does by itself: leave it out"));
        }
        Ok(FieldName(name))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

impl Serialize for FieldName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

impl Ord for FieldName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl PartialOrd for FieldName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for FieldValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // RFC 9110 section 5.5: what is beyond ASCII is opaque to recipients, so it is refused here.
        match HeaderValue::from_str(text) {
            Ok(value) if text.is_ascii() => Ok(FieldValue(value)),
            _ => Err(format!(
                "{text:?} cannot be a header value: visible ASCII characters, spaces and tabs can"
            )),
        }
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(self.0.as_bytes()))
    }
}

impl Serialize for FieldValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_cased_and_framing_is_refused() {
        let name = "Strict-Transport-Security".parse::<FieldName>().unwrap();
        assert_eq!(name.to_string(), "strict-transport-security");
        for bad in ["Content-Length", "transfer-encoding", "a b", ""] {
            assert!(bad.parse::<FieldName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn values_cannot_end_the_line() {
        for bad in ["a\r\nb: c", "a\0", "é"] {
            assert!(bad.parse::<FieldValue>().is_err(), "{bad:?}");
        }
        assert_eq!("max-age=1".parse::<FieldValue>().unwrap().to_string(), "max-age=1");
    }
}
