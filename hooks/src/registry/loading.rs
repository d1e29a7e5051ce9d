//! From components to versions that can be called.

use std::sync::Arc;
use std::time::SystemTime;

use super::figures::Figures;
use super::settings::Terms;
use super::slot::Ledger;
use super::state::{Component, Configured, State, What};
use super::version::VersionId;
use crate::engine::Engine;
use crate::error::HookError;
use crate::hook::Hook;
use crate::load;
use crate::places::Places;
use crate::settings::{HookSettings, WasmSource};

/// A component that the config names, and its name among versions.
pub(super) type Read = (VersionId, Vec<u8>);

/// A version that is loaded.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) id: VersionId,
    pub(super) hook: Hook,
    pub(super) figures: Arc<Figures>,
}

/// What a request chooses from.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) live: Arc<Version>,
    pub(super) canary: Option<OnTrial>,
}

#[derive(Debug)]
pub(super) struct OnTrial {
    pub(super) version: Arc<Version>,
    pub(super) terms: Terms,
    pub(super) given: SystemTime,
}

#[derive(Clone)]
pub(super) struct Loader {
    pub(super) engine: Engine,
    pub(super) dress: Dress,
    /// One set for all versions: limits hold for the hook, and call times of canary and live are those of the same queue.
    pub(super) places: Arc<Places>,
}

/// What is done to every version of a hook before it serves, such as watching its calls.
pub type Dress = Arc<dyn Fn(Hook) -> Hook + Send + Sync>;

/// What versions are loaded with.
pub(super) struct Ready<'a> {
    pub(super) name: &'a str,
    pub(super) settings: &'a HookSettings,
    pub(super) loader: &'a Loader,
    pub(super) ledger: &'a Ledger,
    pub(super) components: &'a [Read],
}

impl Ready<'_> {
    pub(super) fn load(
        &self,
        version: &VersionId,
        source: &str,
        bytes: &[u8],
    ) -> Result<Arc<Version>, HookError> {
        let hook = Hook::from_bytes(&self.loader.engine, self.name, self.settings, source, bytes)?;
        let hook = hook.sharing(&self.loader.places);
        let figures = Arc::clone(self.ledger.inner().figures.entry(version.clone()).or_default());
        Ok(Arc::new(Version { id: version.clone(), hook: (self.loader.dress)(hook), figures }))
    }

    /// A component that the config names, or one that is kept.
    fn find(&self, version: &VersionId) -> Result<Arc<Version>, HookError> {
        if let Some((_, bytes)) = self.components.iter().find(|(named, _)| named == version) {
            return self.load(version, &self.settings.source_of(version, self.components), bytes);
        }
        let path = self.ledger.shelf.path(version).display().to_string();
        let bytes = self.ledger.shelf.component(version).map_err(|error| HookError::Load {
            hook: self.name.to_owned(),
            cause: format!(
                "version {version} was deployed, but {path} cannot be read: {error}; deploy it again"
            ),
        })?;
        let refused = |error: HookError| match error {
            HookError::Load { hook, cause } => HookError::Load {
                hook,
                cause: format!(
                    "{cause}; version {version} was deployed: deploy one that fits, or roll back, before this config is loaded"
                ),
            },
            other => other,
        };
        self.load(version, &path, &bytes).map_err(refused)
    }

    pub(super) fn choice(&self, state: &State) -> Result<Choice, HookError> {
        let canary = match &state.canary {
            None => None,
            Some(canary) => {
                let version = self.find(&canary.version)?;
                Some(OnTrial { version, terms: canary.terms.clone(), given: canary.given() })
            }
        };
        Ok(Choice { live: self.find(&state.live)?, canary })
    }

    /// For a node that starts: what was deployed must not keep it from serving.
    pub(super) fn choice_or_base(
        &self,
        state: &mut State,
        words: &mut Vec<String>,
        now: SystemTime,
    ) -> Result<Choice, HookError> {
        let is_configs = |version: &VersionId| self.components.iter().any(|(named, _)| named == version);
        if let Some(canary) = state.canary.as_ref().map(|canary| canary.version.clone())
            && !is_configs(&canary)
            && let Err(error) = self.find(&canary)
        {
            words.push(format!("{error}; the canary is taken back"));
            state.drop_canary(What::Rollback, "it cannot be loaded".to_owned(), now);
        }
        if !is_configs(&state.live)
            && let Err(error) = self.find(&state.live)
        {
            words.push(format!("{error}; the component that the config names serves"));
            state.fall_back(format!("{} cannot be loaded", state.live), now);
        }
        self.choice(state)
    }
}

impl HookSettings {
    /// Where the config has this component from.
    fn source_of(&self, version: &VersionId, components: &[Read]) -> String {
        let is_base = components.first().is_some_and(|(base, _)| base == version);
        match self.canary.as_ref().filter(|_| !is_base) {
            Some(canary) => canary.wasm.to_string(),
            None => self.wasm.to_string(),
        }
    }
}

/// What the config names, read once: what is looked at is what is loaded.
pub(super) fn configured(settings: &HookSettings) -> Result<(Configured, Vec<Read>), String> {
    let mut components = Vec::new();
    let mut read = |source: &WasmSource| {
        let bytes = load::read(source)?.into_owned();
        let version = VersionId::of(&bytes);
        let component = Component { version: version.clone(), bytes: bytes.len() as u64 };
        components.push((version, bytes));
        Ok::<_, String>(component)
    };
    let base = read(&settings.wasm)?;
    let builtin = match &settings.wasm {
        WasmSource::Builtin(name) => Some(name.clone()),
        WasmSource::File(_) => None,
    };
    let canary = match &settings.canary {
        None => None,
        Some(canary) => Some((read(&canary.wasm)?, canary.terms())),
    };
    Ok((Configured { base, builtin, canary }, components))
}
