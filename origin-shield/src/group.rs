//! Origins that stand in for one another: whom to ask, whom to pass over, and what happened.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};

use crate::body::OriginBody;
use crate::failure::{Cause, Failure};
use crate::origin::{NoAnswer, Origin};
use crate::settings::{Condition, GroupSettings};
use crate::upload::OutgoingBody;

/// Origins in order of preference, and the memory of who failed. One for all cores.
#[derive(Debug)]
pub struct Group {
    name: Arc<str>,
    settings: GroupSettings,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    origin: Arc<Origin>,
    failed: Mutex<Option<Remembered>>,
}

#[derive(Debug, Clone, Copy)]
struct Remembered {
    failure: Failure,
    until: Instant,
}

/// An origin's answer. Its body may still fail.
#[derive(Debug)]
pub struct Reply {
    /// The answer, its body still arriving.
    pub response: Response<OriginBody>,
    /// Who gave it.
    pub origin: Arc<str>,
    /// What failed before, in order.
    pub attempts: Vec<Attempt>,
}

/// One member that was asked and did not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The name of the origin.
    pub origin: Arc<str>,
    /// Why it did not help.
    pub failure: Failure,
    /// What the connection said about it, for the log; empty for a status.
    pub detail: String,
}

/// Nobody answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Exhausted {
    /// The name of the group, or of the only origin.
    pub group: Arc<str>,
    /// Everyone who was asked, in order.
    pub attempts: Vec<Attempt>,
}

/// What a group thinks of one of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    /// The name of the origin.
    pub origin: Arc<str>,
    /// How it failed last, if it did not answer well since.
    pub last_failure: Option<Failure>,
    /// How long it is still passed over; zero if it is not.
    pub skipped_for: Duration,
}

/// Whom to ask for one request.
struct Turns<'a> {
    members: Vec<&'a Member>,
    /// How many of them are asked in any case; the others, which failed lately, only when nobody answered at all.
    preferred: usize,
}

impl Group {
    /// A group called `name` of these members; `settings.members` are their names in the same order.
    pub fn build(name: &str, settings: &GroupSettings, members: Vec<Arc<Origin>>) -> Self {
        let members = members.into_iter().map(|origin| Member { origin, failed: Mutex::new(None) }).collect();
        Self { name: name.into(), settings: settings.clone(), members }
    }

    /// A group of one, for a route that names an origin directly.
    pub fn single(origin: Arc<Origin>) -> Self {
        let settings = GroupSettings::new(vec![origin.name().to_owned()]);
        Self::build(&origin.shared_name(), &settings, vec![origin])
    }

    /// What the config file calls it; for a group of one, the origin's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks the members in order until one answers well. `now` is when the request began.
    ///
    /// The request's URI needs only path and query; every member gets it under its own address. When the last member to
    /// be asked answers with a status of `failover-on`, that answer is the reply, as CloudFront does it.
    ///
    /// # Errors
    /// Nobody gave an answer, each for the reason in [`Exhausted::attempts`].
    pub async fn send(&self, request: Request<OutgoingBody>, now: Instant) -> Result<Reply, Exhausted> {
        let (head, body) = request.into_parts();
        let began = tokio::time::Instant::now();
        let turns = self.turns(now);
        let may_fail_over = self.may_fail_over(&head.method);
        let mut body = Some(body);
        let mut attempts = Vec::new();
        for (turn, member) in turns.members.iter().enumerate() {
            let Some(whole) = body.take() else { break };
            let had_no_body = whole.is_empty();
            match member.origin.exchange(&head, whole).await {
                Ok(response) => {
                    let failure = Failure::Status(response.status().as_u16());
                    if !self.is_failure(failure) {
                        member.recover();
                        return Ok(self.reply(member, response, attempts));
                    }
                    member.remember(failure, now + began.elapsed() + self.settings.remember);
                    if !may_fail_over || !had_no_body || turn + 1 >= turns.preferred {
                        return Ok(self.reply(member, response, attempts));
                    }
                    attempts.push(member.attempt(Cause::new(failure, String::new())));
                    body = Some(OutgoingBody::Empty);
                }
                Err(NoAnswer { cause, body: returned }) => {
                    let fails = self.is_failure(cause.failure);
                    if fails {
                        member.remember(cause.failure, now + began.elapsed() + self.settings.remember);
                    }
                    attempts.push(member.attempt(cause));
                    body = returned.filter(|_| fails && may_fail_over);
                }
            }
        }
        Err(Exhausted { group: self.name.clone(), attempts })
    }

    /// What the group thinks of its members, in order; for the admin page.
    pub fn state(&self, now: Instant) -> Vec<MemberState> {
        let state = |member: &Member| {
            let remembered = member.remembered();
            MemberState {
                origin: member.origin.shared_name(),
                last_failure: remembered.map(|remembered| remembered.failure),
                skipped_for: remembered
                    .map(|remembered| remembered.until.saturating_duration_since(now))
                    .unwrap_or_default(),
            }
        };
        self.members.iter().map(state).collect()
    }

    /// Members that did not fail lately, then the others. When all failed lately, all in order: one may be back.
    fn turns(&self, now: Instant) -> Turns<'_> {
        let (mut members, skipped): (Vec<_>, Vec<_>) =
            self.members.iter().partition(|member| !member.is_skipped(now));
        let preferred = if members.is_empty() { skipped.len() } else { members.len() };
        members.extend(skipped);
        Turns { members, preferred }
    }

    fn may_fail_over(&self, method: &Method) -> bool {
        self.settings.methods.iter().any(|allowed| allowed == method.as_str())
    }

    fn is_failure(&self, failure: Failure) -> bool {
        self.settings.failover_on.iter().any(|condition| condition.covers(failure))
    }

    fn reply(&self, member: &Member, response: Response<OriginBody>, attempts: Vec<Attempt>) -> Reply {
        Reply { response, origin: member.origin.shared_name(), attempts }
    }
}

impl Member {
    fn remembered(&self) -> Option<Remembered> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_skipped(&self, now: Instant) -> bool {
        self.remembered().is_some_and(|remembered| now < remembered.until)
    }

    fn remember(&self, failure: Failure, until: Instant) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Remembered { failure, until });
    }

    fn recover(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn attempt(&self, cause: Cause) -> Attempt {
        Attempt { origin: self.origin.shared_name(), failure: cause.failure, detail: cause.detail }
    }
}

impl Condition {
    fn covers(self, failure: Failure) -> bool {
        match (self, failure) {
            (Self::Status(listed), Failure::Status(status)) => listed == status,
            (Self::Timeout, Failure::DnsTimeout | Failure::ConnectionTimeout | Failure::ResponseTimeout) => {
                true
            }
            // Not the origin's fault, an answer, or an answer that is late.
            (
                Self::Connect,
                Failure::Status(_)
                | Failure::ResponseTimeout
                | Failure::RequestInvalid
                | Failure::ConnectionLimit,
            ) => false,
            (Self::Connect, _) => true,
            _ => false,
        }
    }
}

impl Exhausted {
    /// Why the last one that was asked did not answer; `None` for a group without members.
    pub fn failure(&self) -> Option<Failure> {
        self.attempts.last().map(|attempt| attempt.failure)
    }

    /// The status that RFC 9209 recommends for this: 504 if the last one was late, else 502, or 400 if the request itself broke.
    pub fn status(&self) -> StatusCode {
        self.failure().map_or(StatusCode::BAD_GATEWAY, Failure::status)
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no answer from {}", self.group)?;
        for (index, attempt) in self.attempts.iter().enumerate() {
            write!(formatter, "{}{attempt}", if index == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.origin, self.failure)?;
        if self.detail.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.detail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_KIND: [Failure; 16] = [
        Failure::DnsError,
        Failure::DnsTimeout,
        Failure::ConnectionRefused,
        Failure::ConnectionTimeout,
        Failure::ConnectionTerminated,
        Failure::ConnectionLimit,
        Failure::Unroutable,
        Failure::TlsCertificate,
        Failure::TlsProtocol,
        Failure::TlsAlert,
        Failure::ResponseTimeout,
        Failure::ResponseInvalid,
        Failure::ResponseCoding,
        Failure::ResponseIncomplete,
        Failure::RequestInvalid,
        Failure::Status(503),
    ];

    fn group() -> Group {
        let origin = |name: &str| {
            let settings = crate::OriginSettings::new("http://127.0.0.1:1".parse().unwrap());
            Origin::build(name, &settings).unwrap()
        };
        let settings = GroupSettings::new(vec!["a".into(), "b".into()]);
        Group::build("main", &settings, vec![origin("a"), origin("b")])
    }

    fn names(turns: &Turns<'_>) -> (Vec<String>, usize) {
        (turns.members.iter().map(|member| member.origin.name().to_owned()).collect(), turns.preferred)
    }

    #[test]
    fn a_viewers_or_our_own_trouble_is_nobodys_failure() {
        let unlisted: Vec<_> =
            EVERY_KIND.into_iter().filter(|failure| !group().is_failure(*failure)).collect();
        assert_eq!(unlisted, [Failure::ConnectionLimit, Failure::RequestInvalid]);
        assert!(!group().is_failure(Failure::Status(404)));
    }

    #[test]
    fn late_is_told_from_broken() {
        let late: Vec<_> =
            EVERY_KIND.into_iter().filter(|failure| Condition::Timeout.covers(*failure)).collect();
        assert_eq!(late, [Failure::DnsTimeout, Failure::ConnectionTimeout, Failure::ResponseTimeout]);
        assert!(!Condition::Connect.covers(Failure::ResponseTimeout));
        assert!(Condition::Connect.covers(Failure::ConnectionTimeout));
    }

    #[test]
    fn who_failed_is_asked_last_until_the_memory_ends_or_it_answers() {
        let (group, now) = (group(), Instant::now());
        let later = now + Duration::from_secs(30);
        assert_eq!(names(&group.turns(now)), (vec!["a".into(), "b".into()], 2));
        group.members[0].remember(Failure::ConnectionRefused, later);
        assert_eq!(names(&group.turns(now)), (vec!["b".into(), "a".into()], 1));
        assert_eq!(names(&group.turns(later)), (vec!["a".into(), "b".into()], 2));
        group.members[1].remember(Failure::Status(503), later);
        assert_eq!(names(&group.turns(now)), (vec!["a".into(), "b".into()], 2), "all failed: all in order");
        group.members[0].recover();
        assert_eq!(names(&group.turns(now)), (vec!["a".into(), "b".into()], 1));
    }

    #[test]
    fn the_state_says_how_long_a_member_is_passed_over() {
        let (group, now) = (group(), Instant::now());
        group.members[1].remember(Failure::Status(503), now + Duration::from_secs(30));
        let state = group.state(now + Duration::from_secs(10));
        assert_eq!((state[0].last_failure, state[0].skipped_for), (None, Duration::ZERO));
        assert_eq!(state[1].last_failure, Some(Failure::Status(503)));
        assert_eq!(state[1].skipped_for, Duration::from_secs(20));
    }

    #[test]
    fn an_exhausted_group_names_every_attempt() {
        let attempt = |origin: &str, failure, detail: &str| Attempt {
            origin: origin.into(),
            failure,
            detail: detail.into(),
        };
        let attempts = vec![
            attempt("a", Failure::Status(503), ""),
            attempt("b", Failure::ResponseTimeout, "no head of an answer for 30s"),
        ];
        let exhausted = Exhausted { group: "main".into(), attempts };
        let text =
            "no answer from main: a: status 503; b: http_response_timeout (no head of an answer for 30s)";
        assert_eq!(exhausted.to_string(), text);
        assert_eq!(exhausted.status(), 504);
        assert_eq!(Exhausted { group: "main".into(), attempts: vec![] }.status(), 502);
    }
}
