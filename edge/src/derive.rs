//! Objects that hooks make of others, kept in a bucket under a name that the hook gives: asked for there first, put there once
//! made. The viewer never waits for the keeping, and never hears when it fails.

use crate::body::Body;
use crate::config::Config;
use crate::headers;
use crate::visit::Visit;
use crate::withheld;
use bytes::Bytes;
use cache::control::Directives;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LANGUAGE, CONTENT_TYPE,
    COOKIE, ETAG, EXPIRES, LAST_MODIFIED, SET_COOKIE, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use origin_shield::{Exhausted, Failure, Group, OriginBody, OutgoingBody};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a store that failed is not asked: what it keeps can be made meanwhile.
const REST: Duration = Duration::from_secs(10);
/// What is kept with an object.
const KEPT: [HeaderName; 5] = [CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES];
/// The entity tag that the object had when it was made: it tells of which version of the original it is.
const MADE_AS: HeaderName = HeaderName::from_static("x-amz-meta-selvedge-etag");

/// Where the objects of hooks are kept, by the name of the hook.
#[derive(Debug, Default)]
pub struct Stores(HashMap<String, Arc<Store>>);

/// Where the objects of one hook are kept.
#[derive(Debug)]
pub struct Store {
    group: Arc<Group>,
    /// How old an object may be; `None` is any age.
    keep: Option<Duration>,
    /// Places for those that are being put there, of all hooks.
    writes: Arc<Semaphore>,
    resting_since: Mutex<Option<Instant>>,
}

/// An object that a hook is about to make, as it travels with request and response.
#[derive(Debug, Clone)]
pub struct Derived {
    store: Arc<Store>,
    path: String,
}

/// What the store says.
pub enum Kept {
    /// The object.
    There(Box<Response<Body>>),
    /// It is to be made, and to be put there.
    Missing(Derived),
    /// Nobody knows: it is to be made for this viewer alone.
    Unknown,
}

/// Marks an answer that hooks have made before.
#[derive(Debug, Clone, Copy)]
struct Found;

impl Stores {
    /// The stores that the hooks of this config name.
    #[must_use]
    pub fn of(config: &Config, groups: &HashMap<String, Arc<Group>>) -> Self {
        let writes = Arc::new(Semaphore::new(config.node.limits.derived_writes));
        let store = |(name, hook): (&String, &hooks::HookSettings)| {
            let group = Arc::clone(groups.get(hook.store.as_ref()?)?);
            let writes = Arc::clone(&writes);
            let store = Store { group, keep: hook.store_for, writes, resting_since: Mutex::default() };
            Some((name.clone(), Arc::new(store)))
        };
        Self(config.hook.iter().filter_map(store).collect())
    }

    /// The object at `path` that this hook makes of the answer to `request`; `None` for what is not for everybody.
    #[must_use]
    pub fn derived(&self, hook: &str, path: String, request: &Parts) -> Option<Derived> {
        let is_for_one = [AUTHORIZATION, COOKIE].iter().any(|name| request.headers.contains_key(name));
        if request.method != Method::GET || is_for_one {
            return None;
        }
        Some(Derived { store: Arc::clone(self.0.get(hook)?), path })
    }
}

impl Derived {
    /// Asks the store for it.
    pub async fn find(self, visit: &Visit) -> Kept {
        let observer = &visit.node.observer;
        if self.store.is_resting() {
            observer.derived("resting");
            return Kept::Unknown;
        }
        let Some(request) = request(visit, Method::GET, &self.path, HeaderMap::new()) else {
            return Kept::Unknown;
        };
        let reply = match self.store.group.send(request.map(|()| OutgoingBody::Empty), Instant::now()).await {
            Ok(reply) => reply,
            Err(exhausted) => {
                if !is_about_the_request(&exhausted) {
                    self.store.rest();
                }
                observer.derived_failed(visit, "ask", &exhausted.to_string());
                return Kept::Unknown;
            }
        };
        match reply.response.status() {
            StatusCode::OK if !self.store.is_too_old(visit, reply.response.headers()) => {
                observer.derived("found");
                let mut response = withheld::dressed(reply.response);
                response.extensions_mut().insert(Found);
                Kept::There(Box::new(response))
            }
            StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::GONE => {
                observer.derived("missing");
                Kept::Missing(self)
            }
            status => {
                if !is_about_this_name(status) {
                    self.store.rest();
                }
                observer.derived_failed(visit, "ask", &format!("status {status}"));
                Kept::Unknown
            }
        }
    }

    async fn put(self, visit: Visit, headers: HeaderMap, body: Bytes) {
        let observer = &visit.node.observer;
        let Ok(_place) = self.store.writes.try_acquire() else { return observer.derived("busy") };
        let Some(request) = request(&visit, Method::PUT, &self.path, headers) else { return };
        let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
        let request = request.map(|()| OutgoingBody::Stream(body));
        match self.store.group.send(request, Instant::now()).await {
            Ok(reply) if reply.response.status().is_success() => observer.derived("stored"),
            Ok(reply) => {
                observer.derived_failed(&visit, "store", &format!("status {}", reply.response.status()));
            }
            Err(exhausted) => {
                if !is_about_the_request(&exhausted) && !has_no_place(&exhausted) {
                    self.store.rest();
                }
                observer.derived_failed(&visit, "store", &exhausted.to_string());
            }
        }
    }
}

impl Store {
    fn is_too_old(&self, visit: &Visit, headers: &HeaderMap) -> bool {
        let Some(keep) = self.keep else { return false };
        let modified = headers.get(LAST_MODIFIED).and_then(|date| date.to_str().ok());
        let modified = modified.and_then(|date| httpdate::parse_http_date(date).ok());
        let age = modified.and_then(|modified| visit.later().duration_since(modified).ok());
        age.is_some_and(|age| age > keep)
    }

    fn is_resting(&self) -> bool {
        let since = *self.resting_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < REST)
    }

    fn rest(&self) {
        *self.resting_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Whether the store was not asked at all for what was asked for: a viewer chooses names, and none of them is to keep the
/// store from everybody.
fn is_about_the_request(exhausted: &Exhausted) -> bool {
    let is_odd = |failure| matches!(failure, Failure::Denied(_) | Failure::RequestInvalid);
    exhausted.attempts.last().is_some_and(|attempt| is_odd(attempt.failure))
}

/// Whether others are being put there already: it can be asked all the same.
fn has_no_place(exhausted: &Exhausted) -> bool {
    exhausted.attempts.last().is_some_and(|attempt| attempt.failure == Failure::ConnectionLimit)
}

/// Whether the store refuses what it was asked for, as a name that is too long, and not this node.
fn is_about_this_name(status: StatusCode) -> bool {
    use StatusCode as S;
    status.is_client_error() && !matches!(status, S::UNAUTHORIZED | S::FORBIDDEN | S::TOO_MANY_REQUESTS)
}

/// Introduced like the viewer's own request, with all nodes that this one has passed: a store may lead back here (RFC 8586).
fn request(visit: &Visit, method: Method, path: &str, headers: HeaderMap) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().ok()?;
    *request.headers_mut() = headers;
    headers::trace_on(request.headers_mut(), visit);
    headers::introduce(request.headers_mut(), visit);
    Some(request)
}

/// An origin's answer for the hooks and the viewer, with what it will be made into, if a hook has said so of its request.
#[must_use]
pub fn awaited(response: Response<OriginBody>, derived: Option<Derived>) -> Response<Body> {
    let mut response = withheld::dressed(response);
    if let Some(derived) = derived {
        response.extensions_mut().insert(derived);
    }
    response
}

/// Whether hooks have made this answer before.
#[must_use]
pub fn is_found(response: &Response<Body>) -> bool {
    response.extensions().get::<Found>().is_some()
}

/// Puts what the hooks have made into the store, beside the answer: a whole body of theirs, good, and for everybody.
pub fn keep(visit: &Visit, response: &mut Response<Body>) {
    let Some(derived) = response.extensions_mut().remove::<Derived>() else { return };
    let Body::Whole(body) = response.body() else { return };
    if response.status() != StatusCode::OK || !is_for_everybody(response.headers()) {
        return;
    }
    let mut headers = HeaderMap::new();
    for name in KEPT {
        headers.extend(response.headers().get(&name).cloned().map(|value| (name, value)));
    }
    headers.extend(response.headers().get(ETAG).cloned().map(|tag| (MADE_AS, tag)));
    tokio::spawn(derived.put(visit.clone(), headers, body.clone()));
}

/// What one viewer alone may see is not put where others are answered from.
fn is_for_everybody(answer: &HeaderMap) -> bool {
    let said = Directives::of_response(answer);
    !(said.private || said.no_store || answer.contains_key(SET_COOKIE) || varies(answer))
}

/// Whether the answer depends on more of a request than what the node does anyway.
fn varies(answer: &HeaderMap) -> bool {
    let lines = answer.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    let mut names = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|name| !name.is_empty());
    names.any(|name| !name.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use origin_shield::Attempt;

    #[test]
    fn only_a_store_in_trouble_rests() {
        for (status, is_about_the_name) in
            [(400, true), (414, true), (416, true), (401, false), (403, false), (429, false), (503, false)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_about_this_name(status), is_about_the_name, "{status}");
        }
        for (failure, is_odd) in [
            (Failure::Denied(404), true),
            (Failure::RequestInvalid, true),
            (Failure::ResponseTimeout, false),
            (Failure::Configuration, false),
        ] {
            let attempt = Attempt { origin: "bucket".into(), failure, detail: String::new(), halt: None };
            let exhausted = Exhausted { group: "bucket".into(), attempts: vec![attempt] };
            assert_eq!(is_about_the_request(&exhausted), is_odd, "{failure}");
        }
    }

    #[test]
    fn what_is_for_one_viewer_is_not_kept() {
        for (name, value, is_kept) in [
            (CACHE_CONTROL, "max-age=60", true),
            (CACHE_CONTROL, "private", false),
            (CACHE_CONTROL, "no-store", false),
            (SET_COOKIE, "a=b", false),
            (VARY, "accept-encoding", true),
            (VARY, "accept-language", false),
            (VARY, "*", false),
        ] {
            let answer = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            assert_eq!(is_for_everybody(&answer), is_kept, "{value}");
        }
    }
}
