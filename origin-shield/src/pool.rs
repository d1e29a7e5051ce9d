//! The open connections of one core to one origin. The only place that speaks HTTP as the asking side.
//!
//! hyper's connections are used directly and not through a ready-made pool, because the rules of this room need to know
//! what such a pool hides: whether a connection was used before (then its end says nothing about the origin), whether a
//! request ever left (then its body is still whole), and when connecting ended and waiting for the answer began.

mod lease;
mod limit;
mod tunnel;
mod warm;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::dial::{Dialer, Line, Purpose, Whither};
use crate::failure::Cause;
use crate::settings::PoolSettings;
use crate::upload::Sending;

pub(crate) use lease::{Lease, Unsent};
use lease::{Sender, Unfinished};
pub(crate) use limit::Limit;
use limit::{Admission, Permit};
pub use tunnel::{Tunnel, TunnelStream};
use warm::Census;

/// The largest head of an answer, in bytes. HTTP/1.1 also allows no more than 100 fields, hyper's default.
const LARGEST_HEAD: u32 = 64 * 1024;
/// How often an HTTP/2 connection with requests under way is asked whether it still lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// How many answers may fill their windows before all that share a connection wait for their readers.
const SHARERS: u32 = 16;
/// How often at most unused connections are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long at most nobody looks at them: their origin's name would be forgotten meanwhile.
const LONGEST_LOOK: Duration = Duration::from_secs(60);
/// RFC 9113 section 6.9.1.
const LARGEST_WINDOW: u32 = i32::MAX as u32;

/// The connections of one thread to one origin; the thread's runtime drives them.
pub(crate) struct Pool {
    dialer: Arc<Dialer>,
    settings: PoolSettings,
    runtime: Handle,
    dial_ended: Notify,
    limit: Option<Arc<Limit>>,
    /// How many requests of this core wait for the limit, and word for them that a connection came back.
    queued: AtomicUsize,
    returned: Notify,
    census: Arc<Census>,
    state: Mutex<State>,
}

struct State {
    /// HTTP/1.1 connections that wait for a request, the longest unused one first.
    idle: VecDeque<Idle>,
    /// The HTTP/2 connection that all requests share.
    shared: Option<Shared>,
    /// What the origin speaks, once a connection has told.
    protocol: Protocol,
    /// How many connections are being opened, and how the last of these ended.
    dialing: usize,
    last_failure: Option<Cause>,
    is_reaping: bool,
}

struct Idle {
    sender: http1::SendRequest<Sending>,
    since: Instant,
    term: Arc<Term>,
}

/// How long a connection may be given to requests. Shared, so that what passes through requests stays small.
struct Term {
    /// When it is too old for another request.
    until: Instant,
    whither: Whither,
    /// The task that drives it, where it carries one request at a time and then stays.
    driver: Option<AbortHandle>,
}

impl Term {
    /// Ends the connection at once. One whose request is unfinished would not end by itself: it has bytes for an origin that may
    /// have stopped reading.
    fn cut(&self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }

    /// Whether a request has the connection, where the pool has it too.
    fn is_lent(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }
}

struct Shared {
    sender: http2::SendRequest<Sending>,
    used: Instant,
    term: Arc<Term>,
}

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Unknown,
    Http1,
    Http2,
}

impl Pool {
    /// An empty pool that belongs to the current runtime.
    pub(crate) fn new(dialer: Arc<Dialer>, settings: &PoolSettings, limit: Option<Arc<Limit>>) -> Arc<Self> {
        let protocol = if dialer.may_speak_http2() { Protocol::Unknown } else { Protocol::Http1 };
        Arc::new(Self {
            dialer,
            settings: settings.clone(),
            runtime: Handle::current(),
            dial_ended: Notify::new(),
            limit,
            queued: AtomicUsize::new(0),
            returned: Notify::new(),
            census: Arc::default(),
            state: Mutex::new(State {
                idle: VecDeque::new(),
                shared: None,
                protocol,
                dialing: 0,
                last_failure: None,
                is_reaping: false,
            }),
        })
    }

    /// A connection that is open already, or else a new one.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, Cause> {
        if let Some(lease) = self.parked() {
            return Ok(lease);
        }
        // What few requests need is boxed: the future of the others is moved about with each of them.
        Box::pin(self.await_or_open()).await
    }

    async fn await_or_open(self: &Arc<Self>) -> Result<Lease, Cause> {
        // A connection that others are opening may turn out to be one that all can share.
        if let Some(ended) = self.sharable_dial() {
            ended.await;
            if let Some(lease) = self.parked() {
                return Ok(lease);
            }
            if let Some(cause) = self.state().last_failure.clone() {
                return Err(cause);
            }
        }
        self.fresh().await
    }

    /// A new connection, whatever is open; where the origin has as many as it may, what comes back first.
    pub(crate) async fn fresh(self: &Arc<Self>) -> Result<Lease, Cause> {
        match self.admission().await? {
            Admission::Open(permit) => self.opened(permit).await,
            Admission::Used(lease) => Ok(lease),
        }
    }

    /// A new connection if the limit has room for one now; nobody waits for it, nor gives one up.
    async fn fresh_if_free(self: &Arc<Self>) -> Result<Option<Lease>, Cause> {
        let permit = match &self.limit {
            None => None,
            Some(limit) => match limit.permit() {
                None => return Ok(None),
                permit => permit,
            },
        };
        self.opened(permit).await.map(Some)
    }

    /// A new connection beside those that the origin's limit allows: whether it is up is not a question of how busy it is.
    pub(crate) async fn uncounted(self: &Arc<Self>) -> Result<Lease, Cause> {
        self.opened(None).await
    }

    async fn opened(self: &Arc<Self>, permit: Permit) -> Result<Lease, Cause> {
        let dialing = Dialing::begin(self);
        let outcome = self.open(permit).await;
        dialing.finish(outcome.as_ref().err());
        let (sender, term) = outcome?;
        Ok(Lease::new(sender, false, term, self))
    }

    /// A new HTTP/1.1 connection for a request that asks to change the protocol. Whatever comes of it, no other request follows.
    pub(crate) async fn dedicated(self: &Arc<Self>) -> Result<Lease, Cause> {
        let (line, whither) = self.dialer.dial(Purpose::Upgrade).await?;
        let (sender, connection) =
            http1_builder().handshake(line).await.map_err(|error| Cause::of_exchange(&error))?;
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
        let term = Arc::new(Term { until: Instant::now(), whither, driver: None });
        Ok(Lease::new(Sender::Dedicated(sender), false, term, self))
    }

    /// Stops handing out the shared connection, if it is the one of `term`; requests on it go on. For when it may be dead without
    /// saying so.
    fn distrust_shared(&self, term: &Arc<Term>) {
        let mut state = self.state();
        state.shared = state.shared.take().filter(|shared| !Arc::ptr_eq(&shared.term, term));
    }

    async fn open(&self, permit: Permit) -> Result<(Sender, Arc<Term>), Cause> {
        let (line, whither) = self.dialer.dial(Purpose::Requests).await?;
        let until = Instant::now() + shortened(self.settings.lifetime, fastrand::f64());
        let term = |driver| Arc::new(Term { until, whither, driver });
        if self.dialer.speaks_http2(&line)? {
            let term = term(None);
            return Ok((self.open_http2(line, term.clone(), permit).await?, term));
        }
        let (sender, driver) = self.open_http1(line, permit).await?;
        Ok((sender, term(Some(driver))))
    }

    async fn open_http1(&self, line: Line, permit: Permit) -> Result<(Sender, AbortHandle), Cause> {
        let (sender, connection) =
            http1_builder().handshake(line).await.map_err(|error| Cause::of_exchange(&error))?;
        let counted = self.census.count();
        // Whoever waits for an answer is told of the connection's errors.
        let driver = tokio::spawn(async move { drop((connection.await, counted, permit)) });
        self.state().protocol = Protocol::Http1;
        Ok((Sender::Http1(sender), driver.abort_handle()))
    }

    async fn open_http2(&self, line: Line, term: Arc<Term>, permit: Permit) -> Result<Sender, Cause> {
        let window = self.settings.window.as_u64().try_into().unwrap_or(LARGEST_WINDOW).min(LARGEST_WINDOW);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(LARGEST_HEAD)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_PATIENCE)
            .keep_alive_while_idle(self.settings.kept_warm() > 0)
            .initial_stream_window_size(window)
            .initial_connection_window_size(window.saturating_mul(SHARERS).min(LARGEST_WINDOW))
            .handshake(line)
            .await
            .map_err(|error| Cause::of_exchange(&error))?;
        let counted = self.census.count();
        tokio::spawn(async move { drop((connection.await, counted, permit)) });
        let mut state = self.state();
        state.protocol = Protocol::Http2;
        state.shared = Some(Shared { sender: sender.clone(), used: Instant::now(), term });
        Ok(Sender::Http2(sender))
    }

    fn parked(self: &Arc<Self>) -> Option<Lease> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(Shared { sender, used, term }) = &mut state.shared {
            if !sender.is_closed() && (now < term.until || self.has_no_other(term)) {
                *used = now;
                return Some(Lease::new(Sender::Http2(sender.clone()), true, term.clone(), self));
            }
            state.shared = None;
        }
        while let Some(Idle { sender, since, term }) = state.idle.pop_back() {
            let is_late = self.settings.kept_warm() == 0 && now.duration_since(since) >= self.settings.idle;
            if sender.is_ready() && !is_late && now < term.until {
                return Some(Lease::new(Sender::Http1(sender), true, term, self));
            }
        }
        None
    }

    fn sharable_dial(&self) -> Option<impl Future<Output = ()>> {
        let state = self.state();
        (state.dialing > 0 && state.protocol != Protocol::Http1).then(|| self.dial_ended.notified())
    }

    /// Takes a connection back as soon as it can carry the next request, if it ever can: an upload that was answered early goes on
    /// as long as the origin takes some of it within `patience`.
    fn park(
        self: &Arc<Self>,
        mut sender: http1::SendRequest<Sending>,
        term: Arc<Term>,
        unfinished: Unfinished,
    ) {
        if self.settings.max_idle == 0 || sender.is_closed() {
            return;
        }
        if sender.is_ready() {
            return self.keep(sender, term);
        }
        let pool = Arc::downgrade(self);
        self.runtime.spawn(async move {
            if !unfinished.ends(&mut sender).await {
                return term.cut();
            }
            if let Some(pool) = pool.upgrade() {
                pool.keep(sender, term);
            }
        });
    }

    fn keep(self: &Arc<Self>, sender: http1::SendRequest<Sending>, term: Arc<Term>) {
        let since = Instant::now();
        if term.until <= since || !self.leads_there(&term) {
            return;
        }
        let mut state = self.state();
        if state.idle.len() >= self.settings.max_idle {
            state.idle.pop_front();
        }
        state.idle.push_back(Idle { sender, since, term });
        self.start_reaping(&mut state);
        if self.queued.load(Relaxed) > 0 {
            drop(state);
            self.returned.notify_one();
        }
    }

    fn start_reaping(self: &Arc<Self>, state: &mut State) {
        if !state.is_reaping {
            state.is_reaping = true;
            self.runtime.spawn(reap(Arc::downgrade(self)));
        }
    }

    /// Closes what was not used for too long or is too old; says when to look again, or that nothing is left to look after. Those
    /// used last, as many as are kept warm, may be unused for as long as they live.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        let (limit, warm) = (self.settings.idle, self.settings.kept_warm());
        let ends = |since: Instant, term: &Term, is_warm: bool| match is_warm {
            true => term.until,
            false => term.until.min(since + limit),
        };
        state
            .idle
            .retain(|idle| now < idle.term.until && !idle.sender.is_closed() && self.leads_there(&idle.term));
        let spare = state.idle.len().saturating_sub(warm);
        let late = state.idle.iter().take(spare).take_while(|idle| idle.since + limit <= now).count();
        state.idle.drain(..late);
        let is_shared = state.shared.as_ref().is_some_and(|Shared { sender, used, term }| {
            let is_good = now < ends(*used, term, warm > 0) && self.leads_there(term);
            !sender.is_closed() && (is_good || self.has_no_other(term))
        });
        state.shared = state.shared.take().filter(|_| is_shared);
        let idle = state.idle.iter().enumerate();
        let idle = idle.map(|(place, idle)| ends(idle.since, &idle.term, place + late >= spare));
        let shared = state.shared.iter().map(|shared| match ends(shared.used, &shared.term, warm > 0) {
            end if end > now => end,
            // Kept for want of another.
            _ => now + LOOK_EVERY,
        });
        // The name of an origin with warm connections is looked after as if they were used.
        let next = idle.chain(shared).min().map(|next| next.min(now + limit.clamp(LOOK_EVERY, LONGEST_LOOK)));
        state.is_reaping = next.is_some();
        if next.is_some() {
            self.dialer.touch();
        }
        next
    }

    /// Gives up a connection that nobody here uses, for another core that waits for one.
    fn spare_one(&self) {
        if self.queued.load(Relaxed) > 0 || !self.limit.as_ref().is_some_and(|limit| limit.is_reached()) {
            return;
        }
        let mut state = self.state();
        if state.idle.pop_front().is_none() {
            // A busy one would keep its permit, and be of no further use to anybody.
            state.shared = state.shared.take().filter(|shared| shared.term.is_lent());
        }
    }

    /// Whether the shared connection of `term` takes requests beyond its time: those that are under way keep it open, and the limit
    /// allows no other.
    fn has_no_other(&self, term: &Arc<Term>) -> bool {
        term.is_lent() && self.limit.as_ref().is_some_and(|limit| limit.is_reached())
    }

    /// Whether the origin's name still has the address that a connection leads to.
    fn leads_there(&self, term: &Term) -> bool {
        !self.settings.follow_names || self.dialer.holds(&term.whither)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.census.ended.notify_one();
    }
}

/// A lifetime less up to a tenth of it, by a number from 0 to 1 that is drawn anew for each.
fn shortened(lifetime: Duration, draw: f64) -> Duration {
    lifetime.mul_f64(1.0 - draw / 10.0)
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_header_size(LARGEST_HEAD as usize);
    builder
}

async fn reap(pool: Weak<Pool>) {
    let mut changes = pool.upgrade().and_then(|pool| pool.dialer.changes());
    let limit = pool.upgrade().and_then(|pool| pool.limit.clone());
    while let Some(next) = pool.upgrade().and_then(|pool| pool.expire(Instant::now())) {
        let wanted = async {
            match &limit {
                Some(limit) => limit.wanted().await,
                None => pending().await,
            }
        };
        let moved = async {
            match &mut changes {
                // The sender is the pool's own; without it nothing is left to look after.
                Some(changes) => drop(changes.changed().await),
                None => pending().await,
            }
        };
        tokio::select! {
            () = sleep_until(next) => {}
            () = moved => {}
            () = wanted => {
                if let Some(pool) = pool.upgrade() {
                    pool.spare_one();
                }
            }
        }
    }
}

/// One connection being opened. However it ends, even given up, those who wait for it are told.
struct Dialing<'a> {
    pool: &'a Arc<Pool>,
    failure: Option<Cause>,
}

impl<'a> Dialing<'a> {
    fn begin(pool: &'a Arc<Pool>) -> Self {
        pool.state().dialing += 1;
        Self { pool, failure: None }
    }

    fn finish(mut self, failure: Option<&Cause>) {
        self.failure = failure.cloned();
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.dialing -= 1;
        state.last_failure = self.failure.take();
        if state.shared.is_some() {
            self.pool.start_reaping(&mut state);
        }
        drop(state);
        self.pool.dial_ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_differ_by_up_to_a_tenth_and_are_never_longer() {
        let hour = Duration::from_secs(3600);
        assert_eq!(shortened(hour, 0.0), hour);
        assert_eq!(shortened(hour, 0.5), hour.mul_f64(0.95));
        assert_eq!(shortened(hour, 1.0), hour.mul_f64(0.9));
        assert_eq!(shortened(Duration::ZERO, 0.3), Duration::ZERO);
    }
}
