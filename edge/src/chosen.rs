//! Which version of each hook a request gets: chosen once, for all its events, and told to the cache key where it matters.

use crate::visit::Visit;
use hooks::{Asking, Chosen, Event, Slot};
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

/// The versions that a request has got, in the order of its route's hooks.
#[derive(Debug, Clone, Default)]
pub struct Versions(OnceLock<Arc<[Chosen]>>);

impl Visit {
    /// The versions of the route's hooks for this request.
    #[must_use]
    pub fn versions(&self) -> &[Chosen] {
        if self.route.hooks.is_empty() { &[] } else { self.choose_versions() }
    }

    /// The same, to be held on to. The first call chooses, by what the viewer sent: hooks edit it afterwards.
    #[must_use]
    pub fn choose_versions(&self) -> &Arc<[Chosen]> {
        self.versions.0.get_or_init(|| {
            let asking = Asking { address: self.address, headers: &self.request.headers, now: self.now };
            self.route.hooks.iter().map(|hook| hook.choose(&asking)).collect()
        })
    }

    /// What tells the stored answers of canaries from those of live versions: nobody else is to get what is only on trial, and
    /// once it is taken back nobody finds what it has made. `None` for those who get live versions throughout.
    #[must_use]
    pub fn trial_mark(&self) -> Option<String> {
        let mut mark = String::new();
        for (place, (hook, chosen)) in self.route.hooks.iter().zip(self.versions().iter()).enumerate() {
            if chosen.is_canary && self.shapes_what_is_stored(hook) {
                // Writing to a String cannot fail.
                let _ = write!(mark, "canary {place} {} ", chosen.version());
            }
        }
        (!mark.is_empty()).then_some(mark)
    }

    /// What a hook does after an answer was stored is not stored. What it does before the cache is asked is in the key already,
    /// where nothing else of the request reaches those who shape the answer: neither the origin nor hooks that see both.
    fn shapes_what_is_stored(&self, hook: &Slot) -> bool {
        let is_keyed = || {
            let policy = self.route.policy.as_ref();
            policy.is_some_and(cache::Policy::forwards_only_the_key)
                && !self.route.hooks.iter().any(|hook| hook.listens(Event::OriginResponse))
        };
        hook.listens(Event::OriginRequest)
            || hook.listens(Event::OriginResponse)
            || (hook.listens(Event::ViewerRequest) && !is_keyed())
    }
}
