//! Origins that stand in for one another: whom to ask, whom to pass over, and what happened.

mod budget;
mod memory;
mod recent;
mod report;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::{Method, Request, Response};

use crate::body::OriginBody;
use crate::change::{Change, Event, Witness};
use crate::clock;
use crate::failure::{Cause, Failure, Work};
use crate::fault::Fault;
use crate::origin::{NoAnswer, Origin};
use crate::settings::{Condition, EjectSettings, GroupSettings};
use crate::upload::OutgoingBody;

use budget::Budget;
use memory::{Memory, Standing};
use turns::{Field, Members, Turns};

pub use budget::BudgetState;
pub use report::{Attempt, Exhausted, GroupState, Halt, MemberState, Reply, Trust};
pub(crate) use turns::MOST_MEMBERS;

/// Origins in order of preference or with weights, and the memory of who failed. One for all cores.
pub struct Group {
    name: Arc<str>,
    settings: GroupSettings,
    members: Vec<Member>,
    /// One for each member; empty where order decides.
    weights: Vec<u32>,
    /// `None` for a group of one, which has nowhere to fail over to.
    budget: Option<Budget>,
    failovers: AtomicU64,
    /// The rehearsals of its members; none but for those whose settings ask for one.
    faults: Vec<Arc<Fault>>,
    witness: Option<Witness>,
}

#[derive(Debug)]
struct Member {
    origin: Arc<Origin>,
    memory: Memory,
}

impl Group {
    /// A group called `name` of these members, at most 64; `settings.members` are their names in the same order.
    pub fn build(name: &str, settings: &GroupSettings, members: Vec<Arc<Origin>>) -> Self {
        let weight = |origin: &Arc<Origin>| settings.weights.get(origin.name()).copied().unwrap_or_default();
        let is_weighted = !settings.weights.is_empty();
        let faults = members.iter().filter_map(|origin| origin.fault().cloned()).collect();
        Self {
            name: name.into(),
            settings: settings.clone(),
            weights: members.iter().filter(|_| is_weighted).map(weight).collect(),
            budget: (members.len() > 1).then(|| Budget::new(&settings.retry_budget)),
            members: members
                .into_iter()
                .take(MOST_MEMBERS)
                .map(|origin| Member { origin, memory: Memory::new(settings) })
                .collect(),
            failovers: AtomicU64::new(0),
            faults,
            witness: None,
        }
    }

    /// A group of one, for a route that names an origin directly.
    pub fn single(origin: Arc<Origin>) -> Self {
        let settings = GroupSettings::new(vec![origin.name().to_owned()]);
        Self::build(&origin.shared_name(), &settings, vec![origin])
    }

    /// The same group, which tells `witness` when it passes a member over and when one is back. A group of one does neither.
    #[must_use]
    pub fn telling(self, witness: Witness) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// What the config file calls it; for a group of one, the origin's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether some of the members are shields, which are told who asks.
    pub fn asks_shields(&self) -> bool {
        self.members.iter().any(|member| member.origin.is_shields())
    }

    /// Whether some of the members are programs that send requests of their own.
    pub fn reaches_out(&self) -> bool {
        self.members.iter().any(|member| member.origin.program().is_some_and(|program| program.reaches_out()))
    }

    /// Asks the members one after the other until one answers well. `now` is when the request began.
    ///
    /// The request's URI needs only path and query; every member gets it under its own address. When the last member to
    /// be asked answers with a status of `failover-on`, that answer is the reply, as CloudFront does it.
    ///
    /// # Errors
    /// Nobody gave an answer, each for the reason in [`Exhausted::attempts`].
    pub async fn send(&self, request: Request<OutgoingBody>, now: Instant) -> Result<Reply, Exhausted> {
        let (mut head, mut body) = request.into_parts();
        let may_fail_over = self.may_fail_over(&head.method);
        let mut turns = self.turns(now, &head.method);
        let mut asked = Asked::by(self, now);
        while let Some(turn) = turns.next() {
            let member = asked.ask(turn);
            let had_no_body = body.is_empty();
            match member.origin.exchange(&mut head, body, &mut asked.attempts).await {
                Ok(response) => {
                    let failure = Failure::Status(response.status().as_u16());
                    if !self.is_failure(failure) {
                        asked.answered(turn);
                        return Ok(asked.reply(turn, response));
                    }
                    member.memory.note(failure);
                    let may_go_on = may_fail_over && had_no_body && turns.has_good();
                    if !may_go_on || !asked.goes_on_from(turn, failure) {
                        return Ok(asked.reply(turn, response));
                    }
                    body = OutgoingBody::Empty;
                }
                Err(NoAnswer { cause, body: returned }) => {
                    let fails = self.is_failure(cause.failure);
                    match cause.failure.rehearsed() {
                        _ if !fails => {}
                        Failure::Status(_) => asked.refused(turn, cause.failure),
                        _ => asked.failed(turn, cause.failure),
                    }
                    let work = cause.work;
                    asked.attempts.push(member.attempt(cause));
                    match returned.filter(|_| fails && may_fail_over && !turns.is_over()) {
                        Some(whole) if asked.goes_on(work) => body = whole,
                        _ => break,
                    }
                }
            }
        }
        self.rehearse(false);
        Err(Exhausted { group: self.name.clone(), attempts: asked.attempts })
    }

    /// Rehearsals end when too many answers are bad.
    fn rehearse(&self, is_good: bool) {
        self.faults.iter().for_each(|fault| fault.note(is_good));
    }

    /// What the group thinks of its members and may afford; for the admin page.
    pub fn state(&self, now: Instant) -> GroupState {
        let now = clock::micros(now);
        let state = |(index, member): (usize, &Member)| MemberState {
            origin: member.origin.shared_name(),
            trust: match self.standing(index, now) {
                Standing::Well => Trust::Well,
                Standing::Warming(_) => Trust::Warming,
                Standing::Due => Trust::Due,
                Standing::Out | Standing::Down => Trust::Out,
            },
            weight: self.weights.get(index).copied(),
            last_failure: member.memory.last_failure(),
            skipped_for: member.memory.skipped_for(now),
            times_skipped: member.memory.times(),
            health: member.origin.health(),
        };
        GroupState {
            members: self.members.iter().enumerate().map(state).collect(),
            budget: self.budget.as_ref().map(|budget| budget.state(now)),
            failovers: self.failovers.load(Relaxed),
        }
    }

    fn turns(&self, now: Instant, method: &Method) -> Turns {
        let Some(budget) = &self.budget else { return Turns::ALONE };
        let now = clock::micros(now);
        budget.earn(now);
        let remember = self.settings.remember;
        // Who cannot be asked for elsewhere leaves trials to others for a while.
        let claim = |memory: &Memory| {
            let may_try = self.may_fail_over(method) || memory.is_long_due(now, remember);
            may_try && memory.claim_trial(now, remember)
        };
        let field = Field {
            count: self.members.len(),
            standing: &|index| self.standing(index, now),
            claim: &|index| claim(&self.members[index].memory),
            weights: (!self.weights.is_empty()).then_some(&self.weights),
        };
        Turns::choose(&field, fastrand::f64)
    }

    fn standing(&self, index: usize, now: u64) -> Standing {
        let Member { origin, memory } = &self.members[index];
        match origin.is_down() {
            true => Standing::Down,
            false => memory.standing(now, origin.healed(), self.settings.slow_start),
        }
    }

    fn may_fail_over(&self, method: &Method) -> bool {
        self.settings.methods.iter().any(|allowed| allowed == method.as_str())
    }

    fn is_failure(&self, failure: Failure) -> bool {
        self.settings.failover_on.iter().any(|condition| condition.covers(failure))
    }

    /// `index` is not asked for `span`, since it failed like this at `at`.
    fn pass_over(&self, index: usize, failure: Failure, at: u64, span: Duration) {
        let Member { origin, memory } = &self.members[index];
        if memory.pass_over(failure, at, span) {
            let group = self.name.clone();
            self.tell(origin, Event::PassedOver { group, failure, span });
        }
    }

    /// Whether the member `index` may be passed over for statuses beside the others that are, though it answers.
    fn has_room(&self, index: usize, eject: &EjectSettings, at: u64) -> bool {
        let others = self.members.iter().enumerate().filter(|(other, _)| *other != index);
        let out = others.filter(|(_, other)| other.memory.is_out(at)).count();
        let most = (self.members.len() as f64 * eject.share) as usize;
        out < most.max(1)
    }

    fn tell(&self, origin: &Origin, event: Event) {
        if let Some(witness) = &self.witness {
            witness(&Change { origin: origin.shared_name(), event });
        }
    }
}

/// One request on its way through the members.
struct Asked<'a> {
    group: &'a Group,
    now: Instant,
    /// How many members so far. Of one that is several shields, each that failed is an attempt.
    members: usize,
    attempts: Vec<Attempt>,
    /// Who had failed before this request, and so proves something if it answers.
    doubted: Members,
    /// Who answered with a listed status: that counts against them if somebody else answers well, else it is the request's fault.
    statuses: Members,
}

impl<'a> Asked<'a> {
    fn by(group: &'a Group, now: Instant) -> Self {
        Self {
            group,
            now,
            members: 0,
            attempts: Vec::new(),
            doubted: Members::default(),
            statuses: Members::default(),
        }
    }

    fn ask(&mut self, turn: usize) -> &'a Member {
        let member = &self.group.members[turn];
        self.members += 1;
        if !member.memory.is_trusted() {
            self.doubted.insert(turn);
        }
        member
    }

    /// Well, so it is to be trusted again, and what others answered was their own fault.
    fn answered(&self, turn: usize) {
        let Member { origin, memory } = &self.group.members[turn];
        if self.doubted.contains(turn) {
            if memory.recover(clock::now()) {
                self.group.tell(origin, Event::Back { group: self.group.name.clone() });
            }
        } else {
            memory.succeed(clock::micros(self.now));
        }
        for other in self.statuses.iter() {
            self.count(other);
        }
    }

    fn count(&self, turn: usize) {
        let Member { origin, memory } = &self.group.members[turn];
        let failed = |attempt: &&Attempt| *attempt.origin == *origin.name();
        let Some(Attempt { failure, .. }) = self.attempts.iter().find(failed) else { return };
        let at = clock::now();
        // Who was passed over meanwhile is not so once more for what was under way.
        if memory.was_passed_over_since(clock::micros(self.now)) {
            return;
        }
        let settings = &self.group.settings;
        let has_room = settings.eject.as_ref().is_none_or(|eject| self.group.has_room(turn, eject, at));
        if memory.count(*failure, at) && has_room {
            self.group.pass_over(turn, *failure, at, memory.next_span(at, settings.remember));
        }
    }

    /// A rehearsal stood in for an answer with a listed status.
    fn refused(&mut self, turn: usize, failure: Failure) {
        self.group.members[turn].memory.note(failure);
        self.statuses.insert(turn);
    }

    /// No answer came: that is the member's fault whatever was asked.
    fn failed(&self, turn: usize, failure: Failure) {
        match self.group.budget {
            Some(_) => self.group.pass_over(turn, failure, clock::now(), self.group.settings.remember),
            // Passing over the only one means nothing.
            None => self.group.members[turn].memory.note(failure),
        }
    }

    /// Whether somebody else may be asked after this status.
    fn goes_on_from(&mut self, turn: usize, failure: Failure) -> bool {
        self.statuses.insert(turn);
        let member = &self.group.members[turn];
        self.attempts.push(member.attempt(Cause::new(failure, String::new())));
        self.goes_on(Work::Something)
    }

    /// Whether somebody else may be asked after the last attempt, which made `work`, as far as the group can afford it. An attempt
    /// that nobody had work with multiplies no load, and so costs nothing.
    fn goes_on(&mut self, work: Work) -> bool {
        let (group, asked) = (self.group, self.members);
        let halt = match &group.budget {
            _ if asked >= group.settings.attempts as usize => Some(Halt::Attempts),
            Some(budget) if work == Work::Something && budget.spend(clock::now()).is_err() => {
                Some(Halt::Budget)
            }
            _ => None,
        };
        if let Some(last) = self.attempts.last_mut() {
            last.halt = halt;
        }
        group.failovers.fetch_add(u64::from(halt.is_none()), Relaxed);
        halt.is_none()
    }

    fn reply(self, turn: usize, response: Response<OriginBody>) -> Reply {
        self.group.rehearse(!response.status().is_server_error());
        let origin = self.group.members[turn].origin.shared_name();
        Reply { response, origin, attempts: self.attempts }
    }
}

impl Member {
    fn attempt(&self, cause: Cause) -> Attempt {
        Attempt {
            origin: self.origin.shared_name(),
            failure: cause.failure,
            detail: cause.detail,
            halt: None,
        }
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Group")
            .field("name", &self.name)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl Condition {
    fn covers(self, failure: Failure) -> bool {
        match (self, failure.rehearsed()) {
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
                | Failure::ConnectionLimit
                | Failure::Denied(_),
            ) => false,
            (Self::Connect, _) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_KIND: [Failure; 18] = [
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
        Failure::Configuration,
        Failure::Denied(405),
        Failure::Status(503),
    ];

    fn group_of(members: &[&str]) -> Group {
        let origin = |name: &String| {
            let settings = crate::OriginSettings::new("http://127.0.0.1:1".parse().unwrap());
            Origin::build(name, &settings).unwrap()
        };
        let settings = GroupSettings::new(members.iter().map(ToString::to_string).collect());
        let members = settings.members.iter().map(origin).collect();
        Group::build("main", &settings, members)
    }

    fn group() -> Group {
        group_of(&["a", "b"])
    }

    #[test]
    fn a_viewers_or_our_own_trouble_is_nobodys_failure() {
        let unlisted: Vec<_> =
            EVERY_KIND.into_iter().filter(|failure| !group().is_failure(*failure)).collect();
        assert_eq!(unlisted, [Failure::ConnectionLimit, Failure::RequestInvalid, Failure::Denied(405)]);
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
    fn statuses_take_out_no_more_than_the_share_of_the_group() {
        let group = group_of(&["a", "b", "c", "d", "e"]);
        let eject = |share| EjectSettings { share, ..EjectSettings::default() };
        let at = clock::now();
        let pass_over = |index| group.pass_over(index, Failure::Status(503), at, Duration::from_secs(30));
        let has_room = |index, share| group.has_room(index, &eject(share), at);
        assert!(has_room(4, 0.0), "one always may be");
        pass_over(0);
        assert!(!has_room(4, 0.3) && has_room(4, 0.5));
        pass_over(3);
        assert!(!has_room(4, 0.5) && has_room(4, 0.6));
        assert!(has_room(3, 0.5), "who is being tried out does not stand in its own way");
    }

    #[test]
    fn the_state_says_how_long_a_member_is_passed_over() {
        let (group, now) = (group(), Instant::now());
        group.pass_over(1, Failure::Status(503), clock::micros(now), Duration::from_secs(30));
        let members = group.state(now + Duration::from_secs(10)).members;
        assert_eq!((members[0].last_failure, members[0].skipped_for), (None, Duration::ZERO));
        assert_eq!((members[0].trust, members[1].trust), (Trust::Well, Trust::Out));
        assert_eq!(members[1].last_failure, Some(Failure::Status(503)));
        assert_eq!(members[1].skipped_for, Duration::from_secs(20));
        assert_eq!(group.state(now + Duration::from_secs(30)).members[1].trust, Trust::Due);
    }
}
