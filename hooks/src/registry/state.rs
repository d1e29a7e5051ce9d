//! Which versions of a hook there are and which of them serves. Pure: each change is a function of what was and `now`.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::settings::{RampSettings, Terms, WHOLE};
use super::share;
use super::version::VersionId;

/// What is remembered of what was done.
const HISTORY: usize = 50;
/// The fewest digits that name a version.
const FEWEST_DIGITS: usize = 4;
/// What this code writes and reads.
const FORMAT: u32 = 1;

/// Everything that outlives the process, but for the components themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct State {
    format: u32,
    /// The component that the config's `wasm` was when it was last looked at.
    pub(crate) base: VersionId,
    /// The name of a component that every node carries, where `wasm` is one: another release of the node brings another
    /// component without anybody having changed the config.
    builtin: Option<String>,
    /// The component that the config's `canary` was when it was last looked at.
    offered: Option<VersionId>,
    /// The terms that it had there: what the node is told later of its canary is no change of the config.
    #[serde(default)]
    offered_terms: Option<Terms>,
    pub(crate) live: VersionId,
    pub(crate) previous: Option<VersionId>,
    pub(crate) canary: Option<Canary>,
    /// Those whose components are kept, oldest first.
    pub(crate) versions: Vec<Known>,
    /// Oldest first.
    pub(crate) history: VecDeque<Change>,
    /// Changes that nobody has been told of yet.
    #[serde(skip)]
    fresh: Vec<Change>,
}

/// A version on trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Canary {
    pub(crate) version: VersionId,
    pub(crate) terms: Terms,
    /// When it was first called.
    since_ms: u64,
    /// When its terms were given: a ramp begins then.
    given_ms: u64,
    /// How far its ramp has come: it waits while the node is down.
    #[serde(default)]
    ramped_ms: u64,
    /// Whether it is the config's `canary`, and so goes when that does.
    is_from_config: bool,
    /// What its trial has spent of the chance of error.
    #[serde(default)]
    pub(crate) spent: u32,
}

/// A version whose component is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Known {
    pub(crate) version: VersionId,
    pub(crate) bytes: u64,
    pub(crate) at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What was done.
    pub what: What,
    /// The version that it is about.
    pub version: VersionId,
    /// The circumstances.
    pub words: String,
}

/// What can be done with versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The config's own component became live.
    Config,
    /// A version was deployed and is live.
    Deploy,
    /// A version went on trial.
    Canary,
    /// The terms of a trial changed, its ramp for example.
    Terms,
    /// The canary became live.
    Promote,
    /// The canary was taken back, or the live version left.
    Rollback,
    /// The node took the canary back by itself.
    AutomaticRollback,
}

impl What {
    /// The word in log and answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Deploy => "deploy",
            Self::Canary => "canary",
            Self::Terms => "terms",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::AutomaticRollback => "automatic-rollback",
        }
    }
}

/// What the config says.
pub(crate) struct Configured {
    pub(crate) base: Component,
    pub(crate) builtin: Option<String>,
    pub(crate) canary: Option<(Component, Terms)>,
}

/// A component by its name and size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Component {
    pub(crate) version: VersionId,
    pub(crate) bytes: u64,
}

/// What cannot be done; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing is on trial.
    #[error("no canary is on trial, so there is nothing to promote; deploy one with a share: percent=5")]
    NoCanary,
    /// Nothing is on trial, and the live version is only left for one that is named.
    #[error(
        "no canary is on trial, and {0} stays live; to leave it, name the version with `to`: previous, config or its first digits"
    )]
    NotNamed(VersionId),
    /// A rollback that is asked for once more does not undo itself.
    #[error("{0} is live because {1} was rolled back; to have that again, name it by its digits")]
    BackAlready(VersionId, VersionId),
    /// There is nothing to go back to.
    #[error("no version was live before this one; name one with `to`")]
    NoPrevious,
    /// The canary is live already.
    #[error("{0} is live already; a canary is another component")]
    Live(VersionId),
    /// A version that is not kept.
    #[error("no version {0:?} is kept; those that are: {1}")]
    Unknown(String, String),
    /// Terms that make no sense.
    #[error("{0}")]
    Terms(&'static str),
}

impl State {
    pub(crate) fn new(configured: &Configured, now: SystemTime) -> Self {
        let base = configured.base.version.clone();
        let mut state = Self {
            format: FORMAT,
            base: base.clone(),
            builtin: configured.builtin.clone(),
            offered: None,
            offered_terms: None,
            live: base,
            previous: None,
            canary: None,
            versions: Vec::new(),
            history: VecDeque::new(),
            fresh: Vec::new(),
        };
        state.configured(configured, now);
        // What is live from the first moment on is nothing that was done.
        state.fresh.retain(|change| change.what != What::Config);
        state
    }

    /// Whether this code understands it.
    pub(crate) fn is_readable(&self) -> bool {
        self.format == FORMAT
    }

    /// Takes notice of what the config says now.
    ///
    /// A deployed version stays, whatever else is changed in the config, until the component that the config names is another
    /// one: then that is the latest word, and becomes live. The config's canary goes on trial once: what was taken back or
    /// promoted is not tried again before its component is another one.
    pub(crate) fn configured(&mut self, config: &Configured, now: SystemTime) {
        self.keep(&config.base, None, now);
        let base = config.base.version.clone();
        let is_same_builtin = self.builtin.is_some() && self.builtin == config.builtin;
        let follows = self.live == self.base;
        let before = std::mem::replace(&mut self.base, base.clone());
        self.builtin.clone_from(&config.builtin);
        if before != base && base != self.live && (follows || !is_same_builtin) {
            // A trial that only ends because there is another version to compare with begins again.
            if self.canary.as_ref().is_some_and(|canary| canary.is_from_config) {
                self.offered = None;
            }
            let words = match follows {
                true => format!("the component that the config names is another one; it was {before}"),
                false => format!(
                    "the component that the config names is another one: it replaces {}, which was deployed",
                    self.live
                ),
            };
            self.go_live(base, What::Config, words, now);
        } else if self.versions.len() == 1 && self.history.is_empty() {
            self.record(What::Config, base, "the config's own".to_owned(), now);
        }
        self.offer(config.canary.as_ref(), now);
    }

    /// The config's canary.
    fn offer(&mut self, canary: Option<&(Component, Terms)>, now: SystemTime) {
        let running = self.canary.as_ref().filter(|canary| canary.is_from_config).cloned();
        let before =
            std::mem::replace(&mut self.offered, canary.map(|(component, _)| component.version.clone()));
        let terms_before = std::mem::replace(&mut self.offered_terms, canary.map(|(_, terms)| terms.clone()));
        let Some((component, terms)) = canary else {
            if let Some(running) = running {
                self.drop_canary(What::Rollback, "the config names no canary any more".to_owned(), now);
                drop(running);
            }
            return;
        };
        let is_new = before.as_ref() != Some(&component.version) && component.version != self.live;
        let has_other_terms = terms_before.is_some_and(|before| before != *terms);
        match running {
            Some(running) if running.version == component.version && !has_other_terms => {}
            Some(running) if running.version == component.version => {
                self.put_on_trial(component, terms, true, now);
            }
            _ if is_new => self.put_on_trial(component, terms, true, now),
            _ => {}
        }
    }

    /// A component becomes live, or goes on trial on these terms.
    pub(crate) fn deploy(
        &mut self,
        component: &Component,
        terms: Option<&Terms>,
        note: Option<&str>,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        match terms {
            Some(terms) => {
                if let Some(fault) = terms.fault() {
                    return Err(Refusal::Terms(fault));
                }
                if component.version == self.live {
                    return Err(Refusal::Live(component.version.clone()));
                }
                self.keep(component, note, now);
                self.put_on_trial(component, terms, false, now);
            }
            None => {
                self.keep(component, note, now);
                if component.version != self.live || self.canary.is_some() {
                    let words = note.unwrap_or("no trial").to_owned();
                    self.go_live(component.version.clone(), What::Deploy, words, now);
                }
            }
        }
        Ok(())
    }

    /// The canary becomes live: now, or at the end of a ramp from the share that it has.
    pub(crate) fn promote(&mut self, over: Option<Duration>, now: SystemTime) -> Result<(), Refusal> {
        let Some(canary) = &mut self.canary else { return Err(Refusal::NoCanary) };
        let version = canary.version.clone();
        let Some(over) = over else {
            self.go_live(version, What::Promote, "from canary".to_owned(), now);
            return Ok(());
        };
        let percent = canary.percent(now);
        let terms = Terms { percent, ramp: Some(RampSettings { to: WHOLE, over }), ..canary.terms.clone() };
        if let Some(fault) = terms.fault() {
            return Err(Refusal::Terms(fault));
        }
        let words = format!("from {percent:.1} to {WHOLE} percent in {}", shown(over));
        (canary.terms, canary.given_ms, canary.ramped_ms) = (terms, milliseconds(now), 0);
        self.record(What::Terms, version, words, now);
        Ok(())
    }

    /// The canary whose ramp has come to 100 becomes live.
    pub(crate) fn end_ramp(&mut self, now: SystemTime) {
        let is_due = self.canary.as_ref().is_some_and(|canary| {
            canary.terms.ramp.as_ref().is_some_and(|ramp| ramp.to >= WHOLE) && canary.ramp_left(now).is_none()
        });
        if let Some(canary) = self.canary.as_ref().filter(|_| is_due) {
            self.go_live(
                canary.version.clone(),
                What::Promote,
                "its ramp has come to 100 percent".to_owned(),
                now,
            );
        }
    }

    /// Notes how far a ramp has come, in steps of a hundredth: it is written down each time.
    pub(crate) fn note_ramp(&mut self, now: SystemTime) {
        const STEPS: u64 = 100;
        const SHORTEST_STEP: u64 = 1000;
        let Some(canary) = &mut self.canary else { return };
        let Some(ramp) = &canary.terms.ramp else { return };
        let over = u64::try_from(ramp.over.as_millis()).unwrap_or(u64::MAX);
        let gone = milliseconds(now).saturating_sub(canary.given_ms).min(over);
        let step = (over / STEPS).max(SHORTEST_STEP);
        if gone >= canary.ramped_ms.saturating_add(step) || gone == over {
            canary.ramped_ms = gone;
        }
    }

    /// The node starts: a ramp goes on from where it was, for nobody has watched its canary meanwhile.
    pub(crate) fn resume_ramp(&mut self, now: SystemTime) {
        if let Some(canary) = self.canary.as_mut().filter(|canary| canary.terms.ramp.is_some()) {
            canary.given_ms = milliseconds(now).saturating_sub(canary.ramped_ms);
        }
    }

    /// Which version [`Self::rollback`] would make live; `None` where it would only take the canary back.
    pub(crate) fn target(&self, to: Option<&str>) -> Result<Option<VersionId>, Refusal> {
        match to {
            None if self.canary.is_some() => Ok(None),
            None => Err(Refusal::NotNamed(self.live.clone())),
            Some("previous") => match self.previous.clone() {
                None => Err(Refusal::NoPrevious),
                Some(left) if self.is_rolled_back() => Err(Refusal::BackAlready(self.live.clone(), left)),
                previous => Ok(previous),
            },
            Some("config") => Ok(Some(self.base.clone())),
            Some(digits) => {
                let is_meant = |known: &&Known| known.version.as_str().starts_with(digits);
                let mut meant = self.versions.iter().filter(is_meant).map(|known| known.version.clone());
                match (meant.next(), meant.next()) {
                    (Some(one), None) if digits.len() >= FEWEST_DIGITS => Ok(Some(one)),
                    _ => {
                        let known: Vec<_> =
                            self.versions.iter().map(|known| known.version.as_str()).collect();
                        Err(Refusal::Unknown(digits.to_owned(), known.join(", ")))
                    }
                }
            }
        }
    }

    /// Whether the live version is so because another was left.
    fn is_rolled_back(&self) -> bool {
        let became_live = |change: &&Change| {
            change.version == self.live
                && matches!(change.what, What::Config | What::Deploy | What::Promote | What::Rollback)
        };
        self.history.iter().rev().find(became_live).is_some_and(|change| change.what == What::Rollback)
    }

    /// Takes the canary back; where a version is named, that one becomes live.
    pub(crate) fn rollback(&mut self, to: Option<&str>, now: SystemTime) -> Result<(), Refusal> {
        match self.target(to)? {
            None => self.drop_canary(What::Rollback, "asked for".to_owned(), now),
            Some(version) if version == self.live && self.canary.is_none() => {
                return Err(Refusal::Live(version));
            }
            Some(version) => {
                let words = format!("asked for; {} was live", self.live);
                self.go_live(version, What::Rollback, words, now);
            }
        }
        Ok(())
    }

    /// Takes the canary back and says why.
    pub(crate) fn drop_canary(&mut self, what: What, words: String, now: SystemTime) {
        if let Some(canary) = self.canary.take() {
            self.record(what, canary.version, words, now);
        }
    }

    /// The config's own component serves, because nothing else can.
    pub(crate) fn fall_back(&mut self, words: String, now: SystemTime) {
        self.go_live(self.base.clone(), What::Config, words, now);
        self.previous = None;
    }

    /// The versions whose components are to be kept: those that serve, may serve again, or are among the latest.
    pub(crate) fn needed(&self, spare: usize) -> BTreeSet<VersionId> {
        let canary = self.canary.as_ref().map(|canary| &canary.version);
        let named =
            [Some(&self.base), Some(&self.live), self.previous.as_ref(), canary, self.offered.as_ref()];
        let mut needed: BTreeSet<VersionId> = named.into_iter().flatten().cloned().collect();
        let spared: Vec<_> = self
            .versions
            .iter()
            .rev()
            .map(|known| &known.version)
            .filter(|version| !needed.contains(version))
            .take(spare)
            .cloned()
            .collect();
        needed.extend(spared);
        needed
    }

    /// Forgets the versions that are not kept any more.
    pub(crate) fn forget_all_but(&mut self, kept: &BTreeSet<VersionId>) {
        self.versions.retain(|known| kept.contains(&known.version));
    }

    /// The changes that nobody has been told of yet.
    pub(crate) fn take_fresh(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.fresh)
    }

    fn keep(&mut self, component: &Component, note: Option<&str>, now: SystemTime) {
        let Component { version, bytes } = component;
        // What is deployed again is a late one again.
        let before = self.versions.iter().position(|known| known.version == *version);
        let before =
            before.filter(|_| note.is_some() || *version != self.base).map(|at| self.versions.remove(at));
        if self.versions.iter().any(|known| known.version == *version) {
            return;
        }
        let note = note.map(str::to_owned).or(before.and_then(|known| known.note));
        self.versions.push(Known { version: version.clone(), bytes: *bytes, at_ms: milliseconds(now), note });
    }

    fn put_on_trial(&mut self, component: &Component, terms: &Terms, is_from_config: bool, now: SystemTime) {
        self.keep(component, None, now);
        let version = component.version.clone();
        let running = self.canary.take_if(|canary| canary.version == version);
        if self.canary.is_some() {
            let words = format!("{version} goes on trial instead");
            self.drop_canary(What::Rollback, words, now);
        }
        let at = milliseconds(now);
        let (what, since_ms, spent) = match running {
            Some(running) => (What::Terms, running.since_ms, running.spent),
            None => (What::Canary, at, 0),
        };
        let words = told(terms);
        let terms = terms.clone();
        self.canary = Some(Canary {
            version: version.clone(),
            terms,
            since_ms,
            given_ms: at,
            ramped_ms: 0,
            is_from_config,
            spent,
        });
        self.record(what, version, words, now);
    }

    fn go_live(&mut self, version: VersionId, what: What, words: String, now: SystemTime) {
        match self.canary.take() {
            Some(canary) if canary.version != version => {
                let words = format!("{version} becomes live");
                self.record(What::Rollback, canary.version, words, now);
            }
            _ => {}
        }
        if version != self.live {
            self.previous = Some(std::mem::replace(&mut self.live, version.clone()));
        }
        self.record(what, version, words, now);
    }

    fn record(&mut self, what: What, version: VersionId, words: String, now: SystemTime) {
        let change = Change { at_ms: milliseconds(now), what, version, words };
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(change.clone());
        self.fresh.push(change);
    }
}

impl Canary {
    /// The share of viewers now, in percent.
    pub(crate) fn percent(&self, now: SystemTime) -> f64 {
        share::percent(&self.terms, self.given(), now)
    }

    /// How long its ramp still takes.
    pub(crate) fn ramp_left(&self, now: SystemTime) -> Option<Duration> {
        share::ramp_left(&self.terms, self.given(), now)
    }

    pub(crate) fn given(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.given_ms)
    }

    pub(crate) fn since_ms(&self) -> u64 {
        self.since_ms
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Who gets a canary, in words.
fn told(terms: &Terms) -> String {
    let mut words = format!("{} percent of viewers", terms.percent);
    if let Some(header) = &terms.header {
        words.push_str(&format!(", and who sends {header}"));
    }
    if let Some(RampSettings { to, over }) = &terms.ramp {
        words.push_str(&format!(", {to} percent in {}", shown(*over)));
    }
    words
}

fn shown(time: Duration) -> String {
    format!("{time:?}")
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
