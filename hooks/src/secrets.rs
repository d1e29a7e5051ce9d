//! Secrets of hooks: read at load, wiped at the end, never printed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// More is no secret but a file.
const MAX_BYTES: usize = 64 << 10;
/// Shorter ones occur in ordinary words: they are not looked for in what hooks say.
const TELLING_BYTES: usize = 6;
/// Shorter lines of a secret are not looked for on their own.
const TELLING_LINE_BYTES: usize = 8;

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
pub(crate) struct Secrets {
    values: Vec<(String, Secret)>,
    /// What tells a secret, by its first bytes, the longest first.
    telling: HashMap<[u8; TELLING_BYTES], Vec<Telling>>,
    /// The longest of them.
    longest: usize,
}

/// A secret or a line of one, as it is looked for in what hooks say: part of the value at this place.
#[derive(Debug, Clone)]
struct Telling {
    place: usize,
    part: Range<usize>,
}

impl Secrets {
    /// Reads all of them; the error names the secret and the place, never what is there.
    pub(crate) fn read(settings: &BTreeMap<String, Material>) -> Result<Self, String> {
        let read = |(name, material): (&String, &Material)| match material.read() {
            Ok(secret) => Ok((name.clone(), secret)),
            Err(cause) => Err(format!("{name}: {cause}")),
        };
        settings.iter().map(read).collect::<Result<_, _>>().map(Self::of)
    }

    /// A handle for the secret of this name.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let at = self.values.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        u32::try_from(at).ok()
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&Secret> {
        self.values.get(handle as usize).map(|(_, secret)| secret)
    }

    fn of(values: Vec<(String, Secret)>) -> Self {
        let mut secrets = Self { values, ..Self::default() };
        for (place, (_, secret)) in secrets.values.iter().enumerate() {
            for part in telling_parts(secret.bytes()) {
                let Some(first) = secret.bytes()[part.clone()].first_chunk() else { continue };
                secrets.longest = secrets.longest.max(part.len());
                secrets.telling.entry(*first).or_default().push(Telling { place, part });
            }
        }
        secrets
            .telling
            .values_mut()
            .for_each(|alike| alike.sort_by_key(|telling| Reverse(telling.part.len())));
        secrets
    }

    /// What a hook says, for the node's log and errors: at most `most` bytes of it, where a secret gives way to its name.
    /// It is cut afterwards, so that no beginning of a secret is left.
    pub(crate) fn redact(&self, words: &[u8], most: usize) -> String {
        let mut said = Vec::new();
        // What begins before the cut is looked at whole, and nothing that begins after it is said.
        let words = &words[..words.len().min(most.saturating_add(self.longest))];
        let mut at = 0;
        while at < words.len().min(most) {
            match self.told_at(words, at) {
                None => {
                    said.push(words[at]);
                    at += 1;
                }
                Some((name, _)) => {
                    said.extend_from_slice(format!("[secret {name}]").as_bytes());
                    at = self.end_of_told(words, at);
                }
            }
        }
        let mut said = String::from_utf8_lossy(&said).into_owned();
        said.truncate(said.floor_char_boundary(most));
        said
    }

    /// Bytes of a line that are enough to redact `most` of it.
    pub(crate) fn needed(&self, most: usize) -> usize {
        most.saturating_add(self.longest)
    }

    /// The name and length of the longest secret that begins here.
    fn told_at(&self, words: &[u8], at: usize) -> Option<(&str, usize)> {
        let rest = words.get(at..)?;
        let alike = self.telling.get(rest.first_chunk::<TELLING_BYTES>()?)?;
        alike.iter().find_map(|Telling { place, part }| {
            let (name, secret) = self.values.get(*place)?;
            let is_here = rest.starts_with(secret.bytes().get(part.clone())?);
            is_here.then_some((name.as_str(), part.len()))
        })
    }

    /// Where the secret that begins here ends, with those that overlap it.
    fn end_of_told(&self, words: &[u8], begin: usize) -> usize {
        let (mut at, mut end) = (begin, begin);
        while at <= end {
            if let Some((_, length)) = self.told_at(words, at) {
                end = end.max(at + length);
            }
            at += 1;
        }
        end
    }
}

/// The whole and, of several lines, each: what is printed may be cut at line breaks.
fn telling_parts(secret: &[u8]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    if secret.len() >= TELLING_BYTES {
        parts.push(0..secret.len());
    }
    let mut begin = 0;
    for line in secret.split(|byte| *byte == b'\n') {
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        if length >= TELLING_LINE_BYTES && length < secret.len() {
            parts.push(begin..begin + length);
        }
        begin += line.len() + 1;
    }
    parts
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
            assert!(error.starts_with("jwt: ") && error.contains("/jwt"), "{error}");
        }
        let unset = BTreeMap::from([("jwt".to_owned(), Material::Env("SELVEDGE_NO_SUCH_VARIABLE".into()))]);
        let error = Secrets::read(&unset).unwrap_err();
        assert_eq!(error, "jwt: $SELVEDGE_NO_SUCH_VARIABLE: the variable is not set");
    }

    #[test]
    fn a_secret_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let read = secrets(folder.path(), &[("jwt", b"hunter2-hunter2"), ("short", b"at")]).unwrap();
        assert!(!format!("{read:?}").contains("hunter2"));
        let said = read.redact(b"signed with hunter2-hunter2, at once", 100);
        assert_eq!(said, "signed with [secret jwt], at once");
    }

    #[test]
    fn the_longest_secret_gives_way_first_and_so_do_overlapping_ones() {
        let folder = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 3] = [("a", b"hunter2"), ("b", b"hunter2-and-more"), ("c", b"more-of-it")];
        let read = secrets(folder.path(), &files).unwrap();
        assert_eq!(read.redact(b"x hunter2-and-more y hunter2", 100), "x [secret b] y [secret a]");
        assert_eq!(read.redact(b"hunter2-and-more-of-it!", 100), "[secret b]!");
    }

    #[test]
    fn a_cut_leaves_no_beginning_of_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let read = secrets(folder.path(), &[("jwt", b"hunter2-hunter2")]).unwrap();
        for length in 0..40 {
            let words = [&vec![b'x'; length][..], b"hunter2-hunter2 hunter2-hunter2"].concat();
            let said = read.redact(&words, 30);
            assert!(said.len() <= 30 && !said.contains("hunt"), "{said}");
        }
    }

    #[test]
    fn each_line_of_a_secret_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let read =
            secrets(folder.path(), &[("key", b"BEGIN KEY\r\nabcdefgh12\nshort\nEND OF KEY\n")]).unwrap();
        assert_eq!(read.redact(b"abcdefgh12", 100), "[secret key]");
        assert_eq!(read.redact(b"BEGIN KEY\nx END OF KEY", 100), "[secret key]\nx [secret key]");
    }
}
