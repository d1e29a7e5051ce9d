//! Secrets of hooks: read at load, wiped at the end, never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::log::CallLog;

/// More is no secret but a file.
const MAX_BYTES: usize = 64 << 10;
/// Shorter ones occur in ordinary words: they are not looked for in what hooks say.
const TELLING_BYTES: usize = 6;

/// Where a secret is kept; it never stands in the config file itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Material {
    /// The name of an environment variable whose value it is.
    Env(String),
    /// A file that holds it.
    File(PathBuf),
}

impl Material {
    /// Makes a relative path start at `base`.
    pub(crate) fn resolve_path(&mut self, base: &Path) {
        if let Material::File(path) = self {
            *path = base.join(&*path);
        }
    }

    fn read(&self) -> Result<Secret, String> {
        let (place, bytes) = match self {
            Material::Env(name) => (
                format!("${name}"),
                std::env::var_os(name).map(OsStringExt::into_vec).ok_or("the variable is not set".to_owned()),
            ),
            Material::File(path) => {
                (path.display().to_string(), std::fs::read(path).map_err(|error| error.to_string()))
            }
        };
        let mut bytes = Zeroizing::new(bytes.map_err(|cause| format!("{place}: {cause}"))?);
        while bytes.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
            bytes.pop();
        }
        match bytes.len() {
            0 => Err(format!("{place} is empty")),
            length if length > MAX_BYTES => Err(format!("{place} has more than {} KiB", MAX_BYTES >> 10)),
            _ => Ok(Secret(bytes)),
        }
    }
}

/// A value that is not printed, and wiped when it is dropped.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// A hook's secrets, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Vec<(String, Secret)>);

impl Secrets {
    /// Reads all of them; the error names the setting and the place, never what is there.
    pub(crate) fn read(settings: &BTreeMap<String, Material>) -> Result<Self, String> {
        let read = |(name, material): (&String, &Material)| match material.read() {
            Ok(secret) => Ok((name.clone(), secret)),
            Err(cause) => Err(format!("secrets.{name}: {cause}")),
        };
        settings.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// A handle for the secret of this name.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let at = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        u32::try_from(at).ok()
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&Secret> {
        self.0.get(handle as usize).map(|(_, secret)| secret)
    }

    /// The same for all lines of a call.
    pub(crate) fn redact_log(&self, log: &CallLog) {
        if !self.0.is_empty() {
            log.revise(|line| self.redact(line));
        }
    }

    /// What a hook says of itself, for the node's log and errors: a secret in it gives way to its name.
    pub(crate) fn redact(&self, words: String) -> String {
        let telling = self.0.iter().filter(|(_, secret)| secret.0.len() >= TELLING_BYTES);
        telling.fold(words, |words, (name, secret)| match std::str::from_utf8(&secret.0) {
            Ok(text) if words.contains(text) => words.replace(text, &format!("[secret {name}]")),
            _ => words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(folder: &Path, files: &[(&str, &[u8])]) -> Result<Secrets, String> {
        let mut settings = BTreeMap::new();
        for (name, bytes) in files {
            std::fs::write(folder.join(name), bytes).unwrap();
            let mut material = Material::File(name.into());
            material.resolve_path(folder);
            settings.insert((*name).to_owned(), material);
        }
        Secrets::read(&settings)
    }

    #[test]
    fn a_secret_is_its_file_without_the_line_break_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let read = secrets(folder.path(), &[("a", b"s3cret-a\r\n"), ("b", b"\xff\0 b\n\n")]).unwrap();
        let value = |name: &str| read.get(read.find(name).unwrap()).unwrap().bytes().to_vec();
        assert_eq!((value("a"), value("b")), (b"s3cret-a".to_vec(), b"\xff\0 b".to_vec()));
        assert_eq!(read.find("c"), None);
    }

    #[test]
    fn what_cannot_be_one_is_refused_by_its_name_and_place() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"\n", &[b'x'; MAX_BYTES + 1]] {
            let error = secrets(folder.path(), &[("jwt", bytes)]).unwrap_err();
            assert!(error.starts_with("secrets.jwt: ") && error.contains("/jwt"), "{error}");
        }
        let unset = BTreeMap::from([("jwt".to_owned(), Material::Env("SELVEDGE_NO_SUCH_VARIABLE".into()))]);
        let error = Secrets::read(&unset).unwrap_err();
        assert_eq!(error, "secrets.jwt: $SELVEDGE_NO_SUCH_VARIABLE: the variable is not set");
    }

    #[test]
    fn a_secret_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let read = secrets(folder.path(), &[("jwt", b"hunter2-hunter2"), ("short", b"at")]).unwrap();
        assert!(!format!("{read:?}").contains("hunter2"));
        let said = read.redact("signed with hunter2-hunter2, at once".to_owned());
        assert_eq!(said, "signed with [secret jwt], at once");
    }
}
