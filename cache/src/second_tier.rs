//! Between the store and the disk: what is published is written there, what is missed may come back from there, what is purged
//! goes there too.
//!
//! On disk a key begins with scheme, authority and path, so that a prefix purge is one prefix; site and group come last. Slices are
//! found through the record that names them, so a purge of that is enough.

use crate::disk::{Disk, DiskStatistics, Mark, Reach, Record, Strength, name_of};
use crate::entry::{Address, Entry};
use crate::fill::Permit;
use crate::key::Key;
use crate::packed::Packed;
use crate::policy::{Demand, Freshness};
use crate::purge::{Effect, Selector};
use crate::store::{Lookup, Source, is_good_enough};
use crate::tag::Tag;
use crate::vary::Selection;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bodies up to this many bytes are written again when the origin has confirmed them with a 304. Larger ones stay as they are and
/// count as stale: after a restart another 304 costs less than writing them each time.
const WRITTEN_AGAIN: usize = 1 << 20;

/// What is fresh for less than this is not written: it would push out what is of use for longer.
const WORTH_WRITING: Duration = Duration::from_secs(10);

/// The second tier of a store.
#[derive(Debug)]
pub(crate) struct SecondTier {
    disk: Disk,
}

impl SecondTier {
    /// The tier on this disk. What is `in_memory`, by the text of its primary key, is kept there when its time has come.
    pub(crate) fn new(disk: Disk, in_memory: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        disk.keep(Box::new(move |key| primary_of(key).is_some_and(|primary| in_memory(&primary))));
        Self { disk }
    }

    pub(crate) fn statistics(&self) -> DiskStatistics {
        self.disk.statistics()
    }

    pub(crate) fn close(&self) {
        self.disk.close();
    }

    /// Writes an entry that was published.
    pub(crate) fn put(&self, key: &Key, entry: &Arc<Entry>) {
        let Some(body) = entry.complete() else { return };
        let name = disk_key(key);
        if entry.freshness().lifetime < WORTH_WRITING {
            return self.disk.forget(name.as_bytes(), Strength::Gone);
        }
        if entry.is_confirmed() && body.len() > WRITTEN_AGAIN {
            return self.disk.forget(name.as_bytes(), Strength::Stale(entry.freshness().stored_at));
        }
        let mut meta = Vec::with_capacity(64 + entry.packed().len());
        write_meta(&mut meta, entry);
        self.disk.put(Record {
            key: name.into(),
            variant: variant_of(key, &entry.selection()),
            labels: labels(key, entry.tags()),
            meta: meta.into(),
            body,
        });
    }

    /// Whether anything is stored under a key, in whatever variant.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.disk.has(disk_key(key).as_bytes())
    }

    /// Forgets what is stored under a key.
    pub(crate) fn forget(&self, key: &Key) {
        self.disk.forget(disk_key(key).as_bytes(), Strength::Gone);
    }

    /// Purges what the selectors take.
    pub(crate) fn purge(&self, selectors: &[Selector], effect: Effect, now: SystemTime) {
        let strength = match effect {
            Effect::Expire => Strength::Stale(now),
            Effect::Remove => Strength::Gone,
            Effect::Count => return,
        };
        for selector in selectors {
            match selector {
                Selector::Url(key) => self.disk.forget(disk_key(key).as_bytes(), strength),
                _ => reaches(selector).for_each(|reach| self.disk.mark(&Mark { reach, strength })),
            }
        }
    }

    /// Waits until purges so far would survive a crash; false when the disk refuses.
    pub(crate) async fn settled(&self) -> bool {
        self.disk.settled().await
    }

    /// What is on disk for a request. The variant that came last tells what variants are selected by.
    async fn find(&self, address: Address<'_>, request: &HeaderMap) -> Option<Entry> {
        let name = disk_key(address.key);
        let newest = Stored::of(self.disk.newest(name.as_bytes()).await?)?;
        if newest.answers(address.key, request) {
            return Some(newest.entry(address));
        }
        let variant = variant_of(address.key, &newest.head.selection().with(request));
        let other = Stored::of(self.disk.variant(name.as_bytes(), variant).await?)?;
        other.answers(address.key, request).then(|| other.entry(address))
    }
}

impl Lookup {
    /// What is not in memory may be on disk: whoever leads looks there, for everybody who follows.
    pub async fn on_disk(self, request: &HeaderMap, demand: &Demand, now: SystemTime) -> Self {
        match self {
            // Boxed, since few lookups come to this: the future of a hit stays small.
            Self::Lead(permit) if permit.may_be_on_disk() => {
                Box::pin(permit.revive(request, demand, now)).await
            }
            known => known,
        }
    }
}

impl Permit {
    /// What is on disk is no newer than a stale copy that is at hand already.
    fn may_be_on_disk(&self) -> bool {
        self.stale.is_none() && self.store.second_tier.is_some()
    }

    async fn revive(mut self: Box<Self>, request: &HeaderMap, demand: &Demand, now: SystemTime) -> Lookup {
        let store = Arc::clone(&self.store);
        let Some(tier) = &store.second_tier else { return Lookup::Lead(self) };
        let Some(entry) = tier.find(store.address(&self.key), request).await else {
            return Lookup::Lead(self);
        };
        let entry = Arc::new(entry);
        if !self.publish(&entry, Source::Disk) {
            return Lookup::Lead(self);
        }
        if is_good_enough(&entry, demand, now) {
            self.share(&entry);
            return Lookup::Revived(entry);
        }
        self.stale = Some(Arc::clone(&entry));
        if !demand.insists() && entry.freshness().serves_while_revalidating(now) {
            return Lookup::Stale(entry, Some(self));
        }
        Lookup::Lead(self)
    }
}

/// A record as it was read, its meta taken apart.
struct Stored {
    status: StatusCode,
    freshness: Freshness,
    head: Packed,
    body: Bytes,
    stale_since: Option<SystemTime>,
}

impl Stored {
    fn of(found: crate::disk::Found) -> Option<Self> {
        let (status, freshness, head) = read_meta(&found.record.meta)?;
        Some(Self { status, freshness, head, body: found.record.body, stale_since: found.stale_since })
    }

    /// Whether it is stored under this very key and selected by this request.
    fn answers(&self, key: &Key, request: &HeaderMap) -> bool {
        let carried = self.head.path();
        (carried == key.path() || carried == key.text()) && self.head.selection().matches(request)
    }

    fn entry(&self, address: Address<'_>) -> Entry {
        let entry = Entry::revived(address, self.status, &self.head, &self.freshness, &self.body);
        // A slice is good for as long as its record says so: only the record becomes stale.
        if let Some(since) = self.stale_since.filter(|_| !entry.is_slice()) {
            entry.expire(since);
        }
        entry
    }
}

/// Five spans and points in milliseconds, the status, the head. Written as read, by the version that [`crate::disk`] checks.
fn write_meta(meta: &mut Vec<u8>, entry: &Entry) {
    let freshness = entry.freshness();
    let stored_at = freshness.stored_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let Freshness { lifetime, initial_age, while_revalidate, if_error, .. } = freshness;
    for span in [stored_at, lifetime, initial_age, while_revalidate, if_error] {
        meta.extend(u64::try_from(span.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
    }
    meta.extend(entry.status().as_u16().to_le_bytes());
    meta.extend_from_slice(entry.packed().as_bytes());
}

fn read_meta(mut meta: &[u8]) -> Option<(StatusCode, Freshness, Packed)> {
    let mut span = || {
        let (milliseconds, rest) = meta.split_first_chunk()?;
        meta = rest;
        Some(Duration::from_millis(u64::from_le_bytes(*milliseconds)))
    };
    let (stored_at, lifetime, initial_age) = (span()?, span()?, span()?);
    let (while_revalidate, if_error) = (span()?, span()?);
    let stored_at = UNIX_EPOCH.checked_add(stored_at)?;
    let (status, head) = meta.split_first_chunk()?;
    let status = StatusCode::from_u16(u16::from_le_bytes(*status)).ok()?;
    let freshness = Freshness { lifetime, initial_age, stored_at, while_revalidate, if_error };
    Some((status, freshness, Packed::from_stored(head)))
}

/// `scheme LF authority LF path LF site LF group`. Only the path of a slice holds line breaks, and it stands between parts that hold none.
fn disk_key(key: &Key) -> String {
    let [site, group, scheme, authority] = realm_of(key);
    format!("{scheme}\n{authority}\n{}\n{site}\n{group}", key.primary_path())
}

/// The text of the primary key from the one on disk.
fn primary_of(disk_key: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(disk_key).ok()?;
    let (scheme, rest) = text.split_once(Key::SEPARATOR)?;
    let (authority, rest) = rest.split_once(Key::SEPARATOR)?;
    let (rest, group) = rest.rsplit_once(Key::SEPARATOR)?;
    let (path, site) = rest.rsplit_once(Key::SEPARATOR)?;
    Some(format!("{site}\n{group}\n{scheme}\n{authority}\n{path}"))
}

fn realm_of(key: &Key) -> [&str; 4] {
    let mut parts = key.realm().split(Key::SEPARATOR);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// What tells variants under one primary key apart: the fields that a policy keys by, and those that `Vary` names.
fn variant_of(key: &Key, selection: &Selection) -> u32 {
    let mut text = key.path().as_bytes().to_vec();
    text.push(b'\n');
    selection.write(&mut text);
    name_of(&text) as u32
}

/// What a record can be purged by, beside its own key.
fn labels(key: &Key, tags: impl Iterator<Item = Tag>) -> Vec<u64> {
    let [site, _, scheme, authority] = realm_of(key);
    let of_tag = |tag: Tag| [tag_label(tag), group_label(tag, scheme, authority)];
    tags.flat_map(of_tag).chain([site_label(site)]).collect()
}

fn reaches(selector: &Selector) -> impl Iterator<Item = Reach> {
    let reaches = match selector {
        // By its own name: see `SecondTier::purge`.
        Selector::Url(_) => Vec::new(),
        Selector::Tag(tag) => vec![Reach::Label(tag_label(*tag))],
        Selector::Group { tag, scheme, authority } => {
            vec![Reach::Label(group_label(*tag, scheme, authority))]
        }
        Selector::Site(site) => vec![Reach::Label(site_label(site))],
        Selector::Prefix { scheme, authority, path } => {
            let schemes = scheme.as_deref().map_or(vec!["http", "https"], |scheme| vec![scheme]);
            let prefix = |scheme| Reach::Prefix(format!("{scheme}\n{authority}\n{path}").into());
            schemes.into_iter().map(prefix).collect()
        }
    };
    reaches.into_iter()
}

fn tag_label(tag: Tag) -> u64 {
    u64::from_le_bytes(tag.bytes())
}

fn group_label(tag: Tag, scheme: &str, authority: &str) -> u64 {
    name_of(format!("group\n{scheme}\n{authority}\n{:016x}", tag_label(tag)).as_bytes())
}

fn site_label(site: &str) -> u64 {
    name_of(format!("site\n{site}").as_bytes())
}

#[cfg(test)]
#[path = "second_tier_tests.rs"]
mod tests;
