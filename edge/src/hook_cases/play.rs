//! One call, and all that could be seen of it.

use super::scene::Scene;
use bytes::Bytes;
use hooks::{
    BodyError, Caching, CallRecord, Event, Hook, HookError, Keeping, Lineage, OriginRequestOutcome,
    RequestOutcome, Watch,
};
use http::{HeaderMap, Uri, request};
use http_body::Body;
use http_body_util::BodyExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What came out of a call. What its outcome does not have is empty.
#[derive(Debug, Default)]
pub struct Seen {
    /// `next`, `respond`, `route-to`, `replace`, `fail`.
    pub outcome: &'static str,
    /// Of the response.
    pub status: Option<u16>,
    /// Path and query of the edited request.
    pub uri: Option<String>,
    /// Of the response, else of the edited request.
    pub headers: HeaderMap,
    /// Of the response, else of the request as it goes on.
    pub body: Option<Bytes>,
    /// What the hook said of keeping the answer.
    pub keeping: Keeping,
    /// What it said of looking for it.
    pub caching: Caching,
    /// The origin that it chose.
    pub route_to: Option<String>,
    /// The name that it gave to what it makes.
    pub derived: Option<String>,
    /// The failure's token and message.
    pub failure: Option<(&'static str, String)>,
    /// What it asked of origins that the case has no answer for.
    pub unexpected: Vec<String>,
    /// Lines of the log.
    pub log: Vec<String>,
    /// Processor time of the call.
    pub cpu: Duration,
    /// Bytes of the instance's memories at the end.
    pub memory: u64,
    /// How it came by its instance.
    pub lineage: Option<Lineage>,
}

#[derive(Default)]
struct Measured {
    log: Vec<String>,
    lineage: Option<Lineage>,
    cpu: Duration,
    memory: u64,
}

pub(super) async fn call(hook: Hook, scene: Scene) -> Seen {
    let measured = Arc::new(Mutex::new(Measured::default()));
    let writing = Arc::clone(&measured);
    let hook = hook.watched(Watch::calls(move |call: &CallRecord<'_>| {
        let mut measured = writing.lock().unwrap_or_else(PoisonError::into_inner);
        measured.log.extend(call.lines.iter().map(ToString::to_string));
        // A hook that fails in the middle of a body is told of once more.
        measured.cpu += call.cpu;
        measured.memory = measured.memory.max(call.memory);
        measured.lineage = measured.lineage.or(call.lineage);
    }));
    let origins = Arc::clone(&scene.origins);
    let mut seen = match scene.event {
        Event::ViewerRequest => viewer_request(&hook, scene).await,
        Event::OriginRequest => origin_request(&hook, scene).await,
        Event::OriginResponse => origin_response(&hook, scene).await,
        Event::ViewerResponse => viewer_response(&hook, scene).await,
    }
    .unwrap_or_else(|error| failed(&error));
    let mut measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
    seen.unexpected = origins.unexpected();
    seen.log = std::mem::take(&mut measured.log);
    (seen.cpu, seen.memory, seen.lineage) = (measured.cpu, measured.memory, measured.lineage);
    seen
}

async fn viewer_request(hook: &Hook, scene: Scene) -> Result<Seen, HookError> {
    let called = hook.viewer_request_with(scene.request, scene.body, &scene.facts).await;
    let (outcome, body) = called.map_err(|failure| failure.error)?;
    Ok(match outcome {
        RequestOutcome::Next(parts, caching) => Seen { caching, ..edited("next", parts, whole(body).await?) },
        RequestOutcome::Respond(response) => answered("respond", response),
    })
}

async fn origin_request(hook: &Hook, scene: Scene) -> Result<Seen, HookError> {
    let called = hook.origin_request_with(scene.request, scene.body, &scene.facts).await;
    let (outcome, body) = called.map_err(|failure| failure.error)?;
    Ok(match outcome {
        OriginRequestOutcome::Next { parts, derived } => {
            Seen { derived, ..edited("next", parts, whole(body).await?) }
        }
        OriginRequestOutcome::RouteTo { parts, origin, derived } => {
            Seen { derived, route_to: Some(origin), ..edited("route-to", parts, whole(body).await?) }
        }
        OriginRequestOutcome::Respond(response) => answered("respond", response),
    })
}

async fn origin_response(hook: &Hook, scene: Scene) -> Result<Seen, HookError> {
    let outcome = hook.origin_response(&scene.request, scene.response, &scene.facts).await?;
    let (parts, body) = outcome.response.into_parts();
    let word = if matches!(body, hooks::HookBody::Replaced(_)) { "replace" } else { "next" };
    let body = whole(body).await?;
    Ok(Seen { keeping: outcome.keeping, ..answered(word, http::Response::from_parts(parts, body)) })
}

async fn viewer_response(hook: &Hook, scene: Scene) -> Result<Seen, HookError> {
    let (parts, body) = scene.response.into_parts();
    let parts = hook.viewer_response(&scene.request, parts, &scene.facts).await?;
    let body = whole(body).await?;
    Ok(answered("next", http::Response::from_parts(parts, body)))
}

/// All of a body. A case's own is in memory and does not break off: what does is the hook, where it rewrites a body as it passes.
async fn whole<B: Body<Data = Bytes, Error: Into<BodyError>>>(body: B) -> Result<Bytes, HookError> {
    match body.collect().await.map_err(|error| error.into().downcast()) {
        Ok(body) => Ok(body.to_bytes()),
        Err(Ok(failure)) => Err(*failure),
        Err(Err(_)) => Ok(Bytes::new()),
    }
}

fn edited(outcome: &'static str, parts: request::Parts, body: Bytes) -> Seen {
    let (uri, body) = (Some(target(&parts.uri)), Some(body));
    Seen { outcome, uri, headers: parts.headers, body, ..Seen::default() }
}

fn target(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(String::new, |target| target.as_str().to_owned())
}

fn answered(outcome: &'static str, response: http::Response<Bytes>) -> Seen {
    let (parts, body) = response.into_parts();
    let status = Some(parts.status.as_u16());
    Seen { outcome, status, headers: parts.headers, body: Some(body), ..Seen::default() }
}

fn failed(error: &HookError) -> Seen {
    Seen { outcome: "fail", failure: Some((error.token(), error.to_string())), ..Seen::default() }
}
