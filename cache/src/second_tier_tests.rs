//! What a store leaves on disk, and what the next one makes of it.

use super::*;
use crate::disk::DiskSettings;
use crate::entry::Head;
use crate::fill::Outcome;
use crate::key::KeyParts;
use crate::settings::{KeySettings, TagHeaders};
use crate::store::{Limits, Store};
use crate::tag::{TagLimits, Tags};
use bytesize::ByteSize;
use std::path::Path;
use tempfile::TempDir;

/// What nearly all viewers ask for.
const ANY: Demand = Demand {
    no_cache: false,
    no_store: false,
    only_if_cached: false,
    max_age: None,
    min_fresh: Duration::ZERO,
    max_stale: Duration::ZERO,
};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn store(folder: &TempDir) -> Store {
    let settings = DiskSettings::new(folder.path().to_owned(), ByteSize::gib(1));
    let disk = Disk::open(&settings, Box::new(|what, error| panic!("{what}: {error}"))).unwrap();
    Store::over(
        disk,
        Limits { memory: 64_000_000, max_object: 8_000_000, uncacheable: Duration::from_secs(120) },
    )
}

fn key(path_and_query: &str) -> Key {
    key_for(path_and_query, &HeaderMap::new())
}

fn key_for(path_and_query: &str, request: &HeaderMap) -> Key {
    let parts = KeyParts { site: "www", group: "main", scheme: "https", authority: "a", path_and_query };
    let settings = KeySettings { headers: vec!["X-Device".to_owned()], ..KeySettings::default() };
    Key::of(&parts, request, &settings)
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn freshness() -> Freshness {
    Freshness {
        lifetime: Duration::from_secs(100),
        initial_age: Duration::from_secs(7),
        stored_at: at(0),
        while_revalidate: Duration::from_secs(5),
        if_error: Duration::from_secs(60),
    }
}

async fn fill(
    permit: Permit,
    request: &HeaderMap,
    response: &[(&'static str, &str)],
    body: impl Into<Bytes>,
) {
    let response = headers(response);
    let tags = Tags::read(&response, &TagHeaders::default().0, TagLimits::default());
    let head = Head::new(StatusCode::NOT_FOUND, response).tagged(tags);
    let mut writer = permit.store(request, head, freshness());
    writer.push(body.into()).await.unwrap();
    writer.finish();
}

async fn stored(store: &Store, key: &Key, request: &HeaderMap, response: &[(&'static str, &str)]) {
    let Lookup::Lead(permit) = look(store, key, request, at(0)).await else { panic!("it is there already") };
    fill(*permit, request, response, "body").await;
}

async fn look(store: &Store, key: &Key, request: &HeaderMap, now: SystemTime) -> Lookup {
    store.begin(key, request, &ANY, now).on_disk(request, &ANY, now).await
}

async fn revived(store: &Store, key: &Key, request: &HeaderMap) -> Option<Arc<Entry>> {
    match look(store, key, request, at(1)).await {
        Lookup::Revived(entry) => Some(entry),
        Lookup::Lead(_) => None,
        other => panic!("neither revived nor gone: {other:?}"),
    }
}

#[tokio::test]
async fn an_entry_comes_back_as_it_was() {
    let (folder, plain, page) = (folder(), HeaderMap::new(), key("/page?a=1"));
    let response = [("content-type", "text/html"), ("x-odd", "é"), ("cache-tag", "news"), ("etag", "\"1\"")];
    let first = store(&folder);
    stored(&first, &page, &plain, &response).await;
    let Lookup::Fresh(before) = first.begin(&page, &plain, &ANY, at(1)) else { panic!("not stored") };
    first.close();
    drop(first);

    let second = store(&folder);
    let after = revived(&second, &page, &plain).await.unwrap();
    assert_eq!((after.status(), after.freshness()), (before.status(), before.freshness()));
    assert_eq!((after.headers(), after.edge_only()), (before.headers(), before.edge_only()));
    assert_eq!((after.complete(), after.tags().count()), (before.complete(), 1));
    // From now on it is in memory, and nobody else is known.
    assert!(matches!(second.begin(&page, &plain, &ANY, at(1)), Lookup::Fresh(_)));
    assert!(revived(&second, &key("/page?a=2"), &plain).await.is_none());
    assert_eq!(second.statistics().disk.map(|disk| disk.records), Some(1));
}

#[tokio::test]
async fn followers_get_what_the_leader_finds_on_disk() {
    let (folder, plain, page) = (folder(), HeaderMap::new(), key("/"));
    stored(&store(&folder), &page, &plain, &[]).await;
    let store = store(&folder);
    let leader = store.begin(&page, &plain, &ANY, at(1));
    let Lookup::Follow(follower) = store.begin(&page, &plain, &ANY, at(1)) else { panic!("must follow") };
    assert!(matches!(leader.on_disk(&plain, &ANY, at(1)).await, Lookup::Revived(_)));
    let Outcome::Entry(entry) = follower.wait().await else { panic!("must get the entry") };
    assert_eq!(entry.complete().unwrap(), "body");
}

#[tokio::test]
async fn what_is_stale_comes_back_to_be_validated() {
    let (folder, plain, page) = (folder(), HeaderMap::new(), key("/"));
    stored(&store(&folder), &page, &plain, &[("etag", "\"1\"")]).await;

    let first = store(&folder);
    // 100 seconds, less the 7 that it was old.
    let Lookup::Stale(_, Some(permit)) = look(&first, &page, &plain, at(95)).await else {
        panic!("not usable")
    };
    let renewed = Freshness { stored_at: at(95), ..freshness() };
    permit.refresh(&headers(&[("x-new", "1")]), |_| Some((renewed, Tags::default()))).unwrap();
    drop(first);

    let second = store(&folder);
    let Lookup::Revived(entry) = look(&second, &page, &plain, at(150)).await else { panic!("not renewed") };
    assert_eq!(entry.header(&http::HeaderName::from_static("x-new")).unwrap(), "1");
    drop(second);

    let Lookup::Lead(permit) = look(&store(&folder), &page, &plain, at(1000)).await else {
        panic!("not stale")
    };
    assert_eq!(permit.stale().unwrap().complete().unwrap(), "body");
}

#[tokio::test]
async fn a_large_body_that_was_confirmed_is_not_written_again() {
    let (folder, plain, page) = (folder(), HeaderMap::new(), key("/"));
    let first = store(&folder);
    let Lookup::Lead(permit) = first.begin(&page, &plain, &ANY, at(0)) else { panic!("not to lead") };
    fill(*permit, &plain, &[("etag", "\"1\"")], vec![b'x'; WRITTEN_AGAIN + 1]).await;
    let Lookup::Stale(_, Some(permit)) = first.begin(&page, &plain, &ANY, at(95)) else {
        panic!("not stale")
    };
    let renewed = Freshness { stored_at: at(95), ..freshness() };
    permit.refresh(&HeaderMap::new(), |_| Some((renewed, Tags::default()))).unwrap();
    assert!(first.settled().await.unwrap());
    assert_eq!(first.statistics().disk.unwrap().written, 1);
    drop(first);

    let Lookup::Lead(permit) = look(&store(&folder), &page, &plain, at(150)).await else {
        panic!("not stale")
    };
    assert_eq!(permit.stale().unwrap().length(), Some(WRITTEN_AGAIN as u64 + 1));
}

#[tokio::test]
async fn what_is_fresh_for_moments_is_not_written_nor_what_it_replaces_kept() {
    let (folder, plain, page) = (folder(), HeaderMap::new(), key("/"));
    let first = store(&folder);
    stored(&first, &page, &plain, &[]).await;
    let Lookup::Stale(_, Some(permit)) = first.begin(&page, &plain, &ANY, at(95)) else {
        panic!("not stale")
    };
    let moment = Freshness { lifetime: Duration::from_secs(9), stored_at: at(95), ..freshness() };
    let mut writer = permit.store(&plain, Head::new(StatusCode::OK, HeaderMap::new()), moment);
    writer.push(Bytes::from_static(b"new")).await.unwrap();
    writer.finish();
    drop(first);
    assert!(revived(&store(&folder), &page, &plain).await.is_none());
}

#[tokio::test]
async fn variants_come_back_to_those_who_select_them() {
    let folder = folder();
    let first = store(&folder);
    let languages = ["de", "ko", "en"].map(|language| headers(&[("accept-language", language)]));
    for request in &languages {
        stored(&first, &key("/"), request, &[("vary", "accept-language")]).await;
    }
    let phone = headers(&[("x-device", "phone")]);
    stored(&first, &key_for("/", &phone), &phone, &[]).await;
    drop(first);

    let second = store(&folder);
    assert!(revived(&second, &key_for("/", &phone), &phone).await.is_some());
    drop(second);
    // The newest varies by nothing; those of another device are found all the same once one of them is the newest.
    let third = store(&folder);
    stored(&third, &key("/"), &headers(&[("accept-language", "fr")]), &[("vary", "accept-language")]).await;
    drop(third);
    let last = store(&folder);
    for request in &languages {
        let entry = revived(&last, &key("/"), request).await.unwrap();
        assert!(entry.matches(request));
    }
    assert!(revived(&last, &key("/"), &headers(&[("accept-language", "xx")])).await.is_none());
    let tablet = headers(&[("x-device", "tablet")]);
    assert!(revived(&last, &key_for("/", &tablet), &tablet).await.is_none());
}

#[tokio::test]
async fn what_is_purged_does_not_come_back() {
    let plain = HeaderMap::new();
    let tag = Tag::of(b"news");
    let prefix = |scheme: Option<&str>, path: &str| Selector::Prefix {
        scheme: scheme.map(str::to_owned),
        authority: "a".to_owned(),
        path: path.to_owned(),
    };
    let group = |authority: &str| Selector::Group {
        tag,
        scheme: "https".to_owned(),
        authority: authority.to_owned(),
    };
    for (selector, takes) in [
        (Selector::Url(key("/img/a")), true),
        (Selector::Url(key("/img/b")), false),
        (Selector::Tag(tag), true),
        (Selector::Tag(Tag::of(b"old")), false),
        (group("a"), true),
        (group("b"), false),
        (Selector::Site("www".to_owned()), true),
        (Selector::Site("other".to_owned()), false),
        (prefix(None, "/img/"), true),
        (prefix(Some("https"), "/im"), true),
        (prefix(Some("http"), "/img/"), false),
        (prefix(None, "/img/b"), false),
    ] {
        for effect in [Effect::Remove, Effect::Expire, Effect::Count] {
            let folder = folder();
            stored(&store(&folder), &key("/img/a"), &plain, &[("cache-tag", "news")]).await;
            // In a process that has never seen it.
            let store_now = store(&folder);
            store_now.purge(std::slice::from_ref(&selector), effect, at(1));
            assert!(store_now.settled().await.unwrap());
            let found = said(look(&store_now, &key("/img/a"), &plain, at(50)).await);
            drop(store_now);
            let later = said(look(&store(&folder), &key("/img/a"), &plain, at(50)).await);
            let expected = match effect {
                Effect::Remove if takes => "gone",
                Effect::Expire if takes => "stale",
                _ => "fresh",
            };
            assert_eq!((found, later), (expected, expected), "{selector:?} {effect:?}");
        }
    }
}

fn said(lookup: Lookup) -> &'static str {
    match lookup {
        Lookup::Revived(_) => "fresh",
        Lookup::Lead(permit) if permit.stale().is_some() => "stale",
        Lookup::Lead(_) => "gone",
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_soft_purge_leaves_slices_to_their_record() {
    let (folder, plain, slice) = (folder(), HeaderMap::new(), key("/film").part("0f/7"));
    let first = store(&folder);
    let Lookup::Lead(permit) = look(&first, &slice, &plain, at(0)).await else {
        panic!("it is there already")
    };
    let mut writer =
        permit.store(&plain, Head::new(StatusCode::PARTIAL_CONTENT, HeaderMap::new()), freshness());
    writer.push(Bytes::from_static(b"part")).await.unwrap();
    writer.finish();
    drop(first);
    for (effect, expected) in [(Effect::Expire, "fresh"), (Effect::Remove, "gone")] {
        let store = store(&folder);
        store.purge(&[Selector::Site("www".to_owned())], effect, at(1));
        assert_eq!(said(look(&store, &slice, &plain, at(50)).await), expected, "{effect:?}");
    }
}

#[tokio::test]
async fn what_changed_at_the_origin_does_not_come_back() {
    let (folder, plain, page) = (folder(), HeaderMap::new(), key("/"));
    let first = store(&folder);
    stored(&first, &page, &plain, &[]).await;
    first.invalidate(&page);
    assert!(first.settled().await.unwrap());
    assert!(revived(&first, &page, &plain).await.is_none());
    drop(first);
    assert!(revived(&store(&folder), &page, &plain).await.is_none());
}

#[tokio::test]
async fn a_purge_while_the_disk_is_read_is_heeded() {
    let (folder, plain, page) = (folder(), HeaderMap::new(), key("/"));
    stored(&store(&folder), &page, &plain, &[]).await;
    let store = store(&folder);
    let leader = store.begin(&page, &plain, &ANY, at(1));
    let reading = leader.on_disk(&plain, &ANY, at(1));
    store.purge(&[Selector::Url(page.clone())], Effect::Remove, at(1));
    assert!(matches!(reading.await, Lookup::Lead(permit) if permit.stale().is_none()));
}

#[test]
fn a_key_on_disk_tells_the_primary_key() {
    let page = key_for("/film?a=1", &headers(&[("x-device", "phone")]));
    assert_eq!(primary_of(disk_key(&page).as_bytes()).unwrap(), format!("{}/film?a=1", page.realm()));
    let part = page.part("0f/7");
    assert_eq!(primary_of(disk_key(&part).as_bytes()).unwrap(), part.text());
    assert_ne!(disk_key(&page), disk_key(&key("/film?a=2")));
    assert_eq!(primary_of(b"a\nb"), None);
}

#[test]
fn meta_that_is_no_meta_is_refused_or_harmless() {
    let head = Packed::new(&Selection::default(), "/a", &[], &headers(&[("content-type", "text/html")]));
    let address = key("/a");
    let realm = crate::realm::Realm::CARRIED;
    let address = Address { key: &address, realm };
    let entry = Entry::revived(address, StatusCode::OK, &head, &freshness(), b"body");
    let mut meta = Vec::new();
    write_meta(&mut meta, &entry);
    let (status, read, _) = read_meta(&meta).unwrap();
    assert_eq!((status, read), (StatusCode::OK, freshness()));
    for length in 0..42 {
        assert!(read_meta(&meta[..length]).is_none(), "{length} bytes");
    }
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut changed = meta.clone();
        for _ in 0..random.usize(1..5) {
            let at = random.usize(0..changed.len());
            changed[at] = random.u8(..);
        }
        if let Some((status, freshness, head)) = read_meta(&changed) {
            let entry = Entry::revived(address, status, &head, &freshness, b"body");
            let _ = (entry.headers(), entry.freshness().remaining(at(0)), entry.tags().count());
        }
    }
}
