//! Purges against a store: what they take, what they overtake, and an index that always equals what is stored.

use super::*;
use crate::entry::Head;
use crate::fill::{Outcome, Permit, Writer};
use crate::key::KeyParts;
use crate::policy::{Demand, Freshness};
use crate::settings::{KeySettings, TagHeaders};
use crate::store::{Limits, Lookup};
use crate::tag::{TagLimits, Tags};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn store(memory: u64) -> Store {
    Store::new(Limits { memory, max_object: 100_000, uncacheable: Duration::from_secs(120) })
}

fn key(path_and_query: &str) -> Key {
    let parts = KeyParts { site: "www", group: "main", scheme: "http", authority: "a", path_and_query };
    Key::of(&parts, &HeaderMap::new(), &KeySettings::default())
}

fn fresh_for(seconds: u64) -> Freshness {
    Freshness {
        lifetime: Duration::from_secs(seconds),
        initial_age: Duration::ZERO,
        stored_at: at(0),
        while_revalidate: Duration::from_secs(5),
        if_error: Duration::from_secs(60),
    }
}

fn head(tags: &str) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert("cache-tag", tags.parse().unwrap());
    let tags = Tags::read(&headers, &TagHeaders::default().0, TagLimits::default());
    Head::new(StatusCode::OK, headers).tagged(tags)
}

fn look(store: &Store, key: &Key, now: SystemTime) -> Lookup {
    store.begin(key, &HeaderMap::new(), &Demand::default(), now)
}

fn lead(store: &Store, key: &Key) -> Permit {
    lead_at(store, key, at(0))
}

fn lead_at(store: &Store, key: &Key, now: SystemTime) -> Permit {
    match look(store, key, now) {
        Lookup::Lead(permit) | Lookup::Stale(_, Some(permit)) => *permit,
        other => panic!("expected to lead: {other:?}"),
    }
}

fn begin(store: &Store, key: &Key, tags: &str) -> Writer {
    lead(store, key).store(&HeaderMap::new(), head(tags), fresh_for(1000))
}

async fn stored(store: &Store, key: &Key, tags: &str) {
    finish(begin(store, key, tags)).await;
}

async fn finish(mut writer: Writer) {
    writer.push(Bytes::from_static(b"body")).await.unwrap();
    writer.finish();
}

fn is_fresh(store: &Store, key: &Key, now: SystemTime) -> bool {
    matches!(look(store, key, now), Lookup::Fresh(_))
}

fn tag(text: &str) -> Selector {
    Selector::Tag(Tag::of(text.as_bytes()))
}

fn prefix(path: &str) -> Selector {
    Selector::Prefix { scheme: None, authority: "a".to_owned(), path: path.to_owned() }
}

/// Every kind of selector that takes `/a` with the tag "news".
fn selectors() -> [Selector; 4] {
    [Selector::Url(key("/a")), tag("news"), prefix("/a"), Selector::Site("www".to_owned())]
}

/// What a look at everything says that the index should hold.
fn scanned(store: &Store) -> BTreeMap<(Tag, u64), u32> {
    let mut all = BTreeMap::new();
    for (place, object) in &store.inner().objects {
        for tag in object.variants().iter().flat_map(|entry| entry.tags()) {
            *all.entry((tag, *place)).or_insert(0) += 1;
        }
    }
    all
}

#[tokio::test]
async fn a_soft_purge_makes_stale_and_a_hard_one_removes() {
    for selector in selectors() {
        let store = store(8_000_000);
        stored(&store, &key("/a"), "news").await;
        let counted = store.purge(std::slice::from_ref(&selector), Effect::Count, at(1));
        assert_eq!((counted.objects, counted.variants), (1, 1), "{selector:?}");
        assert!(counted.bytes > 4 && is_fresh(&store, &key("/a"), at(1)), "{selector:?}");

        assert_eq!(store.purge(std::slice::from_ref(&selector), Effect::Expire, at(1)), counted);
        let Lookup::Stale(_, permit) = look(&store, &key("/a"), at(3)) else {
            panic!("served while it is revalidated, for five seconds from the purge: {selector:?}")
        };
        drop(permit);
        let Lookup::Lead(permit) = look(&store, &key("/a"), at(6)) else { panic!() };
        assert!(permit.stale().is_some(), "{selector:?}");
        drop(permit);

        assert_eq!(store.purge(std::slice::from_ref(&selector), Effect::Remove, at(7)), counted);
        assert!(lead(&store, &key("/a")).stale().is_none(), "{selector:?}");
        assert_eq!(store.statistics().tag_postings, 0);
    }
}

#[tokio::test]
async fn a_hard_purge_of_a_url_takes_its_slices_and_a_soft_one_its_record_alone() {
    let store = store(8_000_000);
    let (film, other) = (key("/film"), key("/films"));
    for key in [&film, &other] {
        stored(&store, key, "").await;
        for slice in ["0", "1"] {
            let head = Head::new(StatusCode::PARTIAL_CONTENT, HeaderMap::new());
            let permit = lead(&store, &key.part(slice));
            finish(permit.store(&HeaderMap::new(), head, fresh_for(1000))).await;
        }
    }
    let selectors = [Selector::Url(film.clone())];
    let soft = store.purge(&selectors, Effect::Expire, at(1));
    assert!(!is_fresh(&store, &film, at(1)) && is_fresh(&store, &film.part("0"), at(1)));
    let hard = store.purge(&selectors, Effect::Remove, at(1));
    assert!(!is_fresh(&store, &film.part("0"), at(1)) && is_fresh(&store, &other.part("0"), at(1)));
    assert_eq!((soft.objects, hard.objects, hard.variants), (1, 1, 1));
    assert!(hard.bytes > soft.bytes);
    store.invalidate(&other);
    assert!(!is_fresh(&store, &other, at(1)) && !is_fresh(&store, &other.part("0"), at(1)));
}

#[tokio::test]
async fn what_began_before_is_not_fresh_after() {
    for selector in selectors() {
        for effect in [Effect::Expire, Effect::Remove] {
            let store = store(8_000_000);
            let (early, late) = (lead(&store, &key("/a")), begin(&store, &key("/a2"), "news"));
            let Lookup::Follow(waiting) = look(&store, &key("/a"), at(0)) else { panic!() };
            assert_eq!(store.purge(std::slice::from_ref(&selector), effect, at(1)), Receipt::default());

            finish(early.store(&HeaderMap::new(), head("news"), fresh_for(1000))).await;
            assert!(matches!(waiting.wait().await, Outcome::Abandoned), "{selector:?}");
            assert!(!is_fresh(&store, &key("/a"), at(1)), "{selector:?} {effect:?}");
            let kept = store.purge(&[tag("news")], Effect::Count, at(1)).objects;
            assert_eq!(kept, u64::from(effect == Effect::Expire), "stale is kept, gone is gone");

            // The head of the other one was there: nobody new may join it if the purge takes it.
            let takes = selector.takes("www\nmain\nhttp\na\n", "/a2", |_| true);
            let joined = matches!(look(&store, &key("/a2"), at(1)), Lookup::Follow(_));
            assert_eq!(joined, !takes, "{selector:?}");
            finish(late).await;
            assert_eq!(is_fresh(&store, &key("/a2"), at(1)), !takes, "{selector:?} {effect:?}");
        }
    }
}

#[tokio::test]
async fn a_confirmation_that_was_asked_for_before_does_not_count() {
    let store = store(8_000_000);
    stored(&store, &key("/a"), "news").await;
    store.purge(&[tag("news")], Effect::Expire, at(1));
    let Lookup::Lead(permit) = look(&store, &key("/a"), at(10)) else { panic!() };
    store.purge(&[tag("news")], Effect::Expire, at(11));
    let _ = permit.refresh(&HeaderMap::new(), |_| Some((fresh_for(1000), head("news").tags().clone())));
    assert!(!is_fresh(&store, &key("/a"), at(12)));
    let _ = lead_at(&store, &key("/a"), at(12))
        .refresh(&HeaderMap::new(), |_| Some((fresh_for(1000), head("other").tags().clone())));
    assert!(is_fresh(&store, &key("/a"), at(12)));
    assert_eq!(store.purge(&[tag("news")], Effect::Count, at(12)).objects, 0, "it bears its new tags");
}

#[tokio::test]
async fn a_tag_is_counted_within_its_origin_for_groups() {
    let store = store(8_000_000);
    stored(&store, &key("/a"), "news").await;
    let group = |authority: &str| {
        let mut answer = HeaderMap::new();
        answer.insert("cache-group-invalidation", "\"old\", \"news\"".parse().unwrap());
        Selector::invalidated_groups(&answer, "http", authority)
    };
    assert_eq!(store.purge(&group("b"), Effect::Count, at(1)).objects, 0);
    assert_eq!(store.purge(&group("a"), Effect::Count, at(1)).objects, 1);
}

#[tokio::test]
async fn the_bytes_of_the_index_count() {
    let (plain, tagged) = (store(8_000_000), store(8_000_000));
    let tags: Vec<String> = (0..50).map(|number| format!("t{number}")).collect();
    stored(&plain, &key("/a"), "").await;
    stored(&tagged, &key("/a"), &tags.join(",")).await;
    let more = tagged.statistics().stored_bytes - plain.statistics().stored_bytes;
    assert!(more >= 50 * (crate::tags::POSTING + 8) as u64, "{more}");
}

/// Inserts, evictions, replacements and purges from several threads at once, in a store far too small for them.
#[test]
fn the_index_equals_what_is_stored_after_any_churn() {
    for seed in 0..4 {
        let store = store(400_000);
        thread::scope(|threads| {
            for number in 0..4 {
                let store = store.clone();
                threads.spawn(move || churn(&store, fastrand::Rng::with_seed(seed * 10 + number)));
            }
        });
        // Moka evicts in steps; when it has settled nothing may be left over or missing.
        for _ in 0..100 {
            store.inner().objects.run_pending_tasks();
        }
        assert_eq!(store.inner().index.all(), scanned(&store), "seed {seed}");
        store.purge(&[Selector::Site("www".to_owned())], Effect::Remove, at(1));
        store.inner().objects.run_pending_tasks();
        assert_eq!((store.inner().index.all().len(), store.statistics().tag_postings), (0, 0));
    }
}

fn churn(store: &Store, mut random: fastrand::Rng) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..1_000 {
        let path = format!("/{}", random.u32(..600));
        let news = format!("t{}", random.u32(..20));
        match random.u32(..100) {
            0 => drop(store.purge(&[tag(&news)], Effect::Remove, at(0))),
            1 => drop(store.purge(&[tag(&news)], Effect::Expire, at(0))),
            2 => drop(store.purge(&[prefix(&path)], Effect::Remove, at(0))),
            3 => store.invalidate(&key(&path)),
            4 => store.reweigh(&key(&path)),
            _ => {
                let permit = store.alone(&key(&path));
                let tags = format!("{news}, t{}, {path}", random.u32(..20));
                let mut request = HeaderMap::new();
                let mut headers = HeaderMap::new();
                headers.insert("cache-tag", tags.parse().unwrap());
                if random.bool() {
                    headers.insert("vary", "x".parse().unwrap());
                    request.insert("x", random.u32(..3).to_string().parse().unwrap());
                }
                let tags = Tags::read(&headers, &TagHeaders::default().0, TagLimits::default());
                let head = Head::new(StatusCode::OK, headers).tagged(tags);
                runtime.block_on(finish(permit.store(&request, head, fresh_for(1000))));
            }
        }
    }
}
