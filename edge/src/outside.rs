//! Requests of hooks' and components' own: to origins of the config, on behalf of the request that they are called for.

use crate::component::Way;
use crate::headers;
use crate::visit::Visit;
use bytes::{Bytes, BytesMut};
use hooks::{Fetch, FetchError, Fetching, Held, Passing, Streaming};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use origin_shield::{BoxError, Exhausted, Failure, Group, OriginBody, OutgoingBody, Withheld};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Components of this node that a request may go through: one that asks another, and so on. Nobody needs more, and one that asks
/// itself in the end is found out.
const MOST_PASSED: u8 = 3;

/// The way to the origins for one call of a hook or a component.
#[derive(Debug, Clone)]
pub struct Outside {
    visit: Arc<Visit>,
    /// The core that the request came to: its connections stay there, wherever the guest computes.
    core: Handle,
    /// Components that have asked before.
    passed: u8,
}

impl Outside {
    /// For a guest that is called on this core, for this request as far as it has come.
    #[must_use]
    pub fn of(visit: &Visit) -> Self {
        Self { visit: Arc::new(visit.clone()), core: Handle::current(), passed: 0 }
    }

    /// Runs a request where its connections are. Dropped with the future: a call that ended asks for nothing any more.
    fn on_core<T: Send + 'static>(
        &self,
        asking: impl Future<Output = Result<T, FetchError>> + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Result<T, FetchError>> + Send>> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(asking, &self.core);
        Box::pin(async move {
            match tasks.join_next().await {
                Some(Ok(answer)) => answer,
                Some(Err(_)) | None => Err(FetchError::Unreachable),
            }
        })
    }
}

/// Gives a request the way by which components among the group's members ask others.
pub fn give_way(visit: &Visit, request: &mut Parts, group: &Group) {
    if group.reaches_out() {
        request.extensions.insert(Way(Arc::new(Outside::of(visit))));
    }
}

impl hooks::Outside for Outside {
    fn fetch(&self, fetch: Fetch) -> Fetching {
        self.on_core(ask(self.clone(), fetch))
    }

    fn pass(&self, passing: Passing) -> Streaming {
        self.on_core(stream(self.clone(), passing))
    }
}

async fn ask(outside: Outside, fetch: Fetch) -> Result<Response<Bytes>, FetchError> {
    let (head, body) = fetch.request.into_parts();
    let body = match body.is_empty() {
        true => OutgoingBody::Empty,
        false => OutgoingBody::Stream(Full::new(body).map_err(|never| match never {}).boxed_unsync()),
    };
    let answer = async {
        let response = send(&outside, &fetch.origin, head, body).await?;
        whole(response, fetch.limit, &fetch.held).await
    };
    let answer = tokio::time::timeout(fetch.timeout, answer).await.unwrap_or(Err(FetchError::Timeout));
    note(&outside.visit, &answer);
    answer
}

async fn stream(
    outside: Outside,
    passing: Passing,
) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, FetchError> {
    let (head, body) = passing.request.into_parts();
    let body = if body.is_end_stream() { OutgoingBody::Empty } else { OutgoingBody::Stream(body) };
    let sending = send(&outside, &passing.origin, head, body);
    let answer = match passing.timeout {
        Some(timeout) => tokio::time::timeout(timeout, sending).await.unwrap_or(Err(FetchError::Timeout)),
        None => sending.await,
    };
    note(&outside.visit, &answer);
    let (mut head, body) = answer?.into_parts();
    headers::end_hop(&mut head.headers);
    let body = match withheld(&mut head) {
        true => Full::default().map_err(|never| match never {}).boxed_unsync(),
        false => body.map_err(Into::into).boxed_unsync(),
    };
    Ok(Response::from_parts(head, body))
}

fn note<T>(visit: &Visit, answer: &Result<T, FetchError>) {
    visit.node.observer.fetched(answer.as_ref().map_or_else(|error| error.token(), |_| "answered"));
}

/// The guest's request as the origin gets it: introduced like the viewer's own, with all nodes that this one has passed, so
/// that a guest that asks for itself over and over is found out (RFC 8586).
async fn send(
    outside: &Outside,
    origin: &str,
    mut head: Parts,
    body: OutgoingBody,
) -> Result<Response<OriginBody>, FetchError> {
    let visit = &outside.visit;
    let Some(group) = visit.node.groups.get(origin).cloned() else { return Err(FetchError::Denied) };
    headers::end_hop(&mut head.headers);
    head.headers.remove(HOST);
    headers::trace_on(&mut head.headers, visit);
    headers::introduce(&mut head.headers, visit);
    visit.vouch(&mut head, &group);
    if group.reaches_out() {
        // Such a request passes no network, and so no node that would find a loop.
        let passed = outside.passed + 1;
        if passed > MOST_PASSED {
            return Err(FetchError::Denied);
        }
        head.extensions.insert(Way(Arc::new(Outside { passed, ..outside.clone() })));
    }
    let reply = group.send(Request::from_parts(head, body), Instant::now()).await.map_err(|exhausted| {
        visit.node.observer.fetch_failed(visit, &exhausted);
        reason(&exhausted)
    })?;
    Ok(reply.response)
}

/// The answer with its whole body, copied together as it comes: what is read of a connection is larger than its pieces.
async fn whole(
    response: Response<OriginBody>,
    limit: u64,
    held: &Held,
) -> Result<Response<Bytes>, FetchError> {
    let (mut head, mut body) = response.into_parts();
    headers::end_hop(&mut head.headers);
    if withheld(&mut head) {
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

/// Whether the words of the answer stay behind: a guest may answer with what it has fetched.
fn withheld(head: &mut http::response::Parts) -> bool {
    let is_withheld = head.extensions.get::<Withheld>().is_some();
    if is_withheld {
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(CONTENT_TYPE);
    }
    is_withheld
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
