//! Requests of hooks' own: to origins of the config, on behalf of the request that the hook is called for.

use crate::headers;
use crate::visit::Visit;
use bytes::{Bytes, BytesMut};
use hooks::{Fetch, FetchError, Fetching, Held};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use origin_shield::{Exhausted, Failure, Group, OriginBody, OutgoingBody, Withheld};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// The way to the origins for one call of a hook.
#[derive(Debug)]
pub struct Outside {
    visit: Arc<Visit>,
    /// The core that the request came to: its connections stay there, wherever the hook computes.
    core: Handle,
}

impl Outside {
    /// For a hook that is called on this core, for this request as far as it has come.
    #[must_use]
    pub fn of(visit: &Visit) -> Self {
        Self { visit: Arc::new(visit.clone()), core: Handle::current() }
    }
}

impl hooks::Outside for Outside {
    fn fetch(&self, fetch: Fetch) -> Fetching {
        let visit = Arc::clone(&self.visit);
        // Dropped with the future: a call that ended asks for nothing any more.
        let mut asking = JoinSet::new();
        asking.spawn_on(async move { ask(&visit, fetch).await }, &self.core);
        Box::pin(async move {
            match asking.join_next().await {
                Some(Ok(answer)) => answer,
                Some(Err(_)) | None => Err(FetchError::Unreachable),
            }
        })
    }
}

async fn ask(visit: &Visit, fetch: Fetch) -> Result<Response<Bytes>, FetchError> {
    let Some(group) = visit.node.groups.get(&*fetch.origin).cloned() else { return Err(FetchError::Denied) };
    let request = request(visit, &group, fetch.request);
    let answer = async {
        let reply = group.send(request, Instant::now()).await.map_err(|exhausted| {
            visit.node.observer.fetch_failed(visit, &exhausted);
            reason(&exhausted)
        })?;
        whole(reply.response, fetch.limit, &fetch.held).await
    };
    let answer = tokio::time::timeout(fetch.timeout, answer).await.unwrap_or(Err(FetchError::Timeout));
    visit.node.observer.fetched(answer.as_ref().map_or_else(|error| error.token(), |_| "answered"));
    answer
}

/// The hook's request as the origin gets it: introduced like the viewer's own, with all nodes that this one has passed, so
/// that a hook that asks for itself over and over is found out (RFC 8586).
fn request(visit: &Visit, group: &Group, request: Request<Bytes>) -> Request<OutgoingBody> {
    let (mut head, body) = request.into_parts();
    headers::end_hop(&mut head.headers);
    headers::trace_on(&mut head.headers, visit);
    headers::introduce(&mut head.headers, visit);
    visit.vouch(&mut head, group);
    let body = match body.is_empty() {
        true => OutgoingBody::Empty,
        false => OutgoingBody::Stream(Full::new(body).map_err(|never| match never {}).boxed_unsync()),
    };
    Request::from_parts(head, body)
}

/// The answer with its whole body, copied together as it comes: what is read of a connection is larger than its pieces.
async fn whole(
    response: Response<OriginBody>,
    limit: u64,
    held: &Held,
) -> Result<Response<Bytes>, FetchError> {
    let (mut head, mut body) = response.into_parts();
    headers::end_hop(&mut head.headers);
    // A hook may answer with what it has fetched.
    if head.extensions.get::<Withheld>().is_some() {
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(CONTENT_TYPE);
        return Ok(Response::from_parts(head, Bytes::new()));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| FetchError::Protocol)?.into_data() else { continue };
        let fits = whole.len() as u64 + chunk.len() as u64 <= limit && held.take(chunk.len() as u64);
        if !fits {
            return Err(FetchError::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Response::from_parts(head, whole.freeze()))
}

/// The last attempt speaks for all.
fn reason(exhausted: &Exhausted) -> FetchError {
    match exhausted.attempts.last().map(|attempt| attempt.failure) {
        Some(Failure::DnsTimeout | Failure::ConnectionTimeout | Failure::ResponseTimeout) => {
            FetchError::Timeout
        }
        Some(
            Failure::ConnectionTerminated
            | Failure::ResponseInvalid
            | Failure::ResponseCoding
            | Failure::ResponseIncomplete,
        ) => FetchError::Protocol,
        Some(Failure::RequestInvalid) => FetchError::Invalid,
        Some(Failure::Denied(_)) => FetchError::Denied,
        _ => FetchError::Unreachable,
    }
}
