//! What may happen, and how often.

use crate::room::MAX_OBJECT;
use cache::Effect;
use proptest::prelude::*;

/// Different keys, and variants of each.
pub(crate) const KEYS: usize = 3;
pub(crate) const VARIANTS: usize = 2;

/// One event. Those that concern a viewer or a fetch name it by a number, modulo how many there are.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A viewer comes.
    Ask { key: usize, variant: usize },
    /// A viewer goes on: learns what it follows, begins to read, reads the next chunk.
    GoOn(usize),
    /// A viewer has waited for too long, or does not want to share, and goes alone.
    GoAlone(usize),
    /// A viewer goes away.
    Leave(usize),
    /// A viewer who has an entry makes the edge encode it.
    Encode(usize),
    /// The origin answers a fetch.
    Answer(usize, Answer),
    /// More of a body comes from the origin, or its end.
    Push(usize),
    /// The origin breaks off, or whoever fetches gives up.
    Break(usize),
    /// All that is stored under a primary key is invalid from now on.
    Invalidate { key: usize },
    /// A key is purged by one of its names.
    Purge { key: usize, name: Name, effect: Effect },
    /// Answers grow older.
    Wait { seconds: u64 },
    /// Readers lose patience with those who hold them back.
    Pause,
}

/// What a purge calls a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Url,
    Prefix,
    Tag,
    Site,
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Store(Body),
    /// 304, which may bring a new lifetime; without one the answer is for its leader alone.
    Confirm(Option<u64>),
    /// An error where a stale copy may stand in.
    ReuseStale,
    /// An error that the followers share.
    Refuse,
    /// Not to be stored; for how long this is remembered depends.
    Decline {
        of_the_moment: bool,
    },
}

/// An answer that is stored.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// Bytes.
    pub(crate) length: usize,
    /// Bytes of a chunk.
    pub(crate) chunk: usize,
    /// Whether `Vary` names what tells variants apart.
    pub(crate) varies: bool,
    /// Seconds.
    pub(crate) lifetime: u64,
}

/// What becomes of the fetches that are under way when the steps are over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    Finished,
    Broken,
}

pub(crate) fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![Just(Ending::Finished), Just(Ending::Broken)]
}

/// From so little that hardly a body finds room to more than all cases need, in bytes.
pub(crate) fn memory() -> impl Strategy<Value = u64> {
    prop_oneof![Just(20_000), Just(100_000), Just(400_000), Just(8_000_000)]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let who = || 0..6_usize;
    prop_oneof![
        6 => (0..KEYS, 0..VARIANTS).prop_map(|(key, variant)| Step::Ask { key, variant }),
        12 => who().prop_map(Step::GoOn),
        1 => who().prop_map(Step::GoAlone),
        1 => who().prop_map(Step::Leave),
        1 => who().prop_map(Step::Encode),
        5 => (who(), answer()).prop_map(|(who, answer)| Step::Answer(who, answer)),
        10 => who().prop_map(Step::Push),
        1 => who().prop_map(Step::Break),
        1 => (0..KEYS).prop_map(|key| Step::Invalidate { key }),
        2 => (0..KEYS, name(), effect()).prop_map(|(key, name, effect)| Step::Purge { key, name, effect }),
        2 => (1..20_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Pause),
    ]
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![Just(Name::Url), Just(Name::Prefix), Just(Name::Tag), Just(Name::Site)]
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![3 => Just(Effect::Expire), 3 => Just(Effect::Remove), 1 => Just(Effect::Count)]
}

/// Several readers of a body that is too large to keep, and what happens to them.
pub(crate) fn crowd() -> impl Strategy<Value = Vec<Step>> {
    let ask = Step::Ask { key: 0, variant: 0 };
    let who = || 0..3_usize;
    let step = prop_oneof![
        8 => who().prop_map(Step::GoOn),
        6 => Just(Step::Push(0)),
        3 => Just(Step::Pause),
        1 => who().prop_map(Step::Leave),
    ];
    let body = (400_000..900_000_usize, 50_000..200_000_usize).prop_map(|(length, chunk)| Body {
        length,
        chunk,
        varies: false,
        lifetime: 60,
    });
    (body, prop::collection::vec(step, 1..200)).prop_map(move |(body, steps)| {
        // All of them follow the first and begin to read before it is known how large the body is.
        let mut all = vec![ask.clone(), ask.clone(), ask.clone(), Step::Answer(0, Answer::Store(body))];
        all.extend([0, 0, 1, 1].map(Step::GoOn));
        all.extend(steps);
        all
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        8 => body().prop_map(Answer::Store),
        3 => prop::option::weighted(0.8, lifetime()).prop_map(Answer::Confirm),
        1 => Just(Answer::ReuseStale),
        1 => Just(Answer::Refuse),
        1 => any::<bool>().prop_map(|of_the_moment| Answer::Decline { of_the_moment }),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let sizes = prop_oneof![
        4 => (0..3_000_usize, 1..1_500_usize),
        2 => (10_000..MAX_OBJECT, 4_000..MAX_OBJECT),
        // Windows are wider than what is stored here.
        2 => (300_000..700_000_usize, 60_000..200_000_usize),
    ];
    (sizes, any::<bool>(), lifetime()).prop_map(|((length, chunk), varies, lifetime)| Body {
        length,
        chunk,
        varies,
        lifetime,
    })
}

fn lifetime() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..40_u64]
}
