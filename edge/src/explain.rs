//! What would become of a request, and why: decided by the pipeline's own functions, up to where hooks or an origin would be asked.
//!
//! Nothing of it leaves a trace: no token is spent, no fetch begun. It shows neither signatures nor keys nor cookies.

use crate::admin;
use crate::config::{CacheChoice, Config, RouteSettings, Scheme, Sources};
use crate::edges::Asker;
use crate::error::Fault;
use crate::listener::Viewer;
use crate::node::{Node, keys};
use crate::signed::{self, Told};
use crate::visit::{Arrival, Visit};
use cache::Entry;
use hooks::Event;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::{Value, json};
use signing::Verdict;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// A request as somebody describes it.
#[derive(Debug, Clone)]
pub struct Question {
    uri: Uri,
    scheme: Scheme,
    /// The method; GET unless it is said.
    pub method: Method,
    /// Its header fields; `Host` comes from the URL.
    pub headers: HeaderMap,
    /// Where the viewer is: this machine unless it is said.
    pub address: IpAddr,
}

/// What a question cannot be about, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unclear(String);

impl Question {
    /// About a GET of this URL, as the viewer sends it.
    ///
    /// # Errors
    /// It is no whole URL.
    pub fn about(url: &str) -> Result<Self, Unclear> {
        let whole = || Unclear("write the whole URL, beginning with https:// or http://".to_owned());
        let uri: Uri = url.split('#').next().unwrap_or_default().parse().map_err(|_| whole())?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(whole()),
        };
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Ok(Self { uri, scheme, method: Method::GET, headers: HeaderMap::new(), address })
    }

    /// The same with what `key=value` says: `method`, `ip`, `header` (`Name: value`), `cookie`.
    ///
    /// # Errors
    /// It says none of these, or what cannot be.
    pub fn with(mut self, key: &str, value: &str) -> Result<Self, Unclear> {
        let unclear = |what: &str| Unclear(format!("{value:?} is no {what}"));
        match key {
            "method" => self.method = value.parse().map_err(|_| unclear("method"))?,
            "ip" => self.address = value.parse().map_err(|_| unclear("address"))?,
            "cookie" => {
                self.headers
                    .append(COOKIE, HeaderValue::from_str(value).map_err(|_| unclear("Cookie field"))?);
            }
            "header" => {
                let (name, field) =
                    value.split_once(':').ok_or_else(|| unclear("header field, such as Accept: a/b"))?;
                let name: HeaderName = name.trim().parse().map_err(|_| unclear("header field"))?;
                let field = HeaderValue::from_str(field.trim()).map_err(|_| unclear("header field"))?;
                self.headers.append(name, field);
            }
            _ => {
                return Err(Unclear(format!(
                    "{key:?} says nothing here: ask by url, method, ip, header, cookie"
                )));
            }
        }
        Ok(self)
    }
}

/// What the node would do. `sources` are the files of the config in force, where they still say the same. Reads keys: not on a
/// thread that answers.
#[must_use]
pub fn explain(node: &Arc<Node>, question: Question, sources: Option<&Sources>, now: SystemTime) -> Value {
    let viewer = Viewer::imagined(SocketAddr::new(question.address, 0), question.scheme);
    let arrival = Arrival {
        asker: Asker::Viewer(None),
        request_id: HeaderValue::from_static("explain"),
        now,
        started: Instant::now(),
    };
    let mut visit = match find(node, &viewer, arrival, question) {
        Ok(visit) => visit,
        Err(fault) => return json!({ "found": false, "refused": refused(&fault) }),
    };
    let line = |path: &[&str]| sources.and_then(|sources| sources.line_of(path));
    let (index, settings) = settings(&node.config, &visit);
    let site = &*visit.site.name;
    let route = ["site", site, "route", &index.to_string(), "path"];
    let mut told = json!({
        "found": true,
        "site": { "name": site, "at": line(&["site", site]) },
        "route": { "path": &*visit.route.label, "at": settings.and_then(|_| line(&route)) },
        "let_in": visit.admit().is_ok(),
        "refused": visit.admit().err().as_ref().map(refused),
        "geo": visit.route.geo.as_ref().map(|fence| json!({
            "permits": fence.permits(&visit.place),
            "country": visit.place.country.map(|country| country.as_str().to_owned()),
            "rule": settings.and_then(|route| serde_json::to_value(&route.geo).ok()),
        })),
        "signature": signature(&visit, settings),
    });
    // What comes after is told as if it were let in.
    if let Some(keys) = visit.route.keys.clone() {
        let _ = signed::strip(Arc::make_mut(&mut visit), &keys);
    }
    signed::conceal(&mut visit);
    told["hooks"] = hooks(&visit);
    told["cache"] = cache(&visit, settings, now);
    told["origin"] = json!({
        "name": &*visit.route.group_name,
        "members": admin::members(&visit.route.group, Instant::now()),
    });
    told
}

fn find(
    node: &Arc<Node>,
    viewer: &Viewer,
    arrival: Arrival,
    question: Question,
) -> Result<Arc<Visit>, Fault> {
    let Question { uri, method, mut headers, .. } = question;
    let host = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    headers.insert(HOST, host.ok_or(Fault::BadHost)?);
    let mut request = Request::new(()).into_parts().0;
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    request.uri = target.parse().map_err(|_| Fault::BadTarget)?;
    (request.method, request.headers) = (method, headers);
    Visit::find(Arc::clone(node), viewer, arrival, request).map_err(|lost| lost.fault)
}

fn refused(fault: &Fault) -> Value {
    let row = fault.row();
    json!({ "status": row.status.as_u16(), "reason": row.token, "story": fault.story() })
}

/// The place of its route among those of its site, and what the config says of it; nothing for the implied last one.
fn settings<'a>(config: &'a Config, visit: &Visit) -> (usize, Option<&'a RouteSettings>) {
    let routes = &visit.site.routes;
    let index = routes.iter().position(|route| Arc::ptr_eq(route, &visit.route)).unwrap_or(routes.len());
    let site = config.site.get(&*visit.site.name);
    (index, site.and_then(|site| site.route.get(index)))
}

fn signature(visit: &Visit, settings: Option<&RouteSettings>) -> Option<Value> {
    let keys = visit.keys()?;
    let group = settings?.signed.as_ref()?;
    let group_settings = visit.node.config.key_group.get(group)?;
    let others = keys::others(&visit.node.config, group_settings);
    let told = signed::presented(visit, keys, |presented| Told::of(keys, &others, presented, visit.now));
    let mut report = told.report();
    report["group"] = group.as_str().into();
    report["granted"] = matches!(told.verdict, Verdict::Granted(_)).into();
    report["words"] = told.words().into();
    Some(report)
}

/// The route's hooks in order, in the versions that such a request gets.
fn hooks(visit: &Visit) -> Value {
    let chosen = visit.route.hooks.iter().zip(visit.versions().iter());
    let hooks = chosen.map(|(slot, chosen)| {
        let events: Vec<&str> =
            Event::ALL.into_iter().filter(|event| slot.listens(*event)).map(Event::as_str).collect();
        json!({ "name": slot.name(), "on": events, "version": chosen.version().as_str(), "canary": chosen.is_canary })
    });
    hooks.collect()
}

/// Which policy, under which key, and what is stored there. Fields that are part of the key are named and not shown.
fn cache(visit: &Visit, settings: Option<&RouteSettings>, now: SystemTime) -> Value {
    let choice = settings.map_or(CacheChoice::Origin, |route| route.cache.clone());
    let (Some(key), Some(policy)) = (visit.key(), &visit.route.policy) else {
        return json!({ "policy": String::from(choice), "looked_up": false });
    };
    let is_looked_up = visit.upgrade.is_none() && matches!(visit.request.method, Method::GET | Method::HEAD);
    let path = visit.keyed_path_and_query(policy.key());
    let stored = visit.node.store.peek(&key, &visit.request.headers);
    json!({
        "policy": String::from(choice),
        "looked_up": is_looked_up,
        "key": {
            "site": &*visit.site.name, "origin": &*visit.route.group_name, "scheme": visit.scheme,
            "authority": visit.keyed_authority(), "path": signing::without_tokens(&path),
            "headers": policy.key().headers, "cookies": policy.key().cookies,
        },
        "stored": stored.map(|entry| freshness(&entry, now)),
        "on_disk": visit.node.store.is_on_disk(&key),
    })
}

fn freshness(entry: &Entry, now: SystemTime) -> Value {
    let freshness = entry.freshness();
    let left = freshness.remaining(now);
    let why = match left {
        Some(_) => "fresh: younger than its lifetime",
        None if freshness.serves_while_revalidating(now) => "stale: served while it is asked for again",
        None if freshness.serves_if_error(now) => "stale: asked for again, and served should that fail",
        None => "stale: asked for again",
    };
    json!({
        "status": entry.status().as_u16(),
        "bytes": entry.length(),
        "fresh": left.is_some(),
        "age": freshness.age(now).as_secs(),
        "lifetime": freshness.lifetime.as_secs(),
        "left": left.map(|left| left.as_secs()),
        "why": why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_about_a_whole_url() {
        let question = Question::about("https://a.test/b?c#d").unwrap();
        assert_eq!(question.uri.path_and_query().unwrap().as_str(), "/b?c");
        for url in ["", "/a", "a.test/b", "ftp://a.test/b"] {
            assert!(Question::about(url).is_err(), "{url}");
        }
        let question = question.with("method", "PUT").unwrap().with("header", "Accept: text/html").unwrap();
        assert_eq!(question.method, "PUT");
        assert_eq!(question.headers["accept"], "text/html");
        for (key, value) in [("ip", "here"), ("method", "P T"), ("header", "Accept"), ("colour", "red")] {
            assert!(Question::about("https://a.test/").unwrap().with(key, value).is_err(), "{key}");
        }
    }
}
