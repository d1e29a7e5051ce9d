//! What a change at the origin makes of stored copies (RFC 9111 §4.4), and an answer to POST that may be stored itself.

use crate::body::Body;
use crate::headers;
use crate::route::Path;
use crate::visit::Visit;
use cache::{Effect, Permit, Selector};
use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderName, Method, Response, StatusCode, Uri};
use std::sync::Arc;

/// Forgets what an answer to an unsafe method has made out of date: the target, and what `Location` and `Content-Location`
/// name at the same origin, and the groups there that it lists (RFC 9875 §3). An answer that reports a failure has changed nothing.
pub fn after(visit: &Visit, response: &Response<Body>) {
    let has_changed = response.status().is_success() || response.status().is_redirection();
    if visit.request.method.is_safe() || !has_changed {
        return;
    }
    forget(visit);
    for name in [LOCATION, CONTENT_LOCATION] {
        if let Some(other) = named_by(visit, response, &name) {
            forget(&other);
        }
    }
    let groups = Selector::invalidated_groups(response.headers(), visit.scheme, visit.keyed_authority());
    visit.node.store.purge(&groups, Effect::Remove, visit.later());
}

/// RFC 9110 §9.3.3: an answer to POST whose `Content-Location` is the target stands for what GET would get. Whether it is stored
/// is for the cache to say.
#[must_use]
pub fn stands_for_get(visit: &Visit, response: &Response<Body>) -> Option<Permit> {
    if visit.request.method != Method::POST || response.status() != StatusCode::OK {
        return None;
    }
    let named = named_by(visit, response, &CONTENT_LOCATION)?;
    let is_target =
        headers::path_and_query(&named.request.uri) == headers::path_and_query(&visit.request.uri);
    visit.key().filter(|_| is_target).map(|key| visit.node.store.alone(&key))
}

fn forget(visit: &Visit) {
    if let Some(key) = visit.key_of_all() {
        visit.node.store.invalidate(&key);
    }
}

/// A visit to what a header field names, if that is at the same origin: same scheme, host and port.
fn named_by(visit: &Visit, response: &Response<Body>, name: &HeaderName) -> Option<Visit> {
    let reference = response.headers().get(name)?.to_str().ok()?;
    let target = resolve(visit, reference.split('#').next()?)?;
    let path = Path::normalise(&target).ok()?;
    let route = Arc::clone(visit.site.route(&path)?);
    let mut named = Visit { route, ..visit.clone() };
    named.request.uri = path.path_and_query.parse().ok()?;
    Some(named)
}

/// RFC 3986 §5.2: the path and query that a reference means, `None` where it leads elsewhere.
fn resolve(visit: &Visit, reference: &str) -> Option<String> {
    let base = visit.request.uri.path();
    let is_absolute = ["http://", "https://"]
        .iter()
        .any(|scheme| reference.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let absolute: Uri = match reference {
        "" => return Some(headers::path_and_query(&visit.request.uri).to_owned()),
        _ if is_absolute => reference.parse().ok()?,
        _ if reference.starts_with("//") => format!("{}:{reference}", visit.scheme).parse().ok()?,
        _ if reference.starts_with('/') => return Some(reference.to_owned()),
        _ if reference.starts_with('?') => return Some(format!("{base}{reference}")),
        _ => return Some(format!("{}{reference}", &base[..=base.rfind('/')?])),
    };
    let is_here = absolute.scheme_str() == Some(visit.scheme)
        && absolute.authority()?.as_str().eq_ignore_ascii_case(&visit.authority);
    is_here.then(|| headers::path_and_query(&absolute).to_owned())
}
