//! What signs a request: judged as the viewer sent it, and then taken out of it, so that neither cache key nor origin see it.

use crate::error::Fault;
use crate::headers;
use crate::route::Path;
use crate::visit::Visit;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use signing::{Grant, KeyGroup, Presented, Verdict};
use std::borrow::Cow;

/// Whether the viewer may have what it asks for, over the URI and cookies as it sent them.
#[must_use]
pub fn judge(visit: &Visit, keys: &KeyGroup) -> Verdict {
    let cookies: Vec<&str> = cookies(&visit.request.headers).collect();
    let presented = Presented {
        scheme: visit.scheme,
        authority: &visit.authority,
        path_and_query: headers::path_and_query(&visit.presented),
        cookies: &cookies,
        address: Some(visit.address),
    };
    keys.verify(&presented, visit.now)
}

/// Lets the request in: what signed it leaves it, and what it said stays known.
///
/// # Errors
/// [`Fault::BadTarget`] when nothing that is a target remains, or another path than the one that was normalised and routed.
pub fn admit(visit: &mut Visit, grant: Grant) -> Result<(), Fault> {
    let Some(keys) = visit.route.keys.clone() else { return Ok(()) };
    if let Cow::Owned(stripped) = keys.strip(headers::path_and_query(&visit.request.uri)) {
        // A token may stand in the path, and without it `..;URISigningPackage=…` would be `..`.
        match Path::normalise(&stripped) {
            Ok(path) if path.path_and_query == stripped => {}
            _ => return Err(Fault::BadTarget),
        }
        visit.request.uri = stripped.parse().map_err(|_| Fault::BadTarget)?;
    }
    strip_cookies(&mut visit.request.headers, &keys);
    visit.grant = Some(grant);
    Ok(())
}

/// Gives the viewer the token that follows the one it came with.
pub fn renew(grant: &Grant, headers: &mut HeaderMap) {
    let cookie = grant.renewal.as_ref().map(signing::Renewal::set_cookie);
    if let Some(value) = cookie.and_then(|cookie| HeaderValue::from_str(cookie).ok()) {
        headers.append(SET_COOKIE, value);
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(COOKIE).iter().filter_map(text)
}

/// Other people's cookies may have letters beyond ASCII.
fn text(field: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(field.as_bytes()).ok()
}

fn strip_cookies(headers: &mut HeaderMap, keys: &KeyGroup) {
    if !cookies(headers).any(|field| keys.strip_cookies(field).is_some()) {
        return;
    }
    let rest = |field: HeaderValue| match text(&field).and_then(|text| keys.strip_cookies(text)) {
        None => Some(field),
        Some(others) => HeaderValue::from_bytes(others.as_bytes()).ok().filter(|others| !others.is_empty()),
    };
    let kept: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().filter_map(rest).collect();
    headers.remove(COOKIE);
    for field in kept {
        headers.append(COOKIE, field);
    }
}
