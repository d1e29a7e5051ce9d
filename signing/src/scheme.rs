//! The token formats. A new one is a file here, an arm in [`KeyGroup::verify`](crate::KeyGroup::verify) and a set of vectors.

pub(crate) mod cloudfront;
pub(crate) mod hmac;
pub(crate) mod uri_signing;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A token format that a key group may accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    /// CloudFront signed URLs and cookies, canned and custom policies; RSA or P-256.
    Cloudfront,
    /// JSON Web Tokens as of RFC 9246, in query, path or cookie; RSA, P-256, Ed25519 or a secret.
    UriSigning,
    /// A short token for a prefix of URLs, in query or cookie; a secret.
    Hmac,
}

impl SchemeName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cloudfront, Self::UriSigning, Self::Hmac];

    /// The query parameter, path parameter and cookie of a JWT (RFC 9246 section 4.4: the default).
    pub(crate) const PACKAGE: &'static str = "URISigningPackage";
    /// The query parameter and cookie of the scheme `hmac`.
    pub(crate) const TOKEN: &'static str = "Selvedge-Token";

    /// The name as it stands in the config and in logs.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            SchemeName::Cloudfront => "cloudfront",
            SchemeName::UriSigning => "uri-signing",
            SchemeName::Hmac => "hmac",
        }
    }

    /// The cookie that carries its token, where one cookie does; of CloudFront's cookies, the signature's.
    #[must_use]
    pub fn cookie(self) -> &'static str {
        match self {
            SchemeName::Cloudfront => cloudfront::COOKIES[2],
            SchemeName::UriSigning => Self::PACKAGE,
            SchemeName::Hmac => Self::TOKEN,
        }
    }

    /// The names of its query parameters.
    pub(crate) fn parameters(self) -> &'static [&'static str] {
        match self {
            SchemeName::Cloudfront => &cloudfront::PARAMETERS,
            SchemeName::UriSigning => &[Self::PACKAGE],
            SchemeName::Hmac => &[Self::TOKEN],
        }
    }

    /// The names of its cookies.
    pub(crate) fn cookies(self) -> &'static [&'static str] {
        match self {
            SchemeName::Cloudfront => &cloudfront::COOKIES,
            SchemeName::UriSigning => &[Self::PACKAGE],
            SchemeName::Hmac => &[Self::TOKEN],
        }
    }
}
