//! The one list of metrics and log fields. One record a request: the log line, the figures, `Cache-Status` and
//! `Proxy-Status` all say the same because they are made from it.

mod figures;
mod log;
mod origins;
mod tunnels;
mod versions;
mod words;

use crate::admin::PurgeKind;
use crate::body::Body;
use crate::config::LogLevel;
use crate::error::{self, Fault};
use crate::headers::{CACHE_STATUS, PROXY_STATUS, X_REQUEST_ID};
use crate::node::Node;
use crate::pages::Pages;
use crate::visit::{Lost, Visit};
use cache::{Effect, Freshness, Permit, Receipt};
use figures::Figures;
use http::header::{CONTENT_LENGTH, VIA};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use log::Log;
use origin_shield::hop::HopError;
use origin_shield::{Attempt, Change};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use figures::CacheFigure;
pub use origins::{faults, origins};
pub use tunnels::{TunnelEnd, TunnelRecord, TunnelSlot};
pub use versions::versions;
pub use words::Said;

/// How often the log says that the disk fails.
const QUIET: Duration = Duration::from_secs(60);

/// What the cache had to do with an answer (RFC 9211).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    /// From the store, fresh for so long.
    Hit(Duration),
    /// From the second tier of the store, fresh for so long.
    Revived(Duration),
    /// From the store, stale for so long, while somebody revalidates.
    Stale(Duration),
    /// Fetched for this request: nothing was stored.
    Miss,
    /// Fetched for this request: what was stored is stale.
    Expired,
    /// Fetched for this request: what was stored is fresh, but not fresh enough for this viewer.
    Demanded,
    /// From the store, but for slices that were fetched for this request.
    Partial,
    /// Fetched by another request, at the same time.
    Collapsed,
    /// Stale, asked again, confirmed by the origin.
    Revalidated,
    /// Stale for so long, and served because the origin failed.
    StaleIfError(Duration),
    /// Never looked up: a method or a route that is not stored.
    Bypass,
}

/// What a record is about: a request that has found its site and route, or has not.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The node that answers.
    pub node: &'a Node,
    /// `X-Request-Id`.
    pub request_id: &'a HeaderValue,
    /// For durations.
    pub started: Instant,
    /// The target as the viewer sent it.
    pub target: &'a Uri,
    /// Who asks.
    pub address: IpAddr,
    /// Site and route, where found.
    pub place: Option<(&'a str, &'a str)>,
}

/// What is known of one request's answer so far.
#[derive(Debug)]
pub struct Record {
    method: Method,
    /// What the cache had to do with it, once known.
    pub cache: Option<CacheStatus>,
    /// Whether the answer was stored, or why not.
    pub stored: Option<Result<(), &'static str>>,
    /// Failed attempts at origins.
    pub attempts: Vec<Attempt>,
    /// What became of the site's page for this error: `shown`, or why not.
    pub page: Option<&'static str>,
    fault: Option<(&'static str, String)>,
    /// Whether the answer has its stamps already.
    is_stamped: bool,
}

impl Record {
    /// Begins a record.
    #[must_use]
    pub fn begin(request: &http::request::Parts) -> Self {
        Self {
            method: request.method.clone(),
            cache: None,
            stored: None,
            attempts: Vec::new(),
            page: None,
            fault: None,
            is_stamped: false,
        }
    }

    /// Whether the node failed, and so the answer is its own.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.fault.is_some()
    }

    /// Whether it is of a stored answer that is fresh, with nothing else to tell.
    #[must_use]
    pub fn is_of_hit(&self) -> bool {
        matches!(self.cache, Some(CacheStatus::Hit(_))) && self.stored.is_none() && self.attempts.is_empty()
    }

    /// Notes what went wrong and turns it into the answer.
    pub fn fail(
        &mut self,
        fault: &Fault,
        accept: Option<&HeaderValue>,
        asked: &Asked<'_>,
    ) -> Box<Response<Body>> {
        self.attempts = fault.attempts().to_vec();
        self.is_stamped = false;
        self.fault = Some((fault.row().token, fault.story()));
        Box::new(fault.response(accept, &asked.node.name, asked.request_id))
    }

    /// The answer to a request that has found no site or route, written down.
    pub fn turn_away(&mut self, lost: &Lost) -> Box<Response<Body>> {
        let asked = lost.asked();
        let mut response = self.fail(&lost.fault, lost.accept(), &asked);
        self.finish(&asked, &mut response);
        response
    }

    /// Stamps the answer and writes the record down.
    pub fn finish(&self, asked: &Asked<'_>, response: &mut Response<Body>) {
        bare(&self.method, response);
        if !self.is_stamped {
            self.stamp(asked, response.headers_mut());
        }
        asked.node.observer.note(self, asked, response.status());
    }

    /// Says who answers, how, and to which request.
    pub fn stamp(&self, asked: &Asked<'_>, headers: &mut HeaderMap) {
        let node = asked.node;
        if let Some(status) = self.cache_status(node).and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.append(CACHE_STATUS, status);
        }
        if let Some(status) = self.proxy_status(node).and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.append(PROXY_STATUS, status);
        }
        headers.append(VIA, node.via.clone());
        headers.insert(X_REQUEST_ID, asked.request_id.clone());
    }

    /// What [`Self::stamp`] says of a hit, for who puts it in the places of another one's: `Cache-Status`, `Via` and `X-Request-Id`. The
    /// answer counts as stamped.
    pub fn stamps(&mut self, asked: &Asked<'_>) -> [HeaderValue; 3] {
        self.is_stamped = true;
        let status = self.cache_status(asked.node).and_then(|text| HeaderValue::try_from(text).ok());
        let status = status.unwrap_or(HeaderValue::from_static(""));
        [status, asked.node.via.clone(), asked.request_id.clone()]
    }

    /// RFC 9211 §2.
    fn cache_status(&self, node: &Node) -> Option<String> {
        if let (Some(CacheStatus::Hit(ttl)), None) = (self.cache, self.stored) {
            // What nearly all are, in a text of no more than its length, which becomes a value without being copied.
            return Some([&node.name, "; hit; ttl=", itoa::Buffer::new().format(ttl.as_secs())].concat());
        }
        let mut text = node.name.to_string();
        // Writing to a String cannot fail.
        let _ = match self.cache? {
            CacheStatus::Hit(ttl) => write!(text, "; hit; ttl={}", ttl.as_secs()),
            CacheStatus::Revived(ttl) => write!(text, "; hit; ttl={}; detail=disk", ttl.as_secs()),
            CacheStatus::Stale(past) => write!(text, "; hit; ttl=-{}", past.as_secs()),
            CacheStatus::Miss => write!(text, "; fwd=uri-miss"),
            CacheStatus::Expired => write!(text, "; fwd=stale"),
            CacheStatus::Demanded => write!(text, "; fwd=request"),
            CacheStatus::Partial => write!(text, "; fwd=partial"),
            CacheStatus::Collapsed => write!(text, "; fwd=uri-miss; collapsed"),
            CacheStatus::Revalidated => write!(text, "; fwd=stale; fwd-status=304"),
            CacheStatus::StaleIfError(past) => {
                write!(text, "; hit; ttl=-{}; detail=stale-if-error", past.as_secs())
            }
            CacheStatus::Bypass => write!(text, "; fwd=bypass"),
        };
        match self.stored {
            Some(Ok(())) => text.push_str("; stored"),
            Some(Err(reason)) => {
                let _ = write!(text, "; detail={reason}");
            }
            None => {}
        }
        Some(text)
    }

    /// RFC 9209 §2.1.1: most error types say that the node made the answer itself, as its error pages do. On an answer that came
    /// after failed attempts they are details.
    fn proxy_status(&self, node: &Node) -> Option<String> {
        let is_told_already = self.fault.is_some() || self.attempts.is_empty();
        (!is_told_already).then(|| format!("{}; {}", node.name, error::details(&self.attempts)))
    }

    fn line(&self, asked: &Asked<'_>, status: http::StatusCode) -> String {
        let request_id = asked.request_id.to_str().unwrap_or_default();
        let cache = self.cache.map_or("-", CacheStatus::token);
        let (site, route) = asked.place.unwrap_or(("-", "-"));
        let mut line = format!(
            "request id={request_id} viewer={} method={} site={site} route={route} path={:?} status={} cache={cache} us={}",
            asked.address,
            self.method,
            shortened(&signing::without_token(asked.target.path())),
            status.as_u16(),
            asked.started.elapsed().as_micros(),
        );
        if let Some(Err(reason)) = self.stored {
            let _ = write!(line, " unstored={reason}");
        }
        if let Some((token, story)) = &self.fault {
            let _ = write!(line, " reason={token} story={story:?}");
        }
        if let Some(outcome) = self.page {
            let _ = write!(line, " page={outcome}");
        }
        for attempt in &self.attempts {
            let _ = write!(line, " failed={}:{}", attempt.origin, attempt.failure);
        }
        if let Some(halt) = self.attempts.last().and_then(|attempt| attempt.halt) {
            let _ = write!(line, " halted={}", halt.token());
        }
        line
    }
}

/// RFC 9110 §6.4.1: no content in answers to HEAD, nor with 204 and 304. HTTP/1.1 hides it by itself, HTTP/2 would send it.
fn bare(method: &Method, response: &mut Response<Body>) {
    let has_no_content = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_no_content && method != Method::HEAD {
        return;
    }
    let body = std::mem::replace(response.body_mut(), Body::empty());
    if response.status() == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    // An origin's own answer to HEAD is empty already, whatever the length of what it stands for.
    if let Some(length @ 1..) = http_body::Body::size_hint(&body).exact().filter(|_| !has_no_content) {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
    }
}

/// The path of a log line, without the query, which may carry signatures and tokens, and no longer than anybody reads.
fn shortened(path: &str) -> &str {
    const LONGEST: usize = 256;
    path.get(..LONGEST).unwrap_or(if path.len() > LONGEST { "(too long)" } else { path })
}

impl CacheStatus {
    /// Of an answer from the store.
    #[must_use]
    pub fn of_stored(freshness: &Freshness, now: SystemTime) -> Self {
        match freshness.remaining(now) {
            Some(left) => Self::Hit(left),
            None => Self::Stale(freshness.age(now).saturating_sub(freshness.lifetime)),
        }
    }

    /// Of a request that goes to the origin with this permit.
    #[must_use]
    pub fn of_fetch(permit: &Permit, now: SystemTime) -> Self {
        match permit.stale().map(|stored| stored.freshness().remaining(now)) {
            None => Self::Miss,
            Some(None) => Self::Expired,
            Some(Some(_)) => Self::Demanded,
        }
    }

    /// The word in log and metrics.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Hit(_) => "hit",
            Self::Revived(_) => "disk",
            Self::Stale(_) => "stale",
            Self::Miss => "miss",
            Self::Expired => "expired",
            Self::Demanded => "demanded",
            Self::Partial => "partial",
            Self::Collapsed => "collapsed",
            Self::Revalidated => "revalidated",
            Self::StaleIfError(_) => "stale-if-error",
            Self::Bypass => "bypass",
        }
    }
}

/// Where records go: the log on standard error and the figures of `/metrics`.
#[derive(Debug)]
pub struct Observer {
    figures: Figures,
    log: Log,
    level: LogLevel,
    disk_said: Mutex<Option<Instant>>,
    namesake_said: AtomicBool,
    words: words::Words,
}

impl Observer {
    /// An observer that begins at zero.
    #[must_use]
    pub fn new(level: LogLevel) -> Self {
        Self {
            figures: Figures::default(),
            log: Log::start(),
            level,
            disk_said: Mutex::default(),
            namesake_said: AtomicBool::new(false),
            words: words::Words::keeping(crate::config::LimitSettings::default().hook_log),
        }
    }

    fn note(&self, record: &Record, asked: &Asked<'_>, status: http::StatusCode) {
        self.figures.request(status, record.cache);
        if let Some((token, _)) = &record.fault {
            self.figures.reason(token);
        }
        if let Some(Err(reason)) = record.stored {
            self.figures.unstored(reason);
        }
        for attempt in &record.attempts {
            self.figures.attempt(attempt.failure.token());
        }
        let lacks_page = record.page.is_some_and(|outcome| outcome != Pages::SHOWN);
        let is_problem = record.fault.is_some() || !record.attempts.is_empty() || lacks_page;
        match self.level {
            LogLevel::Requests => self.log.write(record.line(asked, status)),
            LogLevel::Problems if is_problem => self.log.write(record.line(asked, status)),
            LogLevel::Problems | LogLevel::Off => {}
        }
    }

    /// A hook failed and its `on-error` let the request pass.
    pub fn hook_passed(&self, error: &hooks::HookError) {
        self.hook_forgiven(error, "passed");
    }

    /// A hook failed, and a stale answer stands in.
    pub fn hook_stood_in(&self, error: &hooks::HookError) {
        self.hook_forgiven(error, "stale");
    }

    fn hook_forgiven(&self, error: &hooks::HookError, outcome: &str) {
        let token = error.token();
        self.figures.reason(token);
        self.log.write(format!("hook reason={token} story={:?} outcome={outcome}", error.to_string()));
    }

    /// What became of an object that a hook makes and a store keeps: found, missing, stored, busy or resting.
    pub fn derived(&self, outcome: &'static str) {
        self.figures.derived(outcome);
    }

    /// The store of a hook could not do something. The viewer is answered all the same.
    pub fn derived_failed(&self, visit: &Visit, what: &str, story: &str) {
        self.figures.derived("failed");
        let id = visit.request_id.to_str().unwrap_or_default();
        let site = &visit.site.name;
        self.log.write(format!("derived id={id} site={site} cannot={what} story={story:?}"));
    }

    /// A hook asked an origin: answered, or why not.
    pub fn fetched(&self, outcome: &'static str) {
        self.figures.fetched(outcome);
    }

    /// No origin answered a hook, which may know what to do.
    pub fn fetch_failed(&self, visit: &Visit, exhausted: &origin_shield::Exhausted) {
        let (id, site) = (visit.request_id.to_str().unwrap_or_default(), &visit.site.name);
        self.log.write(format!("fetch id={id} site={site} story={:?}", exhausted.to_string()));
    }

    /// A hook failed in the middle of a body that it rewrites: the viewer has its beginning.
    pub fn hook_broke(&self, visit: &Visit, error: &hooks::HookError) {
        self.figures.reason(error.token());
        let (id, site, token) =
            (visit.request_id.to_str().unwrap_or_default(), &visit.site.name, error.token());
        self.log.write(format!(
            "hook id={id} site={site} reason={token} story={:?} outcome=broken",
            error.to_string()
        ));
    }

    /// An origin's body broke off after the viewer had its beginning.
    pub fn body_broke(&self, visit: &Visit, story: &str) {
        self.figures.reason("body-truncated");
        let id = visit.request_id.to_str().unwrap_or_default();
        self.log
            .write(format!("body id={id} site={} reason=body-truncated story={story:?}", visit.site.name));
    }

    /// The second tier of the store could not do something: said once in a while, for a full disk fails with every write.
    pub fn disk_failed(&self, what: &str, error: &std::io::Error) {
        self.figures.reason("disk");
        let mut said = self.disk_said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= QUIET) {
            *said = Some(Instant::now());
            self.log.write(format!("disk cannot {what}: {error}; requests go on without what it holds"));
        }
    }

    /// An origin is passed over, or is back.
    pub fn origin_changed(&self, change: &Change) {
        self.log.write(format!("health {change}"));
    }

    /// Somebody speaks as an edge and does not prove to be one: a stranger, or an edge with the wrong key or clock.
    pub fn disbelieved(&self, error: HopError) {
        self.figures.reason(error.token());
    }

    /// A request has passed another node of the same name: said once, for one of the two is to get another.
    pub fn namesake(&self, name: &str) {
        if !self.namesake_said.swap(true, Relaxed) {
            self.log.write(format!(
                "another node calls itself {name} too, and asks this one: give each its own [node] name"
            ));
        }
    }

    /// A TLS handshake with a viewer did not come to an end.
    pub fn handshake_failed(&self) {
        self.figures.reason("tls-handshake");
    }

    /// What an admin had purged; `named` holds nothing that logs never hold.
    pub fn purged(&self, kind: PurgeKind, named: &str, effect: Effect, receipt: &Receipt, micros: u64) {
        let effect = match effect {
            Effect::Expire => "soft",
            Effect::Remove => "hard",
            Effect::Count => "dry-run",
        };
        self.figures.purge(kind.word(), effect, receipt.objects);
        let Receipt { objects, variants, bytes } = receipt;
        let kind = kind.word();
        self.log.write(format!(
            "purge {kind}={named:?} effect={effect} objects={objects} variants={variants} bytes={bytes} us={micros}"
        ));
    }

    /// Words of the node itself: starting, reloading, stopping.
    pub fn say(&self, words: impl Into<String>) {
        self.log.write(words.into());
    }

    /// The figures in Prometheus' text format.
    #[must_use]
    pub fn metrics(&self, cache: CacheFigure) -> String {
        self.figures.text(cache, self.log.dropped())
    }

    /// Waits until everything said so far is written, for a node that stops.
    pub fn flush(&self) {
        self.log.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_without_content_have_none() {
        let page = || Body::Whole("hello".into());
        for (method, status, declared, body, length) in [
            (Method::HEAD, 200, None, page(), Some("5")),
            (Method::HEAD, 200, Some("9"), Body::empty(), Some("9")),
            (Method::HEAD, 200, None, Body::empty(), None),
            (Method::HEAD, 404, None, page(), Some("5")),
            (Method::GET, 204, Some("5"), page(), None),
            (Method::HEAD, 204, Some("0"), Body::empty(), None),
            (Method::GET, 304, Some("5"), page(), Some("5")),
            (Method::GET, 304, None, page(), None),
        ] {
            let mut response = Response::builder().status(status);
            if let Some(declared) = declared {
                response = response.header(CONTENT_LENGTH, declared);
            }
            let mut response = response.body(body).unwrap();
            bare(&method, &mut response);
            let said = response.headers().get(CONTENT_LENGTH).map(|value| value.to_str().unwrap());
            assert_eq!(said, length, "{method} {status} {declared:?}");
            assert!(http_body::Body::is_end_stream(response.body()), "{method} {status}");
        }
        let mut response = Response::new(page());
        bare(&Method::GET, &mut response);
        assert!(!http_body::Body::is_end_stream(response.body()));
    }
}
