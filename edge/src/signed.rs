//! What signs a request: judged as the viewer sent it, and then taken out of it, so that neither cache key nor origin see it.

mod told;

use crate::body::Body;
use crate::error::Fault;
use crate::headers;
use crate::visit::Visit;
use http::header::{COOKIE, LOCATION, REFERER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use signing::{Grant, KeyGroup, Presented, Renewal, SchemeName, Verdict};
use std::borrow::Cow;
use std::sync::Arc;

pub use told::Told;

/// Whether the viewer may have what it asks for, over the URI and cookies as it sent them.
#[must_use]
pub fn judge(visit: &Visit, keys: &KeyGroup) -> Verdict {
    presented(visit, keys, |presented| keys.verify(presented, visit.now))
}

/// What the viewer sent, for whoever judges it by these keys.
pub fn presented<T>(visit: &Visit, keys: &KeyGroup, judge: impl FnOnce(&Presented<'_>) -> T) -> T {
    let cookies: Vec<&str> = cookies(&visit.request.headers).collect();
    let sent = headers::path_and_query(visit.presented());
    let presented = Presented {
        scheme: visit.scheme,
        authority: &visit.authority,
        // A token in the path that this group does not read has left the path all the same.
        path_and_query: &match keys.accepted().contains(&SchemeName::UriSigning) {
            true => Cow::Borrowed(sent),
            false => visit.site.without_token(sent),
        },
        cookies: &cookies,
        address: Some(visit.address),
    };
    judge(&presented)
}

/// Lets the request in: what signed it leaves it, and what it said stays known.
///
/// # Errors
/// [`Fault::BadTarget`] when nothing that is a target remains.
pub fn admit(visit: &mut Visit, grant: Grant) -> Result<(), Fault> {
    if let Some(keys) = visit.route.keys.clone() {
        strip(visit, &keys)?;
        visit.grant = Some(grant);
    }
    Ok(())
}

/// Takes out of the request what signs it.
///
/// # Errors
/// Those of [`admit`].
pub fn strip(visit: &mut Visit, keys: &KeyGroup) -> Result<(), Fault> {
    if let Cow::Owned(stripped) = keys.strip(headers::path_and_query(&visit.request.uri)) {
        let target = stripped.parse().map_err(|_| Fault::BadTarget)?;
        visit.retarget(target);
    }
    Ok(())
}

/// Takes out of the fields what signs this request or others of its site: viewers send such cookies to public routes too, and name the
/// page that they come from by its signed URL.
pub fn conceal(visit: &mut Arc<Visit>) {
    if visit.site.signing.is_empty() {
        return;
    }
    let site = Arc::clone(&visit.site);
    let headers = &mut Arc::make_mut(visit).request.headers;
    rewrite(headers, &COOKIE, |field| signing::strip_cookies(field, &site.signing));
    rewrite(headers, &REFERER, |page| match std::str::from_utf8(page) {
        Ok(page) => match signing::strip_all(page, &site.signing) {
            Cow::Borrowed(_) => None,
            Cow::Owned(bare) => Some(bare.into_bytes()),
        },
        // What it holds cannot be told, and nobody needs it.
        Err(_) => Some(Vec::new()),
    });
}

/// Gives the viewer the token that follows the one it came with: with what it asked for, or where it is sent to (RFC 9246 section
/// 3.2), and never with an error.
pub fn renew(grant: &Grant, response: &mut Response<Body>) {
    let Some(renewal) = grant.renewal.as_ref().filter(|_| response.status().as_u16() < 400) else { return };
    let is_redirection = response.status().is_redirection();
    let headers = response.headers_mut();
    let (name, value) = match renewal {
        Renewal::Cookie(cookie) => (SET_COOKIE, Some(cookie.clone())),
        Renewal::Query(_) => {
            let location = headers.get(LOCATION).filter(|_| is_redirection);
            let location = location.and_then(|location| renewal.in_location(location.to_str().ok()?));
            (LOCATION, location)
        }
    };
    match value.and_then(|value| HeaderValue::from_str(&value).ok()) {
        Some(value) if name == LOCATION => drop(headers.insert(name, value)),
        Some(value) => drop(headers.append(name, value)),
        None => {}
    }
}

/// What can be read of the cookies: those of others may have letters beyond ASCII, in whatever encoding.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let parts = headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    parts.filter_map(|part| std::str::from_utf8(part).ok())
}

/// Gives the fields of this name what is left of them, and drops those of which nothing is left.
fn rewrite(headers: &mut HeaderMap, name: &HeaderName, strip: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if !headers.get_all(name).iter().any(|field| strip(field.as_bytes()).is_some()) {
        return;
    }
    let rest = |field: HeaderValue| match strip(field.as_bytes()) {
        None => Some(field),
        Some(others) => HeaderValue::from_bytes(&others).ok().filter(|others| !others.is_empty()),
    };
    let kept: Vec<HeaderValue> = headers.get_all(name).iter().cloned().filter_map(rest).collect();
    headers.remove(name);
    for field in kept {
        headers.append(name, field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_is_no_text_hides_no_other() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(b"name=J\xfcrgen; Selvedge-Token=1").unwrap());
        headers.append(COOKIE, HeaderValue::from_static("a=b"));
        assert_eq!(cookies(&headers).map(str::trim).collect::<Vec<_>>(), ["Selvedge-Token=1", "a=b"]);

        rewrite(&mut headers, &COOKIE, |field| signing::strip_cookies(field, &[SchemeName::Hmac]));
        let left: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(left, [&b"name=J\xfcrgen"[..], b"a=b"]);
    }
}
