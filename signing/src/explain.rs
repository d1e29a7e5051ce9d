//! Why a token is refused, for the key's owner: what it says, and the nearest thing that would have been granted.

use crate::scheme::{cloudfront, hmac, uri_signing};
use crate::verify::Place;
use crate::{Key, KeyGroup, Presented, Reason, SchemeName, Verdict, url};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// How far a clock may be off for that to be the nearest cause.
const CLOCK: Duration = Duration::from_secs(600);

/// What would have been granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The same, so much earlier or later: one of the clocks is wrong, or the time was chosen too short.
    Clock(Duration),
    /// This URL, which is what was signed: scheme, host, encoding or query became another on the way.
    SignedAs(String),
    /// The same, had it named the key by this id.
    KeyId(String),
    /// The same, with this parameter (`Hash-Algorithm=SHA256`) or without it.
    Hash,
    /// The same by its cookies, which are not looked at where the URL has signing parameters.
    Cookies,
    /// A token of this format, which is there, had the group taken it.
    Scheme(SchemeName),
}

/// The terms of a token as they were read: the policy's text, a JWT's claims, or what a short token says. `None` when there is no token
/// that can be read. An encrypted address is shown as the group decrypts it.
#[must_use]
pub fn read_terms(group: &KeyGroup, presented: &Presented<'_>, accept: &[SchemeName]) -> Option<String> {
    [Place::Url, Place::Cookies].into_iter().find_map(|place| {
        accept.iter().find_map(|scheme| match scheme {
            SchemeName::Cloudfront => cloudfront::read(presented, place),
            SchemeName::UriSigning => uri_signing::read(group, presented, place),
            SchemeName::Hmac => hmac::read(presented, place),
        })
    })
}

/// The path and query without any token, whatever the group takes: what can be shown to anybody.
#[must_use]
pub fn without_tokens(path_and_query: &str) -> Cow<'_, str> {
    url::strip_all(path_and_query, &SchemeName::ALL)
}

/// The nearest cause of a refusal, by trying what usually goes wrong. `others` are keys beyond the group's that may have signed.
/// Costs some signature checks; what the group remembers stays as it is.
#[must_use]
pub fn nearest_cause(
    group: &KeyGroup,
    others: &[(String, Key)],
    presented: &Presented<'_>,
    now: SystemTime,
) -> Option<Cause> {
    let trial = group.rehearsal();
    let Verdict::Refused(reason) = trial.verify(presented, now) else { return None };
    if is_good_by_cookies(&trial, presented, now) {
        return Some(Cause::Cookies);
    }
    match reason {
        Reason::SignatureExpired | Reason::SignatureEarly => clock(&trial, presented, now).map(Cause::Clock),
        Reason::KeyUnknown => signer(&trial, others, presented, now).map(Cause::KeyId),
        Reason::SignatureMismatch | Reason::ResourceMismatch => {
            let variant = variants(presented).into_iter().find(|url| is_granted(&trial, presented, url, now));
            if let Some(url) = variant {
                return Some(Cause::SignedAs(without_token(url)));
            }
            let other = other_hash(presented.path_and_query);
            if granted(&trial, &Presented { path_and_query: &other, ..*presented }, now) {
                return Some(Cause::Hash);
            }
            signer(&trial, others, presented, now).map(Cause::KeyId)
        }
        Reason::SignatureMissing => other_scheme(&trial, presented, now).map(Cause::Scheme),
        _ => None,
    }
}

fn granted(group: &KeyGroup, presented: &Presented<'_>, now: SystemTime) -> bool {
    matches!(group.verify(presented, now), Verdict::Granted(_))
}

/// Whether signing parameters in the URL are all that keeps the cookies from being good.
fn is_good_by_cookies(group: &KeyGroup, presented: &Presented<'_>, now: SystemTime) -> bool {
    let Cow::Owned(bare) = group.strip(presented.path_and_query) else { return false };
    !presented.cookies.is_empty() && granted(group, &Presented { path_and_query: &bare, ..*presented }, now)
}

/// The key that has signed, whatever id the token names.
fn signer(
    group: &KeyGroup,
    others: &[(String, Key)],
    presented: &Presented<'_>,
    now: SystemTime,
) -> Option<String> {
    let named = named_key(presented);
    let members = group.members().map(|(id, key)| (&**id, key));
    let others = others.iter().map(|(id, key)| (id.as_str(), key));
    let has_signed = |(id, key): &(&str, &Key)| {
        let named = named.as_deref().unwrap_or(id).to_owned();
        granted(&group.with_keys(vec![(named, (*key).clone())]), presented, now)
    };
    members.chain(others).find(has_signed).map(|(id, _)| id.to_owned())
}

/// The format of a token that is there, and that the group does not take.
fn other_scheme(group: &KeyGroup, presented: &Presented<'_>, now: SystemTime) -> Option<SchemeName> {
    let is_there = |scheme: &SchemeName| {
        let verdict = group.rehearsal().accepting(&[*scheme]).verify(presented, now);
        verdict != Verdict::Refused(Reason::SignatureMissing)
    };
    SchemeName::ALL.into_iter().find(is_there)
}

/// By how much the time is missed, where it is not by much.
fn clock(group: &KeyGroup, presented: &Presented<'_>, now: SystemTime) -> Option<Duration> {
    let steps = (0..10).map(|step| CLOCK / 2_u32.pow(step)).collect::<Vec<_>>();
    let near = |off: &&Duration| {
        [now.checked_sub(**off), now.checked_add(**off)]
            .into_iter()
            .flatten()
            .any(|then| granted(group, presented, then))
    };
    steps.iter().rev().find(near).copied()
}

/// The id that the token names, in URL or cookie, whatever its format.
fn named_key(presented: &Presented<'_>) -> Option<String> {
    [Place::Url, Place::Cookies].into_iter().find_map(|place| {
        cloudfront::named(presented, place)
            .or_else(|| uri_signing::named(presented, place))
            .or_else(|| hmac::named(presented, place))
    })
}

fn is_granted(group: &KeyGroup, presented: &Presented<'_>, url: &str, now: SystemTime) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let (authority, path_and_query) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    granted(group, &Presented { scheme, authority, path_and_query, ..*presented }, now)
}

fn without_token(url: String) -> String {
    let Some(path) = url.find("://").and_then(|end| Some(end + 3 + url[end + 3..].find('/')?)) else {
        return url;
    };
    let (head, path_and_query) = url.split_at(path);
    format!("{head}{}", without_tokens(path_and_query))
}

/// The URL as signers and browsers are known to rewrite it.
fn variants(presented: &Presented<'_>) -> Vec<String> {
    let Presented { scheme, authority, path_and_query, .. } = *presented;
    let (path, query) =
        path_and_query.split_once('?').map_or((path_and_query, None), |(path, query)| (path, Some(query)));
    let whole = |scheme: &str, authority: &str, path: &str, query: Option<&str>| {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{scheme}://{authority}{path}{query}")
    };
    let other_scheme = if scheme == "https" { "http" } else { "https" };
    let host = authority.split(':').next().unwrap_or(authority);
    let mut all = vec![
        whole(other_scheme, authority, path, query),
        whole(scheme, host, path, query),
        whole(scheme, &format!("{host}:{}", if scheme == "https" { "443" } else { "80" }), path, query),
        whole(scheme, authority, path.trim_end_matches('/'), query),
        whole(scheme, authority, &format!("{path}/"), query),
    ];
    let queries = [
        query.map(str::to_owned),
        query.map(flags_with_values),
        query.map(flags_without_values),
        query.map(signing_only),
    ];
    for path in
        [path.to_owned(), decode(path), encode(path), path.replace("%20", "+"), path.replace('+', "%20")]
    {
        all.extend(queries.iter().map(|query| whole(scheme, authority, &path, query.as_deref())));
    }
    all
}

fn flags_with_values(query: &str) -> String {
    let parts =
        query.split('&').map(|part| if part.contains('=') { part.to_owned() } else { format!("{part}=") });
    parts.collect::<Vec<_>>().join("&")
}

fn flags_without_values(query: &str) -> String {
    query.split('&').map(|part| part.strip_suffix('=').unwrap_or(part)).collect::<Vec<_>>().join("&")
}

/// The query without what is the publisher's own.
fn signing_only(query: &str) -> String {
    let is_signing = |part: &&str| {
        let name = part.split('=').next().unwrap_or_default();
        SchemeName::ALL.iter().any(|scheme| scheme.parameters().contains(&name))
    };
    query.split('&').filter(is_signing).collect::<Vec<_>>().join("&")
}

/// The path as a signer has it that writes what needs no escape as itself.
fn decode(path: &str) -> String {
    let mut decoded = path.to_owned();
    for letter in "!$&'()*+,;=:@-._~".chars() {
        let code = format!("%{:02X}", u32::from(letter));
        decoded = decoded
            .replace(&code, &letter.to_string())
            .replace(&code.to_ascii_lowercase(), &letter.to_string());
    }
    decoded
}

/// The path as a signer has it that escapes more than it has to.
fn encode(path: &str) -> String {
    let mut encoded = path.to_owned();
    for letter in "!$&'()*+,;=:@".chars() {
        encoded = encoded.replace(letter, &format!("%{:02X}", u32::from(letter)));
    }
    encoded
}

fn other_hash(path_and_query: &str) -> String {
    match path_and_query.contains("Hash-Algorithm=") {
        true => path_and_query.replace("&Hash-Algorithm=SHA256", "").replace("&Hash-Algorithm=SHA1", ""),
        false => format!("{path_and_query}&Hash-Algorithm=SHA256"),
    }
}
