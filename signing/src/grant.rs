//! What a verification comes to: a grant, or a reason why not.

use crate::SchemeName;
use std::sync::Arc;
use std::time::SystemTime;

/// The answer of [`verify`](crate::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The viewer may have the resource.
    Granted(Grant),
    /// The viewer may not: 403.
    Refused(Reason),
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The format of the token.
    pub scheme: SchemeName,
    /// The key that signed it.
    pub key_id: Arc<str>,
    /// The first moment at which the token is no longer good.
    pub expires: SystemTime,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The request carries no token of an accepted format.
    #[error("the URL is not signed")]
    SignatureMissing,
    /// The token's time is over.
    #[error("the signed URL has expired")]
    SignatureExpired,
    /// The token was made for another URL, another time or by another key.
    #[error("the signature does not belong to this URL, expiry and key")]
    SignatureMismatch,
    /// The key that the token names is not in the group.
    #[error("the key that the URL names is not accepted here")]
    KeyUnknown,
    /// Part of a token is there and the named parameter is not.
    #[error("the signing parameter {0} is missing")]
    ParameterMissing(&'static str),
    /// The named signing parameter occurs more than once.
    #[error("the signing parameter {0} occurs more than once")]
    ParameterDuplicate(&'static str),
    /// The named signing parameter is not of the form that signers write.
    #[error("the signing parameter {0} is malformed")]
    ParameterMalformed(&'static str),
    /// The token carries a custom policy.
    #[error("custom policies (the parameter Policy) are not supported")]
    PolicyUnsupported,
    /// The URL holds characters that no URL may hold (RFC 3986 section 2).
    #[error("the URL holds characters that are not allowed in a URL")]
    UrlMalformed,
}

impl Reason {
    /// The reason as logs, metrics and headers spell it.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Reason::SignatureMissing => "signature-missing",
            Reason::SignatureExpired => "signature-expired",
            Reason::SignatureMismatch => "signature-mismatch",
            Reason::KeyUnknown => "key-unknown",
            Reason::ParameterMissing(_) => "parameter-missing",
            Reason::ParameterDuplicate(_) => "parameter-duplicate",
            Reason::ParameterMalformed(_) => "parameter-malformed",
            Reason::PolicyUnsupported => "policy-unsupported",
            Reason::UrlMalformed => "url-malformed",
        }
    }
}
