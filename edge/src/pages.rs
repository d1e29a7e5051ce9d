//! What a site shows in place of errors: pages of its own, by its own routes.
//!
//! A page is looked up as anybody would get it, is kept as under a cache policy, and nobody has to sign for it. Nothing on its way
//! shows pages, so where a page is an error itself, viewers get the node's own words.

use crate::body::Body;
use crate::config::{ErrorSettings, Statuses};
use crate::error::{self, Fault};
use crate::headers;
use crate::node::NodeError;
use crate::observe::Record;
use crate::pipeline;
use crate::route::{Path, Route};
use crate::visit::Visit;
use cache::control::Directives;
use cache::{CachePolicySettings, Policy};
use hooks::Caching;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, ETAG, EXPIRES, LAST_MODIFIED, LINK, SET_COOKIE, VARY,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use origin_shield::OutgoingBody;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What a site shows for which statuses; what is said of a status itself comes before what is said of its class.
#[derive(Debug, Default)]
pub struct Pages(Vec<(Statuses, Shown)>);

/// What is said of some statuses.
#[derive(Debug)]
struct Shown {
    page: Option<Page>,
    /// How long an origin's answer with such a status is kept where it says nothing itself.
    ttl: Option<Duration>,
}

/// A page in place of an error.
#[derive(Debug)]
struct Page {
    path: Uri,
    /// The route that the path falls under, open to everybody.
    route: Arc<Route>,
    /// The part of the key that keeps it apart from what is stored for who asks for the path itself.
    apart: Option<Arc<Caching>>,
    /// The status that it is sent with, where that is not the error's.
    status: Option<StatusCode>,
}

impl Pages {
    /// What the log says where a page was shown.
    pub const SHOWN: &str = "shown";

    /// What the config says for a site with these routes.
    ///
    /// # Errors
    /// A page that none of them serves.
    pub fn build(settings: &ErrorSettings, routes: &[Arc<Route>]) -> Result<Self, NodeError> {
        let shown = settings.iter().map(|(statuses, said)| {
            let status = said.status.and_then(|status| StatusCode::from_u16(status).ok());
            let page = said.page.as_ref().map(|path| Page::of(path.as_str(), status, routes)).transpose()?;
            Ok((*statuses, Shown { page, ttl: said.ttl }))
        });
        shown.collect::<Result<_, NodeError>>().map(Self)
    }

    fn of(&self, status: StatusCode) -> Option<&Shown> {
        let code = status.as_u16();
        let means = |statuses: &Statuses| match statuses {
            Statuses::One(one) => *one == code,
            // The answer about a range is for programs, and carries what they ask.
            Statuses::Class(digit) => *digit == code / 100 && status != StatusCode::RANGE_NOT_SATISFIABLE,
        };
        self.0.iter().find(|(statuses, _)| means(statuses)).map(|(_, shown)| shown)
    }
}

/// The answer as its site shows it: a fault through the one table, and an error by the site's page where it has one.
pub async fn shown(
    visit: &Arc<Visit>,
    found: Result<Box<Response<Body>>, Fault>,
    record: &mut Record,
) -> Box<Response<Body>> {
    let accept = || visit.request.headers.get(ACCEPT);
    let response = found.unwrap_or_else(|fault| record.fail(&fault, accept(), &visit.asked()));
    match in_place_of(visit, &response) {
        None => response,
        Some(page) => Box::new(Box::pin(page.show(visit, *response, record)).await),
    }
}

/// The page that stands for this answer; nothing for what is no error, which costs next to nothing to tell. Edges get answers as
/// they are: they show the pages of their own config.
fn in_place_of<'a>(visit: &'a Visit, response: &Response<Body>) -> Option<&'a Page> {
    if response.status().as_u16() < 400 {
        return None;
    }
    let shown = visit.site.pages.of(response.status())?;
    let is_read = matches!(visit.request.method, Method::GET | Method::HEAD);
    shown.page.as_ref().filter(|_| is_read && !visit.asker.is_edge())
}

/// Gives an origin's error the lifetime that the site names, where it says nothing itself. It is written as `CDN-Cache-Control`
/// (RFC 9213), so that one rule decides about storing, here and on edges that ask this node.
pub fn keep(visit: &Visit, head: &mut Parts) {
    if head.status.as_u16() < 400 {
        return;
    }
    let Some(ttl) = visit.site.pages.of(head.status).and_then(|shown| shown.ttl) else { return };
    let mut said = Directives::of_response(&head.headers);
    let is_limited = said.max_age.is_some() || said.s_maxage.is_some() || head.headers.contains_key(EXPIRES);
    if is_limited || said.no_store || said.no_cache || said.private || may_be_ones_own(visit, head) {
        return;
    }
    said.max_age = Some(ttl);
    said.target(&mut head.headers);
}

/// Whether an error may be about the one viewer who asked. The site's word is no origin's, and makes nothing of that kind shared.
fn may_be_ones_own(visit: &Visit, head: &Parts) -> bool {
    let gets_all = visit.route.policy.as_ref().is_some_and(|policy| !policy.forwards_only_the_key());
    head.headers.contains_key(SET_COOKIE)
        || gets_all && (visit.request.headers.contains_key(COOKIE) || head.status == StatusCode::BAD_REQUEST)
}

impl Page {
    fn of(path: &str, status: Option<StatusCode>, routes: &[Arc<Route>]) -> Result<Self, NodeError> {
        let missing = || NodeError::Missing(format!("the page {path}"));
        let normal = Path::normalise(path).map_err(|_| missing())?;
        let route = routes.iter().find(|route| normal.is_meant_by(&route.pattern)).ok_or_else(missing)?;
        let mut open = Route { keys: None, geo: None, upgrades: Vec::new(), ..Route::clone(route) };
        // Where nothing but the origin's headers says how long it is kept, it would be missing when the origin is.
        let is_kept = route.policy.as_ref().is_some_and(Policy::forwards_only_the_key);
        let mut apart = Caching::default();
        if !is_kept {
            open.policy = Some(Policy::named(&CachePolicySettings::default()));
            apart.add_key_part("error-page".to_owned(), String::new());
        }
        let path = path.parse().map_err(|_| missing())?;
        Ok(Self { path, route: Arc::new(open), apart: (!is_kept).then(|| Arc::new(apart)), status })
    }

    /// The answer with this page for its body; where it cannot be had, with the node's own.
    async fn show(&self, visit: &Arc<Visit>, answer: Response<Body>, record: &mut Record) -> Response<Body> {
        let asked = tokio::time::timeout(visit.node.limits.error_page, self.ask(visit)).await;
        let (page, outcome) = match asked {
            Ok(Ok(page)) => (Some(page), Pages::SHOWN),
            Ok(Err(token)) => (None, token),
            Err(_) => (None, "late"),
        };
        record.page = Some(outcome);
        match page {
            Some(page) => self.put(answer, page),
            None if record.has_failed() => answer,
            None => own(answer),
        }
    }

    /// What is told of the request is about the error, and not about its page.
    async fn ask(&self, visit: &Visit) -> Result<Response<Body>, &'static str> {
        let asked = Arc::new(self.visit(visit));
        let mut aside = Record::begin(&asked.request);
        match pipeline::find(&asked, OutgoingBody::Empty, &mut aside).await {
            Ok(page) if page.status() == StatusCode::OK => {
                whole(*page, visit.node.limits.error_page_size).await
            }
            Ok(_) => Err("not-200"),
            Err(fault) => Err(fault.row().token),
        }
    }

    /// A visit of the page on behalf of this one: nothing of the viewer goes along but what its browser reads.
    fn visit(&self, visit: &Visit) -> Visit {
        let mut request = Request::new(()).into_parts().0;
        request.uri = self.path.clone();
        for name in [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE] {
            if let Some(value) = visit.request.headers.get(&name) {
                request.headers.insert(name, value.clone());
            }
        }
        headers::trace_on(&mut request.headers, visit);
        Visit {
            route: Arc::clone(&self.route),
            sent: None,
            request,
            upgrade: None,
            versions: Default::default(),
            listener: OnceLock::new(),
            grant: None,
            caching: self.apart.clone(),
            ..visit.clone()
        }
    }

    /// The page's body and what is about it; all else, such as what may be kept how long and what failed, is the answer's.
    fn put(&self, answer: Response<Body>, page: Response<Body>) -> Response<Body> {
        let (mut head, _) = answer.into_parts();
        let (page, body) = page.into_parts();
        bare(&mut head.headers);
        for (name, value) in page.headers.iter().filter(|(name, _)| is_about_the_body(name)) {
            head.headers.append(name.clone(), value.clone());
        }
        if let Some(status) = self.status {
            head.status = status;
            // A viewer must not take it for what is at this URL.
            head.headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
        Response::from_parts(head, body)
    }
}

/// The page with all its bytes: one that breaks off must not stand in for anything.
async fn whole(page: Response<Body>, largest: usize) -> Result<Response<Body>, &'static str> {
    let (head, body) = page.into_parts();
    let bytes = match body {
        Body::Whole(bytes) if bytes.len() <= largest => bytes,
        body => Limited::new(body, largest).collect().await.map_err(|_| "broken-or-too-large")?.to_bytes(),
    };
    Ok(Response::from_parts(head, Body::Whole(bytes)))
}

/// The node's own page in place of an origin's words.
fn own(answer: Response<Body>) -> Response<Body> {
    let (mut head, _) = answer.into_parts();
    bare(&mut head.headers);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let page = error::plain_page(head.status);
    Response::from_parts(head, Body::Whole(page.into()))
}

/// Takes out what is about the body that is not sent.
fn bare(headers: &mut HeaderMap) {
    let gone = |name: &HeaderName| {
        is_content(name) || [ETAG, LAST_MODIFIED, ACCEPT_RANGES, CONTENT_RANGE].contains(name)
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| gone(name)).cloned().collect();
    names.iter().for_each(|name| drop(headers.remove(name)));
}

fn is_about_the_body(name: &HeaderName) -> bool {
    is_content(name) && *name != CONTENT_RANGE || [LINK, VARY].contains(name)
}

fn is_content(name: &HeaderName) -> bool {
    name.as_str().starts_with("content-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_goes_before_its_class_and_the_class_leaves_ranges_alone() {
        let said =
            "4xx = { ttl = \"1s\" }\n404 = { ttl = \"2s\" }\n416 = { ttl = \"3s\" }\n5xx = { ttl = \"4s\" }";
        let ttl = |said: &str, status| {
            let pages = Pages::build(&toml::from_str(said).unwrap(), &[]).unwrap();
            pages
                .of(StatusCode::from_u16(status).unwrap())
                .and_then(|shown| shown.ttl)
                .map(|ttl| ttl.as_secs())
        };
        for (status, seconds) in [(403, Some(1)), (404, Some(2)), (416, Some(3)), (503, Some(4)), (200, None)]
        {
            assert_eq!(ttl(said, status), seconds, "{status}");
        }
        assert_eq!(ttl("4xx = { ttl = \"1s\" }", 416), None);
    }
}
