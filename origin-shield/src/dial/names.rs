//! What is known of names, on the whole node: an answer that one core got serves all, and outlives name servers that fail.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::memory::{Held, Memory};
use super::resolve::{Kind, Record, Resolver};
use crate::failure::{Cause, Failure};

/// How long a name that nobody asks for is still asked after, so that the next connection finds a fresh answer.
const UNUSED_AFTER: Duration = Duration::from_secs(600);
/// RFC 8767 section 5, "client response timer": how long an answer long out of date waits for a better one. There it is 1.8 s, for
/// people; here a connection waits.
const STALE_PATIENCE: Duration = Duration::from_millis(250);
/// How long one look-up may take with all its queries, when the connection that wanted it has long given up.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(10);

/// The names that origins are reached by. One for the whole node.
pub struct Names {
    resolver: Resolver,
    stale: Duration,
    entries: Mutex<HashMap<(String, Kind), Weak<Entry>>>,
    /// How often an answer was another one than before.
    generation: AtomicU64,
    changes: watch::Sender<()>,
}

impl Names {
    /// Names as the name servers at `servers` know them; none: those of the machine. A good answer is used for at most `stale` after
    /// its time while no name server gives another.
    #[must_use]
    pub fn new(servers: &[SocketAddr], stale: Duration) -> Arc<Self> {
        Arc::new(Self {
            resolver: Resolver::new(servers),
            stale,
            entries: Mutex::default(),
            generation: AtomicU64::new(0),
            changes: watch::Sender::new(()),
        })
    }

    /// Grows when a name is found to have moved.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Tells when a name has moved.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// What is known of `host`; shared by all who ask for it, and forgotten with the last of them.
    pub(super) fn entry(self: &Arc<Self>, host: &str, kind: Kind) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_ascii_lowercase(), kind);
        if let Some(entry) = entries.get(&key).and_then(Weak::upgrade) {
            return entry;
        }
        entries.retain(|_, entry| entry.strong_count() > 0);
        let entry = Arc::new(Entry {
            names: self.clone(),
            host: key.0.clone(),
            kind,
            ended: Notify::new(),
            state: Mutex::new(State {
                memory: Memory::default(),
                is_asking: false,
                is_refreshed: false,
                used: Instant::now(),
            }),
        });
        entries.insert(key, Arc::downgrade(&entry));
        entry
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Names").field("resolver", &self.resolver).finish_non_exhaustive()
    }
}

/// One name and what is asked about it.
pub(super) struct Entry {
    names: Arc<Names>,
    host: String,
    kind: Kind,
    /// Tells those who wait that a look-up has ended.
    ended: Notify,
    state: Mutex<State>,
}

struct State {
    memory: Memory,
    is_asking: bool,
    is_refreshed: bool,
    used: Instant,
}

impl Entry {
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The records of the name; none if it has none. Whoever knows an answer does not wait for name servers.
    ///
    /// # Errors
    /// Nothing is known, and no name server answers.
    pub(super) async fn records(self: &Arc<Self>) -> Result<Arc<[Record]>, Cause> {
        let held = self.touch();
        match held {
            Held::Fresh(records) => return Ok(records),
            Held::Aging(records) => {
                if self.state().memory.is_due(Instant::now()) {
                    drop(self.asked());
                }
                return Ok(records);
            }
            Held::Old(_) | Held::Nothing(_) => {}
        }
        let asked = self.asked();
        if let Held::Old(records) = held {
            let in_time = timeout(STALE_PATIENCE, asked).await.is_ok();
            let better = self.held().records().filter(|_| in_time);
            return Ok(better.unwrap_or(records));
        }
        asked.await;
        match self.held() {
            Held::Nothing(Some(cause)) => Err(cause),
            Held::Nothing(None) => {
                Err(Cause::new(Failure::DnsError, format!("{}: the look-up was given up", self.host)))
            }
            held => Ok(held.records().unwrap_or_default()),
        }
    }

    /// What was known last, however old.
    pub(super) fn last(&self) -> Option<Arc<[Record]>> {
        self.state().memory.last()
    }

    /// What is known now; the name is in use, and from now on asked after before its answer is out of date.
    pub(super) fn touch(self: &Arc<Self>) -> Held {
        let now = Instant::now();
        let mut state = self.state();
        state.used = now;
        if !state.is_refreshed && state.memory.last().is_some() {
            state.is_refreshed = true;
            tokio::spawn(refresh(Arc::downgrade(self)));
        }
        state.memory.at(now)
    }

    fn held(&self) -> Held {
        self.state().memory.at(Instant::now())
    }

    /// Begins a look-up, unless one is under way. The future ends with it.
    fn asked(self: &Arc<Self>) -> impl Future<Output = ()> {
        let mut state = self.state();
        // Registered before the look-up can end.
        let ended = self.ended.notified();
        if !state.is_asking {
            state.is_asking = true;
            let asking = Asking(self.clone());
            tokio::spawn(async move { asking.ask().await });
        }
        ended
    }

    /// When to ask again; `None` when nobody has used the name for long.
    fn next_refresh(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        let next = state.memory.next_question(now).filter(|_| now < state.used + UNUSED_AFTER);
        state.is_refreshed = next.is_some();
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn refresh(entry: Weak<Entry>) {
    while let Some(next) = entry.upgrade().and_then(|entry| entry.next_refresh(Instant::now())) {
        sleep_until(next).await;
        let Some(entry) = entry.upgrade() else { return };
        entry.asked().await;
    }
}

/// One look-up under way. However it ends, even with its runtime, those who wait are told.
struct Asking(Arc<Entry>);

impl Asking {
    async fn ask(&self) {
        let Entry { names, host, kind, .. } = &*self.0;
        let answer = timeout(LOOKUP_PATIENCE, names.resolver.ask(host, *kind)).await;
        let late =
            |_| Err(Cause::new(Failure::DnsTimeout, format!("{host}: no answer for {LOOKUP_PATIENCE:?}")));
        let now = Instant::now();
        match answer.unwrap_or_else(late) {
            Err(cause) => self.0.state().memory.fail(cause, now),
            Ok(answer) => {
                if self.0.state().memory.learn(answer, names.stale, now) {
                    names.generation.fetch_add(1, Ordering::AcqRel);
                    names.changes.send_replace(());
                }
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.state().is_asking = false;
        self.0.ended.notify_waiters();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::dial::resolve::Answer;
    use std::net::IpAddr;
    use tokio::net::UdpSocket;
    use tokio::time::sleep;

    /// A name server that never answers.
    pub(in crate::dial) async fn silent() -> (UdpSocket, Arc<Names>) {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let names = Names::new(&[server.local_addr().unwrap()], Duration::from_secs(3600));
        (server, names)
    }

    impl Entry {
        /// As if the name servers had said so at `now`, for a minute.
        pub(in crate::dial) fn know(&self, address: Option<IpAddr>, now: Instant) {
            let answer = Answer {
                records: address.map(Record::Address).into_iter().collect(),
                ttl: Duration::from_secs(60),
            };
            self.state().memory.learn(answer, self.names.stale, now);
        }
    }

    /// How many queries come while the name is asked for often, though name servers failed at `failed`.
    async fn queries(failed: impl FnOnce(Instant) -> Instant) -> usize {
        let (server, names) = silent().await;
        let entry = names.entry("app.test.", Kind::V4);
        let (now, cause) = (Instant::now(), Cause::new(Failure::DnsError, "SERVFAIL"));
        entry.know("192.0.2.1".parse().ok(), now - Duration::from_secs(61));
        entry.state().memory.fail(cause.clone(), failed(now));
        for _ in 0..20 {
            assert_eq!(entry.records().await.unwrap().len(), 1);
            // As if that look-up had failed at once.
            sleep(Duration::from_millis(5)).await;
            entry.state().is_asking = false;
        }
        let (mut count, mut query) = (0, [0; 512]);
        while server.try_recv(&mut query).is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn name_servers_that_failed_lately_are_not_asked_for_each_connection() {
        assert_eq!(queries(|now| now).await, 0);
        assert!(queries(|now| now - Duration::from_secs(6)).await > 0);
    }
}
