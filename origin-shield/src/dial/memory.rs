//! How long an answer about a name is good for, and what it is good for afterwards. Pure: time is an argument.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::resolve::{Answer, Record};
use crate::failure::Cause;

/// An answer is used at least this long, so that a TTL of 0 does not cost a query per connection.
const SHORTEST_TTL: Duration = Duration::from_secs(1);
/// An answer is used at most this long, so that a moved origin is found again.
const LONGEST_TTL: Duration = Duration::from_secs(300);
/// "There is no such name" is believed at most this long: the name may be about to appear.
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// RFC 8767 section 5, "failure recheck timer": how often name servers that fail are asked while an old answer stands in.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long after its time an answer of a name in use is taken without waiting: another one is being asked for.
const AGING: Duration = Duration::from_secs(10);

/// The last answer about one name, and whether the name servers fail since.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Option<Known>,
    failed: Option<(Cause, Instant)>,
}

#[derive(Debug)]
struct Known {
    records: Arc<[Record]>,
    fresh_until: Instant,
    usable_until: Instant,
}

/// What is known at a moment.
#[derive(Debug, PartialEq)]
pub(super) enum Held {
    /// An answer within its time.
    Fresh(Arc<[Record]>),
    /// An answer just out of date, or one that name servers who fail cannot replace: to be used at once.
    Aging(Arc<[Record]>),
    /// An answer long out of date, because the name was not in use: a better one is worth a moment.
    Old(Arc<[Record]>),
    /// No answer, and why the last question brought none.
    Nothing(Option<Cause>),
}

impl Held {
    pub(super) fn records(self) -> Option<Arc<[Record]>> {
        match self {
            Self::Fresh(records) | Self::Aging(records) | Self::Old(records) => Some(records),
            Self::Nothing(_) => None,
        }
    }
}

impl Memory {
    pub(super) fn at(&self, now: Instant) -> Held {
        let cause = self.failed.as_ref().map(|(cause, _)| cause.clone());
        match &self.known {
            Some(known) if now < known.fresh_until => Held::Fresh(known.records.clone()),
            // RFC 8767 section 4: only what was there can stand in; that nothing was there is asked again.
            Some(known) if now < known.usable_until && !known.records.is_empty() => {
                let records = known.records.clone();
                if cause.is_some() || now < known.fresh_until + AGING {
                    Held::Aging(records)
                } else {
                    Held::Old(records)
                }
            }
            _ => Held::Nothing(cause),
        }
    }

    /// The last answer, whatever its age.
    pub(super) fn last(&self) -> Option<Arc<[Record]>> {
        self.known.as_ref().map(|known| known.records.clone())
    }

    /// Keeps an answer; says whether it differs from the one before. An authoritative "no such name" replaces what was known.
    pub(super) fn learn(&mut self, answer: Answer, stale: Duration, now: Instant) -> bool {
        let longest = if answer.records.is_empty() { LONGEST_NEGATIVE_TTL } else { LONGEST_TTL };
        let fresh_until = now + answer.ttl.clamp(SHORTEST_TTL, longest);
        let differs = self.known.as_ref().is_some_and(|known| !same(&known.records, &answer.records));
        let records = answer.records.into();
        self.known = Some(Known { records, fresh_until, usable_until: fresh_until + stale });
        self.failed = None;
        differs
    }

    /// Notes that no name server gave an answer, which changes nothing about the one that is known.
    pub(super) fn fail(&mut self, cause: Cause, now: Instant) {
        self.failed = Some((cause, now));
    }

    /// Whether an answer out of date is to be asked for anew: not for a while after that failed.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next_question(now).is_none_or(|next| next <= now)
    }

    /// When a name in use is to be asked for again; `None` while nothing is known of it: whoever needs it asks.
    pub(super) fn next_question(&self, now: Instant) -> Option<Instant> {
        let known = self.known.as_ref()?;
        let retry = self.failed.as_ref().map(|(_, at)| *at + RETRY_AFTER);
        Some(retry.unwrap_or(known.fresh_until).max(now))
    }
}

/// Name servers rotate the order of what they say.
fn same(before: &[Record], after: &[Record]) -> bool {
    let sorted = |records: &[Record]| {
        let mut records = records.to_vec();
        records.sort();
        records
    };
    sorted(before) == sorted(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn answer(addresses: &[&str], ttl: u64) -> Answer {
        let records = addresses.iter().map(|text| Record::Address(text.parse().unwrap())).collect();
        Answer { records, ttl: Duration::from_secs(ttl) }
    }

    fn seconds(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    fn known(addresses: &[&str], ttl: u64, now: Instant) -> Memory {
        let mut memory = Memory::default();
        memory.learn(answer(addresses, ttl), DAY, now);
        memory
    }

    fn is_fresh(memory: &Memory, now: Instant) -> bool {
        matches!(memory.at(now), Held::Fresh(_))
    }

    #[test]
    fn an_answer_is_fresh_for_its_ttl_but_no_less_than_a_second_and_no_more_than_five_minutes() {
        let now = Instant::now();
        for (ttl, lasts) in
            [(30, 30.0), (0, 1.0), (1, 1.0), (300, 300.0), (301, 300.0), (u64::from(u32::MAX), 300.0)]
        {
            let memory = known(&["192.0.2.1"], ttl, now);
            assert!(is_fresh(&memory, now + seconds(lasts - 0.001)), "{ttl}");
            assert!(!is_fresh(&memory, now + seconds(lasts)), "{ttl}");
        }
    }

    #[test]
    fn that_there_is_no_such_name_holds_ten_seconds_at_most_and_never_longer() {
        let now = Instant::now();
        let memory = known(&[], 3600, now);
        assert!(is_fresh(&memory, now + seconds(9.9)));
        assert_eq!(memory.at(now + seconds(10.0)), Held::Nothing(None));
    }

    #[test]
    fn the_last_good_answer_stands_in_while_name_servers_fail_but_not_for_ever() {
        let now = Instant::now();
        let mut memory = known(&["192.0.2.1"], 60, now);
        memory.fail(Cause::new(Failure::DnsTimeout, "silence"), now + seconds(61.0));
        for later in [61.0, 3600.0, 60.0 + 86_399.0] {
            assert!(matches!(memory.at(now + seconds(later)), Held::Aging(_)), "{later}");
        }
        let ended = memory.at(now + seconds(60.0 + 86_400.0));
        assert!(matches!(ended, Held::Nothing(Some(cause)) if cause.failure == Failure::DnsTimeout));
    }

    #[test]
    fn an_authoritative_no_ends_what_was_known() {
        let now = Instant::now();
        let mut memory = known(&["192.0.2.1"], 60, now);
        assert!(memory.learn(answer(&[], 5), DAY, now + seconds(61.0)));
        assert_eq!(memory.at(now + seconds(62.0)).records().unwrap().len(), 0);
        assert_eq!(memory.at(now + seconds(67.0)), Held::Nothing(None));
    }

    #[test]
    fn an_answer_is_waited_for_only_when_the_old_one_was_not_in_use() {
        let now = Instant::now();
        let memory = known(&["192.0.2.1"], 60, now);
        assert!(matches!(memory.at(now + seconds(69.0)), Held::Aging(_)));
        assert!(matches!(memory.at(now + seconds(71.0)), Held::Old(_)));
    }

    #[test]
    fn name_servers_that_fail_are_asked_every_five_seconds() {
        let now = Instant::now();
        let mut memory = known(&["192.0.2.1"], 60, now);
        assert_eq!(memory.next_question(now), Some(now + seconds(60.0)));
        memory.fail(Cause::new(Failure::DnsError, "SERVFAIL"), now + seconds(61.0));
        assert_eq!(memory.next_question(now + seconds(61.0)), Some(now + seconds(66.0)));
        assert_eq!(Memory::default().next_question(now), None);
    }

    #[test]
    fn another_order_of_the_same_addresses_is_no_move() {
        let now = Instant::now();
        let mut memory = known(&["192.0.2.1", "192.0.2.2"], 60, now);
        assert!(!memory.learn(answer(&["192.0.2.2", "192.0.2.1"], 60), DAY, now));
        assert!(memory.learn(answer(&["192.0.2.2"], 60), DAY, now));
    }
}
