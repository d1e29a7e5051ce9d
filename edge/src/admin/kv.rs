//! `/kv`: what is in the key-value stores of hooks, for operators.

use super::hooks::{Answered, Complaint, duration, not_allowed};
use super::{PATIENCE, said};
use crate::body::Body;
use crate::node::Node;
use crate::process;
use crate::route::segment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hooks::{KvRefusal, Store};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use humantime_serde::re::humantime::format_rfc3339_seconds;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// Keys of one answer.
const KEYS: usize = 1000;

/// Answers everything at and below `/kv`.
pub(super) async fn answer(node: &Node, head: &Parts, body: Incoming) -> Response<Body> {
    let below = head.uri.path().strip_prefix("/kv").unwrap_or_default();
    match dispatch(node, head, below.trim_start_matches('/'), body).await {
        Ok(response) => response,
        Err(Complaint(status, words)) => said(status, &json!({ "error": words })),
    }
}

async fn dispatch(node: &Node, head: &Parts, below: &str, body: Incoming) -> Answered {
    let (name, key) = below.split_once('/').map_or((below, None), |(name, key)| (name, Some(key)));
    if name.is_empty() {
        return match head.method {
            Method::GET => Ok(said(StatusCode::OK, &stores(node).into())),
            _ => Err(not_allowed()),
        };
    }
    let store = node.kv(name).ok_or_else(|| unknown(node, name))?;
    let query = Query::read(head.uri.query().unwrap_or_default())?;
    let now = process::now();
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        return match head.method {
            Method::GET => Ok(said(StatusCode::OK, &keys(&store, &query, now))),
            _ => Err(not_allowed()),
        };
    };
    let key = segment(key).ok_or_else(|| Complaint::usage("the key is not encoded rightly"))?;
    match head.method {
        Method::GET => pair(&store, &key, now),
        Method::PUT => {
            let most = node.config.kv.get(name).map_or(0, |settings| settings.value.as_u64());
            let value = read(body, most).await?;
            store.set(&key, value, query.ttl, now)?;
            pair(&store, &key, now)
        }
        Method::DELETE if store.delete(&key, now) => Ok(said(StatusCode::OK, &json!({ "deleted": key }))),
        Method::DELETE => Err(missing(&key)),
        _ => Err(not_allowed()),
    }
}

impl From<KvRefusal> for Complaint {
    fn from(refusal: KvRefusal) -> Self {
        let status = match refusal {
            KvRefusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            KvRefusal::InvalidKey | KvRefusal::NotANumber => StatusCode::BAD_REQUEST,
        };
        Self(status, refusal.to_string())
    }
}

fn unknown(node: &Node, name: &str) -> Complaint {
    let known: Vec<_> = node.config.kv.keys().map(String::as_str).collect();
    let words = match known.is_empty() {
        true => "the config of this node has no [kv] table".to_owned(),
        false => format!("there is no [kv.{name}], or no hook; there are: {}", known.join(", ")),
    };
    Complaint(StatusCode::NOT_FOUND, words)
}

fn missing(key: &str) -> Complaint {
    Complaint(StatusCode::NOT_FOUND, format!("there is no key {key:?}"))
}

/// Every store by its name.
fn stores(node: &Node) -> Map<String, Value> {
    let shown = |(name, settings): (&String, &hooks::KvSettings)| {
        let (keys, bytes) = node.kv(name)?.measure();
        Some((name.clone(), json!({ "keys": keys, "bytes": bytes, "size": settings.size.as_u64() })))
    };
    node.config.kv.iter().filter_map(shown).collect()
}

fn keys(store: &Store, query: &Query, now: SystemTime) -> Value {
    let limit = query.limit.unwrap_or(KEYS).min(KEYS);
    let keys = store.keys_after(&query.prefix, query.after.as_deref(), limit, now);
    // Whoever wants the next ones says `after` the last.
    let more = keys.len() == limit && limit > 0;
    json!({ "keys": keys, "more": more })
}

/// A value is text where it is UTF-8, and base64 (RFC 4648 §4) where not.
fn pair(store: &Store, key: &str, now: SystemTime) -> Answered {
    let (value, expires) = store.look(key, now).ok_or_else(|| missing(key))?;
    let expires = expires.map(|at| format_rfc3339_seconds(at).to_string());
    let mut shown = json!({ "key": key, "bytes": value.len(), "expires": expires });
    match std::str::from_utf8(&value) {
        Ok(text) => shown["value"] = text.into(),
        Err(_) => shown["base64"] = STANDARD.encode(&value).into(),
    }
    Ok(said(StatusCode::OK, &shown))
}

async fn read(body: Incoming, most: u64) -> Result<Vec<u8>, Complaint> {
    let whole = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX)).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(KvRefusal::TooLarge.into()),
        Ok(Err(_)) => Err(Complaint::usage("the request broke off")),
        Err(_) => {
            Err(Complaint(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time".to_owned()))
        }
    }
}

/// `prefix=user:&after=user:7&limit=100` of a list, `ttl=1h` of a value that is put.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    prefix: String,
    after: Option<String>,
    limit: Option<usize>,
    /// Seconds.
    ttl: Option<u32>,
}

impl Query {
    fn read(query: &str) -> Result<Self, Complaint> {
        let mut read = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                segment(value).ok_or_else(|| Complaint::usage(format!("{name}: not encoded rightly")))?;
            match name {
                "prefix" => read.prefix = value,
                "after" => read.after = Some(value),
                "limit" => {
                    let wrong = |error| Complaint::usage(format!("limit: {error}"));
                    read.limit = Some(value.parse().map_err(wrong)?);
                }
                "ttl" => {
                    let seconds = duration(name, &value)?.as_secs().max(1);
                    let wrong = |_| Complaint::usage("ttl: longer than a store counts");
                    read.ttl = Some(u32::try_from(seconds).map_err(wrong)?);
                }
                _ => return Err(Complaint::usage(format!("{name:?} is nothing that a store can be told"))),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(query: &str) -> Result<Query, String> {
        Query::read(query).map_err(|Complaint(_, words)| words)
    }

    #[test]
    fn a_query_says_which_keys_and_how_long() {
        let read = understood("prefix=user%3A&after=user%3A7&limit=10").unwrap();
        assert_eq!(
            (read.prefix.as_str(), read.after.as_deref(), read.limit),
            ("user:", Some("user:7"), Some(10))
        );
        assert_eq!(understood("ttl=1h").unwrap().ttl, Some(3600));
        assert_eq!(understood("ttl=1ms").unwrap().ttl, Some(1), "0 seconds would be over at once");
    }

    #[test]
    fn what_is_not_understood_is_said_by_name() {
        for query in ["limit=-1", "ttl=3", "ttl=1000years", "prefix=%zz", "cursor=1"] {
            let words = understood(query).unwrap_err();
            assert!(words.contains(query.split('=').next().unwrap()), "{query}: {words}");
        }
    }
}
