//! Failures that are wanted: a rehearsal of what happens when an origin is slow or gone, with an end that cannot be forgotten.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::failure::{Cause, Failure, Injected};
use crate::settings::{Abort, FaultSettings};

/// The faults of one origin. Nothing happens before [`Fault::begin`], nor once it is over: it never begins again.
#[derive(Debug)]
pub struct Fault {
    origin: Arc<str>,
    settings: FaultSettings,
    /// Its last moment, once begun.
    until: OnceLock<Instant>,
    is_over: AtomicBool,
    end: watch::Sender<Option<FaultEnd>>,
    delayed: AtomicU64,
    aborted: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
}

/// Why a rehearsal is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEnd {
    /// Its time came.
    Time,
    /// Too many requests got no good answer from anybody.
    Errors {
        /// How many.
        errors: u64,
        /// Of how many.
        requests: u64,
    },
    /// Somebody stopped it.
    Stopped,
}

/// How a rehearsal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultState {
    /// Whether requests meet faults now.
    pub is_active: bool,
    /// How long it goes on unless something ends it; zero when it is over or has not begun.
    pub left: Duration,
    /// Why it is over.
    pub end: Option<FaultEnd>,
    /// Requests that were made to wait.
    pub delayed: u64,
    /// Requests that were made to fail.
    pub aborted: u64,
    /// Requests to groups with this origin since it began.
    pub requests: u64,
    /// Those of them that got no good answer.
    pub errors: u64,
}

/// What one request meets.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Plan {
    delay: Option<Duration>,
    abort: Option<Abort>,
}

impl Fault {
    pub(crate) fn new(origin: Arc<str>, settings: FaultSettings) -> Self {
        Self {
            origin,
            settings,
            until: OnceLock::new(),
            is_over: AtomicBool::new(false),
            end: watch::Sender::new(None),
            delayed: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }

    /// The name of the origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Begins, `now` by the calendar, unless it began before; then its end stays where it was. Whether it is active for the first time.
    pub fn begin(&self, now: SystemTime) -> bool {
        let left = self.settings.until.duration_since(now).unwrap_or_default();
        let begins = self.until.set(Instant::now() + left).is_ok();
        if begins && left.is_zero() {
            self.finish(FaultEnd::Time);
        }
        begins && !left.is_zero()
    }

    /// Ends it at once.
    pub fn stop(&self) {
        self.finish(FaultEnd::Stopped);
    }

    /// Waits until it is over, and says why. One that never began is never over by itself.
    pub async fn ended(&self) -> FaultEnd {
        let mut end = self.end.subscribe();
        loop {
            if let Some(end) = *end.borrow_and_update() {
                return end;
            }
            let time = async {
                match self.until.get() {
                    Some(until) => sleep_until(*until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = time => self.finish(FaultEnd::Time),
                // The sender is this fault's own.
                _ = end.changed() => {}
            }
        }
    }

    /// How it stands.
    pub fn state(&self) -> FaultState {
        let now = Instant::now();
        let is_active = self.is_active(now);
        let left = self.until.get().filter(|_| is_active);
        FaultState {
            is_active,
            left: left.map(|until| until.saturating_duration_since(now)).unwrap_or_default(),
            end: *self.end.borrow(),
            delayed: self.delayed.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            requests: self.requests.load(Relaxed),
            errors: self.errors.load(Relaxed),
        }
    }

    /// What a request to the origin meets before it is sent, which takes no longer than the origin itself might: `patience`.
    pub(crate) async fn meet(&self, patience: Duration) -> Result<(), Cause> {
        if !self.is_active(Instant::now()) {
            return Ok(());
        }
        let plan = self.plan([fastrand::f64(), fastrand::f64()]);
        if let Some(delay) = plan.delay {
            self.delayed.fetch_add(1, Relaxed);
            sleep(delay.min(patience)).await;
            if delay >= patience {
                return Err(injected(Injected::Late, format!("delay of {delay:?}")));
            }
        }
        let Some(abort) = plan.abort else { return Ok(()) };
        self.aborted.fetch_add(1, Relaxed);
        Err(injected(abort.into(), abort.to_string()))
    }

    /// Counts an answer of a group with this origin, good or not.
    pub(crate) fn note(&self, is_good: bool) {
        if !self.is_active(Instant::now()) {
            return;
        }
        let requests = self.requests.fetch_add(1, Relaxed) + 1;
        let errors = self.errors.fetch_add(u64::from(!is_good), Relaxed) + u64::from(!is_good);
        let stop = &self.settings.stop_if;
        if requests >= stop.min_requests && errors as f64 > stop.error_rate * requests as f64 {
            self.finish(FaultEnd::Errors { errors, requests });
        }
    }

    fn is_active(&self, now: Instant) -> bool {
        !self.is_over.load(Relaxed) && self.until.get().is_some_and(|until| now < *until)
    }

    /// By two numbers from 0 to 1 that are drawn anew for each request.
    fn plan(&self, draws: [f64; 2]) -> Plan {
        let meets = |percent: f64, draw: f64| draw * 100.0 < percent;
        let delay = self.settings.delay.as_ref().filter(|delay| meets(delay.percent, draws[0]));
        let abort = self.settings.abort.as_ref().filter(|abort| meets(abort.percent, draws[1]));
        Plan { delay: delay.map(|delay| delay.by), abort: abort.map(|abort| abort.with) }
    }

    /// The first reason counts.
    fn finish(&self, reason: FaultEnd) {
        self.is_over.store(true, Relaxed);
        self.end.send_if_modified(|end| end.is_none() && end.replace(reason).is_none());
    }
}

fn injected(what: Injected, detail: String) -> Cause {
    Cause::new(Failure::Injected(what), detail)
}

impl From<Abort> for Injected {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Status(status) => Self::Status(status),
            Abort::Reset => Self::Reset,
        }
    }
}

/// What it does to whom, for the log.
impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "origin={}", self.origin)?;
        if let Some(delay) = &self.settings.delay {
            write!(formatter, " delay={:?} delay-percent={}", delay.by, delay.percent)?;
        }
        if let Some(abort) = &self.settings.abort {
            write!(formatter, " abort={:?} abort-percent={}", abort.with.to_string(), abort.percent)?;
        }
        Ok(())
    }
}

impl fmt::Display for FaultEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time => formatter.write_str("time"),
            Self::Errors { errors, requests } => {
                write!(formatter, "errors ({errors} of {requests} requests)")
            }
            Self::Stopped => formatter.write_str("stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{AbortSettings, DelaySettings, StopSettings};

    const BEGINNING: SystemTime = SystemTime::UNIX_EPOCH;
    const HOUR: Duration = Duration::from_secs(3600);

    fn fault(change: impl FnOnce(&mut FaultSettings)) -> Fault {
        let mut settings = FaultSettings {
            until: BEGINNING + HOUR,
            delay: None,
            abort: Some(AbortSettings { with: Abort::Status(503), percent: 100.0 }),
            stop_if: StopSettings { error_rate: 0.5, min_requests: 10 },
        };
        change(&mut settings);
        let fault = Fault::new("app".into(), settings);
        fault.begin(BEGINNING);
        fault
    }

    #[test]
    fn draws_decide_who_meets_what() {
        let fault = fault(|settings| {
            settings.delay = Some(DelaySettings { by: HOUR, percent: 10.0 });
            settings.abort = Some(AbortSettings { with: Abort::Reset, percent: 0.0 });
        });
        assert_eq!(fault.plan([0.099, 0.0]), Plan { delay: Some(HOUR), abort: None });
        assert_eq!(fault.plan([0.1, 0.0]), Plan { delay: None, abort: None });
    }

    #[tokio::test]
    async fn it_ends_at_its_time_and_never_begins_again() {
        let fault = fault(|settings| settings.until = BEGINNING + Duration::from_millis(100));
        assert!(fault.is_active(Instant::now()) && !fault.is_active(Instant::now() + HOUR));
        assert_eq!(fault.ended().await, FaultEnd::Time);
        assert!(fault.meet(HOUR).await.is_ok());
        assert!(!fault.begin(BEGINNING), "a reload does not begin it anew");
        assert!(fault.meet(HOUR).await.is_ok());
    }

    #[tokio::test]
    async fn one_that_is_over_already_or_never_begun_does_nothing() {
        let late = Fault::new("app".into(), fault(|_| {}).settings);
        assert!(late.meet(HOUR).await.is_ok(), "not begun");
        assert!(!late.begin(BEGINNING + HOUR));
        assert!(late.meet(HOUR).await.is_ok());
        assert_eq!(late.state().end, Some(FaultEnd::Time));
    }

    #[tokio::test]
    async fn too_many_bad_answers_end_it() {
        let fault = fault(|_| {});
        (0..9).for_each(|_| fault.note(false));
        assert!(fault.state().is_active, "too few to judge by");
        fault.note(false);
        assert_eq!(fault.ended().await, FaultEnd::Errors { errors: 10, requests: 10 });
        assert!(fault.meet(HOUR).await.is_ok());
        fault.stop();
        assert_eq!(
            fault.state().end,
            Some(FaultEnd::Errors { errors: 10, requests: 10 }),
            "the first reason counts"
        );
    }

    #[tokio::test]
    async fn good_answers_of_other_members_keep_it_going() {
        let fault = fault(|_| {});
        (0..100).for_each(|count| fault.note(count % 2 == 0));
        assert!(fault.state().is_active);
        fault.stop();
        assert_eq!(fault.ended().await, FaultEnd::Stopped);
    }

    #[tokio::test]
    async fn a_delay_beyond_the_response_timeout_is_a_timeout() {
        let delayed = |by| {
            fault(move |settings| {
                settings.abort = None;
                settings.delay = Some(DelaySettings { by, percent: 100.0 });
            })
        };
        let (short, began) = (Duration::from_millis(20), Instant::now());
        assert!(delayed(short).meet(HOUR).await.is_ok());
        assert!(began.elapsed() >= short);
        let late = delayed(HOUR).meet(short).await.unwrap_err();
        assert_eq!(late.failure, Failure::Injected(Injected::Late));
        assert!(began.elapsed() < HOUR);
    }
}
