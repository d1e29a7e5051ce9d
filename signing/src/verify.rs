//! Who may have a resource: the one entrance to verification.

use crate::scheme::cloudfront;
use crate::{Grant, PublicKey, Reason, SchemeName, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// The keys that open the same doors, ready to verify with.
#[derive(Debug, Clone)]
pub struct KeyGroup {
    keys: HashMap<Arc<str>, PublicKey>,
    accept: Vec<SchemeName>,
}

impl KeyGroup {
    /// `keys` are pairs of id and key; `accept` are the token formats taken, in the order in which they are tried.
    #[must_use]
    pub fn new(keys: Vec<(String, PublicKey)>, accept: &[SchemeName]) -> Self {
        Self { keys: keys.into_iter().map(|(id, key)| (id.into(), key)).collect(), accept: accept.to_vec() }
    }

    /// The key of this very id; an id never stands for another key.
    pub(crate) fn key(&self, id: &str) -> Option<(&Arc<str>, &PublicKey)> {
        self.keys.get_key_value(id)
    }
}

/// What the viewer asked for, as the viewer sent it, before any hook or rewriting.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// `Host` or `:authority`, with the port only when the viewer sent one.
    pub authority: &'a str,
    /// From the first `/`, query included, nothing decoded or normalised.
    pub path_and_query: &'a str,
}

/// Whether the viewer may have what it asked for at the time `now`. There is no allowance for clocks that differ.
///
/// Cheap checks come first; public-key arithmetic runs only for a token that names a known key, has not expired and
/// has the right shape.
#[must_use]
pub fn verify(group: &KeyGroup, presented: &Presented<'_>, now: SystemTime) -> Verdict {
    for scheme in &group.accept {
        let judged: Result<Grant, Reason> = match scheme {
            SchemeName::Cloudfront => cloudfront::judge(group, presented, now),
        };
        match judged {
            Ok(grant) => return Verdict::Granted(grant),
            // No trace of this format: the next one may find its own.
            Err(Reason::SignatureMissing) => {}
            Err(reason) => return Verdict::Refused(reason),
        }
    }
    Verdict::Refused(Reason::SignatureMissing)
}
