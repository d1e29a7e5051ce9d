//! A request's whole life, top to bottom: [`serve`] is the viewer's side, [`fetch`] the origin's.
//!
//! Rooms decide, this file acts. The order of the steps is a contract with operators and hook authors.

use crate::body::Body;
use crate::derive;
use crate::error::Fault;
use crate::events::{self, OriginRequest};
use crate::fetched::{self, Answer, Fetched};
use crate::headers;
use crate::interim;
use crate::invalidate;
use crate::listener::Viewer;
use crate::node::Node;
use crate::observe::{CacheStatus, Record};
use crate::pages;
use crate::parts;
use crate::respond::{self, Served};
use crate::signed;
use crate::slices::{self, Plan};
use crate::upgrade;
use crate::upload::{self, Upload};
use crate::visit::{Arrival, Visit};
use cache::{Head, Key, Lookup, Outcome, Permit, Storing, policy};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use origin_shield::{Attempt, OutgoingBody};
use signing::Verdict;
use std::sync::Arc;
use std::time::Instant;

/// How often a follower whose leader came to nothing asks the store again before it goes alone.
const ROUNDS: usize = 3;

/// An answer: boxed, since it is handed on a dozen times.
type Boxed = Box<Response<Body>>;
/// What the viewer's side comes to.
type Answered = Result<Boxed, Fault>;

/// Answers one request. Whatever happens becomes an answer: faults through the one table.
///
/// What needs no waiting is done before the future is made, and what few requests need is boxed: the future of a hit stays
/// small, since it is allocated and copied for every request.
pub fn serve(
    node: Arc<Node>,
    viewer: &Viewer,
    request: Request<Incoming>,
) -> impl Future<Output = Boxed> + Send + use<> {
    let (mut request, upload) = request.into_parts();
    let upload = Upload::outgoing(upload, request.version, node.limits.body_timeout);
    let arrival = Arrival::now(&node, viewer, &mut request);
    let mut record = Record::begin(&request);
    let found = Visit::find(node, viewer, arrival, request);
    async move {
        match found {
            Ok(mut visit) => {
                let mut response = answer(&mut visit, upload, &mut record).await;
                record.finish(&visit.asked(), &mut response);
                response
            }
            Err(lost) => record.turn_away(&lost),
        }
    }
}

/// The viewer's side, after site and route are found. Once a request is let in, hooks and header edits see every answer,
/// the node's own error pages included.
async fn answer(visit: &mut Arc<Visit>, mut upload: OutgoingBody, record: &mut Record) -> Boxed {
    if let Err(fault) = visit.admit().and_then(|()| verify(visit)) {
        return pages::shown(visit, Err(fault), record).await;
    }
    let found = match events::viewer_request(visit, &mut upload).await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => find(visit, upload, record).await,
        Err(fault) => Err(fault),
    };
    let mut response = pages::shown(visit, found, record).await;
    if let Err(fault) = events::viewer_response(visit, &mut response).await {
        return pages::shown(visit, Err(fault), record).await;
    }
    visit.dress(&mut response);
    response
}

/// Signed URLs and cookies, as the viewer sent them and before any hook: unsigned traffic never reaches customer code.
fn verify(visit: &mut Arc<Visit>) -> Result<(), Fault> {
    if let Some(keys) = visit.keys() {
        match signed::judge(visit, keys) {
            Verdict::Granted(grant) => signed::admit(Arc::make_mut(visit), grant)?,
            Verdict::Refused(reason) => return Err(Fault::Signature(reason)),
        }
    }
    signed::conceal(visit);
    Ok(())
}

/// From the store, from somebody else's fetch, or from the origin.
pub(crate) async fn find(visit: &Arc<Visit>, upload: OutgoingBody, record: &mut Record) -> Answered {
    let is_looked_up = visit.upgrade.is_none() && matches!(visit.request.method, Method::GET | Method::HEAD);
    let (key, demand) = match (visit.key(), &visit.route.policy) {
        (Some(key), Some(policy)) if is_looked_up => (key, policy.demand(&visit.request.headers)),
        _ => return Box::pin(pass(visit, upload, record)).await,
    };
    for round in 0..ROUNDS {
        let now = if round == 0 && visit.route.hooks.is_empty() { visit.now } else { visit.later() };
        let lookup = visit.node.store.begin(&key, &visit.request.headers, &demand, now);
        let entry = match lookup.on_disk(&visit.request.headers, &demand, now).await {
            Lookup::Fresh(entry) => {
                record.cache = Some(CacheStatus::of_stored(&entry.freshness(), now));
                entry
            }
            Lookup::Revived(entry) => {
                let left = entry.freshness().remaining(now).unwrap_or_default();
                record.cache = Some(CacheStatus::Revived(left));
                entry
            }
            Lookup::Stale(entry, permit) => {
                record.cache = Some(CacheStatus::of_stored(&entry.freshness(), now));
                if let Some(permit) = permit {
                    tokio::spawn(fetch(Arc::clone(visit), OutgoingBody::Empty, Some(*permit)));
                }
                entry
            }
            // RFC 9111 §5.2.1.7, §5.2.1.5.
            _ if demand.only_if_cached => return Err(Fault::NotStored),
            _ if demand.no_store => return Box::pin(pass(visit, upload, record)).await,
            Lookup::Lead(permit) => {
                if let Some(response) = parts::respond(visit, &key, now, record) {
                    return Ok(Box::new(response));
                }
                record.cache = Some(CacheStatus::of_fetch(&permit, now));
                // On a task of its own: a viewer that goes away harms nobody who follows.
                let fetch = |visit| tokio::spawn(fetch(visit, OutgoingBody::Empty, Some(*permit)));
                let fetched = Box::pin(interim::relay(visit, fetch)).await;
                let fetched = fetched.map_err(|error| Fault::Internal(error.to_string()))??;
                if fetched.is_more_than_asked(visit) {
                    break;
                }
                match Box::pin(fetched.respond(visit, Some(&key), record)).await? {
                    Served::Answer(response) => return Ok(response),
                    Served::Changed => continue,
                    Served::Gone => break,
                }
            }
            Lookup::Follow(follower) => {
                record.cache = Some(CacheStatus::Collapsed);
                let patience = visit.node.limits.collapse_wait;
                match Box::pin(tokio::time::timeout(patience, follower.wait())).await {
                    Ok(Outcome::Entry(entry)) if entry.matches(&visit.request.headers) => entry,
                    Ok(Outcome::Refused(refusal)) => return Err(Fault::Shared(refusal)),
                    Ok(Outcome::Entry(_) | Outcome::Abandoned) => continue,
                    Ok(Outcome::Alone) | Err(_) => break,
                }
            }
            Lookup::Alone(permit) => return Box::pin(alone(visit, &key, *permit, record)).await,
        };
        match respond::from_entry(visit, Some(&key), &entry, None, now, record).await? {
            Served::Answer(response) => return Ok(response),
            Served::Changed => continue,
            Served::Gone => break,
        }
    }
    Box::pin(alone(visit, &key, visit.node.store.alone(&key), record)).await
}

/// Through to the origin, not from the store.
async fn pass(visit: &Arc<Visit>, upload: OutgoingBody, record: &mut Record) -> Answered {
    record.cache = Some(CacheStatus::Bypass);
    let slot = upgrade::reserve(visit)?;
    let fetched = interim::relay(visit, |visit| fetch(visit, upload, None)).await?;
    let response = fetched.respond(visit, None, record).await?.only()?;
    upgrade::agree(visit, slot, upload::settle(visit.request.version, response))
}

/// Nobody to share with: conditions and ranges go to the origin as the viewer sent them.
async fn alone(visit: &Arc<Visit>, key: &Key, permit: Permit, record: &mut Record) -> Answered {
    record.cache = Some(CacheStatus::of_fetch(&permit, visit.later()));
    let fetched = interim::relay(visit, |visit| fetch(visit, OutgoingBody::Empty, Some(permit))).await?;
    fetched.respond(visit, Some(key), record).await?.only()
}

/// The origin's side: asks, lets hooks have their say, stores. Holds the permit, and settles it whatever happens.
async fn fetch(visit: Arc<Visit>, upload: OutgoingBody, permit: Option<Permit>) -> Result<Fetched, Fault> {
    match ask(&visit, upload, permit.as_ref()).await {
        Ok((response, attempts)) => Ok(settle(visit, response, permit, attempts)),
        Err(fault) => {
            if let Some(entry) = events::stand_in(&visit, &fault, permit.as_ref()) {
                return Ok(Fetched::stale(entry, fault.attempts().to_vec()));
            }
            if let Some(permit) = permit {
                fault.refuse(permit);
            }
            Err(fault)
        }
    }
}

/// Asks for what is to be stored, or for what one viewer wants. The answer, and the attempts that failed before it.
async fn ask(visit: &Visit, upload: OutgoingBody, permit: Option<&Permit>) -> Result<Reply, Fault> {
    if let Some(permit) = permit
        && let Some(reply) = Box::pin(slices::contact(visit, permit)).await?
    {
        return Ok(reply);
    }
    let stale = permit.and_then(Permit::stale);
    let whether_changed = |headers: &mut HeaderMap| {
        if let Some(stale) = stale {
            headers::ask_whether_changed(headers, stale);
        }
    };
    let (response, attempts) = send(visit, upload, permit, whether_changed).await?;
    if stale.is_some() && response.status() == StatusCode::NOT_MODIFIED {
        return Ok((response, attempts));
    }
    Ok((events::origin_response(visit, response, permit).await?, attempts))
}

/// An answer of the origin's side, and the attempts that failed before it.
pub type Reply = (Response<Body>, Vec<Attempt>);

/// Origin-request hooks and origin group; `edit` adds what the edge itself has to ask, which hooks do not see.
///
/// # Errors
/// [`Fault`] where no origin answers, or a hook fails.
pub async fn send(
    visit: &Visit,
    mut upload: OutgoingBody,
    permit: Option<&Permit>,
    edit: impl FnOnce(&mut HeaderMap),
) -> Result<Reply, Fault> {
    let request = visit.to_origin(permit)?;
    let (mut response, attempts) = match events::origin_request(visit, request, &mut upload, permit).await? {
        OriginRequest::Answered(response) => (*response, Vec::new()),
        OriginRequest::Ask(mut request, group) => {
            edit(&mut request.headers);
            visit.accompany(&mut request, &group);
            let derived = request.extensions.remove();
            let reply = group.send(Request::from_parts(*request, upload), Instant::now()).await;
            let reply = reply.map_err(|exhausted| Fault::Origin(Box::new(exhausted)))?;
            (derive::awaited(reply.response, derived), reply.attempts)
        }
    };
    headers::end_hop(response.headers_mut());
    Ok((response, attempts))
}

/// Stores the answer, refreshes the stale one, or lets it through.
fn settle(
    visit: Arc<Visit>,
    response: Response<Body>,
    permit: Option<Permit>,
    attempts: Vec<Attempt>,
) -> Fetched {
    let now = visit.later();
    invalidate::after(&visit, &response);
    let permit = permit.or_else(|| invalidate::stands_for_get(&visit, &response));
    let (Some(policy), Some(permit)) = (&visit.route.policy, permit) else {
        return Fetched::new(Answer::Stream(response), attempts);
    };
    let (mut head, body) = response.into_parts();
    pages::keep(&visit, &mut head);
    let own = policy::take_own_fields(&mut head.headers);
    let judge = |headers: &_, status| {
        policy::storing(&visit.request.method, &visit.request.headers, status, headers, policy, now)
    };
    if let (StatusCode::NOT_MODIFIED, Some(stale)) = (head.status, permit.stale().cloned()) {
        let renew = |headers: &_| Some((judge(headers, stale.status()).freshness()?, policy.tags(headers)));
        let entry = permit.refresh(&head.headers, renew).unwrap_or(stale);
        return Fetched::revalidated(entry, own, attempts);
    }
    if head.status.is_server_error()
        && let Some(entry) = permit.reuse_stale(now)
    {
        return Fetched::stale(entry, attempts);
    }
    if let Some(plan) = Plan::of(&visit, &permit, &head)
        && let Storing::Store(freshness) = judge(&plan.headers, StatusCode::OK)
        && let Some(key) = visit.key()
    {
        let answer = slices::store(Arc::clone(&visit), key, plan, permit, freshness, body);
        return Fetched::stored(answer, own, attempts);
    }
    let (judged, permit) = parts::beside(&visit, &head, permit, judge);
    match fetched::keeps(&visit, &judged, &permit, &head.headers, &body) {
        Err(skip) => {
            permit.decline(skip, now);
            head.headers.extend(own);
            Fetched::declined(Response::from_parts(head, body), skip, attempts)
        }
        Ok(freshness) => {
            let tags = policy.tags(&head.headers);
            let head = Head::new(head.status, head.headers).tagged(tags);
            let writer = permit.store(&visit.request.headers, head, freshness);
            let answer = Answer::Entry(Arc::clone(writer.entry()), writer.entry().read());
            tokio::spawn(fetched::fill(visit, body, writer));
            Fetched::stored(answer, own, attempts)
        }
    }
}
