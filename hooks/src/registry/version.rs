//! By what versions are told apart: their content.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of the digest that a name shows. Nobody finds two components for one name by accident, and whoever may deploy
/// can do worse than to look for them.
const SHOWN: usize = 6;

/// A version of a hook: the first twelve hexadecimal digits of its component's SHA-256. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VersionId(Arc<str>);

impl VersionId {
    /// The version that these bytes are.
    #[must_use]
    pub fn of(component: &[u8]) -> Self {
        let digits = Sha256::digest(component).into_iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
        Self(digits.collect::<String>().into())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for VersionId {
    /// It becomes the name of a file, so it is nothing but what [`VersionId::of`] makes.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 2 * SHOWN && text.bytes().all(is_digit) {
            return Ok(Self(text.into()));
        }
        Err(serde::de::Error::custom("a version is twelve hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_content() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(VersionId::of(b"abc").as_str(), "ba7816bf8f01");
        assert_ne!(VersionId::of(b"abc"), VersionId::of(b"abd"));
    }

    #[test]
    fn nothing_else_is_read_as_one() {
        let read = |text: &str| serde_json::from_value::<VersionId>(text.into());
        assert_eq!(read("ba7816bf8f01").unwrap(), VersionId::of(b"abc"));
        for text in ["", "ba7816bf8f0", "BA7816BF8F01", "../../../etc", "ba7816bf8f01a"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
