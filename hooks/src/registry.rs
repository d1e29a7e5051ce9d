//! Versions of hooks: which one a request gets, how a canary does, what is kept over a restart.
//!
//! `state` says what follows from what is done, `share` who gets a canary, `trial` and `evidence` whether it is worse: all three
//! are arithmetic. `shelf` is the disk, `slot` what requests meet.

mod evidence;
mod examine;
mod figures;
mod loading;
mod report;
mod settings;
mod share;
mod shelf;
mod slot;
mod state;
mod trial;
mod version;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};

use crate::engine::Engine;
use crate::error::HookError;
use crate::settings::HookSettings;

pub use figures::{Ended, Underway};
pub use loading::Dress;
pub use report::{CallsReport, CanaryReport, SlotReport, VersionReport};
pub use settings::{
    CanarySettings, HeaderMatch, RampSettings, RollbackSettings, Sticky, Terms, VersionSettings,
};
pub use share::Asking;
pub use slot::{Chosen, Slot, VersionError};
pub use state::{Change, Refusal, What};
pub use trial::{Comparison, Rate, Slowness};
pub use version::VersionId;

/// The hooks of a node. A reload makes another one, which goes on with what this one knows.
#[derive(Debug, Default)]
pub struct Registry {
    slots: BTreeMap<String, Arc<Slot>>,
    /// Held while versions change: by whoever changes one, and by a reload from beginning to end.
    turn: Arc<Mutex<()>>,
    /// What came up while it was made.
    words: Mutex<Vec<String>>,
}

/// What a registry is made of.
pub struct RegistryParts<'a> {
    /// Where hooks run.
    pub engine: &'a Engine,
    /// `[node] state`: versions are kept below.
    pub folder: &'a Path,
    /// What is done to each version of each hook before it serves.
    pub dress: Dress,
    /// The clock.
    pub now: SystemTime,
}

impl Registry {
    /// Loads the hooks of a config, in the versions that are to serve. Nothing is written and nothing that serves is touched
    /// before [`Self::commit`].
    ///
    /// # Errors
    /// [`HookError::Load`] with the name of the hook.
    pub fn prepare<'a>(
        parts: &RegistryParts<'_>,
        hooks: impl IntoIterator<Item = (&'a String, &'a HookSettings)>,
        before: Option<&Registry>,
    ) -> Result<Self, (String, HookError)> {
        let mut registry = Registry::default();
        if let Some(before) = before {
            registry.turn = Arc::clone(&before.turn);
        }
        let mut words = Vec::new();
        for (name, settings) in hooks {
            let before = before.and_then(|before| before.slots.get(name)).map(Arc::as_ref);
            let (slot, said) = Slot::prepare(&slot::Parts::of(parts), name, settings, before)
                .map_err(|error| (name.clone(), error))?;
            words.extend(said);
            registry.slots.insert(name.clone(), Arc::new(slot));
        }
        registry.words = Mutex::new(words);
        Ok(registry)
    }

    /// It serves from now on, in place of `before`: writes down which versions do. Brings what is to be said.
    pub fn commit(&self, before: Option<&Registry>) -> Vec<String> {
        if let Some(before) = before {
            before.slots.values().for_each(|slot| slot.retire());
        }
        let mut words = std::mem::take(&mut *self.words.lock().unwrap_or_else(PoisonError::into_inner));
        words.extend(self.slots.values().flat_map(|slot| slot.commit()));
        words
    }

    /// Keeps versions from changing while it is held: from before [`Self::prepare`] of what is to replace this until after its
    /// [`Self::commit`].
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A hook by its name in the config.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Slot>> {
        self.slots.get(name)
    }

    /// All hooks by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Slot>)> {
        self.slots.iter().map(|(name, slot)| (name.as_str(), slot))
    }

    /// Whether any canary is on trial, so that [`Self::tick`] has something to do.
    #[must_use]
    pub fn is_on_trial(&self) -> bool {
        self.slots.values().any(|slot| slot.is_on_trial())
    }

    /// What time brings: ramps end, and canaries that are surely worse are taken back. Brings what is to be said. Writes files.
    pub fn tick(&self, now: SystemTime) -> Vec<String> {
        // Whoever changes versions at this moment is the more important one; the next tick comes soon.
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return Vec::new(),
        };
        self.slots.values().filter(|slot| slot.is_on_trial()).flat_map(|slot| slot.tick(now)).collect()
    }

    /// Loads a component and lets it serve, or puts it on trial on these terms. Takes as long as compiling does. Brings what is
    /// to be said.
    ///
    /// # Errors
    /// [`VersionError`]; nothing that serves was touched.
    pub fn deploy(
        &self,
        slot: &Slot,
        component: &[u8],
        terms: Option<&Terms>,
        note: Option<&str>,
        now: SystemTime,
    ) -> Result<Vec<String>, VersionError> {
        slot.deploy(&self.turn, component, terms, note, now)
    }

    /// The canary becomes live: at once, or at the end of a ramp that takes so long. Brings what is to be said.
    ///
    /// # Errors
    /// [`VersionError`]; nothing was changed.
    pub fn promote(
        &self,
        slot: &Slot,
        over: Option<Duration>,
        now: SystemTime,
    ) -> Result<Vec<String>, VersionError> {
        slot.promote(&self.turn, over, now)
    }

    /// The canary is taken back. Where `to` names a version (by its first digits, or as `previous` or `config`), that one becomes
    /// live. Brings what is to be said.
    ///
    /// # Errors
    /// [`VersionError`]; nothing was changed.
    pub fn rollback(
        &self,
        slot: &Slot,
        to: Option<&str>,
        now: SystemTime,
    ) -> Result<Vec<String>, VersionError> {
        slot.rollback(&self.turn, to, now)
    }
}
