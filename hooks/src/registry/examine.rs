//! What is wrong with versions that were deployed, before a node starts with them: nothing is written.

use super::loading::configured;
use super::shelf::Shelf;
use super::slot::{Parts, Slot};
use super::version::VersionId;
use super::{Registry, RegistryParts};
use crate::settings::HookSettings;

impl Registry {
    /// What a node that starts with this config would say of the versions that are kept below `parts.folder`, by hook: of those
    /// that are to serve, and of those that somebody may go back to. Loads what is to serve, as a start does.
    pub fn examine<'a>(
        parts: &RegistryParts<'_>,
        hooks: impl IntoIterator<Item = (&'a String, &'a HookSettings)>,
    ) -> Vec<(String, String)> {
        let mut words = Vec::new();
        for (name, settings) in hooks {
            let said = match Slot::prepare(&Parts::of(parts), name, settings, None) {
                Ok((_, said)) => said,
                Err(error) => vec![error.to_string()],
            };
            let said = said.into_iter().chain(lost(parts, name, settings));
            words.extend(said.map(|said| (name.clone(), said)));
        }
        words
    }
}

/// Of versions that do not serve, those whose components are gone or are not what was written.
fn lost(parts: &RegistryParts<'_>, name: &str, settings: &HookSettings) -> Vec<String> {
    let shelf = Shelf::of(parts.folder, name);
    // That either cannot be read has been said.
    let (Ok(Some(state)), Ok((_, components))) = (shelf.manifest(), configured(settings)) else {
        return Vec::new();
    };
    let serves = |version: &VersionId| {
        let is_canary = state.canary.as_ref().is_some_and(|canary| canary.version == *version);
        state.live == *version || is_canary || components.iter().any(|(named, _)| named == version)
    };
    let kept = state.versions.iter().map(|known| &known.version).filter(|version| !serves(version));
    kept.filter_map(|version| {
        let error = shelf.component(version).err()?;
        let path = shelf.path(version);
        Some(format!(
            "hook {name:?}: version {version} is kept, but {} cannot be read: {error}; deploy it again if anybody is to go back to it",
            path.display()
        ))
    })
    .collect()
}
