//! Looks at the files of a config again and again, for `selvedge run --watch`.
//!
//! Asking for their times twice a second needs no library and works on every file system, over a network too.

use crate::config;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_millis(500);

/// What tells one state of a file from another; `None` where there is no file.
type Stamp = Option<(SystemTime, u64)>;

type Files = BTreeMap<PathBuf, Stamp>;

/// A config and its files, as they were when the watch began.
pub(super) struct Watch {
    path: PathBuf,
    settled: Files,
}

impl Watch {
    /// Looks for the first time, at once: whatever is saved from now on is a change.
    pub(super) fn begin(path: &Path) -> Self {
        Self { path: path.to_owned(), settled: look(path, Vec::new()) }
    }

    /// Calls `changed` with the files that changed, once they have been left alone for a moment. Never ends.
    pub(super) async fn run(self, changed: impl Fn(Vec<PathBuf>)) {
        let Self { path, mut settled } = self;
        let mut before = settled.clone();
        loop {
            tokio::time::sleep(EVERY).await;
            let (place, known) = (path.clone(), before.keys().cloned().collect());
            let looked = tokio::task::spawn_blocking(move || look(&place, known)).await;
            let now = looked.unwrap_or_else(|_| before.clone());
            // Whoever saves several files, or a large one, is not interrupted.
            if now == before && now != settled {
                let differs = |file: &&PathBuf| now.get(*file) != settled.get(*file);
                let files = now.keys().chain(settled.keys().filter(|file| !now.contains_key(*file)));
                changed(files.filter(differs).cloned().collect());
                settled.clone_from(&now);
            }
            before = now;
        }
    }
}

/// All files of the config as they are. While it is broken nobody knows which they are: those that are `known`.
fn look(path: &Path, known: Vec<PathBuf>) -> Files {
    let files = config::files_of(path).unwrap_or(known);
    files.into_iter().chain([path.to_owned()]).map(|file| (file.clone(), stamp(&file))).collect()
}

fn stamp(file: &Path) -> Stamp {
    let known = std::fs::metadata(file).ok()?;
    Some((known.modified().ok()?, known.len()))
}
