//! What a case gives its hook to have: config, secrets, key-value stores; each case begins anew.

use super::file::Case;
use super::scene;
use hooks::{Engine, HookSettings, KvSettings, Material};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

/// The hook's settings as this case has them. Dropped, its stores close and its files go away.
pub(super) struct Belongings<'a> {
    pub(super) settings: HookSettings,
    folder: PathBuf,
    engine: &'a Engine,
}

impl<'a> Belongings<'a> {
    pub(super) fn lay_out(engine: &'a Engine, case: &Case, settings: &HookSettings) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("selvedge-cases-{:016x}", fastrand::u64(..)));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let mut belongings = Self { settings: settings.clone(), folder, engine };
        belongings.settings.config.extend(case.config.clone());
        belongings.secrets(case)?;
        belongings.stores(case)?;
        Ok(belongings)
    }

    /// Secrets come from files or the environment, never from settings.
    fn secrets(&mut self, case: &Case) -> io::Result<()> {
        for (number, (name, value)) in case.secrets.iter().enumerate() {
            let file = self.folder.join(number.to_string());
            std::fs::write(&file, value)?;
            self.settings.secrets.insert(name.clone(), Material::File(file));
        }
        Ok(())
    }

    fn stores(&self, case: &Case) -> io::Result<()> {
        let (stores, now) = (self.engine.stores(), scene::now(case));
        let named = self.settings.kv.iter().map(|name| (name.clone(), KvSettings::default()));
        stores.open(&named.collect(), &self.folder, now);
        for (name, pairs) in &case.kv {
            let unnamed =
                || io::Error::other(format!("kv.{name}: the [hook] table has no kv = [\"{name}\"]"));
            let store = stores.get(name).ok_or_else(unnamed)?;
            for (key, value) in pairs {
                if !store.put(key, value.clone().into_bytes(), now) {
                    return Err(io::Error::other(format!("kv.{name}.{key} is no pair that a store takes")));
                }
            }
        }
        Ok(())
    }
}

impl Drop for Belongings<'_> {
    fn drop(&mut self) {
        self.engine.stores().settle(&BTreeMap::new());
        // What a busy machine leaves there is small, and in the folder for such things.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
