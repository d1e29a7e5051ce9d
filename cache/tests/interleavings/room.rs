//! The room as these tests use it: what its types look like is known here and nowhere else.

use crate::steps::{KEYS, Name};
use cache::{
    Coding, Demand, Effect, Entry, Freshness, Head, Key, KeyParts, KeySettings, Limits, Lookup, Permit,
    Selector, Store, Tag, TagHeaders, TagLimits, Tags,
};
use http::header::{ACCEPT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The number of the fetch that brought a body, in the answer's head.
const FETCH: HeaderName = HeaderName::from_static("x-fetch");
/// The number of the fetch that confirmed it.
const CONFIRMED: HeaderName = HeaderName::from_static("x-confirmed");

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// The path of each key, which its answers are tagged with too.
const PATHS: [&str; KEYS] = ["/a", "/b", "/b"];

/// The largest body that the stores of these tests keep, in bytes.
pub(crate) const MAX_OBJECT: usize = 40_000;

pub(crate) fn store(memory: u64) -> Store {
    Store::new(Limits { memory, max_object: MAX_OBJECT as u64, uncacheable: Duration::from_secs(120) })
}

/// The last key differs from the one before it in a header that the policy keys by.
pub(crate) fn key(number: usize) -> Key {
    let parts = KeyParts {
        site: "www",
        group: "main",
        scheme: "https",
        authority: "www.test",
        path_and_query: PATHS[number],
    };
    let device = HeaderName::from_static("x-device");
    let settings = KeySettings { headers: vec![device.to_string()], ..KeySettings::default() };
    Key::of(&parts, &HeaderMap::from_iter([(device, HeaderValue::from(number))]), &settings)
}

/// The keys that are invalidated together with one: those of the same primary key.
pub(crate) fn together(number: usize) -> Range<usize> {
    if number == 0 { 0..1 } else { 1..KEYS }
}

/// Purges a key by one of its names, and returns the keys that this concerns.
pub(crate) fn purge(store: &Store, number: usize, name: Name, effect: Effect, now: u64) -> Range<usize> {
    let path = PATHS[number];
    let selector = match name {
        Name::Url => Selector::Url(key(number)),
        Name::Prefix => {
            Selector::Prefix { scheme: None, authority: "www.test".to_owned(), path: path.to_owned() }
        }
        Name::Tag => Selector::Tag(Tag::of(path.as_bytes())),
        Name::Site => Selector::Site("www".to_owned()),
    };
    store.purge(&[selector], effect, at(now));
    if name == Name::Site { 0..KEYS } else { together(number) }
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

/// Looks up what a viewer of a variant asks for, in seconds.
pub(crate) fn begin(store: &Store, key: usize, variant: usize, now: u64) -> Lookup {
    store.begin(&self::key(key), &request(variant), &Demand::default(), at(now))
}

/// What a viewer of a variant sends.
pub(crate) fn request(variant: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(if variant == 0 { "de" } else { "ko" }));
    headers
}

/// The head of the answer to a fetch for a key.
pub(crate) fn head(fetch: usize, key: usize, varies: bool) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(FETCH, HeaderValue::from(fetch));
    if varies {
        headers.insert(VARY, HeaderValue::from_static("accept-language"));
    }
    headers.insert(CACHE_TAG, HeaderValue::from_static(PATHS[key]));
    let tags = tags(&headers);
    Head::new(StatusCode::OK, headers).tagged(tags)
}

fn tags(headers: &HeaderMap) -> Tags {
    Tags::read(headers, &TagHeaders::default().0, TagLimits::default())
}

/// A 304 to a fetch, which may give a new freshness.
pub(crate) fn confirm(permit: Permit, fetch: usize, freshness: Option<Freshness>) -> Arc<Entry> {
    let confirmed = HeaderMap::from_iter([(CONFIRMED, HeaderValue::from(fetch))]);
    let entry = permit.refresh(&confirmed, |headers| freshness.map(|freshness| (freshness, tags(headers))));
    entry.expect("there is a stale copy, all in memory")
}

pub(crate) fn fresh_for(lifetime: u64, now: u64) -> Freshness {
    Freshness {
        lifetime: Duration::from_secs(lifetime),
        initial_age: Duration::ZERO,
        stored_at: at(now),
        while_revalidate: Duration::from_secs(5),
        if_error: Duration::from_secs(60),
    }
}

/// The fetch that brought the body of an entry.
pub(crate) fn fetch_of(entry: &Entry) -> usize {
    number(entry, &FETCH).expect("every answer names its fetch")
}

/// The fetch that confirmed an entry last.
pub(crate) fn confirmed_by(entry: &Entry) -> Option<usize> {
    number(entry, &CONFIRMED)
}

fn number(entry: &Entry, name: &HeaderName) -> Option<usize> {
    entry.header(name)?.to_str().ok()?.parse().ok()
}

/// Keeps an encoded body with an entry, as a viewer who accepts one makes the edge do.
pub(crate) fn keep_encoded(store: &Store, key: usize, entry: &Entry) {
    if entry.encoded(Coding::Gzip).set(vec![0; 500].into()).is_ok() {
        store.reweigh(&self::key(key));
    }
}
