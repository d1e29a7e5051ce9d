//! Content codings (RFC 9110 §8.4.1) that the edge can make and read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A content coding; in a config by its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Br,
    /// RFC 8878, in a window of at most 8 MB (RFC 9659).
    Zstd,
}

impl Coding {
    /// Each of them once.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Br, Self::Zstd];

    /// As in `Content-Encoding` and in a config.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding of a token; tokens have no case (RFC 9110 §8.4.1). `None` for those that the edge cannot read.
    #[must_use]
    pub fn parse(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.token().eq_ignore_ascii_case(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_without_case_and_whole() {
        for coding in Coding::ALL {
            assert_eq!(Coding::parse(coding.token()), Some(coding));
            assert_eq!(Coding::parse(&coding.token().to_uppercase()), Some(coding));
        }
        for unknown in ["", "deflate", "compress", "identity", "x-gzip", "gzip, br", "gzip ", "zst"] {
            assert_eq!(Coding::parse(unknown), None, "{unknown}");
        }
    }
}
