//! The purges of late: what was asked for before one of them must not appear as fresh after it.

use super::{Effect, Selector};
use crate::key::Key;
use crate::tag::Tag;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

/// Purges remembered for the fills that began before them. A fill that has been overtaken by more of them is not stored.
const REMEMBERED: usize = 4096;

/// Bytes of what they name; with more, the oldest are forgotten.
const REMEMBERED_BYTES: usize = 4 << 20;

/// A moment between purges: those after it overtake what was asked for at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(u64);

/// Something that is about to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) key: &'a Key,
    pub(crate) tags: &'a [Tag],
}

impl About<'_> {
    pub(crate) fn is_slice(&self) -> bool {
        self.key.part_of().is_some()
    }

    pub(crate) fn is_taken_by(&self, selector: &Selector) -> bool {
        selector.takes(self.key.realm(), self.key.path(), |tag| self.tags.contains(&tag))
    }
}

/// The purges of late, for what was asked for before them and arrives after.
#[derive(Debug, Default)]
pub(crate) struct Purges {
    /// Apart from the lock: whoever asks for a mark may hold locks that those who publish wait for.
    count: AtomicU64,
    remembered: RwLock<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    /// The newest is the last one.
    purges: VecDeque<Purge>,
    /// How many came before the first of them.
    forgotten: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Purge {
    selectors: Box<[Selector]>,
    effect: Effect,
    at: SystemTime,
}

/// What purges say of something that was asked for before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overtaken {
    /// Nothing.
    No,
    /// It is stale since then.
    Stale(SystemTime),
    /// It is not to be stored.
    Gone,
}

impl Purges {
    /// The moment now.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.count.load(Acquire))
    }

    /// Nothing is published until the purge is noted: whoever holds a [`Publishing`] has published before it, whoever gets one
    /// later learns of it.
    pub(crate) fn noting(&self) -> Noting<'_> {
        let remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        Noting { count: &self.count, remembered }
    }

    /// No purge is noted until this is dropped.
    pub(crate) fn publishing(&self) -> Publishing<'_> {
        Publishing(self.read())
    }

    fn read(&self) -> RwLockReadGuard<'_, Remembered> {
        self.remembered.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A purge about to be noted.
#[derive(Debug)]
pub(crate) struct Noting<'a> {
    count: &'a AtomicU64,
    remembered: RwLockWriteGuard<'a, Remembered>,
}

impl Noting<'_> {
    pub(crate) fn note(self, selectors: &[Selector], effect: Effect, at: SystemTime) {
        let Self { count, mut remembered } = self;
        let purge = Purge { selectors: selectors.into(), effect, at };
        remembered.bytes += purge.bytes();
        remembered.purges.push_back(purge);
        count.fetch_add(1, Release);
        while remembered.purges.len() > REMEMBERED || remembered.bytes > REMEMBERED_BYTES {
            let Some(oldest) = remembered.purges.pop_front() else { break };
            remembered.bytes -= oldest.bytes();
            remembered.forgotten += 1;
        }
    }
}

/// A look at the purges so far that holds new ones off.
#[derive(Debug)]
pub(crate) struct Publishing<'a>(RwLockReadGuard<'a, Remembered>);

impl Publishing<'_> {
    /// What the purges since `mark` say of something that was asked for then.
    pub(crate) fn overtaken(&self, mark: Mark, about: &About<'_>) -> Overtaken {
        self.0.overtaken(mark, about)
    }
}

impl Remembered {
    fn overtaken(&self, mark: Mark, about: &About<'_>) -> Overtaken {
        let Some(known) = mark.0.checked_sub(self.forgotten) else { return Overtaken::Gone };
        let since = self.purges.iter().skip(usize::try_from(known).unwrap_or(usize::MAX));
        let mut overtaken = Overtaken::No;
        for purge in since.filter(|purge| purge.selectors.iter().any(|selector| about.is_taken_by(selector)))
        {
            match purge.effect {
                Effect::Remove => return Overtaken::Gone,
                // It is good for as long as its record says so.
                Effect::Expire if about.is_slice() => {}
                Effect::Expire => overtaken = Overtaken::Stale(purge.at),
                Effect::Count => {}
            }
        }
        overtaken
    }
}

impl Purge {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.selectors.iter().map(Selector::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyParts;
    use crate::settings::KeySettings;
    use http::HeaderMap;
    use std::time::Duration;

    fn tag(text: &str) -> Tag {
        Tag::of(text.as_bytes())
    }

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn judged(purges: &Purges, mark: Mark, path_and_query: &str, tags: &[Tag]) -> Overtaken {
        let parts = KeyParts { site: "www", group: "main", scheme: "https", authority: "a", path_and_query };
        let key = Key::of(&parts, &HeaderMap::new(), &KeySettings::default());
        purges.publishing().overtaken(mark, &About { key: &key, tags })
    }

    fn prefix(path: &str) -> Selector {
        Selector::Prefix { scheme: None, authority: "a".to_owned(), path: path.to_owned() }
    }

    #[test]
    fn only_what_was_asked_for_before_is_overtaken() {
        let purges = Purges::default();
        let before = purges.mark();
        purges.noting().note(&[Selector::Tag(tag("news"))], Effect::Expire, at(1));
        let between = purges.mark();
        purges.noting().note(&[prefix("/img/"), Selector::Tag(tag("x"))], Effect::Remove, at(2));
        let after = purges.mark();

        let news = [tag("news")];
        assert_eq!(judged(&purges, before, "/page", &news), Overtaken::Stale(at(1)));
        assert_eq!(judged(&purges, between, "/page", &news), Overtaken::No);
        assert_eq!(judged(&purges, before, "/page", &[]), Overtaken::No);
        assert_eq!(judged(&purges, before, "/img/a", &news), Overtaken::Gone);
        assert_eq!(judged(&purges, between, "/img/a", &[]), Overtaken::Gone);
        assert_eq!(judged(&purges, after, "/img/a", &news), Overtaken::No);
    }

    #[test]
    fn of_several_soft_purges_the_last_one_counts() {
        let purges = Purges::default();
        let before = purges.mark();
        purges.noting().note(&[Selector::Site("www".to_owned())], Effect::Expire, at(1));
        purges.noting().note(&[Selector::Site("www".to_owned())], Effect::Expire, at(5));
        assert_eq!(judged(&purges, before, "/", &[]), Overtaken::Stale(at(5)));
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_counts_as_taken() {
        let purges = Purges::default();
        let before = purges.mark();
        for number in 0..REMEMBERED {
            purges.noting().note(&[Selector::Site(number.to_string())], Effect::Expire, at(1));
        }
        assert_eq!(judged(&purges, before, "/", &[]), Overtaken::No);
        purges.noting().note(&[Selector::Site("one more".to_owned())], Effect::Expire, at(1));
        assert_eq!(judged(&purges, before, "/", &[]), Overtaken::Gone);
        for _ in 0..8 {
            purges.noting().note(&[prefix(&"x".repeat(1 << 20))], Effect::Expire, at(1));
        }
        assert!(purges.read().bytes <= REMEMBERED_BYTES);
        assert_eq!(judged(&purges, purges.mark(), "/", &[]), Overtaken::No);
    }
}
