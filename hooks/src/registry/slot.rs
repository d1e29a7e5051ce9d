//! The place of a hook in a node: which of its versions a request gets, and how that changes while requests go on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::RegistryParts;
use super::figures::{Arm, Ended, Figures, Underway};
use super::loading::{Choice, Dress, Loader, OnTrial, Read, Ready, Version, configured};
use super::settings::Terms;
use super::share::{self, Asking};
use super::shelf::{Shelf, Unusable};
use super::state::{Canary, Change, Component, Refusal, State, What};
use super::trial::{Arms, Looking, Trial};
use super::version::VersionId;
use crate::doubts::Doubt;
use crate::engine::Engine;
use crate::error::HookError;
use crate::event::Event;
use crate::hook::Hook;
use crate::places::Places;
use crate::settings::{HookSettings, OnError};

/// A hook of a config, in all its versions. A reload makes a new one; requests under way keep theirs.
pub struct Slot {
    name: Arc<str>,
    settings: HookSettings,
    loader: Loader,
    ledger: Arc<Ledger>,
    choice: ArcSwap<Choice>,
    /// A reload has put another in its place: nothing is to change here any more.
    is_retired: AtomicBool,
    /// What is to be written down once the node serves.
    prepared: Mutex<Option<Prepared>>,
}

/// What is known of a hook over reloads.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) shelf: Shelf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    state: State,
    trial: Option<Trial>,
    /// Of the versions that serve or have just done so.
    pub(super) figures: BTreeMap<VersionId, Arc<Figures>>,
    automatic_rollbacks: u64,
}

#[derive(Debug)]
struct Prepared {
    state: State,
    /// The components that the config names.
    components: Vec<Read>,
    /// Whether the manifest that was found cannot be used.
    is_damaged: bool,
    at: SystemTime,
}

/// The version that a request has got, for all its events.
#[derive(Debug)]
pub struct Chosen {
    version: Arc<Version>,
    /// Whether it is on trial.
    pub is_canary: bool,
}

impl Chosen {
    /// The hook in this version.
    #[must_use]
    pub fn hook(&self) -> &Hook {
        &self.version.hook
    }

    /// Its name among versions.
    #[must_use]
    pub fn version(&self) -> &VersionId {
        &self.version.id
    }

    /// A call begins. It is counted when it ends, and also where nobody waits for its end any more.
    #[must_use]
    pub fn begin(&self, event: Event) -> Underway {
        Underway::begin(&self.version.figures, event, self.version.hook.limits().wall)
    }

    /// Counts the failure of a call that had ended well: a body breaks off while the hook rewrites it.
    pub fn note_failure(&self, event: Event) -> impl Fn(&HookError) + Send + Sync + use<> {
        let figures = Arc::clone(&self.version.figures);
        move |error| {
            if Ended::of(error) == Ended::Failed {
                figures.note_failure(event);
            }
        }
    }
}

/// Why versions were not changed. What served goes on serving.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// It makes no sense.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The component cannot be this hook.
    #[error(transparent)]
    Load(#[from] HookError),
    /// Its component is not there any more, or damaged.
    #[error("the component of {0} cannot be read: {1}; deploy it again")]
    Lost(VersionId, #[source] std::io::Error),
    /// It cannot be kept over a restart.
    #[error("it cannot be kept: {0}; look at the folder of [node] state")]
    Keep(#[source] std::io::Error),
    /// Something else was changed at the same time.
    #[error("the config was reloaded or the versions changed meanwhile; try again")]
    Overtaken,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Slot").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a slot is made of.
pub(crate) struct Parts<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) dress: Dress,
    /// `[node] state`.
    pub(crate) folder: &'a Path,
    pub(crate) now: SystemTime,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(parts: &RegistryParts<'a>) -> Self {
        Self { engine: parts.engine, dress: Arc::clone(&parts.dress), folder: parts.folder, now: parts.now }
    }
}

impl Slot {
    /// Loads what is to serve: what was live before, or else the config's own component. Nothing is written. Brings what is to be
    /// said besides.
    ///
    /// # Errors
    /// [`HookError::Load`], also of a version that was deployed and does not fit the new settings of a reload. Where a node
    /// starts, its config's own component serves then.
    pub(crate) fn prepare(
        parts: &Parts<'_>,
        name: &str,
        settings: &HookSettings,
        before: Option<&Slot>,
    ) -> Result<(Self, Vec<String>), HookError> {
        let refuse = |cause: String| HookError::Load { hook: name.to_owned(), cause };
        let (configured, components) = configured(settings).map_err(refuse)?;
        let mut words = Vec::new();
        let mut is_damaged = false;
        let ledger = before.map(|before| Arc::clone(&before.ledger));
        let shelf = Shelf::of(parts.folder, name);
        let known = match &ledger {
            Some(ledger) => Some(ledger.inner().state.clone()),
            None => match shelf.manifest() {
                Ok(mut known) => {
                    known.iter_mut().for_each(|state| state.resume_ramp(parts.now));
                    known
                }
                Err(Unusable::Unread(cause)) => return Err(refuse(cause)),
                Err(Unusable::Damaged(cause)) => {
                    is_damaged = true;
                    words.push(format!("hook {name:?}: {cause}; the component that the config names serves"));
                    None
                }
            },
        };
        let mut state = known.unwrap_or_else(|| State::new(&configured, parts.now));
        state.configured(&configured, parts.now);
        let ledger = ledger.unwrap_or_else(|| {
            let inner =
                Inner { state: state.clone(), trial: None, figures: BTreeMap::new(), automatic_rollbacks: 0 };
            Arc::new(Ledger { shelf, inner: Mutex::new(inner) })
        });
        let places = places(settings, before);
        let loader = Loader { engine: parts.engine.clone(), dress: Arc::clone(&parts.dress), places };
        let ready = Ready { name, settings, loader: &loader, ledger: &ledger, components: &components };
        let choice = match before {
            Some(_) => ready.choice(&state)?,
            None => ready.choice_or_base(&mut state, &mut words, parts.now)?,
        };
        let slot = Self {
            name: name.into(),
            settings: settings.clone(),
            loader,
            ledger: Arc::clone(&ledger),
            choice: ArcSwap::from_pointee(choice),
            is_retired: AtomicBool::new(false),
            prepared: Mutex::new(Some(Prepared { state, components, is_damaged, at: parts.now })),
        };
        Ok((slot, words))
    }

    /// The node serves: what was prepared becomes what is known, and is written down. Brings what is to be said.
    pub(crate) fn commit(&self) -> Vec<String> {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Prepared { mut state, components, is_damaged, at }) = prepared else { return Vec::new() };
        let mut words = self.spoken(&state.take_fresh());
        let shelf = &self.ledger.shelf;
        let put_aside = match is_damaged {
            true => shelf.put_aside().map(|aside| {
                words.push(format!(
                    "hook {:?}: the damaged list is {}; until that is removed, so is no component",
                    self.name,
                    aside.display()
                ));
            }),
            false => Ok(()),
        };
        let keep = || components.iter().try_for_each(|(version, bytes)| shelf.keep(version, bytes));
        let before = self.state();
        if let Err(error) = put_aside.and_then(|()| keep()).and_then(|()| self.write(&before, &mut state)) {
            words.push(format!("hook {:?}: its versions cannot be kept: {error}", self.name));
        }
        self.take(&mut self.ledger.inner(), state, &self.choice.load(), at);
        words
    }

    /// A reload has put another in its place.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Relaxed);
    }

    /// The name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the hook is to be called at this event, in any version.
    #[must_use]
    pub fn listens(&self, event: Event) -> bool {
        self.settings.on.contains(&event)
    }

    /// What is odd about its settings, for the version that is live.
    #[must_use]
    pub fn doubts(&self) -> Vec<Doubt> {
        self.choice.load().live.hook.doubts(&self.settings)
    }

    /// What the node does when a call fails.
    #[must_use]
    pub fn on_error(&self) -> OnError {
        self.settings.on_error
    }

    /// The largest component that can be deployed, in bytes.
    #[must_use]
    pub fn max_size(&self) -> u64 {
        self.settings.versions.max_size.as_u64()
    }

    /// What trials of this hook are like where nobody says otherwise: those of the config's canary.
    #[must_use]
    pub fn default_terms(&self) -> Terms {
        self.settings.canary.as_ref().map(super::settings::CanarySettings::terms).unwrap_or_default()
    }

    /// The version that this request gets.
    #[must_use]
    pub fn choose(&self, asking: &Asking<'_>) -> Chosen {
        let choice = self.choice.load();
        match &choice.canary {
            Some(trial) if share::is_in(asking, &trial.version.id, &trial.terms, trial.given) => {
                Chosen { version: Arc::clone(&trial.version), is_canary: true }
            }
            _ => Chosen { version: Arc::clone(&choice.live), is_canary: false },
        }
    }

    /// Whether a canary is on trial.
    #[must_use]
    pub fn is_on_trial(&self) -> bool {
        self.choice.load().canary.is_some()
    }

    /// Loads a component; it becomes live, or goes on trial on these terms. Takes as long as compiling does.
    pub(crate) fn deploy(
        &self,
        turn: &Mutex<()>,
        bytes: &[u8],
        terms: Option<&Terms>,
        note: Option<&str>,
        now: SystemTime,
    ) -> Result<Vec<String>, VersionError> {
        if let Some(fault) = terms.and_then(Terms::fault) {
            return Err(Refusal::Terms(fault).into());
        }
        let component = Component { version: VersionId::of(bytes), bytes: bytes.len() as u64 };
        let source = format!("the component {}", component.version);
        let loaded = self.load(&component.version, &source, bytes)?;
        let _turn = self.take_turn(turn)?;
        let mut state = self.state();
        state.deploy(&component, terms, note, now)?;
        self.ledger.shelf.keep(&component.version, bytes).map_err(VersionError::Keep)?;
        self.change(state, Some(&loaded), now)
    }

    /// The canary becomes live, at once or by a ramp.
    pub(crate) fn promote(
        &self,
        turn: &Mutex<()>,
        over: Option<Duration>,
        now: SystemTime,
    ) -> Result<Vec<String>, VersionError> {
        let _turn = self.take_turn(turn)?;
        let mut state = self.state();
        state.promote(over, now)?;
        self.change(state, None, now)
    }

    /// The canary is taken back; where a version is named, that one becomes live.
    pub(crate) fn rollback(
        &self,
        turn: &Mutex<()>,
        to: Option<&str>,
        now: SystemTime,
    ) -> Result<Vec<String>, VersionError> {
        let target = self.state().target(to)?;
        let loaded = match &target {
            None => None,
            Some(version) => Some(self.at_hand(version).map_or_else(|| self.load_kept(version), Ok)?),
        };
        let _turn = self.take_turn(turn)?;
        let mut state = self.state();
        if state.target(to)? != target {
            return Err(VersionError::Overtaken);
        }
        state.rollback(to, now)?;
        self.change(state, loaded.as_ref(), now)
    }

    /// What time brings: the end of a ramp, or a canary that has shown itself to be worse. Brings what is to be said.
    pub(crate) fn tick(&self, now: SystemTime) -> Vec<String> {
        if self.is_retired.load(Relaxed) {
            return Vec::new();
        }
        let mut inner = self.ledger.inner();
        let before = inner.state.clone();
        let mut state = before.clone();
        if let Some(reason) = self.look(&mut inner, now) {
            state.drop_canary(What::AutomaticRollback, reason, now);
            inner.automatic_rollbacks += 1;
        } else {
            state.note_ramp(now);
            state.end_ramp(now);
        }
        let spent = inner.trial.as_ref().map_or(0, Trial::spent);
        if let Some(canary) = &mut state.canary {
            canary.spent = spent;
        }
        drop(inner);
        if state == before {
            return Vec::new();
        }
        let fresh = state.take_fresh();
        let Ok(choice) = self.choice_of(&state, None) else { return Vec::new() };
        let mut words = self.spoken(&fresh);
        // When the disk fails, a bad canary goes all the same; it comes back with a restart.
        if let Err(error) = self.write(&before, &mut state) {
            words.push(format!("hook {:?}: its versions cannot be kept: {error}", self.name));
        }
        self.serve(state, choice, now);
        words
    }

    fn look(&self, inner: &mut Inner, now: SystemTime) -> Option<String> {
        let canary = inner.state.canary.clone()?;
        let (live, tried) = (inner.tally(&inner.state.live), inner.tally(&canary.version));
        let arms = Arms { live: &live, canary: &tried };
        let trial = inner.trial.get_or_insert_with(|| Trial::resumed(canary.spent));
        let (events, rule) = (self.settings.on.as_slice(), &canary.terms.rollback_if);
        let worse = trial.look(arms, Looking { events, rule, share: canary.percent(now), now })?;
        Some(worse.to_string())
    }

    /// One change at a time, over all hooks, and none here after a reload.
    fn take_turn<'a>(&self, turn: &'a Mutex<()>) -> Result<MutexGuard<'a, ()>, VersionError> {
        let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        match self.is_retired.load(Relaxed) {
            true => Err(VersionError::Overtaken),
            false => Ok(turn),
        }
    }

    fn state(&self) -> State {
        self.ledger.inner().state.clone()
    }

    /// Writes a change down, and only then lets it serve. Nobody who only looks waits for the disk meanwhile: the turn alone
    /// keeps other changes away.
    fn change(
        &self,
        mut state: State,
        loaded: Option<&Arc<Version>>,
        now: SystemTime,
    ) -> Result<Vec<String>, VersionError> {
        let fresh = state.take_fresh();
        let choice = self.choice_of(&state, loaded)?;
        self.write(&self.state(), &mut state).map_err(VersionError::Keep)?;
        self.serve(state, choice, now);
        Ok(self.spoken(&fresh))
    }

    /// Writes a state down; what it does not need any more goes.
    fn write(&self, before: &State, state: &mut State) -> std::io::Result<()> {
        let (needed, shelf) = (state.needed(self.settings.versions.keep), &self.ledger.shelf);
        state.forget_all_but(&needed);
        if state != before || shelf.manifest() != Ok(Some(state.clone())) {
            shelf.write(state)?;
            // What cannot be removed now is tried again next time.
            let _ = shelf.clear(&needed);
        }
        Ok(())
    }

    fn serve(&self, state: State, choice: Choice, now: SystemTime) {
        let choice = Arc::new(choice);
        self.choice.store(Arc::clone(&choice));
        self.take(&mut self.ledger.inner(), state, &choice, now);
    }

    /// Makes a state what is known. Figures go with their versions, so that there are never many; a trial begins with its
    /// canary and anew with other terms, and ends with it or with the live version that it is compared with.
    fn take(&self, inner: &mut Inner, state: State, choice: &Choice, now: SystemTime) {
        let tried = |state: &State| {
            let of = |canary: &Canary| (canary.version.clone(), state.live.clone(), canary.given());
            state.canary.as_ref().map(of)
        };
        if tried(&inner.state) != tried(&state) {
            inner.trial = None;
        }
        let canary = state.canary.as_ref().map(|canary| &canary.version);
        let shown: Vec<_> =
            [Some(&state.live), state.previous.as_ref(), canary].into_iter().flatten().collect();
        inner.figures.retain(|version, _| shown.contains(&version));
        for version in
            [Some(&choice.live), choice.canary.as_ref().map(|trial| &trial.version)].into_iter().flatten()
        {
            inner.figures.insert(version.id.clone(), Arc::clone(&version.figures));
        }
        inner.state = state;
        if inner.trial.is_none() {
            // The first look only begins to count.
            let _ = self.look(inner, now);
        }
    }

    fn choice_of(&self, state: &State, loaded: Option<&Arc<Version>>) -> Result<Choice, VersionError> {
        let find = |version: &VersionId| {
            let loaded = loaded.filter(|loaded| loaded.id == *version).cloned();
            loaded.or_else(|| self.at_hand(version)).ok_or(VersionError::Overtaken)
        };
        let live = find(&state.live)?;
        let canary = match &state.canary {
            None => None,
            Some(canary) => {
                let version = find(&canary.version)?;
                Some(OnTrial { version, terms: canary.terms.clone(), given: canary.given() })
            }
        };
        Ok(Choice { live, canary })
    }

    /// A version that serves now.
    fn at_hand(&self, version: &VersionId) -> Option<Arc<Version>> {
        let choice = self.choice.load();
        let canary = choice.canary.as_ref().map(|trial| &trial.version);
        [Some(&choice.live), canary].into_iter().flatten().find(|there| there.id == *version).cloned()
    }

    fn load_kept(&self, version: &VersionId) -> Result<Arc<Version>, VersionError> {
        let bytes = self.ledger.shelf.component(version);
        let bytes = bytes.map_err(|error| VersionError::Lost(version.clone(), error))?;
        Ok(self.load(version, &self.ledger.shelf.path(version).display().to_string(), &bytes)?)
    }

    fn load(&self, version: &VersionId, source: &str, bytes: &[u8]) -> Result<Arc<Version>, HookError> {
        let ready = Ready {
            name: &self.name,
            settings: &self.settings,
            loader: &self.loader,
            ledger: &self.ledger,
            components: &[],
        };
        ready.load(version, source, bytes)
    }

    fn spoken(&self, changes: &[Change]) -> Vec<String> {
        let line = |Change { what, version, words, .. }: &Change| {
            format!("hook name={:?} {}={version} reason={words:?}", self.name, what.word())
        };
        changes.iter().map(line).collect()
    }

    /// How it stands.
    #[must_use]
    pub fn report(&self, now: SystemTime) -> super::report::SlotReport {
        let inner = self.ledger.inner();
        super::report::of(
            &self.settings,
            &inner.state,
            inner.trial.as_ref(),
            |version| inner.tally(version),
            inner.automatic_rollbacks,
            now,
        )
    }
}

impl Ledger {
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tally(&self, version: &VersionId) -> Arm {
        self.figures.get(version).map(|figures| figures.tally()).unwrap_or_default()
    }
}

/// Calls that run over a reload, and bodies that are being rewritten, keep their places: a reload lets no others in beside
/// them, unless it changes how many there may be.
fn places(settings: &HookSettings, before: Option<&Slot>) -> Arc<Places> {
    let numbers = |settings: &HookSettings| {
        let limits = &settings.limits;
        (limits.concurrency, limits.queue, limits.transforms)
    };
    match before.filter(|before| numbers(&before.settings) == numbers(settings)) {
        Some(before) => Arc::clone(&before.loader.places),
        None => Arc::new(Places::new(&settings.limits)),
    }
}
