//! The claims of a signed token (RFC 9246 section 2.1).

use super::encrypted;
use crate::policy::{MOST_SECONDS, moment, network_of, seconds};
use crate::sign::check_key_id;
use crate::strict::present;
use crate::{EncryptionKey, KeyGroup, Reason, SigningError, SigningKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// What a JWT says: which URLs it opens, until when, and for whom.
///
/// ```
/// use signing::{Claims, Secret, SigningKey, sign_jwt};
/// use std::time::{Duration, SystemTime};
///
/// let key = SigningKey::Secret(Secret::from_text("a secret of more than thirty-two characters")?);
/// let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
/// let claims = Claims::matching(r"https://cdn\.test/live/.*")?.until(expires)?.renewed_for(Duration::from_secs(30), 1);
/// let token = sign_jwt(&claims, "K1", &key)?;
/// assert_eq!(token.split('.').count(), 3);
/// # Ok::<(), signing::SigningError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    // Not looked at, and handed on in renewals (section 2.1.2).
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) exp: Option<Date>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<Date>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) iat: Option<Date>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    cdniv: Option<u64>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    cdnicrit: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    cdniip: Option<String>,
    cdniuc: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) cdniets: Option<u64>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) cdnistt: Option<u64>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) cdnistd: Option<u64>,
}

/// RFC 7519 section 4.1.3: one name or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Where the viewers are (`cdniip`, RFC 9246 section 2.1.10).
pub(super) enum Address<'a> {
    Open(IpNet),
    /// Encrypted, and not looked into yet.
    Sealed(&'a str),
}

/// RFC 7519 section 2, `NumericDate`: seconds since 1970, with or without a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Date {
    Whole(u64),
    Fraction(f64),
}

impl Claims {
    /// Opens this URL and no other; the token says its hash (RFC 9246 section 2.1.15.1).
    ///
    /// # Errors
    /// No viewer would send the URL in this form.
    pub fn for_url(url: &str) -> Result<Self, SigningError> {
        crate::sign::check_url(url)?;
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, url.as_bytes()));
        Ok(Self::of(format!("hash:sha-256;{hash}")))
    }

    /// Opens all URLs that match this regular expression from their first character to their last (section 2.1.15.2).
    ///
    /// # Errors
    /// It is no regular expression, or one that is too large.
    pub fn matching(pattern: &str) -> Result<Self, SigningError> {
        let container = format!("regex:{pattern}");
        match super::Container::parse(&container) {
            Ok(_) => Ok(Self::of(container)),
            Err(_) => Err(SigningError::Pattern(pattern.to_owned())),
        }
    }

    fn of(cdniuc: String) -> Self {
        Self {
            iss: None,
            sub: None,
            aud: None,
            exp: None,
            nbf: None,
            iat: None,
            jti: None,
            cdniv: Some(1),
            cdnicrit: None,
            cdniip: None,
            cdniuc,
            cdniets: None,
            cdnistt: None,
            cdnistd: None,
        }
    }

    /// The same, good until `expires` (`exp`, whole seconds).
    ///
    /// # Errors
    /// The moment cannot be written.
    pub fn until(self, expires: SystemTime) -> Result<Self, SigningError> {
        Ok(Self { exp: Some(Date::Whole(seconds(expires)?)), ..self })
    }

    /// The same, not before `starts` (`nbf`, whole seconds).
    ///
    /// # Errors
    /// The moment cannot be written.
    pub fn starting(self, starts: SystemTime) -> Result<Self, SigningError> {
        Ok(Self { nbf: Some(Date::Whole(seconds(starts)?)), ..self })
    }

    /// The same, only for viewers at this address or in this network (`cdniip`).
    ///
    /// # Errors
    /// It is neither.
    pub fn only_from(self, network: &str) -> Result<Self, SigningError> {
        let network = network_of(network).ok_or_else(|| SigningError::Network(network.to_owned()))?;
        Ok(Self { cdniip: Some(network.to_string()), ..self })
    }

    /// The same, only for viewers at this address or in this network, which is told to nobody but who has the key (`cdniip` as a JWE,
    /// RFC 9246 section 2.1.10): the key group must decrypt with it under this id.
    ///
    /// # Errors
    /// It is neither, the key id is not of its form, or the machine gives no random numbers.
    pub fn only_from_encrypted(
        self,
        network: &str,
        key_id: &str,
        key: &EncryptionKey,
    ) -> Result<Self, SigningError> {
        check_key_id(key_id)?;
        let network = network_of(network).ok_or_else(|| SigningError::Network(network.to_owned()))?;
        Ok(Self { cdniip: Some(encrypted::seal(&network, key_id, key)?), ..self })
    }

    /// The same, by this publisher (`iss`), whom the key group must list.
    #[must_use]
    pub fn issued_by(self, issuer: &str) -> Self {
        Self { iss: Some(issuer.to_owned()), ..self }
    }

    /// The same, for nodes of this name (`aud`), which the key group must list.
    #[must_use]
    pub fn for_audience(self, audience: &str) -> Self {
        Self { aud: Some(Audience::One(audience.to_owned())), ..self }
    }

    /// The same with an id (`jti`): each URL can be asked for once.
    #[must_use]
    pub fn once(self, id: &str) -> Self {
        Self { jti: Some(id.to_owned()), ..self }
    }

    /// The same, renewed with each answer by a cookie that is good for `lifetime` (`cdniets`, whole seconds) and for the first
    /// `depth` segments of the path (`cdnistd`).
    #[must_use]
    pub fn renewed_for(self, lifetime: Duration, depth: u64) -> Self {
        Self { cdniets: Some(lifetime.as_secs()), cdnistt: Some(1), cdnistd: Some(depth), ..self }
    }

    /// The same, renewed by a token in the query of every redirection (`cdnistt` 2, section 3.3.1), for viewers who are sent to another
    /// host and take no cookies along.
    #[must_use]
    pub fn renewed_in_redirections(self, lifetime: Duration) -> Self {
        Self { cdniets: Some(lifetime.as_secs()), cdnistt: Some(2), ..self }
    }

    /// When it is no longer good, if it says so.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.exp.map(Date::moment)
    }

    pub(super) fn token_id(&self) -> Option<&str> {
        self.jti.as_deref()
    }

    pub(super) fn container(&self) -> &str {
        &self.cdniuc
    }

    /// Whatever costs next to nothing (section 2.1).
    pub(super) fn check(&self, group: &KeyGroup, now: SystemTime) -> Result<(), Reason> {
        if self.cdniv.is_some_and(|version| version != 1) {
            return Err(Reason::TokenMalformed("cdniv is another version than 1"));
        }
        // Section 2.1.9: it names extensions that must be understood, and this node knows none.
        if self.cdnicrit.is_some() {
            return Err(Reason::TokenMalformed("cdnicrit names what this node does not understand"));
        }
        if [self.exp, self.nbf, self.iat].into_iter().flatten().any(Date::is_beyond_clocks) {
            return Err(Reason::TokenMalformed("a time lies beyond what a clock can say"));
        }
        if self.exp.is_some_and(|expires| now >= expires.moment()) {
            return Err(Reason::SignatureExpired);
        }
        // RFC 7519 section 4.1.5: at that moment it is good already.
        if self.nbf.is_some_and(|starts| now < starts.moment()) {
            return Err(Reason::SignatureEarly);
        }
        if self.iss.as_ref().is_some_and(|issuer| !group.issuers.contains(issuer)) {
            return Err(Reason::ClaimRefused("iss"));
        }
        if self.aud.as_ref().is_some_and(|audience| !audience.names(&group.audience)) {
            return Err(Reason::ClaimRefused("aud"));
        }
        Ok(())
    }

    /// Where the viewers are, if it says so.
    pub(super) fn address(&self) -> Result<Option<Address<'_>>, Reason> {
        let Some(text) = &self.cdniip else { return Ok(None) };
        match network_in(text) {
            Some(network) => Ok(Some(Address::Open(network))),
            None if encrypted::is_sealed(text) => Ok(Some(Address::Sealed(text))),
            None => Err(Reason::TokenMalformed("cdniip is neither an address nor an encrypted one")),
        }
    }
}

/// A network as claims have it. RFC 9246's own example puts one of IPv6 into brackets (appendix A.2).
pub(super) fn network_in(text: &str) -> Option<IpNet> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    network_of(bare.filter(|bare| bare.contains(':')).unwrap_or(text))
}

impl Audience {
    fn names(&self, ours: &[String]) -> bool {
        match self {
            Self::One(name) => ours.contains(name),
            Self::Several(names) => names.iter().any(|name| ours.contains(name)),
        }
    }
}

impl Date {
    fn is_beyond_clocks(self) -> bool {
        match self {
            Self::Whole(seconds) => seconds > MOST_SECONDS,
            Self::Fraction(seconds) => seconds > MOST_SECONDS as f64,
        }
    }

    pub(super) fn moment(self) -> SystemTime {
        match self {
            Self::Whole(seconds) => moment(seconds),
            // What is no time at all, such as a negative one, lies in the past.
            Self::Fraction(seconds) => Duration::try_from_secs_f64(seconds)
                .map_or(SystemTime::UNIX_EPOCH, |since| {
                    moment(since.as_secs()) + Duration::from_nanos(since.subsec_nanos().into())
                }),
        }
    }
}

/// The compact serialization (RFC 7515 section 7.1).
pub(crate) fn mint(claims: &Claims, key_id: &str, key: &SigningKey) -> Result<String, SigningError> {
    let algorithm = format!("{:?}", key.kind().algorithm());
    let header = serde_json::json!({ "alg": algorithm, "kid": key_id, "typ": "JWT" }).to_string();
    let claims = serde_json::to_string(claims).map_err(|_| SigningError::Library("write the claims"))?;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = match key {
        SigningKey::Private(key) => key.sign_jwt(message.as_bytes())?,
        SigningKey::Secret(secret) => secret.sign(message.as_bytes()).as_ref().to_vec(),
    };
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
