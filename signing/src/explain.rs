//! Why a token is refused, for the key's owner: what it says, and the nearest thing that would have been granted.

use crate::scheme::{cloudfront, hmac, uri_signing};
use crate::verify::Place;
use crate::{Key, KeyGroup, Presented, Reason, SchemeName, Verdict, cookie, url};
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
}

/// The terms of a token as they were read: the policy's text, a JWT's claims, or what a short token says. `None` when there is no token
/// that can be read.
#[must_use]
pub fn read_terms(presented: &Presented<'_>, accept: &[SchemeName]) -> Option<String> {
    [Place::Url, Place::Cookies].into_iter().find_map(|place| {
        accept.iter().find_map(|scheme| match scheme {
            SchemeName::Cloudfront => cloudfront::read(presented, place),
            SchemeName::UriSigning => uri_signing::read(presented, place),
            SchemeName::Hmac => hmac::read(presented, place),
        })
    })
}

/// The nearest cause of a refusal, by trying what usually goes wrong. Costs some signature checks.
#[must_use]
pub fn nearest_cause(
    key: &(String, Key),
    accept: &[SchemeName],
    presented: &Presented<'_>,
    now: SystemTime,
) -> Option<Cause> {
    let group = KeyGroup::new(vec![key.clone()], accept).remembering(0);
    match group.verify(presented, now) {
        Verdict::Granted(_) => None,
        Verdict::Refused(Reason::SignatureExpired | Reason::SignatureEarly) => {
            clock(&group, presented, now).map(Cause::Clock)
        }
        Verdict::Refused(Reason::KeyUnknown) => {
            let named = named_key(presented)?;
            let group = KeyGroup::new(vec![(named.to_owned(), key.1.clone())], accept).remembering(0);
            granted(&group, presented, now).then(|| Cause::KeyId(key.0.clone()))
        }
        Verdict::Refused(Reason::SignatureMismatch | Reason::ResourceMismatch) => {
            if let Some(url) =
                variants(presented).into_iter().find(|url| is_granted(&group, presented, url, now))
            {
                return Some(Cause::SignedAs(without_token(url)));
            }
            let other = other_hash(presented.path_and_query);
            let other = Presented { path_and_query: &other, ..*presented };
            granted(&group, &other, now).then_some(Cause::Hash)
        }
        Verdict::Refused(_) => None,
    }
}

fn granted(group: &KeyGroup, presented: &Presented<'_>, now: SystemTime) -> bool {
    matches!(group.verify(presented, now), Verdict::Granted(_))
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

fn named_key<'a>(presented: &Presented<'a>) -> Option<&'a str> {
    let [in_url] = url::find(presented.path_and_query, ["Key-Pair-Id"]).ok()?;
    let [in_cookie] = cookie::find(presented.cookies, ["CloudFront-Key-Pair-Id"]).ok()?;
    in_url.or(in_cookie)
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
    format!(
        "{head}{}",
        url::strip_all(path_and_query, &[SchemeName::Cloudfront, SchemeName::UriSigning, SchemeName::Hmac])
    )
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
        [SchemeName::Cloudfront, SchemeName::UriSigning, SchemeName::Hmac]
            .iter()
            .any(|scheme| scheme.parameters().contains(&name))
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
