//! Requests of the guest's own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use tokio::time::Instant;
use wasmtime::component::Resource;

use crate::bindings::selvedge::edge::fetch::{FetchError, FetchRequest, Host};
use crate::bindings::selvedge::edge::types::{EditError, Response};
use crate::event::Event;
use crate::headers::{Edit, Editing, Message};
use crate::held::WholeBody;
use crate::host::request::{MAX_METHOD_BYTES, MAX_URL_BYTES, is_path, is_query};
use crate::outside::{self, Fetch};
use crate::state::{self, CallState};

impl Host for CallState {
    async fn send(
        &mut self,
        asked: FetchRequest,
    ) -> wasmtime::Result<Result<Resource<Response>, FetchError>> {
        let Some(origin) = self.allowance.reach.origins.iter().find(|name| ***name == *asked.origin).cloned()
        else {
            return Ok(Err(FetchError::Denied));
        };
        let timeout = asked.timeout_ms.map(|milliseconds| Duration::from_millis(milliseconds.into()));
        let editing = self.editing(Message::Request, Event::OriginRequest);
        let request = match request(asked, self.bounds.output, editing) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        match self.ask(origin, request, timeout).await {
            Ok(response) => self.hand_over(response).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl CallState {
    /// Sends one request, if the call may send one more, and reads the answer whole.
    pub(super) async fn ask(
        &mut self,
        origin: Arc<str>,
        request: http::Request<Bytes>,
        timeout: Option<Duration>,
    ) -> Result<http::Response<WholeBody>, FetchError> {
        let Some(outside) = self.facts.outside.clone() else { return Err(FetchError::Denied) };
        let Some(left) = self.allowance.fetches.checked_sub(1) else { return Err(FetchError::Budget) };
        self.allowance.fetches = left;
        let rest = self.deadline.saturating_duration_since(Instant::now());
        let timeout = timeout.map_or(rest, |timeout| timeout.min(rest));
        let (limit, held) = (self.allowance.bytes, Arc::new(self.memory.held()));
        if !held.take(request.body().len() as u64) {
            return Err(FetchError::TooLarge);
        }
        let fetch = Fetch { origin, request, timeout, limit, held: Arc::clone(&held) };
        let (head, body) = outside.fetch(fetch).await?.into_parts();
        self.allowance.bytes = limit.saturating_sub(body.len() as u64);
        let body = WholeBody::fetched(body, held).ok_or(FetchError::TooLarge)?;
        Ok(http::Response::from_parts(head, body))
    }

    /// Gives the guest a response that it may read, change, and answer with.
    pub(super) fn hand_over(
        &mut self,
        response: http::Response<WholeBody>,
    ) -> wasmtime::Result<Resource<Response>> {
        let (head, body) = response.into_parts();
        let mut response = state::Response::new(head.status.as_u16(), head.headers);
        response.body = Some(body);
        response.is_unread = true;
        let handle = self.add_response(response)?;
        Ok(self.hand(handle))
    }
}

fn request(asked: FetchRequest, most: usize, editing: Editing) -> Result<http::Request<Bytes>, FetchError> {
    if asked.body.len() > most {
        return Err(FetchError::TooLarge);
    }
    let mut request = http::Request::new(Bytes::from(asked.body));
    *request.method_mut() = method(&asked.method)?;
    *request.uri_mut() = target(asked.path)?.into();
    *request.headers_mut() = fields(asked.headers, editing)?;
    Ok(request)
}

/// Those that ask for a resource: CONNECT would be a tunnel, TRACE an echo of what the node adds (RFC 9110 section 9.3).
fn method(name: &str) -> Result<Method, FetchError> {
    if name.len() > MAX_METHOD_BYTES {
        return Err(FetchError::TooLarge);
    }
    match Method::from_bytes(name.as_bytes()) {
        Ok(Method::CONNECT | Method::TRACE) => Err(FetchError::Denied),
        Ok(method) => Ok(method),
        Err(_) => Err(FetchError::Invalid),
    }
}

/// A path without dot segments, and a query.
pub(super) fn target(text: String) -> Result<PathAndQuery, FetchError> {
    if text.len() > MAX_URL_BYTES {
        return Err(FetchError::TooLarge);
    }
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    if !is_path(path) || !is_query(query) {
        return Err(FetchError::Invalid);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(text)).map_err(|_| FetchError::Invalid)
}

/// What may be edited in a request to the origin may be sent to one.
fn fields(entries: Vec<(String, Vec<u8>)>, editing: Editing) -> Result<HeaderMap, FetchError> {
    let mut fields = HeaderMap::with_capacity(entries.len().min(32));
    for (name, value) in entries {
        editing.apply(&mut fields, &name, Edit::Append(value)).map_err(|error| match error {
            EditError::InvalidSyntax => FetchError::Invalid,
            EditError::Forbidden => FetchError::Denied,
            EditError::TooLarge => FetchError::TooLarge,
        })?;
    }
    Ok(fields)
}

impl From<outside::FetchError> for FetchError {
    fn from(error: outside::FetchError) -> Self {
        match error {
            outside::FetchError::Denied => FetchError::Denied,
            outside::FetchError::Invalid => FetchError::Invalid,
            outside::FetchError::Unreachable => FetchError::Unreachable,
            outside::FetchError::Timeout => FetchError::Timeout,
            outside::FetchError::TooLarge => FetchError::TooLarge,
            outside::FetchError::Protocol => FetchError::Protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::HeadBounds;

    const EDITING: Editing = Editing {
        message: Message::Request,
        event: Event::OriginRequest,
        bounds: HeadBounds { fields: 128, bytes: 32 << 10 },
    };

    fn asked(method: &str, path: &str, header: &str) -> FetchRequest {
        FetchRequest {
            origin: "api".into(),
            method: method.into(),
            path: path.into(),
            headers: vec![(header.into(), b"1".to_vec())],
            body: b"four".to_vec(),
            timeout_ms: None,
        }
    }

    #[test]
    fn what_is_no_request_of_a_hook_is_refused() {
        for (method, path, header, error) in [
            ("GET ", "/a", "x-a", FetchError::Invalid),
            ("CONNECT", "/a", "x-a", FetchError::Denied),
            ("TRACE", "/a", "x-a", FetchError::Denied),
            ("GET", "http://169.254.169.254/", "x-a", FetchError::Invalid),
            ("GET", "//evil/../a", "x-a", FetchError::Invalid),
            ("GET", "/a b", "x-a", FetchError::Invalid),
            ("GET", "/a", "host", FetchError::Denied),
            ("GET", "/a", "Transfer-Encoding", FetchError::Denied),
            ("GET", "/a", "content-length", FetchError::Denied),
            ("GET", "/a", "CDN-Loop", FetchError::Denied),
            ("GET", "/a", "x a", FetchError::Invalid),
        ] {
            assert_eq!(
                request(asked(method, path, header), 4, EDITING).unwrap_err(),
                error,
                "{method} {path} {header}"
            );
        }
        let sent = request(asked("PUT", "/a?b=/../c", "x-a"), 4, EDITING).unwrap();
        assert_eq!(
            (sent.uri().to_string().as_str(), &sent.headers()["x-a"]),
            ("/a?b=/../c", &"1".parse().unwrap())
        );
        assert_eq!(request(asked("PUT", "/a", "x-a"), 3, EDITING).unwrap_err(), FetchError::TooLarge);
    }
}
