//! The token formats. A new one is a file here, an arm in [`verify`](crate::verify) and a set of vectors.

pub(crate) mod cloudfront;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A token format that a key group may accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    /// CloudFront signed URLs with a canned policy and an RSA key.
    Cloudfront,
}

impl SchemeName {
    /// The name as it stands in the config and in logs.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            SchemeName::Cloudfront => "cloudfront",
        }
    }
}
