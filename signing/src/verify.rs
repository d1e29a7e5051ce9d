//! Who may have a resource: the one entrance to verification.

use crate::memory::Memory;
use crate::scheme::uri_signing::{self, Container, Decryption, Proved};
use crate::scheme::{cloudfront, hmac};
use crate::suspects::Suspects;
use crate::{EncryptionKey, Grant, Key, Policy, Reason, SchemeName, SigningKey, Verdict, url};
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// How many compiled patterns a group keeps, each of at most 256 KiB and as much again while it is matched.
const PATTERNS: usize = 256;

/// The keys that open the same doors, ready to verify with.
#[derive(Debug)]
pub struct KeyGroup {
    keys: HashMap<Arc<str>, Key>,
    accept: Vec<SchemeName>,
    /// What CloudFront signatures were found good, with the policy where it is a custom one.
    pub(crate) policies: Memory<Option<Arc<Policy>>>,
    /// What JWTs were.
    pub(crate) tokens: Memory<Arc<Proved>>,
    /// The patterns of JWTs, ready to match.
    pub(crate) patterns: Memory<Arc<Container>>,
    /// What JWTs with an id have opened; also by the group that this one took over from.
    pub(crate) spent: Arc<Memory<()>>,
    /// Whose JWTs are taken, where they say whose they are (`iss`).
    pub(crate) issuers: Vec<String>,
    /// What this node is called in JWTs (`aud`).
    pub(crate) audience: Vec<String>,
    renewing: Option<(Arc<str>, SigningKey)>,
    /// What reads the encrypted claims of JWTs.
    pub(crate) decryption: Decryption,
    pub(crate) suspects: Suspects,
}

/// What the viewer asked for, as the viewer sent it, before any hook or rewriting.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// `Host` or `:authority` in lower case, with the port only when the viewer sent one.
    pub authority: &'a str,
    /// From the first `/`, query included, nothing decoded or normalised.
    pub path_and_query: &'a str,
    /// The values of the `Cookie` fields, of which there may be several.
    pub cookies: &'a [&'a str],
    /// Where the viewer is; without it, whatever is bound to an address is refused.
    pub address: Option<IpAddr>,
}

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Url,
    Cookies,
}

impl<'a> Presented<'a> {
    /// A URL alone, without cookies and from nowhere.
    #[must_use]
    pub fn url(scheme: &'a str, authority: &'a str, path_and_query: &'a str) -> Self {
        Self { scheme, authority, path_and_query, cookies: &[], address: None }
    }
}

impl KeyGroup {
    /// How many signatures a group remembers unless it is told otherwise.
    pub const REMEMBERED: usize = 16_384;

    /// How many wrong signatures an address may send in a minute unless the group is told otherwise.
    pub const WRONG_A_MINUTE: u16 = 100;

    /// `keys` are pairs of id and key; `accept` are the token formats taken, in the order in which they are tried.
    #[must_use]
    pub fn new(keys: Vec<(String, Key)>, accept: &[SchemeName]) -> Self {
        Self {
            keys: keys.into_iter().map(|(id, key)| (id.into(), key)).collect(),
            accept: accept.to_vec(),
            policies: Memory::new(Self::REMEMBERED),
            tokens: Memory::new(Self::REMEMBERED),
            patterns: Memory::new(PATTERNS),
            spent: Arc::new(Memory::new(Self::REMEMBERED)),
            issuers: Vec::new(),
            audience: Vec::new(),
            renewing: None,
            decryption: Decryption::new(),
            suspects: Suspects::new(Self::WRONG_A_MINUTE),
        }
    }

    /// The same, remembering about so many signatures that were found good; 0 remembers none.
    #[must_use]
    pub fn remembering(self, most: usize) -> Self {
        Self { policies: Memory::new(most), tokens: Memory::new(most), ..self }
    }

    /// The same, where an address may send so many wrong signatures in a minute before its signatures are not computed any more; 0
    /// for as many as come. What is remembered opens all the same, and secrets are checked all the same, for that costs little.
    #[must_use]
    pub fn bearing(self, wrong_a_minute: u16) -> Self {
        Self { suspects: Suspects::new(wrong_a_minute), ..self }
    }

    /// The same, taking JWTs of these publishers (`iss`) and for these nodes (`aud`). A JWT that names others is refused, one that
    /// names none is not.
    #[must_use]
    pub fn between(self, issuers: Vec<String>, audience: Vec<String>) -> Self {
        Self { issuers, audience, ..self }
    }

    /// The same, taking over from the group that had this name before: what JWTs with an id have opened stays spent.
    #[must_use]
    pub fn following(self, previous: &Self) -> Self {
        Self { spent: Arc::clone(&previous.spent), ..self }
    }

    /// The same, renewing JWTs with this key, whose id is one of the group's. Without it a token is renewed with the secret that
    /// signed it, and one of a key pair cannot be.
    #[must_use]
    pub fn renewing_with(self, id: &str, key: SigningKey) -> Self {
        Self { renewing: Some((id.into(), key)), ..self }
    }

    /// The same, reading addresses that are encrypted in JWTs (`cdniip`) with these keys, by the id that the encryption names.
    #[must_use]
    pub fn decrypting_with(self, keys: Vec<(String, EncryptionKey)>) -> Self {
        Self { decryption: keys.into_iter().collect(), ..self }
    }

    /// The same keys and rules with nothing remembered and nothing counted: what it judges leaves no trace in the group, and no token
    /// is spent by it.
    #[must_use]
    pub fn rehearsal(&self) -> Self {
        self.with_keys(self.members().map(|(id, key)| (id.to_string(), key.clone())).collect())
    }

    /// The rules with other keys, nothing remembered and nothing counted.
    pub(crate) fn with_keys(&self, keys: Vec<(String, Key)>) -> Self {
        let bare = Self::new(keys, &self.accept).remembering(0).bearing(0);
        let bare = bare.between(self.issuers.clone(), self.audience.clone());
        Self {
            renewing: self.renewing.clone(),
            decryption: self.decryption.clone(),
            spent: Arc::new(Memory::new(0)),
            ..bare
        }
    }

    /// The same with other formats.
    pub(crate) fn accepting(self, accept: &[SchemeName]) -> Self {
        Self { accept: accept.to_vec(), ..self }
    }

    /// The keys by id.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Arc<str>, &Key)> {
        self.keys.iter()
    }

    /// Whether the viewer may have what it asked for at the time `now`. There is no allowance for clocks that differ.
    ///
    /// A token in the URL is the one that counts: cookies are looked at only where the URL has none. Cheap checks come first;
    /// public-key arithmetic runs only for a token that names a known key, holds now and has the right shape, and only once
    /// for each token.
    #[must_use]
    pub fn verify(&self, presented: &Presented<'_>, now: SystemTime) -> Verdict {
        // A resource is compared as it was sent, and dot segments lead out of what it begins with.
        if url::has_dot_segments(presented.path_and_query) {
            return Verdict::Refused(Reason::UrlMalformed);
        }
        // A player goes on asking with the token that it began with, while its cookie is renewed (RFC 9246 section 3).
        let mut is_outlived = false;
        for place in [Place::Url, Place::Cookies] {
            for scheme in &self.accept {
                if is_outlived && *scheme != SchemeName::UriSigning {
                    continue;
                }
                let judged: Result<Grant, Reason> = match scheme {
                    SchemeName::Cloudfront => cloudfront::judge(self, presented, place, now),
                    SchemeName::Hmac => hmac::judge(self, presented, place, now),
                    SchemeName::UriSigning => uri_signing::judge(self, presented, place, now),
                };
                match judged {
                    Ok(grant) => return Verdict::Granted(grant),
                    // No trace of this format: the next one may find its own.
                    Err(Reason::SignatureMissing) => {}
                    Err(Reason::SignatureExpired)
                        if (*scheme, place) == (SchemeName::UriSigning, Place::Url) =>
                    {
                        is_outlived = true;
                    }
                    Err(reason) => return Verdict::Refused(reason),
                }
            }
        }
        Verdict::Refused(if is_outlived { Reason::SignatureExpired } else { Reason::SignatureMissing })
    }

    /// Whether a token with an id, which a [rehearsal](Self::rehearsal) has granted, has opened this URL before (RFC 9246 section 2.1.7). It
    /// is not spent by asking.
    #[must_use]
    pub fn is_spent(&self, grant: &Grant, presented: &Presented<'_>) -> bool {
        uri_signing::is_spent(self, grant, presented)
    }

    /// The path and query without what signs them: what a signature is over, what the cache key is made of and what the origin is
    /// asked for. Every other byte stays as it is.
    #[must_use]
    pub fn strip<'a>(&self, path_and_query: &'a str) -> Cow<'a, str> {
        url::strip_all(path_and_query, &self.accept)
    }

    /// The token formats taken, in the order in which they are tried.
    #[must_use]
    pub fn accepted(&self) -> &[SchemeName] {
        &self.accept
    }

    /// The key that may be meant where a token names none.
    pub(crate) fn only_key(&self, fits: impl Fn(&Key) -> bool) -> Option<(&Arc<str>, &Key)> {
        let mut fitting = self.keys.iter().filter(|(_, key)| fits(key));
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// What renews a token that this key has signed.
    pub(crate) fn renewing(&self, signed_by: &Arc<str>) -> Option<(Arc<str>, SigningKey)> {
        if let Some((id, key)) = &self.renewing {
            return Some((Arc::clone(id), key.clone()));
        }
        match self.key(signed_by)? {
            (id, Key::Secret(secret)) => Some((Arc::clone(id), SigningKey::Secret(secret.clone()))),
            (_, Key::Public(_)) => None,
        }
    }

    /// The key of this very id; an id never stands for another key.
    pub(crate) fn key(&self, id: &str) -> Option<(&Arc<str>, &Key)> {
        self.keys.get_key_value(id)
    }
}
