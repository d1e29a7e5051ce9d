//! The four hook events: runs a route's hooks in order and applies each one's `on-error`.

use crate::body::Body;
use crate::compress;
use crate::derive::{self, Kept};
use crate::error::Fault;
use crate::headers;
use crate::route::Path;
use crate::turn;
use crate::upgrade;
use crate::upload;
use crate::visit::Visit;
use cache::control::Directives;
use cache::{Entry, Permit};
use hooks::{
    Chosen, Ended, Event, Facts, Hook, HookBody, HookError, Keeping, OnError, OriginRequestOutcome,
    RequestFailure, RequestOutcome, Slot, Storing,
};
use http::request::Parts;
use http::uri::InvalidUri;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body as _;
use origin_shield::{Group, OutgoingBody};
use std::borrow::Cow;
use std::mem;
use std::sync::Arc;

/// What the origin-request hooks leave to do.
pub enum OriginRequest {
    /// Ask this group with this request.
    Ask(Box<Parts>, Arc<Group>),
    /// The hook has answered in the origin's stead.
    Answered(Box<Response<Body>>),
}

/// `viewer-request`: may answer at once, or change the request that everything after sees.
///
/// # Errors
/// [`Fault::Hook`] when a hook fails and its `on-error` does not let it pass.
pub async fn viewer_request(
    visit: &mut Arc<Visit>,
    upload: &mut OutgoingBody,
) -> Result<Option<Box<Response<Body>>>, Fault> {
    match visit.route.hooks.is_empty() {
        true => Ok(None),
        false => Ok(Box::pin(edit_request(Arc::make_mut(visit), upload)).await?.map(Box::new)),
    }
}

async fn edit_request(visit: &mut Visit, upload: &mut OutgoingBody) -> Result<Option<Response<Body>>, Fault> {
    // Before any hook edits what they are chosen by.
    let versions = Arc::clone(visit.choose_versions());
    for chosen in listeners(&versions, Event::ViewerRequest) {
        let (hook, request, facts) = (chosen.hook(), visit.request.clone(), visit.facts(chosen));
        let call = chosen.begin(Event::ViewerRequest);
        let called = Box::pin(hook.viewer_request_with(request, mem::take(upload), &facts)).await;
        let called = called.and_then(|called| normalised(hook, &facts, called));
        let ended = match &called {
            Ok((RequestOutcome::Respond(response), _)) => of_answer(response),
            Ok((RequestOutcome::Next(..), _)) => Ended::Well,
            Err(failure) => Ended::of(&failure.error),
        };
        call.end(ended);
        match called {
            Ok((RequestOutcome::Next(request, caching), body)) => {
                *upload = upload::carried(body);
                visit.rewrite(request);
                visit.cache_as(caching);
            }
            Ok((RequestOutcome::Respond(response), _)) => return Ok(Some(response.map(Body::Whole))),
            Err(failure) => *upload = pass_with(visit, hook, failure)?,
        }
    }
    Ok(None)
}

/// What a viewer-request hook came to, and the body that it was given.
type Called<Outcome> = (Outcome, HookBody<OutgoingBody>);

/// The request in its one normal form. One that has none is its hook's failure: the viewer's own had one.
fn normalised(
    hook: &Hook,
    facts: &Facts,
    (outcome, body): Called<RequestOutcome>,
) -> Result<Called<RequestOutcome>, RequestFailure<OutgoingBody>> {
    let RequestOutcome::Next(mut request, caching) = outcome else { return Ok((outcome, body)) };
    let normal = match Path::normalise(headers::path_and_query(&request.uri)) {
        Ok(path) => path.path_and_query.parse().map_err(|error: InvalidUri| error.to_string()),
        Err(fault) => Err(fault.to_string()),
    };
    match normal {
        Ok(uri) => {
            request.uri = uri;
            Ok((RequestOutcome::Next(request, caching), body))
        }
        Err(cause) => {
            let error = hook.refuse_request(Event::ViewerRequest, &cause, facts);
            Err(RequestFailure { error, body: Some(body) })
        }
    }
}

/// An origin that the config does not have is a failure of the hook that chose it.
fn reachable(
    visit: &Visit,
    hook: &Hook,
    facts: &Facts,
    (outcome, body): Called<OriginRequestOutcome>,
) -> Result<Called<OriginRequestOutcome>, RequestFailure<OutgoingBody>> {
    match &outcome {
        OriginRequestOutcome::RouteTo { origin, .. } if !visit.node.groups.contains_key(origin) => {
            let error = hook.refuse_origin(origin, facts);
            // A body of the hook's own has taken the viewer's place: without the hook there is none.
            let body = (!matches!(body, HookBody::Replaced(_))).then_some(body);
            Err(RequestFailure { error, body })
        }
        _ => Ok((outcome, body)),
    }
}

/// `origin-request`: may answer, change the request, or choose another origin of the config.
///
/// # Errors
/// [`Fault::Hook`] when a hook fails and its `on-error` does not let it pass.
pub async fn origin_request(
    visit: &Visit,
    mut request: Parts,
    upload: &mut OutgoingBody,
    permit: Option<&Permit>,
) -> Result<OriginRequest, Fault> {
    let storing = if permit.is_some() { Storing::Perhaps } else { Storing::Never };
    let mut group = Arc::clone(&visit.route.group);
    let mut named = None;
    for chosen in listeners(visit.versions(), Event::OriginRequest) {
        let mut name = |path: Option<String>| named = path.map(|path| (chosen, path)).or(named.take());
        let (hook, facts) = (chosen.hook(), visit.facts_of_fetch(chosen, storing));
        turn::give_way().await;
        let call = chosen.begin(Event::OriginRequest);
        let called = Box::pin(hook.origin_request_with(request.clone(), mem::take(upload), &facts)).await;
        let called = called.and_then(|called| reachable(visit, hook, &facts, called));
        let ended = match &called {
            Ok((OriginRequestOutcome::Respond(response), _)) => of_answer(response),
            Ok(_) => Ended::Well,
            Err(failure) => Ended::of(&failure.error),
        };
        call.end(ended);
        turn::give_way().await;
        match called {
            Ok((OriginRequestOutcome::Next { parts, derived }, body)) => {
                request = parts;
                *upload = upload::exchanged(&mut request.headers, body);
                name(derived);
            }
            Ok((OriginRequestOutcome::RouteTo { parts, origin, derived }, body)) => {
                request = parts;
                *upload = upload::exchanged(&mut request.headers, body);
                name(derived);
                group = visit.node.groups.get(&*origin).cloned().unwrap_or(group);
            }
            Ok((OriginRequestOutcome::Respond(response), _)) => {
                return Ok(OriginRequest::Answered(Box::new(response.map(Body::Whole))));
            }
            Err(failure) => *upload = pass_with(visit, hook, failure)?,
        }
    }
    // What a canary has a part in is not put where everybody is answered from, nor is it spared the making.
    let named = named.filter(|_| visit.trial_mark().is_none());
    let derived =
        |(chosen, path): (&Chosen, _)| visit.node.derived.derived(chosen.hook().name(), path, &request);
    let derived = named.and_then(derived);
    if let Some(derived) = derived {
        match Box::pin(derived.find(visit)).await {
            Kept::There(response) => return Ok(OriginRequest::Answered(response)),
            Kept::Missing(derived) => drop(request.extensions.insert(derived)),
            Kept::Unknown => {}
        }
    }
    Ok(OriginRequest::Ask(Box::new(request), group))
}

/// `origin-response`: may change headers, lifetime and body of what is about to be stored.
///
/// # Errors
/// [`Fault::Hook`], also under `on-error = "pass"` when the failed call has used the body up.
pub async fn origin_response(
    visit: &Visit,
    mut response: Response<Body>,
    permit: Option<&Permit>,
) -> Result<Response<Body>, Fault> {
    if upgrade::is_agreed(&response) {
        return Ok(response);
    }
    if derive::is_found(&response) {
        return Ok(response);
    }
    let request = as_asked(visit, permit);
    for chosen in listeners(visit.versions(), Event::OriginResponse) {
        let hook = chosen.hook();
        if hook.transforms() {
            response = plain(visit, response).await?;
        }
        let (call, before) = (chosen.begin(Event::OriginResponse), response.status());
        let outcome = Box::pin(hook.origin_response(&request, response, &visit.facts(chosen))).await;
        let ended = match &outcome {
            Ok(outcome) if !before.is_server_error() => of_answer(&outcome.response),
            Ok(_) => Ended::Well,
            Err(failure) => Ended::of(&failure.error),
        };
        call.end(ended);
        turn::give_way().await;
        response = match outcome {
            Ok(outcome) => {
                let mut edited = outcome.response.map(|body| flatten(watched(visit, chosen, body)));
                keep_as(visit, edited.headers_mut(), &outcome.keeping);
                edited
            }
            Err(failure) => match failure.response {
                Some(untouched) if hook.on_error() == OnError::Pass => {
                    visit.node.observer.hook_passed(&failure.error);
                    untouched.map(flatten)
                }
                _ => return Err(Fault::Hook(Box::new(failure.error))),
            },
        };
    }
    derive::keep(visit, &mut response);
    Ok(response)
}

/// The viewer's request, and GET where the answer may be stored: the origin was asked by it, and what is made of a HEAD's
/// answer is what others get.
fn as_asked<'a>(visit: &'a Visit, permit: Option<&Permit>) -> Cow<'a, Parts> {
    if permit.is_none() || visit.request.method == Method::GET {
        return Cow::Borrowed(&visit.request);
    }
    let mut request = visit.request.clone();
    request.method = Method::GET;
    Cow::Owned(request)
}

/// What a hook says of keeping is written as `CDN-Cache-Control` (RFC 9213) and as tags in the policy's own field, so that one
/// rule decides about storing, here and on edges that ask this node; it never beats `private` or `no-store`.
fn keep_as(visit: &Visit, headers: &mut HeaderMap, keeping: &Keeping) {
    let Keeping { ttl, while_revalidate, if_error, no_store, tags } = keeping;
    if !tags.is_empty()
        && let Some(policy) = &visit.route.policy
    {
        policy.add_tags(headers, tags);
    }
    if ttl.is_none() && while_revalidate.is_none() && if_error.is_none() && !no_store {
        return;
    }
    let mut said = Directives::of_response(headers);
    if said.no_store || said.private {
        return;
    }
    if *no_store {
        (said.no_store, said.must_understand) = (true, false);
    }
    if let Some(ttl) = ttl {
        (said.max_age, said.s_maxage, said.no_cache) = (Some(*ttl), None, false);
    }
    said.stale_while_revalidate = while_revalidate.or(said.stale_while_revalidate);
    said.stale_if_error = if_error.or(said.stale_if_error);
    said.target(headers);
}

/// `viewer-response`: header edits, on every answer of the route, errors included.
///
/// # Errors
/// [`Fault::Hook`] when a hook fails and its `on-error` does not let it pass.
pub async fn viewer_response(visit: &Visit, response: &mut Response<Body>) -> Result<(), Fault> {
    match visit.route.hooks.iter().any(|hook| hook.listens(Event::ViewerResponse)) {
        true if !upgrade::is_agreed(response) => Box::pin(edit_response(visit, response)).await,
        _ => Ok(()),
    }
}

async fn edit_response(visit: &Visit, response: &mut Response<Body>) -> Result<(), Fault> {
    for chosen in listeners(visit.versions(), Event::ViewerResponse) {
        let (parts, body) = mem::replace(response, Response::new(Body::empty())).into_parts();
        let (hook, call) = (chosen.hook(), chosen.begin(Event::ViewerResponse));
        let spare = (hook.on_error() == OnError::Pass).then(|| parts.clone());
        let outcome = hook.viewer_response(&visit.request, parts, &visit.facts(chosen)).await;
        let ended = outcome.as_ref().map_or_else(Ended::of, |_| Ended::Well);
        call.end(ended);
        *response = match outcome {
            Ok(edited) => Response::from_parts(edited, body),
            Err(error) => match spare {
                Some(untouched) => {
                    visit.node.observer.hook_passed(&error);
                    Response::from_parts(untouched, body)
                }
                None => return Err(Fault::Hook(Box::new(error))),
            },
        };
    }
    Ok(())
}

/// The stale entry that stands in for this failure: always for origins, for hooks where the one that failed says so. What a hook
/// did wrong is told all the same.
#[must_use]
pub fn stand_in(visit: &Visit, fault: &Fault, permit: Option<&Permit>) -> Option<Arc<Entry>> {
    let stale = || permit?.reuse_stale(visit.later());
    match fault {
        Fault::Origin(_) => stale(),
        Fault::Hook(error) => {
            let failed = |hook: &&Arc<Slot>| error.hook() == Some(hook.name());
            let hook = visit.route.hooks.iter().find(failed)?;
            let entry = if hook.on_error() == OnError::Stale { stale() } else { None };
            entry.inspect(|_| visit.node.observer.hook_stood_in(error))
        }
        _ => None,
    }
}

/// A body that a hook rewrites as it passes: a failure in its middle reaches the log and the figures of its version.
fn watched(visit: &Visit, chosen: &Chosen, mut body: HookBody<Body>) -> HookBody<Body> {
    if let HookBody::Transformed(transform) = &mut body {
        let (visit, note) = (visit.clone(), chosen.note_failure(Event::OriginResponse));
        transform.on_failure(move |error| {
            note(error);
            visit.node.observer.hook_broke(&visit, error);
        });
    }
    body
}

/// The answer without the coding that its origin has put on though it was not asked to, for a hook that rewrites bodies.
async fn plain(visit: &Visit, response: Response<Body>) -> Result<Response<Body>, Fault> {
    let Some(coding) = compress::readable_coding(response.headers()) else { return Ok(response) };
    let (mut head, body) = response.into_parts();
    if body.is_end_stream() || head.status == StatusCode::PARTIAL_CONTENT {
        return Ok(Response::from_parts(head, body));
    }
    headers::uncode(&mut head.headers);
    let bounds = compress::Bounds::of(&visit.route.compress);
    let body = visit.node.coders.plain(body, coding, bounds).await?;
    Ok(Response::from_parts(head, Body::Plain(Box::new(body))))
}

fn flatten(body: HookBody<Body>) -> Body {
    match body {
        HookBody::Untouched(body) => body,
        HookBody::Replaced(bytes) => Body::Whole(bytes),
        changed @ (HookBody::Read { .. } | HookBody::Transformed(_)) => Body::Hook(Box::new(changed)),
    }
}

fn listeners(versions: &[Chosen], event: Event) -> impl Iterator<Item = &Chosen> {
    versions.iter().filter(move |chosen| chosen.hook().listens(event))
}

/// An error that a hook itself answers is its failure; one that it only passes on is not.
fn of_answer<B>(response: &Response<B>) -> Ended {
    if response.status().is_server_error() { Ended::Failed } else { Ended::Well }
}

fn pass_or_fail(visit: &Visit, hook: &Hook, error: HookError) -> Result<(), Fault> {
    if hook.on_error() == OnError::Pass {
        visit.node.observer.hook_passed(&error);
        return Ok(());
    }
    Err(Fault::Hook(Box::new(error)))
}

/// The same where the request has a body: without it, nothing can go on.
fn pass_with(
    visit: &Visit,
    hook: &Hook,
    failure: RequestFailure<OutgoingBody>,
) -> Result<OutgoingBody, Fault> {
    match failure.body {
        Some(body) => pass_or_fail(visit, hook, failure.error).map(|()| upload::carried(body)),
        None => Err(Fault::Hook(Box::new(failure.error))),
    }
}
