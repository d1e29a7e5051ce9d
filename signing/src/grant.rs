//! What a verification comes to: a grant, or a reason why not.

use crate::{SchemeName, url};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// The answer of [`KeyGroup::verify`](crate::KeyGroup::verify).
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
    /// The first moment at which the token is no longer good; `None` for a JWT without `exp`.
    pub expires: Option<SystemTime>,
    /// What it opens, in the token's own words, where that may be more than the URL that was asked for: the resource of a custom
    /// policy, the URI container of a JWT.
    pub resource: Option<Arc<str>>,
    /// The id that the token's maker gave it (`jti` of a JWT).
    pub token_id: Option<Arc<str>>,
    /// The token that follows this one, for the viewer (RFC 9246 section 3).
    pub renewal: Option<Renewal>,
}

/// A token that follows another, on its way to the viewer (RFC 9246 section 3.3). Its debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub enum Renewal {
    /// With what the viewer asked for: the whole value of a `Set-Cookie` field (RFC 6265 section 4.1).
    Cookie(String),
    /// With a redirection, in the query of where that leads (section 3.3.1): [`Renewal::in_location`].
    Query(String),
}

impl Renewal {
    /// Where a redirection leads, with the token in its query; `None` for a token that travels by cookie.
    #[must_use]
    pub fn in_location(&self, location: &str) -> Option<String> {
        let Self::Query(token) = self else { return None };
        let (url, fragment) = match location.split_once('#') {
            Some((url, fragment)) => (url, format!("#{fragment}")),
            None => (location, String::new()),
        };
        let bare = url::strip_all(url, &[SchemeName::UriSigning]);
        Some(crate::in_query(&bare, SchemeName::UriSigning, token) + &fragment)
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cookie(_) => "Renewal(by cookie)",
            Self::Query(_) => "Renewal(by query)",
        })
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The request carries no token of an accepted format.
    #[error("the request is not signed")]
    SignatureMissing,
    /// The token's time is over.
    #[error("the signature has expired")]
    SignatureExpired,
    /// The token's time has not come.
    #[error("the signature is not valid yet")]
    SignatureEarly,
    /// The token was made for another URL, another time or by another key.
    #[error("the signature does not belong to this URL, policy and key")]
    SignatureMismatch,
    /// The token is good, and for other resources.
    #[error("the policy is about other resources than this URL")]
    ResourceMismatch,
    /// The token is good, and for viewers elsewhere.
    #[error("the policy is about other addresses than this viewer's")]
    AddressMismatch,
    /// The key that the token names is not in the group.
    #[error("the key that the token names is not accepted here")]
    KeyUnknown,
    /// The key that an encrypted claim of the token names does not decrypt for the group.
    #[error("the key that encrypts the token's address is not known here")]
    DecryptionKeyUnknown,
    /// An encrypted claim of the token and the key that it names do not belong together.
    #[error("the token's address does not decrypt with the key that it names")]
    DecryptionFailed,
    /// The key that the token names cannot sign in this format.
    #[error("the key that the token names is of a kind that does not sign this format")]
    KeyUnsuitable,
    /// Part of a token is there and the named parameter is not.
    #[error("the signing parameter {0} is missing")]
    ParameterMissing(&'static str),
    /// The named signing parameter occurs more than once.
    #[error("the signing parameter {0} occurs more than once")]
    ParameterDuplicate(&'static str),
    /// The named signing parameter is not of the form that signers write.
    #[error("the signing parameter {0} is malformed")]
    ParameterMalformed(&'static str),
    /// Both an expiry and a policy: two readers could choose two different ones.
    #[error("the token has an expiry of its own beside its policy")]
    PolicyAmbiguous,
    /// The policy is not of CloudFront's form.
    #[error("the policy is malformed: {0}")]
    PolicyMalformed(&'static str),
    /// The JWT is not of RFC 9246's form, or says what this node does not do.
    #[error("the token is not acceptable: {0}")]
    TokenMalformed(&'static str),
    /// A claim of the JWT is for others than this node.
    #[error("the claim {0} of the token does not name this node or its publisher")]
    ClaimRefused(&'static str),
    /// The JWT has an id, and has opened this URL before.
    #[error("the token may be used once for each URL, and was")]
    TokenSpent,
    /// The URL holds characters that no URL may hold (RFC 3986 section 2), or its path has segments `.` or `..`.
    #[error("the URL holds characters that are not allowed in a URL, or dot segments")]
    UrlMalformed,
    /// Too many signatures from the same address were wrong a moment ago.
    #[error("too many signatures from this address were wrong")]
    SignatureFlood,
}

impl Reason {
    /// The reason as logs, metrics and headers spell it.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Reason::SignatureMissing => "signature-missing",
            Reason::SignatureExpired => "signature-expired",
            Reason::SignatureEarly => "signature-early",
            Reason::SignatureMismatch => "signature-mismatch",
            Reason::ResourceMismatch => "resource-mismatch",
            Reason::AddressMismatch => "address-mismatch",
            Reason::KeyUnknown | Reason::DecryptionKeyUnknown => "key-unknown",
            Reason::DecryptionFailed => "decryption-failed",
            Reason::KeyUnsuitable => "key-unsuitable",
            Reason::ParameterMissing(_) => "parameter-missing",
            Reason::ParameterDuplicate(_) => "parameter-duplicate",
            Reason::ParameterMalformed(_) => "parameter-malformed",
            Reason::PolicyAmbiguous => "policy-ambiguous",
            Reason::PolicyMalformed(_) => "policy-malformed",
            Reason::TokenMalformed(_) => "token-malformed",
            Reason::ClaimRefused(_) => "claim-refused",
            Reason::TokenSpent => "token-spent",
            Reason::UrlMalformed => "url-malformed",
            Reason::SignatureFlood => "signature-flood",
        }
    }
}
