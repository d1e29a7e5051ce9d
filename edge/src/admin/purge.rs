//! `POST /purge`: what is asked, in whose words, and the receipt.

use super::{Context, PATIENCE, said};
use crate::body::Body;
use crate::config::did_you_mean;
use crate::node::Node;
use crate::process;
use crate::route::{Path, PathFault};
use crate::visit;
use bytes::Bytes;
use cache::{Effect, Key, KeyParts, KeySettings, Selector, Tag};
use http::{HeaderMap, Response, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::time::Instant;

/// The longest request: a thousand long tags.
const LONGEST_REQUEST: usize = 256 * 1024;

/// URLs, prefixes, tags or sites of one request: each fill under way is compared with each of them.
const MOST_NAMES: usize = 1000;

/// What is asked for, as it comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    url: Option<Texts>,
    prefix: Option<Texts>,
    tag: Option<Texts>,
    site: Option<Texts>,
    #[serde(default)]
    hard: bool,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Texts {
    One(String),
    Several(Vec<String>),
}

/// Which of the four ways to name objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One URL.
    Url,
    /// All URLs that begin so.
    Prefix,
    /// All objects that bear a tag.
    Tag,
    /// All objects of a site.
    Site,
}

impl Kind {
    /// The word in requests, log and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Prefix => "prefix",
            Self::Tag => "tag",
            Self::Site => "site",
        }
    }
}

/// Why a request for a purge is refused; whoever sent it is at fault.
#[derive(Debug, thiserror::Error)]
enum PurgeFault {
    #[error("this is no request for a purge: {0}; send for example {{\"tag\": \"news\", \"hard\": false}}")]
    Form(#[from] serde_json::Error),
    #[error("say what to purge: one of `url`, `prefix`, `tag` or `site`")]
    Nothing,
    #[error("`{0}` and `{1}` cannot be purged in one request; send two")]
    Two(&'static str, &'static str),
    #[error("{0:?} is no URL: write it whole, as viewers do, such as https://www.example.com/page")]
    Url(String),
    #[error("{0:?} is no prefix: write host and path, such as https://www.example.com/img/")]
    Prefix(String),
    #[error("{0:?} ends with `*`, which a prefix does without: leave it out")]
    Star(String),
    #[error("{0:?}: {1}")]
    Path(String, PathFault),
    #[error("no site has the host {0:?}; `selvedge status --json` names the sites")]
    Host(String),
    #[error("there is no site {0:?}; {1}")]
    Site(String, String),
    #[error("more than {MOST_NAMES} names in one request; send several")]
    Many,
    #[error("a tag has at least one character")]
    EmptyTag,
}

/// Answers a request for a purge.
pub(super) async fn answer(context: &Context, body: Incoming) -> Response<Body> {
    let refuse = |status, error: &str| said(status, &json!({ "error": error }));
    let body = match read(body).await {
        Ok(body) => body,
        Err((status, error)) => return refuse(status, error),
    };
    let node = context.current.load();
    match order(&node, &body) {
        Ok(order) => carry_out(context, &node, order).await,
        Err(fault) => refuse(StatusCode::BAD_REQUEST, &fault.to_string()),
    }
}

async fn read(body: Incoming) -> Result<Bytes, (StatusCode, &'static str)> {
    let whole = Limited::new(body, LONGEST_REQUEST).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "the request is too long; send several"))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the request broke off")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time")),
    }
}

/// A purge that this node understands.
#[derive(Debug)]
struct Order {
    kind: Kind,
    selectors: Vec<Selector>,
    effect: Effect,
    is_hard: bool,
    /// For the log: what was named, without what logs never hold.
    named: String,
}

fn order(node: &Node, body: &[u8]) -> Result<Order, PurgeFault> {
    let mut asked: Asked = serde_json::from_slice(body)?;
    let (kind, texts) = asked.named()?;
    let texts = match texts {
        Texts::One(text) => vec![text],
        Texts::Several(texts) if texts.is_empty() => return Err(PurgeFault::Nothing),
        Texts::Several(texts) if texts.len() > MOST_NAMES => return Err(PurgeFault::Many),
        Texts::Several(texts) => texts,
    };
    let select = |text: &String| match kind {
        Kind::Url => url(node, text),
        Kind::Prefix => prefix(node, text),
        Kind::Tag if text.is_empty() => Err(PurgeFault::EmptyTag),
        Kind::Tag => Ok(Selector::Tag(Tag::of(text.as_bytes()))),
        Kind::Site => site(node, text),
    };
    let selectors = texts.iter().map(select).collect::<Result<_, _>>()?;
    let effect = match (asked.dry_run, asked.hard) {
        (true, _) => Effect::Count,
        (false, true) => Effect::Remove,
        (false, false) => Effect::Expire,
    };
    Ok(Order { kind, selectors, effect, is_hard: asked.hard, named: loggable(kind, &texts) })
}

impl Asked {
    fn named(&mut self) -> Result<(Kind, Texts), PurgeFault> {
        let named = [
            (Kind::Url, self.url.take()),
            (Kind::Prefix, self.prefix.take()),
            (Kind::Tag, self.tag.take()),
            (Kind::Site, self.site.take()),
        ];
        let mut named = named.into_iter().filter_map(|(kind, texts)| Some((kind, texts?)));
        let first = named.next().ok_or(PurgeFault::Nothing)?;
        match named.next() {
            Some((second, _)) => Err(PurgeFault::Two(first.0.word(), second.word())),
            None => Ok(first),
        }
    }
}

/// A URL as viewers ask for it, taken through the same steps as a request: site, route, the parts that belong to the key.
fn url(node: &Node, text: &str) -> Result<Selector, PurgeFault> {
    let uri = parse(text).filter(|uri| uri.scheme_str() != Some("any"));
    let place = uri.as_ref().and_then(Place::of);
    let Some((scheme, place)) = place.and_then(|place| Some((place.scheme?, place))) else {
        return Err(PurgeFault::Url(text.to_owned()));
    };
    let site = node.sites.find(visit::host_of(&place.authority));
    let site = site.ok_or_else(|| PurgeFault::Host(text.to_owned()))?;
    let bare = site.without_token(&place.path_and_query);
    let path = site.normalise(&bare).map_err(|fault| PurgeFault::Path(text.to_owned(), fault))?;
    let route = site.route(&path);
    let stripped = match route.and_then(|route| route.keys.as_ref()) {
        Some(keys) => keys.strip(&path.path_and_query),
        None => Cow::Borrowed(&*path.path_and_query),
    };
    let policy = route.and_then(|route| route.policy.as_ref());
    let everything = KeySettings::default();
    let settings = policy.map_or(&everything, |policy| policy.key());
    let parts = KeyParts {
        site: &site.name,
        group: route.map_or("", |route| &route.group_name),
        scheme,
        authority: &place.authority,
        path_and_query: &visit::keyed(&stripped, settings),
    };
    Ok(Selector::Url(Key::of(&parts, &HeaderMap::new(), settings)))
}

/// Host and the beginning of a path, of one scheme or of both.
fn prefix(node: &Node, text: &str) -> Result<Selector, PurgeFault> {
    if text.ends_with('*') {
        return Err(PurgeFault::Star(text.to_owned()));
    }
    let broken = || PurgeFault::Prefix(text.to_owned());
    let uri = match text.split_once("://") {
        Some(_) => parse(text),
        // Only so is a path after a bare host understood.
        None => parse(&format!("any://{text}")),
    };
    let place = Place::of(&uri.ok_or_else(broken)?).ok_or_else(broken)?;
    if node.sites.find(visit::host_of(&place.authority)).is_none() {
        return Err(PurgeFault::Host(text.to_owned()));
    }
    let path = place.path(text)?;
    Ok(Selector::Prefix {
        scheme: place.scheme.map(str::to_owned),
        path: path.path_and_query.clone().into_owned(),
        authority: place.authority.clone(),
    })
}

fn site(node: &Node, name: &str) -> Result<Selector, PurgeFault> {
    let sites = &node.config.site;
    if sites.contains_key(name) {
        return Ok(Selector::Site(name.to_owned()));
    }
    let hint = did_you_mean(name, sites.keys().map(String::as_str));
    let hint = hint.unwrap_or_else(|| "`selvedge status --json` names the sites".to_owned());
    Err(PurgeFault::Site(name.to_owned(), hint))
}

/// What is beyond ASCII arrives in requests as escapes, so people may paste what they read.
fn parse(text: &str) -> Option<Uri> {
    let mut ascii = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0x80.. => ascii.push_str(&format!("%{byte:02X}")),
            _ => ascii.push(char::from(byte)),
        }
    }
    ascii.parse().ok()
}

/// The parts of a URL as the key has them.
struct Place {
    /// `None` where it does not matter.
    scheme: Option<&'static str>,
    authority: String,
    path_and_query: String,
}

impl Place {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = match uri.scheme_str()? {
            "http" => Some("http"),
            "https" => Some("https"),
            "any" => match uri.port_u16() {
                Some(80) => Some("http"),
                Some(443) => Some("https"),
                _ => None,
            },
            _ => return None,
        };
        let authority = uri.authority()?.as_str().to_ascii_lowercase();
        let authority =
            scheme.map_or(&*authority, |scheme| visit::keyed_authority(&authority, scheme)).to_owned();
        let path_and_query = uri.path_and_query().map_or("/", |whole| whole.as_str()).to_owned();
        let is_plain = !authority.is_empty() && !authority.contains('@');
        is_plain.then_some(Self { scheme, authority, path_and_query })
    }

    fn path(&self, text: &str) -> Result<Path<'_>, PurgeFault> {
        Path::normalise(&self.path_and_query).map_err(|fault| PurgeFault::Path(text.to_owned(), fault))
    }
}

/// What the log may hold: no queries, which may carry signatures and tokens, and no more than anybody reads.
fn loggable(kind: Kind, texts: &[String]) -> String {
    const LONGEST: usize = 256;
    let without_query = |text: &String| match kind {
        Kind::Url | Kind::Prefix => text.split(['?', '#']).next().unwrap_or_default().to_owned(),
        Kind::Tag | Kind::Site => text.clone(),
    };
    let mut named = texts.iter().map(without_query).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = named.char_indices().nth(LONGEST) {
        named.truncate(end);
        named.push('…');
    }
    named
}

async fn carry_out(context: &Context, node: &Node, order: Order) -> Response<Body> {
    // Those that look at every object go one after the other; those that know where to look need not wait for them.
    let looks_everywhere = matches!(order.kind, Kind::Prefix | Kind::Site);
    let _turn = match looks_everywhere {
        true => Some(context.scanning.lock().await),
        false => None,
    };
    let started = Instant::now();
    let (store, selectors, effect, now) = (node.store.clone(), order.selectors, order.effect, process::now());
    // Not on a thread that answers: a look at a million objects takes a while.
    let purge = tokio::task::spawn_blocking(move || store.purge(&selectors, effect, now));
    let receipt = match purge.await {
        Ok(receipt) => receipt,
        Err(error) => {
            return said(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() }));
        }
    };
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let durable = tokio::time::timeout(PATIENCE, node.store.settled()).await.unwrap_or(Some(false));
    node.observer.purged(order.kind, &order.named, order.effect, &receipt, micros);
    said(
        StatusCode::OK,
        &json!({
            "matched": receipt.objects,
            "variants": receipt.variants,
            "bytes": receipt.bytes,
            "hard": order.is_hard,
            "dry_run": order.effect == Effect::Count,
            "node": &*node.name,
            "micros": micros,
            "durable": durable,
        }),
    )
}
