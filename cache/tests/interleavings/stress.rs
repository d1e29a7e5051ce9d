//! Threads that run free for a bounded time, with the rules that can be checked while everything moves.

use crate::fetch::content;
use crate::room::{self, at, fetch_of};
use crate::steps::{KEYS, Name, VARIANTS};
use bytes::Bytes;
use cache::{Effect, Entry, Lookup, Outcome, Permit, Refusal, Skip, Store, Truncated};
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::yield_now;
use tokio::time::timeout;

const THREADS: usize = 4;
/// Tasks of a thread.
const VIEWERS: usize = 8;
/// Enough for some of the bodies.
const MEMORY: u64 = 400_000;
/// Far beyond what any wait takes.
const HANGS: Duration = Duration::from_secs(20);

struct Shared {
    store: Store,
    until: Instant,
    /// Counts events, so that it can be said which came first.
    clock: AtomicU64,
    /// When the last invalidation of each key that is over began.
    invalidated: [AtomicU64; KEYS],
    facts: Mutex<Vec<Fact>>,
    answered: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Fact {
    key: usize,
    /// For one variant only.
    only: Option<usize>,
    body: Bytes,
    /// When it had begun for certain.
    begun: u64,
    whole: bool,
}

/// Lets threads ask, fetch, read and invalidate.
pub(crate) fn run(time: Duration) {
    let shared = Arc::new(Shared {
        store: room::store(MEMORY),
        until: Instant::now() + time,
        clock: AtomicU64::new(1),
        invalidated: Default::default(),
        facts: Mutex::default(),
        answered: AtomicUsize::new(0),
    });
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                runtime.unwrap().block_on(async {
                    let mut viewers = tokio::task::JoinSet::new();
                    (0..VIEWERS).for_each(|_| drop(viewers.spawn(Arc::clone(&shared).view())));
                    while let Some(viewed) = viewers.join_next().await {
                        viewed.unwrap();
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a rule was broken");
    }
    assert_eq!(shared.store.statistics().in_flight_bytes, 0, "bytes in flight when nothing is");
    assert!(shared.answered.load(SeqCst) > 1000, "{} answers prove little", shared.answered.load(SeqCst));
}

impl Shared {
    async fn view(self: Arc<Self>) {
        while Instant::now() < self.until {
            let (key, variant) = (fastrand::usize(..KEYS), fastrand::usize(..VARIANTS));
            match fastrand::u8(..20) {
                0 => self.invalidate(key),
                _ => timeout(HANGS, self.ask(key, variant)).await.expect("a viewer hangs"),
            }
            yield_now().await;
        }
    }

    fn invalidate(&self, key: usize) {
        let begun = self.clock.fetch_add(1, SeqCst);
        let names = [Name::Url, Name::Prefix, Name::Tag, Name::Site];
        let keys = match names.get(fastrand::usize(..=names.len())) {
            Some(name) => room::purge(&self.store, key, *name, Effect::Remove, self.seconds()),
            None => {
                self.store.invalidate(&room::key(key));
                room::together(key)
            }
        };
        for key in &self.invalidated[keys] {
            key.fetch_max(begun, SeqCst);
        }
    }

    async fn ask(&self, key: usize, variant: usize) {
        let not_before = self.invalidated[key].load(SeqCst);
        let found = room::begin(&self.store, key, variant, self.seconds());
        let entry = match found {
            Lookup::Fresh(entry) | Lookup::Revived(entry) => {
                self.check_stored(&entry);
                entry
            }
            Lookup::Stale(entry, permit) => {
                self.check_stored(&entry);
                if let Some(permit) = permit {
                    self.fetch(key, variant, *permit).await;
                }
                entry
            }
            Lookup::Follow(follower) => match follower.wait().await {
                Outcome::Entry(entry) if entry.matches(&room::request(variant)) => entry,
                _ => return,
            },
            Lookup::Lead(permit) | Lookup::Alone(permit) => return self.fetch(key, variant, *permit).await,
        };
        let fact = self.fact(&entry);
        assert_eq!(fact.key, key, "an answer under another key");
        assert!(fact.only.is_none_or(|only| only == variant), "another variant");
        assert!(fact.begun >= not_before, "fetched before the key was invalidated");
        self.read(&entry).await;
    }

    /// A second passes every few hundred events.
    fn now(&self) -> std::time::SystemTime {
        at(self.seconds())
    }

    fn seconds(&self) -> u64 {
        self.clock.load(SeqCst) / 300
    }

    fn fact(&self, entry: &Arc<Entry>) -> Fact {
        self.facts()[fetch_of(entry)].clone()
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Vec<Fact>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_stored(&self, entry: &Arc<Entry>) {
        assert!(self.fact(entry).whole, "stored before its last byte");
        assert!(entry.complete().is_some(), "what is stored is complete");
    }

    async fn read(&self, entry: &Arc<Entry>) {
        let Some(mut reader) = entry.read() else { return };
        let (body, mut read, leaves_at) = (self.fact(entry).body, 0, fastrand::usize(..2_000_000));
        while read <= leaves_at {
            match reader.next().await {
                Some(Ok(chunk)) => {
                    assert!(body[read..].starts_with(&chunk), "read at {read} what is not the answer's");
                    read += chunk.len();
                }
                Some(Err(Truncated)) => return assert!(entry.complete().is_none(), "stored, but broken"),
                None => {
                    assert!(self.fact(entry).whole, "a body that has not ended looks complete");
                    assert_eq!(read, body.len(), "a part of a body looks complete");
                    self.answered.fetch_add(1, SeqCst);
                    return;
                }
            }
            if fastrand::u8(..8) == 0 {
                yield_now().await;
            }
        }
    }

    async fn fetch(&self, key: usize, variant: usize, permit: Permit) {
        let begun = self.clock.fetch_add(1, SeqCst);
        if let Some(stale) = permit.stale() {
            self.check_stored(stale);
        }
        yield_now().await;
        match fastrand::u8(..20) {
            0 => drop(permit),
            1 => permit.decline(Skip::Status, self.now()),
            2 => permit.refuse(Refusal { status: StatusCode::BAD_GATEWAY, token: "test" }),
            3 => drop(permit.reuse_stale(self.now())),
            4..10 if permit.stale().is_some() => {
                let renewed = room::fresh_for(fastrand::u64(1..3), self.seconds());
                let entry = room::confirm(permit, 0, Some(renewed));
                self.read(&entry).await;
            }
            _ => self.store_body(key, variant, permit, begun).await,
        }
    }

    async fn store_body(&self, key: usize, variant: usize, permit: Permit, begun: u64) {
        let length = match fastrand::u8(..8) {
            0 => fastrand::usize(300_000..600_000),
            1 | 2 => fastrand::usize(..room::MAX_OBJECT),
            _ => fastrand::usize(..2_000),
        };
        let only = fastrand::bool().then_some(variant);
        let (fetch, body) = {
            let mut facts = self.facts();
            let body = content(facts.len(), length);
            facts.push(Fact { key, only, body: body.clone(), begun, whole: false });
            (facts.len() - 1, body)
        };
        let freshness = room::fresh_for(fastrand::u64(0..3), self.seconds());
        let mut writer =
            permit.store(&room::request(variant), room::head(fetch, key, only.is_some()), freshness);
        let entry = Arc::clone(writer.entry());
        let breaks_at = if fastrand::u8(..8) == 0 { fastrand::usize(..=length) } else { usize::MAX };
        let write = async {
            let mut sent = 0;
            while sent < length {
                if sent >= breaks_at {
                    return;
                }
                let until = (sent + fastrand::usize(1..40_000)).min(length);
                if writer.push(body.slice(sent..until)).await.is_err() {
                    return;
                }
                sent = until;
                yield_now().await;
            }
            self.facts()[fetch].whole = true;
            writer.finish();
        };
        tokio::join!(self.read(&entry), write);
    }
}
