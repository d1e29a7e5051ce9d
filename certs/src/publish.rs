//! Files that come into being whole, once, whoever else is making them at the same time.

use crate::CertsError;
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;

/// Who may read a new file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Readers {
    Owner,
    Everyone,
}

/// The file's text; `None` when there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, CertsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed("read", path, cause)),
    }
}

/// Puts `text` at `path` unless something is there already, and returns what is there in the end: every process that
/// races for the same path gets the same text, and none ever sees half of it.
pub(crate) fn settle(path: &Path, text: &str, readers: Readers) -> Result<String, CertsError> {
    let draft = path.with_extension(format!("{:016x}.draft", random()));
    let outcome = write_new(&draft, text, readers).and_then(|()| link(&draft, path));
    // Gone or not, the draft has no further use; a failure above is the one to report.
    let _ = fs::remove_file(&draft);
    outcome.map_err(|cause| failed("create", path, cause))?;
    read(path)?.ok_or_else(|| failed("read", path, io::ErrorKind::NotFound.into()))
}

/// A link, not a rename: a rename would replace what another process has put there and may already be using.
fn link(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

fn write_new(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(match readers {
            Readers::Owner => 0o600,
            Readers::Everyone => 0o644,
        });
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The standard library seeds every `RandomState` differently; enough for a name that nobody else uses.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

pub(crate) fn failed(action: &'static str, path: &Path, cause: io::Error) -> CertsError {
    CertsError::File { action, path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pem");
        assert_eq!(read(&path).unwrap(), None);
        assert_eq!(settle(&path, "one", Readers::Owner).unwrap(), "one");
        assert_eq!(settle(&path, "two", Readers::Owner).unwrap(), "one");
        assert_eq!(read(&path).unwrap().as_deref(), Some("one"));
    }

    #[test]
    fn no_draft_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            settle(&folder.path().join("a"), "x", Readers::Everyone).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("a.pem");
        let error = settle(&path, "x", Readers::Owner).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
