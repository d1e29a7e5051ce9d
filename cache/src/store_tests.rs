//! Lookups, collapsing and the budget.

use super::*;
use crate::coding::Coding;
use crate::entry::Head;
use crate::fill::{Outcome, Refusal, Writer};
use crate::key::KeyParts;
use crate::object::MAX_VARIANTS;
use crate::policy::{Demand, Freshness, Skip};
use crate::settings::KeySettings;
use crate::tag::Tags;
use bytes::Bytes;
use http::StatusCode;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

static KEY: LazyLock<Key> = LazyLock::new(|| key("/"));

fn key(path_and_query: &str) -> Key {
    let parts = KeyParts { site: "www", group: "main", scheme: "http", authority: "a", path_and_query };
    Key::of(&parts, &HeaderMap::new(), &KeySettings::default())
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn store() -> Store {
    Store::new(Limits { memory: 8_000_000, max_object: 100_000, uncacheable: Duration::from_secs(120) })
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn head(lines: &[(&'static str, &str)]) -> Head {
    Head::new(StatusCode::OK, headers(lines))
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

fn lead(store: &Store, request: &HeaderMap, now: SystemTime) -> Permit {
    match store.begin(&KEY, request, &Demand::default(), now) {
        Lookup::Lead(permit) => *permit,
        other => panic!("expected to lead: {other:?}"),
    }
}

async fn fill(mut writer: Writer, body: &'static str) {
    writer.push(Bytes::from_static(body.as_bytes())).await.unwrap();
    writer.finish();
}

async fn stored(store: &Store, request: &HeaderMap, response: &[(&'static str, &str)]) {
    let permit = lead(store, request, at(0));
    fill(permit.store(request, head(response), fresh_for(10)), "body").await;
}

fn fresh(store: &Store, request: &HeaderMap, now: SystemTime) -> Option<Arc<Entry>> {
    match store.begin(&KEY, request, &Demand::default(), now) {
        Lookup::Fresh(entry) => Some(entry),
        _ => None,
    }
}

#[tokio::test]
async fn the_first_leads_the_others_follow_and_read_while_it_arrives() {
    let (store, plain) = (store(), HeaderMap::new());
    let permit = lead(&store, &plain, at(0));
    let Lookup::Follow(early) = store.begin(&KEY, &plain, &Demand::default(), at(0)) else {
        panic!("must follow")
    };
    let mut writer = permit.store(&plain, head(&[]), fresh_for(10));
    let Lookup::Follow(late) = store.begin(&KEY, &plain, &Demand::default(), at(0)) else {
        panic!("must follow")
    };
    writer.push(Bytes::from_static(b"one")).await.unwrap();
    for follower in [early, late] {
        let Outcome::Entry(entry) = follower.wait().await else { panic!("must get the entry") };
        assert_eq!(entry.read().unwrap().next().await.unwrap().unwrap(), "one");
        assert!(entry.complete().is_none());
    }
    writer.finish();
    assert_eq!(fresh(&store, &plain, at(9)).unwrap().complete().unwrap(), "one");
    assert!(fresh(&store, &plain, at(10)).is_none());
    assert_eq!(store.statistics().in_flight_bytes, 0);
}

#[tokio::test]
async fn a_dropped_permit_frees_the_waiters_and_another_leads() {
    let (store, plain) = (store(), HeaderMap::new());
    let permit = lead(&store, &plain, at(0));
    let Lookup::Follow(follower) = store.begin(&KEY, &plain, &Demand::default(), at(0)) else {
        panic!("must follow")
    };
    drop(permit);
    assert!(matches!(follower.wait().await, Outcome::Abandoned));
    drop(lead(&store, &plain, at(0)));
}

#[tokio::test]
async fn a_refusal_is_shared() {
    let (store, plain) = (store(), HeaderMap::new());
    let permit = lead(&store, &plain, at(0));
    let Lookup::Follow(follower) = store.begin(&KEY, &plain, &Demand::default(), at(0)) else {
        panic!("must follow")
    };
    let refusal = Refusal { status: StatusCode::BAD_GATEWAY, token: "connection_refused" };
    permit.refuse(refusal);
    let Outcome::Refused(shared) = follower.wait().await else { panic!("must be refused") };
    assert_eq!(shared, refusal);
}

#[tokio::test]
async fn uncacheable_answers_let_the_others_go_in_parallel_for_a_while() {
    let (store, plain) = (store(), HeaderMap::new());
    lead(&store, &plain, at(0)).decline(Skip::Private, at(0));
    assert!(matches!(store.begin(&KEY, &plain, &Demand::default(), at(1)), Lookup::Alone(_)));
    let Lookup::Alone(permit) = store.begin(&KEY, &plain, &Demand::default(), at(119)) else {
        panic!("must go alone")
    };
    fill(permit.store(&plain, head(&[]), fresh_for(1000)), "cacheable after all").await;
    assert!(fresh(&store, &plain, at(120)).is_some());
}

#[tokio::test]
async fn followers_of_an_answer_for_the_leader_alone_go_their_own_ways() {
    let (store, plain) = (store(), HeaderMap::new());
    for skip in [Skip::Private, Skip::Status] {
        let permit = lead(&store, &plain, at(0));
        let Lookup::Follow(follower) = store.begin(&KEY, &plain, &Demand::default(), at(0)) else {
            panic!("must follow")
        };
        permit.decline(skip, at(0));
        assert!(matches!(follower.wait().await, Outcome::Alone), "{skip:?}");
        store.invalidate(&KEY);
    }
}

#[tokio::test]
async fn an_error_of_the_moment_or_a_lone_answer_marks_nothing() {
    let (store, plain) = (store(), HeaderMap::new());
    lead(&store, &plain, at(0)).decline(Skip::Status, at(0));
    store.alone(&KEY).decline(Skip::Encoded, at(0));
    drop(lead(&store, &plain, at(0)));
}

#[tokio::test]
async fn a_mark_leaves_stored_variants_alone() {
    let store = store();
    let (de, ko) = (headers(&[("accept-language", "de")]), headers(&[("accept-language", "ko")]));
    stored(&store, &de, &[("vary", "accept-language")]).await;
    lead(&store, &ko, at(1)).decline(Skip::Private, at(1));
    assert!(fresh(&store, &de, at(2)).is_some());
    assert!(matches!(store.begin(&KEY, &ko, &Demand::default(), at(2)), Lookup::Alone(_)));
    let Lookup::Alone(permit) = store.begin(&KEY, &de, &Demand::default(), at(15)) else {
        panic!("must go alone")
    };
    assert!(permit.reuse_stale(at(15)).is_some());
}

#[tokio::test]
async fn a_304_that_must_not_be_shared_answers_its_leader_alone() {
    let (store, plain) = (store(), HeaderMap::new());
    stored(&store, &plain, &[("etag", "\"a\"")]).await;
    let permit = lead(&store, &plain, at(20));
    let Lookup::Follow(follower) = store.begin(&KEY, &plain, &Demand::default(), at(20)) else {
        panic!("must follow")
    };
    let own = permit.refresh(&headers(&[("set-cookie", "a=b")]), |_| None).unwrap();
    assert!(own.headers().contains_key("set-cookie"));
    assert!(matches!(follower.wait().await, Outcome::Alone));
    let stale = lead(&store, &plain, at(20));
    assert!(!stale.stale().unwrap().headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn a_refreshed_entry_forgets_the_age_of_the_earlier_answer() {
    let (store, plain) = (store(), HeaderMap::new());
    stored(&store, &plain, &[("age", "99"), ("etag", "\"a\""), ("cdn-cache-control", "max-age=7")]).await;
    let permit = lead(&store, &plain, at(20));
    let entry = permit
        .refresh(&HeaderMap::new(), |headers| {
            assert!(!headers.contains_key("age"));
            assert_eq!(headers["cdn-cache-control"], "max-age=7");
            Some((fresh_for(10), Tags::default()))
        })
        .unwrap();
    assert!(!entry.headers().contains_key("cdn-cache-control"), "for the edge alone");
}

#[tokio::test]
async fn a_fill_that_outlasts_its_freshness_gets_no_new_followers() {
    let (store, plain) = (store(), HeaderMap::new());
    let writer = lead(&store, &plain, at(0)).store(&plain, head(&[]), fresh_for(10));
    assert!(matches!(store.begin(&KEY, &plain, &Demand::default(), at(9)), Lookup::Follow(_)));
    let second = lead(&store, &plain, at(11));
    drop(writer);
    assert!(
        matches!(store.begin(&KEY, &plain, &Demand::default(), at(11)), Lookup::Follow(_)),
        "the second fill goes on"
    );
    drop(second);
}

#[tokio::test]
async fn fetches_that_nobody_follows_are_overtaken_by_an_invalidation_too() {
    let (store, plain) = (store(), HeaderMap::new());
    let alone = store.alone(&KEY).store(&plain, head(&[]), fresh_for(10));
    // While this arrives it grows stale, and the next one takes its place among those that are followed.
    let replaced = lead(&store, &plain, at(0)).store(&plain, head(&[]), fresh_for(10));
    let follower = lead(&store, &plain, at(11));
    store.invalidate(&KEY);
    fill(alone, "asked for before").await;
    fill(replaced, "asked for before").await;
    drop(follower);
    let permit = lead(&store, &plain, at(1));
    assert!(permit.stale().is_none(), "{permit:?}");
}

#[tokio::test]
async fn what_was_asked_for_before_an_invalidation_is_not_published() {
    let (store, plain) = (store(), HeaderMap::new());
    let writer = lead(&store, &plain, at(0)).store(&plain, head(&[]), fresh_for(10));
    store.invalidate(&KEY);
    let after = lead(&store, &plain, at(0));
    fill(writer, "before").await;
    assert!(fresh(&store, &plain, at(1)).is_none());
    fill(after.store(&plain, head(&[]), fresh_for(10)), "after").await;
    store.reweigh(&KEY);
    assert_eq!(fresh(&store, &plain, at(1)).unwrap().complete().unwrap(), "after");
    store.invalidate(&KEY);
    store.reweigh(&KEY);
    assert!(fresh(&store, &plain, at(1)).is_none());
}

#[tokio::test]
async fn a_broken_body_is_not_published() {
    let (store, plain) = (store(), HeaderMap::new());
    let mut writer = lead(&store, &plain, at(0)).store(&plain, head(&[]), fresh_for(10));
    writer.push(Bytes::from_static(b"half")).await.unwrap();
    let mut reader = writer.entry().read().unwrap();
    drop(writer);
    assert_eq!(reader.next().await.unwrap().unwrap(), "half");
    assert!(reader.next().await.unwrap().is_err());
    drop(lead(&store, &plain, at(0)));
    assert_eq!(store.statistics().in_flight_bytes, 0);
}

#[tokio::test]
async fn variants_live_side_by_side() {
    let store = store();
    let (de, ko) = (headers(&[("accept-language", "de")]), headers(&[("accept-language", "ko")]));
    stored(&store, &de, &[("vary", "accept-language"), ("x", "de")]).await;
    stored(&store, &ko, &[("vary", "accept-language"), ("x", "ko")]).await;
    assert_eq!(fresh(&store, &de, at(1)).unwrap().headers()["x"], "de");
    assert_eq!(fresh(&store, &ko, at(1)).unwrap().headers()["x"], "ko");
}

#[tokio::test]
async fn variants_in_flight_do_not_wait_for_one_another() {
    let store = store();
    let (de, ko) = (headers(&[("accept-language", "de")]), headers(&[("accept-language", "ko")]));
    let vary = head(&[("vary", "accept-language")]);
    let writer = lead(&store, &de, at(0)).store(&de, vary, fresh_for(10));
    let second = lead(&store, &ko, at(0));
    assert!(matches!(store.begin(&KEY, &ko, &Demand::default(), at(0)), Lookup::Follow(_)));
    drop((writer, second));
}

#[tokio::test]
async fn variants_of_one_key_are_bounded() {
    let store = store();
    for number in 0..MAX_VARIANTS + 10 {
        let request = headers(&[("x-any", &number.to_string())]);
        stored(&store, &request, &[("vary", "x-any")]).await;
    }
    let kept = (0..MAX_VARIANTS + 10)
        .filter(|number| fresh(&store, &headers(&[("x-any", &number.to_string())]), at(1)).is_some());
    assert_eq!(kept.count(), MAX_VARIANTS);
}

#[tokio::test]
async fn an_entry_knows_its_key_and_ends_when_told() {
    let (store, plain) = (store(), HeaderMap::new());
    stored(&store, &plain, &[]).await;
    let entry = fresh(&store, &plain, at(1)).unwrap();
    assert_eq!(store.text_of(&entry), KEY.text());
    entry.expire(at(1));
    assert!(fresh(&store, &plain, at(1)).is_none());
    assert!(
        matches!(store.begin(&KEY, &plain, &Demand::default(), at(5)), Lookup::Stale(_, Some(_))),
        "its windows begin here"
    );
}

#[tokio::test]
async fn what_is_in_use_is_kept_at_hand_and_weighed() {
    let (store, plain) = (store(), HeaderMap::new());
    stored(&store, &plain, &[("x", "y"), ("surrogate-key", "k")]).await;
    let (cold, before) =
        (fresh(&store, &plain, at(1)).unwrap().headers().into_owned(), store.statistics().stored_bytes);
    for _ in 0..20 {
        assert_eq!(fresh(&store, &plain, at(1)).unwrap().headers().into_owned(), cold);
    }
    let after = store.statistics().stored_bytes;
    assert!(after > before, "{before} {after}");
    // What the origin confirms has a head of its own, and holds what was kept beside the body before.
    let permit = lead(&store, &plain, at(20));
    permit.refresh(&HeaderMap::new(), |_| Some((fresh_for(100), Tags::default()))).unwrap();
    let confirmed = store.statistics().stored_bytes;
    assert!(confirmed > after, "{after} {confirmed}");
}

#[tokio::test]
async fn what_is_encoded_while_it_settles_belongs_to_the_stored_entry() {
    let (store, plain) = (store(), HeaderMap::new());
    let mut writer = lead(&store, &plain, at(0)).store(&plain, head(&[]), fresh_for(10));
    let filling = Arc::clone(writer.entry());
    writer.push(Bytes::from_static(b"body")).await.unwrap();
    writer.finish();
    filling.encoded(Coding::Gzip).set(Bytes::from_static(b"encoded")).unwrap();
    let stored = fresh(&store, &plain, at(1)).unwrap();
    assert_eq!(stored.encoded(Coding::Gzip).get().unwrap(), "encoded");
}

#[tokio::test]
async fn what_is_invalidated_is_fetched_again() {
    let (store, plain) = (store(), HeaderMap::new());
    stored(&store, &plain, &[]).await;
    store.invalidate(&KEY);
    drop(lead(&store, &plain, at(1)));
}

#[tokio::test]
async fn stale_is_served_while_one_revalidates() {
    let (store, plain) = (store(), HeaderMap::new());
    stored(&store, &plain, &[("etag", "\"a\"")]).await;
    let Lookup::Stale(_, Some(permit)) = store.begin(&KEY, &plain, &Demand::default(), at(12)) else {
        panic!("must revalidate")
    };
    assert!(matches!(store.begin(&KEY, &plain, &Demand::default(), at(12)), Lookup::Stale(_, None)));
    let renewed = Freshness { stored_at: at(12), ..fresh_for(10) };
    let confirmed = headers(&[("x-new", "1"), ("content-length", "0")]);
    permit.refresh(&confirmed, |_| Some((renewed, Tags::default()))).unwrap();
    let entry = fresh(&store, &plain, at(13)).unwrap();
    assert_eq!(entry.complete().unwrap(), "body");
    assert_eq!(entry.headers()["x-new"], "1");
    assert!(!entry.headers().contains_key("content-length"));
}

#[tokio::test]
async fn past_the_window_stale_waits_but_stands_in_for_errors() {
    let (store, plain) = (store(), HeaderMap::new());
    stored(&store, &plain, &[]).await;
    let permit = lead(&store, &plain, at(20));
    let Lookup::Follow(follower) = store.begin(&KEY, &plain, &Demand::default(), at(20)) else {
        panic!("must follow")
    };
    assert!(permit.reuse_stale(at(20)).is_some());
    assert!(permit.reuse_stale(at(71)).is_none());
    drop(permit);
    assert!(matches!(follower.wait().await, Outcome::Entry(_)));
}

#[tokio::test]
async fn what_is_too_large_streams_through_and_is_not_kept() {
    let (store, plain) = (store(), HeaderMap::new());
    let permit = lead(&store, &plain, at(0));
    assert!(permit.accepts(None) && permit.accepts(Some(100_000)) && !permit.accepts(Some(100_001)));
    let mut writer = permit.store(&plain, head(&[]), fresh_for(10));
    let mut reader = writer.entry().read().unwrap();
    let reading = tokio::spawn(async move {
        let mut length = 0;
        while let Some(chunk) = reader.next().await {
            length += chunk.unwrap().len();
        }
        length
    });
    for _ in 0..100 {
        writer.push(Bytes::from(vec![1; 10_000])).await.unwrap();
    }
    drop(lead(&store, &plain, at(0)));
    writer.finish();
    assert_eq!(reading.await.unwrap(), 1_000_000);
    assert!(fresh(&store, &plain, at(0)).is_none());
}

#[tokio::test]
async fn bodies_in_flight_stay_within_their_share() {
    let store =
        Store::new(Limits { memory: 800_000, max_object: 90_000, uncacheable: Duration::from_secs(120) });
    let mut writers = Vec::new();
    for number in 0..10 {
        let request = HeaderMap::new();
        let Lookup::Lead(permit) =
            store.begin(&key(&format!("/{number}")), &request, &Demand::default(), at(0))
        else {
            panic!("must lead")
        };
        let mut writer = permit.store(&request, head(&[]), fresh_for(10));
        let reader = writer.entry().read();
        writer.push(Bytes::from(vec![1; 30_000])).await.unwrap();
        writers.push((writer, reader));
    }
    assert_eq!(store.statistics().in_flight_bytes, 90_000);
    drop(writers);
    assert_eq!(store.statistics().in_flight_bytes, 0);
}

#[tokio::test]
async fn stored_bytes_stay_within_the_budget() {
    let store =
        Store::new(Limits { memory: 400_000, max_object: 90_000, uncacheable: Duration::from_secs(120) });
    for number in 0..100 {
        let request = HeaderMap::new();
        let Lookup::Lead(permit) =
            store.begin(&key(&format!("/{number}")), &request, &Demand::default(), at(0))
        else {
            panic!("must lead")
        };
        let mut writer = permit.store(&request, head(&[]), fresh_for(10));
        writer.push(Bytes::from(vec![1; 10_000])).await.unwrap();
        writer.finish();
    }
    let statistics = store.statistics();
    assert!(statistics.stored_bytes <= 350_000, "{statistics:?}");
    assert!(statistics.keys >= 20, "{statistics:?}");
}
