//! `/hooks`: the versions of hooks, how canaries do, and changing what serves.

use super::{Context, PATIENCE, said};
use crate::body::Body;
use crate::component;
use crate::node::Node;
use crate::process;
use crate::route::segment;
use bytes::Bytes;
use hooks::{RampSettings, Refusal, Slot, Terms, VersionError};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use humantime_serde::re::humantime::parse_duration;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How long a component may take to arrive.
const DEPLOY_PATIENCE: Duration = Duration::from_secs(300);
/// The longest request to promote or roll back.
const LONGEST_ORDER: u64 = 16 * 1024;

pub(super) type Answered = Result<Response<Body>, Complaint>;

/// Why a request was refused.
pub(super) struct Complaint(pub(super) StatusCode, pub(super) String);

impl Complaint {
    pub(super) fn usage(words: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, words.into())
    }
}

impl From<VersionError> for Complaint {
    fn from(error: VersionError) -> Self {
        let status = match &error {
            VersionError::Refused(Refusal::Terms(_)) => StatusCode::BAD_REQUEST,
            VersionError::Refused(Refusal::Unknown(..)) => StatusCode::NOT_FOUND,
            VersionError::Refused(_) | VersionError::Overtaken => StatusCode::CONFLICT,
            VersionError::Load(_) | VersionError::Lost(..) => StatusCode::UNPROCESSABLE_ENTITY,
            VersionError::Keep(_) => StatusCode::INSUFFICIENT_STORAGE,
        };
        Self(status, error.to_string())
    }
}

/// Answers everything at and below `/hooks`.
pub(super) async fn answer(context: &Context, head: &Parts, body: Incoming) -> Response<Body> {
    let below = head.uri.path().strip_prefix("/hooks").unwrap_or_default();
    match dispatch(context, head, below.trim_start_matches('/'), body).await {
        Ok(response) => response,
        Err(Complaint(status, words)) => said(status, &json!({ "error": words })),
    }
}

async fn dispatch(context: &Context, head: &Parts, below: &str, body: Incoming) -> Answered {
    let node = context.current.load();
    let (name, verb) = below.split_once('/').map_or((below, None), |(name, verb)| (name, Some(verb)));
    if name.is_empty() {
        return match head.method {
            Method::GET => Ok(said(StatusCode::OK, &hooks(&node).into())),
            _ => Err(not_allowed()),
        };
    }
    let name =
        segment(name).ok_or_else(|| Complaint::usage("the name of the hook is not encoded rightly"))?;
    let Some(slot) = node.hooks.get(&name).cloned() else {
        if let Some(key) = words_of_component(&node, &name).filter(|_| verb == Some("logs")) {
            return logs(&node, &key, head);
        }
        let known: Vec<_> = node.hooks.iter().map(|(name, _)| name).collect();
        let words = format!("there is no hook {name:?}; there are: {}", known.join(", "));
        return Err(Complaint(StatusCode::NOT_FOUND, words));
    };
    match (&head.method, verb) {
        (&Method::GET, None) => Ok(said(StatusCode::OK, &shown(&slot))),
        (&Method::GET, Some("logs")) => logs(&node, &name, head),
        (&Method::POST, Some("deploy")) => deploy(context, head, node, slot, body).await,
        (&Method::POST, Some("promote")) => promote(node, slot, body).await,
        (&Method::POST, Some("rollback")) => rollback(node, slot, body).await,
        (_, None | Some("logs" | "deploy" | "promote" | "rollback")) => Err(not_allowed()),
        _ => Err(Complaint(
            StatusCode::NOT_FOUND,
            "a hook can be deployed, promoted and rolled back".to_owned(),
        )),
    }
}

/// The words of a component that is an origin: found by the origin's name, or by `origin.NAME` where a hook has the same.
fn words_of_component(node: &Node, name: &str) -> Option<String> {
    let name = name.strip_prefix(component::WORDS).unwrap_or(name);
    node.config.origin.get(name)?.wasm.as_ref()?;
    Some(component::words_of(name))
}

pub(super) fn not_allowed() -> Complaint {
    Complaint(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed".to_owned())
}

/// What a hook has said since the line that `after` names, and the number to ask with next time.
fn logs(node: &Node, name: &str, head: &Parts) -> Answered {
    let after = match head.uri.query() {
        None => 0,
        Some(query) => {
            let number = query.strip_prefix("after=").and_then(|number| number.parse().ok());
            number
                .ok_or_else(|| Complaint::usage("ask for `after=NUMBER`, a line's number, or for nothing"))?
        }
    };
    let mut lines = node.observer.said_after(name, after);
    if lines.is_empty() && after > 0 && node.observer.said_after(name, after - 1).is_empty() {
        // That line was another node's, which ran here before, by a clock that was ahead of this one's.
        lines = node.observer.said_after(name, 0);
    }
    let last = lines.last().map_or(after, |line| line.number);
    Ok(said(StatusCode::OK, &json!({ "last": last, "lines": lines })))
}

/// Every hook by its name.
fn hooks(node: &Node) -> Map<String, Value> {
    node.hooks.iter().map(|(name, slot)| (name.to_owned(), shown(slot))).collect()
}

fn shown(slot: &Slot) -> Value {
    // A report has text keys and finite numbers only.
    serde_json::to_value(slot.report(process::now())).unwrap_or_default()
}

/// Which versions serve, for `GET /status`.
pub(super) fn standing(node: &Node) -> Map<String, Value> {
    let standing = |slot: &Slot| {
        let report = slot.report(process::now());
        let canary = report.canary.map(|canary| {
            let requests = canary.events.iter().map(|event| event.canary.calls).max();
            json!({ "version": canary.version, "percent": canary.percent, "header": canary.header, "calls": requests })
        });
        json!({ "live": report.live, "canary": canary })
    };
    node.hooks.iter().map(|(name, slot)| (name.to_owned(), standing(slot))).collect()
}

/// What is asked of a deploy, as the query says it.
#[derive(Debug, Default)]
struct Wish {
    terms: Option<Terms>,
    note: Option<String>,
}

async fn deploy(
    context: &Context,
    head: &Parts,
    node: Arc<Node>,
    slot: Arc<Slot>,
    body: Incoming,
) -> Answered {
    let is_wasm = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/wasm");
    if !is_wasm {
        let words = "send the component itself, as application/wasm: \
                     curl --data-binary @hook.wasm -H 'content-type: application/wasm' …";
        return Err(Complaint(StatusCode::UNSUPPORTED_MEDIA_TYPE, words.to_owned()));
    }
    let wish = wish(head.uri.query().unwrap_or_default(), &slot.default_terms())?;
    // One at a time, to the end of the work though nobody waits for it any more: a component in memory and its compilation are
    // enough.
    let turn = Arc::clone(&context.deploying).lock_owned().await;
    let component = read(body, slot.max_size(), DEPLOY_PATIENCE).await?;
    let change = move |node: &Node, slot: &Slot| {
        let _turn = turn;
        node.hooks.deploy(slot, &component, wish.terms.as_ref(), wish.note.as_deref(), process::now())
    };
    changed(node, slot, change).await
}

/// What promote and rollback are told; an empty body is nothing in particular.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    ramp: Option<String>,
    to: Option<String>,
}

async fn promote(node: Arc<Node>, slot: Arc<Slot>, body: Incoming) -> Answered {
    let order = order(body).await?;
    if order.to.is_some() {
        return Err(Complaint::usage("`to` is for rollback; what is promoted is the canary"));
    }
    let over = order.ramp.as_deref().map(|text| duration("ramp", text)).transpose()?;
    changed(node, slot, move |node, slot| node.hooks.promote(slot, over, process::now())).await
}

async fn rollback(node: Arc<Node>, slot: Arc<Slot>, body: Incoming) -> Answered {
    let order = order(body).await?;
    if order.ramp.is_some() {
        return Err(Complaint::usage("`ramp` is for promote; a rollback is at once"));
    }
    changed(node, slot, move |node, slot| node.hooks.rollback(slot, order.to.as_deref(), process::now()))
        .await
}

async fn order(body: Incoming) -> Result<Order, Complaint> {
    let body = read(body, LONGEST_ORDER, PATIENCE).await?;
    if body.is_empty() {
        return Ok(Order::default());
    }
    serde_json::from_slice(&body).map_err(|error| Complaint::usage(error.to_string()))
}

/// Changes versions away from the threads that answer, says so, and tells how the hook stands then.
async fn changed(
    node: Arc<Node>,
    slot: Arc<Slot>,
    change: impl FnOnce(&Node, &Slot) -> Result<Vec<String>, VersionError> + Send + 'static,
) -> Answered {
    let work = tokio::task::spawn_blocking(move || {
        let words = change(&node, &slot)?;
        words.into_iter().for_each(|words| node.observer.say(words));
        Ok::<_, VersionError>(shown(&slot))
    });
    match work.await {
        Ok(Ok(report)) => Ok(said(StatusCode::OK, &report)),
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(Complaint(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn read(body: Incoming, limit: u64, patience: Duration) -> Result<Bytes, Complaint> {
    let whole = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)).collect();
    match tokio::time::timeout(patience, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let words =
                format!("more than {limit} bytes; the hook's versions.max-size says how large one may be");
            Err(Complaint(StatusCode::PAYLOAD_TOO_LARGE, words))
        }
        Ok(Err(_)) => Err(Complaint::usage("the request broke off")),
        Err(_) => {
            Err(Complaint(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time".to_owned()))
        }
    }
}

/// `percent=5&header=x-canary:%201&ramp=30m&to=50&sticky=cookie:id&error-rate=0.01&p99=20ms&min-requests=500&window=10m&note=…`;
/// without percent, header and ramp it is a deploy to everybody. What is not said is as in the hook's `canary` setting.
fn wish(query: &str, defaults: &Terms) -> Result<Wish, Complaint> {
    let mut terms = Terms { percent: 0.0, header: None, ramp: None, ..defaults.clone() };
    let (mut is_trial, mut to, mut over, mut note) = (false, None, None, None);
    // Who says how a trial is to be judged does not mean a deploy to everybody.
    let mut of_trial = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = segment(&value.replace('+', " "));
        let value = decoded.ok_or_else(|| Complaint::usage(format!("{name}: not encoded rightly")))?;
        let wrong = |error: String| Complaint::usage(format!("{name}: {error}"));
        if matches!(name, "to" | "sticky" | "error-rate" | "p99" | "window" | "min-requests") {
            of_trial = Some(name);
        }
        match name {
            "percent" => (is_trial, terms.percent) = (true, number(name, &value, "5")?),
            "header" => (is_trial, terms.header) = (true, Some(value.parse().map_err(wrong)?)),
            "ramp" => (is_trial, over) = (true, Some(duration(name, &value)?)),
            "to" => to = Some(number(name, &value, "50")?),
            "sticky" => terms.sticky = value.parse().map_err(wrong)?,
            "error-rate" => terms.rollback_if.error_rate = number(name, &value, "0.01")?,
            "p99" => terms.rollback_if.p99 = Some(duration(name, &value)?),
            "window" => terms.rollback_if.window = duration(name, &value)?,
            "min-requests" => terms.rollback_if.min_requests = number(name, &value, "500")?,
            "note" => note = Some(cut(&value)),
            _ => return Err(Complaint::usage(format!("{name:?} is nothing that a deploy can be told"))),
        }
    }
    terms.ramp = over.map(|over| RampSettings { to: to.unwrap_or(100.0), over });
    if to.is_some() && over.is_none() {
        return Err(Complaint::usage("to: it is where a ramp goes; say ramp=30m"));
    }
    if let Some(name) = of_trial.filter(|_| !is_trial) {
        return Err(Complaint::usage(format!(
            "{name}: it is about a trial, and without percent, header or ramp this is a deploy to everybody; say percent=5"
        )));
    }
    Ok(Wish { terms: is_trial.then_some(terms), note })
}

/// A note that nobody reads to its end fills the history all the same.
fn cut(note: &str) -> String {
    const LONGEST: usize = 200;
    note.chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}

fn number<T: FromStr>(name: &str, text: &str, example: &str) -> Result<T, Complaint> {
    text.parse().map_err(|_| {
        Complaint::usage(format!("{name}: {text:?} is not such a number; write for example {example}"))
    })
}

pub(super) fn duration(name: &str, text: &str) -> Result<Duration, Complaint> {
    parse_duration(text).map_err(|error| Complaint::usage(format!("{name}: {error}; write for example 30m")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(query: &str) -> Result<Wish, String> {
        wish(query, &Terms::default()).map_err(|Complaint(_, words)| words)
    }

    #[test]
    fn a_deploy_without_a_share_is_for_everybody() {
        let wish = understood("note=hello%20there+you").unwrap();
        assert_eq!((wish.terms, wish.note.as_deref()), (None, Some("hello there you")));
    }

    #[test]
    fn a_trial_takes_what_is_not_said_from_the_settings() {
        let mut defaults = Terms { percent: 50.0, ..Terms::default() };
        defaults.rollback_if.min_requests = 7;
        let Ok(Wish { terms: Some(terms), .. }) =
            wish("percent=5&ramp=30m&to=50&header=x-canary:%201", &defaults)
        else {
            panic!("not understood")
        };
        assert_eq!((terms.percent, terms.rollback_if.min_requests), (5.0, 7));
        assert_eq!(terms.ramp, Some(RampSettings { to: 50.0, over: Duration::from_secs(1800) }));
        assert_eq!(terms.header.unwrap().to_string(), "x-canary: 1");
    }

    #[test]
    fn what_is_not_understood_is_said_by_name() {
        for query in ["percent=a", "ramp=30", "header=%zz", "share=5", "to=5", "sticky=ip", "min-requests=-1"]
        {
            let words = understood(query).map(|_| ()).unwrap_err();
            assert!(words.contains(query.split('=').next().unwrap()), "{query}: {words}");
            assert!(!words.contains("literal"), "not in words of the compiler's: {words}");
        }
    }

    #[test]
    fn terms_of_a_trial_make_no_deploy_to_everybody() {
        for query in ["sticky=cookie:id", "error-rate=0.1", "p99=20ms", "window=10m", "min-requests=9"] {
            let words = understood(query).map(|_| ()).unwrap_err();
            assert!(words.contains("say percent=5"), "{query}: {words}");
            assert!(understood(&format!("{query}&percent=5")).is_ok_and(|wish| wish.terms.is_some()));
        }
        assert!(understood("percent=5&to=50").is_err());
    }
}
