//! The store, everybody around it, and the rules.

use crate::fetch::{Fact, Hand, Work, content, push};
use crate::room::{self, at, fetch_of};
use crate::steps::{Answer, Ending, KEYS, Step, VARIANTS};
use crate::task::Task;
use crate::viewer::{Doing, Reading, Viewer};
use bytes::Bytes;
use cache::{Effect, Entry, Lookup, Outcome, Permit, Refusal, Skip, Store, Writer};
use http::StatusCode;
use std::sync::Arc;
use std::task::Poll;

/// As often as the pipeline asks.
const ROUNDS: usize = 3;

/// Every fetch and every viewer moves in each round: more than the smallest chunks of a body need.
const ROUNDS_TO_THE_END: usize = 10_000;

pub(crate) struct World {
    store: Store,
    memory: u64,
    /// Seconds.
    now: u64,
    /// Steps taken.
    step: usize,
    facts: Vec<Fact>,
    hands: Vec<Hand>,
    viewers: Vec<Viewer>,
    /// The step in which each key was invalidated last.
    invalidated: [usize; KEYS],
    /// The step in which each key was made stale last.
    expired: [usize; KEYS],
}

impl World {
    pub(crate) fn new(memory: u64) -> Self {
        let store = room::store(memory);
        let (facts, hands, viewers) = (Vec::new(), Vec::new(), Vec::new());
        let (invalidated, expired) = ([0; KEYS], [0; KEYS]);
        Self { store, memory, now: 0, step: 0, facts, hands, viewers, invalidated, expired }
    }

    pub(crate) fn take(&mut self, step: Step) {
        self.step += 1;
        match step {
            Step::Ask { key, variant } => {
                let (not_before, stale_before) = (self.invalidated[key], self.expired[key]);
                self.ask(Viewer { key, variant, not_before, stale_before, rounds: 0, doing: Doing::Gone });
            }
            Step::GoOn(who) => self.with_viewer(who, Self::go_on),
            Step::GoAlone(who) => self.with_viewer(who, |world, viewer| world.go_alone(&viewer)),
            Step::Leave(who) => self.with_viewer(who, |_, _| {}),
            Step::Encode(who) => self.with_viewer(who, Self::encode),
            Step::Answer(who, answer) => self.with_hand(who, |world, hand| world.answer(hand, answer)),
            Step::Push(who) => self.with_hand(who, Self::push),
            Step::Break(who) => self.with_hand(who, |_, _| {}),
            Step::Invalidate { key } => {
                self.store.invalidate(&room::key(key));
                self.invalidated[room::together(key)].fill(self.step);
            }
            Step::Purge { key, name, effect } => {
                let keys = room::purge(&self.store, key, name, effect, self.now);
                match effect {
                    Effect::Remove => self.invalidated[keys].fill(self.step),
                    Effect::Expire => self.expired[keys].fill(self.step),
                    Effect::Count => {}
                }
            }
            Step::Wait { seconds } => self.now += seconds,
            Step::Pause => {}
        }
        self.check();
    }

    fn with_viewer(&mut self, who: usize, act: impl FnOnce(&mut Self, Viewer)) {
        if !self.viewers.is_empty() {
            let viewer = self.viewers.remove(who % self.viewers.len());
            act(self, viewer);
        }
    }

    fn with_hand(&mut self, who: usize, act: impl FnOnce(&mut Self, Hand)) {
        if !self.hands.is_empty() {
            let hand = self.hands.remove(who % self.hands.len());
            act(self, hand);
        }
    }

    fn stay(&mut self, mut viewer: Viewer, doing: Doing) {
        viewer.doing = doing;
        if !viewer.is_gone() {
            self.viewers.push(viewer);
        }
    }

    fn ask(&mut self, mut viewer: Viewer) {
        viewer.rounds += 1;
        let doing = match room::begin(&self.store, viewer.key, viewer.variant, self.now) {
            Lookup::Fresh(entry) | Lookup::Revived(entry) => {
                assert!(entry.freshness().remaining(at(self.now)).is_some(), "found fresh, but is not");
                self.check_stored(&viewer, &entry);
                self.check_fresh(&viewer, &entry);
                Doing::Holding(entry)
            }
            Lookup::Stale(entry, permit) => {
                self.check_stored(&viewer, &entry);
                if let Some(permit) = permit {
                    self.fetch(&viewer, *permit);
                }
                Doing::Holding(entry)
            }
            Lookup::Follow(follower) => Doing::Following(Task::new(follower.wait())),
            Lookup::Lead(permit) | Lookup::Alone(permit) => {
                self.fetch(&viewer, *permit);
                Doing::Gone
            }
        };
        self.stay(viewer, doing);
    }

    fn fetch(&mut self, viewer: &Viewer, permit: Permit) {
        if let Some(stale) = permit.stale() {
            self.check_stored(viewer, stale);
        }
        let fact = Fact {
            key: viewer.key,
            variant: viewer.variant,
            begun: self.step,
            body: Bytes::new(),
            varies: false,
            whole: false,
        };
        self.facts.push(fact);
        self.hands.push(Hand { fetch: self.facts.len() - 1, work: Work::Asking(permit) });
    }

    fn go_on(&mut self, mut viewer: Viewer) {
        let doing = match std::mem::replace(&mut viewer.doing, Doing::Gone) {
            Doing::Following(mut waiting) => match waiting.poll() {
                Poll::Pending => Doing::Following(waiting),
                Poll::Ready(Outcome::Entry(entry)) if entry.matches(&room::request(viewer.variant)) => {
                    self.check_meant_for(&viewer, &entry);
                    // A stale copy that stands in for a failing origin may be as old as it is.
                    if entry.freshness().remaining(at(self.now)).is_some() {
                        self.check_fresh(&viewer, &entry);
                    }
                    Doing::Holding(entry)
                }
                Poll::Ready(Outcome::Entry(_) | Outcome::Abandoned) if viewer.rounds < ROUNDS => {
                    return self.ask(viewer);
                }
                Poll::Ready(Outcome::Refused(_)) => Doing::Gone,
                Poll::Ready(_) => return self.go_alone(&viewer),
            },
            Doing::Holding(entry) => match entry.read() {
                Some(reader) => Doing::Reading(Reading::new(entry, reader)),
                None => return self.go_alone(&viewer),
            },
            Doing::Reading(reading) => self.read(reading),
            Doing::Gone => Doing::Gone,
        };
        self.stay(viewer, doing);
    }

    fn read(&self, mut reading: Reading) -> Doing {
        let fact = &self.facts[fetch_of(&reading.entry)];
        match reading.woken.poll(|context| reading.reader.poll_next(context)) {
            Poll::Pending => Doing::Reading(reading),
            Poll::Ready(Some(Ok(chunk))) => {
                let rest = fact.body.get(reading.read..).unwrap_or_default();
                assert!(rest.starts_with(&chunk), "read at {} what is not the answer's", reading.read);
                reading.read += chunk.len();
                Doing::Reading(reading)
            }
            Poll::Ready(None) => {
                assert!(fact.whole, "a body that has not ended looks complete");
                assert_eq!(reading.read, fact.body.len(), "a part of a body looks complete");
                Doing::Gone
            }
            Poll::Ready(Some(Err(_))) => {
                assert!(reading.entry.complete().is_none(), "a stored body looks broken");
                Doing::Gone
            }
        }
    }

    fn go_alone(&mut self, viewer: &Viewer) {
        let permit = self.store.alone(&room::key(viewer.key));
        self.fetch(viewer, permit);
    }

    fn encode(&mut self, viewer: Viewer) {
        if let Doing::Holding(entry) = &viewer.doing
            && entry.complete().is_some()
        {
            room::keep_encoded(&self.store, viewer.key, entry);
        }
        self.viewers.push(viewer);
    }

    fn answer(&mut self, hand: Hand, answer: Answer) {
        let Work::Asking(permit) = hand.work else { return self.hands.push(hand) };
        let request = room::request(self.facts[hand.fetch].variant);
        match answer {
            Answer::Store(body) => {
                let fact = &mut self.facts[hand.fetch];
                (fact.body, fact.varies) = (content(hand.fetch, body.length), body.varies);
                let freshness = room::fresh_for(body.lifetime, self.now);
                let writer = permit.store(&request, room::head(hand.fetch, fact.key, body.varies), freshness);
                let reader = writer.entry().read().expect("nothing is gone yet");
                self.answered(
                    hand.fetch,
                    |entry| Doing::Reading(Reading::new(entry, reader)),
                    writer.entry(),
                );
                let work = Work::Writing { writer, sent: 0, chunk: body.chunk };
                self.hands.push(Hand { fetch: hand.fetch, work });
            }
            Answer::Confirm(lifetime) => {
                let Some(stale) = permit.stale().map(|stale| fetch_of(stale)) else { return };
                let freshness = lifetime.map(|lifetime| room::fresh_for(lifetime, self.now));
                let entry = room::confirm(permit, hand.fetch, freshness);
                assert_eq!(fetch_of(&entry), stale, "confirmed is what was stale");
                assert_eq!(room::confirmed_by(&entry), Some(hand.fetch), "the head is as confirmed");
                self.answered(hand.fetch, Doing::Holding, &entry);
            }
            Answer::ReuseStale => drop(permit.reuse_stale(at(self.now))),
            Answer::Refuse => permit.refuse(Refusal { status: StatusCode::BAD_GATEWAY, token: "test" }),
            Answer::Decline { of_the_moment } => {
                let skip = if of_the_moment { Skip::Status } else { Skip::Private };
                permit.decline(skip, at(self.now));
            }
        }
    }

    /// The viewer who asked gets the answer to its own fetch, whatever was invalidated meanwhile.
    fn answered(&mut self, fetch: usize, doing: impl FnOnce(Arc<Entry>) -> Doing, entry: &Arc<Entry>) {
        let Fact { key, variant, .. } = self.facts[fetch];
        let doing = doing(Arc::clone(entry));
        self.viewers.push(Viewer { key, variant, not_before: 0, stale_before: 0, rounds: 0, doing });
    }

    fn push(&mut self, hand: Hand) {
        let Hand { fetch, work } = hand;
        let body = self.facts[fetch].body.clone();
        let (mut push, sent, chunk) = match work {
            Work::Asking(_) => return self.hands.push(Hand { fetch, work }),
            Work::Writing { writer, sent, .. } if sent == body.len() => return self.finish(fetch, writer),
            Work::Writing { writer, sent, chunk } => {
                let until = (sent + chunk).min(body.len());
                (push(writer, body.slice(sent..until)), until, chunk)
            }
            Work::Pushing { push, sent, chunk } => (push, sent, chunk),
        };
        let work = match push.poll() {
            Poll::Pending => Work::Pushing { push, sent, chunk },
            Poll::Ready((writer, Ok(()))) => Work::Writing { writer, sent, chunk },
            // Nobody reads it any more: the fetch ends.
            Poll::Ready((_, Err(_))) => return,
        };
        self.hands.push(Hand { fetch, work });
    }

    fn finish(&mut self, fetch: usize, writer: Writer) {
        self.facts[fetch].whole = true;
        writer.finish();
    }

    /// What a viewer finds in the store.
    fn check_stored(&self, viewer: &Viewer, entry: &Arc<Entry>) {
        self.check_meant_for(viewer, entry);
        let fact = &self.facts[fetch_of(entry)];
        assert!(fact.whole, "stored before its last byte");
        let body = entry.complete().expect("what is stored is complete");
        assert_eq!(body[..], fact.body[..], "stored is what the origin sent");
    }

    /// What a viewer gets from the store or from whom it follows.
    fn check_meant_for(&self, viewer: &Viewer, entry: &Arc<Entry>) {
        let fact = &self.facts[fetch_of(entry)];
        assert_eq!(fact.key, viewer.key, "an answer under another key");
        assert!(!fact.varies || fact.variant == viewer.variant, "another variant");
        assert!(fact.begun > viewer.not_before, "fetched before the key was invalidated");
    }

    fn check_fresh(&self, viewer: &Viewer, entry: &Arc<Entry>) {
        let fetch = room::confirmed_by(entry).unwrap_or(fetch_of(entry));
        assert!(self.facts[fetch].begun > viewer.stale_before, "fetched before the key was made stale");
    }

    /// What holds between any two steps.
    fn check(&self) {
        let statistics = self.store.statistics();
        assert!(statistics.in_flight_bytes + statistics.stored_bytes <= self.memory, "{statistics:?}");
        for viewer in &self.viewers {
            let key_of = |hand: &Hand| self.facts[hand.fetch].key;
            let is_awaited = match &viewer.doing {
                Doing::Following(waiting) if !waiting.is_woken() => {
                    self.hands.iter().any(|hand| hand.leads() && key_of(hand) == viewer.key)
                }
                Doing::Reading(reading) if !reading.woken.is_set() => {
                    self.hands.iter().any(|hand| hand.fetch == fetch_of(&reading.entry))
                }
                _ => true,
            };
            assert!(is_awaited, "a viewer waits for somebody who is no longer there");
        }
        for hand in self.hands.iter().filter(|hand| hand.sleeps()) {
            let reads = |viewer: &Viewer| matches!(&viewer.doing, Doing::Reading(reading) if fetch_of(&reading.entry) == hand.fetch);
            assert!(self.viewers.iter().any(reads), "a writer waits for nobody");
        }
    }

    /// Ends all fetches, then lets everybody go on until nobody moves any more.
    pub(crate) fn end(mut self, ending: Ending) {
        self.step += 1;
        match ending {
            Ending::Broken => self.hands.clear(),
            Ending::Finished => self.run_out(),
        }
        while self.viewers.iter().any(|viewer| !viewer.is_gone()) {
            let viewers = self.viewers.len();
            for _ in 0..viewers {
                self.with_viewer(0, Self::go_on);
                // Who would ask anew leaves instead.
                self.hands.clear();
            }
            self.check();
        }
        assert_eq!(self.store.statistics().in_flight_bytes, 0, "bytes in flight when nothing is");
        for (key, variant) in (0..KEYS).flat_map(|key| (0..VARIANTS).map(move |variant| (key, variant))) {
            let lookup = room::begin(&self.store, key, variant, self.now);
            assert!(!matches!(lookup, Lookup::Follow(_)), "following nobody");
        }
    }

    /// Every origin answers and sends all it has, and every viewer reads.
    fn run_out(&mut self) {
        for round in 0.. {
            if self.hands.is_empty() {
                break;
            }
            assert!(round < ROUNDS_TO_THE_END, "everybody waits for somebody");
            for _ in 0..self.hands.len() {
                self.with_hand(0, |world, hand| match hand.work {
                    Work::Asking(_) => drop(hand),
                    _ => world.push(hand),
                });
            }
            for _ in 0..self.viewers.len() {
                self.with_viewer(0, Self::go_on);
            }
            self.check();
        }
    }
}
