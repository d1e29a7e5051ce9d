//! Key-value stores of this node: `[kv.NAME]`. Shared by all cores and hooks, kept over reloads, saved to files.
//!
//! A store lives in memory. A thread of its own writes what changed to `kv/NAME` in the node's state folder, whole and
//! beside the old file, which it then replaces: a crash loses what changed since, and never what was there before.

mod saved;
mod saver;
mod settings;
mod shelf;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use saver::Saver;
pub use settings::KvSettings;
pub use shelf::Refusal;
use shelf::Shelf;
pub(crate) use shelf::is_key;

/// Bytes of a store's name, which is a file's.
const MAX_NAME_BYTES: usize = 64;

/// Whether a store may be called that: letters, digits, `-` and `_`, at most 64.
#[must_use]
pub fn is_store_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Hears what goes wrong with the files of stores.
pub type Teller = Box<dyn Fn(String) + Send + Sync>;

/// The key-value stores of a node. Clones share them.
#[derive(Clone, Default)]
pub struct Stores {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    open: Mutex<BTreeMap<String, Arc<Store>>>,
    saver: Mutex<Option<Saver>>,
    teller: OnceLock<Teller>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stores").finish_non_exhaustive()
    }
}

impl Stores {
    /// Says who hears of files that cannot be read or written. The first one stays.
    pub fn told_to(&self, teller: Teller) {
        let _ = self.inner.teller.set(teller);
    }

    /// Opens what is not open yet, with what was saved of it under `folder`. Stores that are open stay as they are.
    pub fn open(&self, settings: &BTreeMap<String, KvSettings>, folder: &Path, now: SystemTime) {
        let mut open = self.open_stores();
        for (name, settings) in settings {
            if !open.contains_key(name) {
                let store =
                    Store::open(settings, folder.join("kv").join(name), now, &|words| self.tell(words));
                open.insert(name.clone(), Arc::new(store));
            }
        }
    }

    /// Puts these settings in force, and closes what they do not name: a reload is done.
    pub fn settle(&self, settings: &BTreeMap<String, KvSettings>) {
        let mut closed = Vec::new();
        self.open_stores().retain(|name, store| match settings.get(name) {
            Some(settings) => {
                store.shelf().bound(settings);
                true
            }
            None => {
                closed.push(Arc::clone(store));
                false
            }
        });
        closed.iter().for_each(|store| self.save(store));
        let mut saver = self.inner.saver.lock().unwrap_or_else(PoisonError::into_inner);
        if saver.is_none() && !settings.is_empty() {
            match Saver::start(self) {
                Ok(started) => *saver = Some(started),
                Err(error) => self.tell(format!("kv: stores are saved at the end only: {error}")),
            }
        }
    }

    /// The store of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Store>> {
        self.open_stores().get(name).cloned()
    }

    /// Saves what has changed, for a node that stops.
    pub fn close(&self) {
        drop(self.inner.saver.lock().unwrap_or_else(PoisonError::into_inner).take());
        let open: Vec<_> = self.open_stores().values().cloned().collect();
        open.iter().for_each(|store| self.save(store));
    }

    fn save(&self, store: &Store) {
        if let Err(error) = store.save() {
            self.tell(format!("kv: {} cannot be saved: {error}", store.file.display()));
        }
    }

    fn tell(&self, words: String) {
        if let Some(teller) = self.inner.teller.get() {
            teller(words);
        }
    }

    fn open_stores(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Store>>> {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One store.
pub struct Store {
    shelf: Mutex<Shelf>,
    file: PathBuf,
    /// Whether anything changed since it was saved.
    changed: AtomicBool,
    /// Whether the file could not be read: it is kept aside before another takes its place.
    is_damaged: AtomicBool,
    /// One save at a time: two would write the same file.
    saving: Mutex<()>,
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Store {
    fn open(settings: &KvSettings, file: PathBuf, now: SystemTime, tell: &dyn Fn(String)) -> Self {
        let mut shelf = Shelf::new(settings);
        let read = saved::read(&file, &mut shelf, now);
        if let Err(error) = &read {
            shelf = Shelf::new(settings);
            let file = file.display();
            tell(format!(
                "kv: {file} cannot be read, so the store begins empty; before the first save it is put aside as {file}.damaged: {error}"
            ));
        }
        Self {
            shelf: Mutex::new(shelf),
            file,
            changed: AtomicBool::new(false),
            is_damaged: AtomicBool::new(read.is_err()),
            saving: Mutex::new(()),
        }
    }

    /// The value of a key, unless its time is over.
    pub fn get(&self, key: &str, now: SystemTime) -> Option<bytes::Bytes> {
        self.shelf().get(key, now)
    }

    /// The value of a key and when its time is over, for whoever only looks: it counts as no use.
    pub fn look(&self, key: &str, now: SystemTime) -> Option<(bytes::Bytes, Option<SystemTime>)> {
        self.shelf().look(key, now)
    }

    /// Pairs, those whose time is over among them, and what they take in bytes.
    pub fn measure(&self) -> (usize, usize) {
        self.shelf().measure()
    }

    /// Puts a value there, for `ttl` seconds or as long as the store's settings say.
    ///
    /// # Errors
    /// [`Refusal::InvalidKey`] and [`Refusal::TooLarge`]; what was there stays.
    pub fn set(&self, key: &str, value: Vec<u8>, ttl: Option<u32>, now: SystemTime) -> Result<(), Refusal> {
        self.change(|shelf| shelf.set(key, value.into(), ttl, now), Result::is_ok)
    }

    /// Puts a value there for as long as the store keeps one; whether it takes this key and value.
    pub fn put(&self, key: &str, value: Vec<u8>, now: SystemTime) -> bool {
        self.set(key, value, None, now).is_ok()
    }

    /// Whether there was one.
    pub fn delete(&self, key: &str, now: SystemTime) -> bool {
        self.change(|shelf| shelf.delete(key, now), |was_there| *was_there)
    }

    pub(crate) fn increment(
        &self,
        key: &str,
        by: i64,
        ttl: Option<u32>,
        now: SystemTime,
    ) -> Result<i64, Refusal> {
        self.change(|shelf| shelf.increment(key, by, ttl, now), Result::is_ok)
    }

    /// At most `limit` keys that begin with `prefix`, in order.
    pub fn keys(&self, prefix: &str, limit: usize, now: SystemTime) -> Vec<String> {
        self.keys_after(prefix, None, limit, now)
    }

    /// The same, of those that come after a key.
    pub fn keys_after(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: SystemTime,
    ) -> Vec<String> {
        let mut after: Option<Arc<str>> = after.filter(|after| *after >= prefix).map(Into::into);
        let mut found = Vec::new();
        loop {
            // Others get their turn between two looks: most of what is there may be over.
            let (keys, rest) = self.shelf().keys(prefix, after.as_deref(), limit - found.len(), now);
            found.extend(keys);
            match rest {
                Some(last) if found.len() < limit => after = Some(last),
                _ => return found,
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Shelf) -> T, has_changed: impl FnOnce(&T) -> bool) -> T {
        let done = change(&mut self.shelf());
        if has_changed(&done) {
            self.changed.store(true, SeqCst);
        }
        done
    }

    fn save(&self) -> std::io::Result<()> {
        let _alone = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.changed.swap(false, SeqCst) {
            return Ok(());
        }
        if self.is_damaged.swap(false, SeqCst) {
            saved::keep_aside(&self.file).inspect_err(|_| {
                self.is_damaged.store(true, SeqCst);
                self.changed.store(true, SeqCst);
            })?;
        }
        let written = saved::write(&self.file, |after| self.shelf().copy_after(after));
        if written.is_err() {
            self.changed.store(true, SeqCst);
        }
        written
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "kv/tests.rs"]
mod tests;
