//! Where the components of one hook are kept, and what is known of them: `<state>/hooks/<name>/`. A file is there whole or not at
//! all, whenever the machine stops.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::state::State;
use super::version::VersionId;

const MANIFEST: &str = "versions.json";
/// What the names of manifests begin with that were put aside.
const DAMAGED: &str = "versions.damaged";
const COMPONENT: &str = "wasm";
/// The folder beside those of hooks where the engine keeps native code.
const COMPILED: &str = "compiled";
/// A manifest that is longer was not written by this code: a few versions and a short history fit a hundred times.
const LONGEST_MANIFEST: u64 = 4 << 20;

/// The folder of one hook.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

/// Why a manifest is no help.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It was read, and is not what this program writes.
    Damaged(String),
    /// It may well be whole: the disk does not give it away.
    Unread(String),
}

impl Shelf {
    /// The folder of the hook of this name below `state`. Nothing is made before something is to be kept.
    pub(crate) fn of(state: &Path, name: &str) -> Self {
        Self { folder: state.join("hooks").join(file_name(name)) }
    }

    /// What was known when the node ended; `None` where nothing ever was.
    ///
    /// # Errors
    /// It is there but cannot be read, or is not what was written.
    pub(crate) fn manifest(&self) -> Result<Option<State>, Unusable> {
        let path = self.folder.join(MANIFEST);
        let wrong = |cause: String| Unusable::Damaged(format!("{} cannot be used: {cause}", path.display()));
        let unread =
            |error: io::Error| Unusable::Unread(format!("{} cannot be read: {error}", path.display()));
        let length = match fs::metadata(&path) {
            Ok(known) => known.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unread(error)),
        };
        if length > LONGEST_MANIFEST {
            return Err(wrong(format!("it has {length} bytes")));
        }
        let text = fs::read(&path).map_err(unread)?;
        let state: State = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if !state.is_readable() {
            return Err(wrong("another release of this program wrote it".to_owned()));
        }
        Ok(Some(state))
    }

    /// Puts a damaged manifest aside, for people to look at, beside those that were put there before: the next one is written
    /// in its place. Brings where it is.
    pub(crate) fn put_aside(&self) -> io::Result<PathBuf> {
        const MOST: u32 = 1000;
        let name = |number| match number {
            1 => format!("{DAMAGED}.json"),
            _ => format!("{DAMAGED}-{number}.json"),
        };
        let mut free = (1..MOST).map(|number| self.folder.join(name(number))).filter(|path| !path.exists());
        let aside = free.next().ok_or(ErrorKind::AlreadyExists)?;
        fs::rename(self.folder.join(MANIFEST), &aside)?;
        Ok(aside)
    }

    /// Whether a manifest was put aside: nobody knows then which components are needed.
    fn has_damaged(&self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.folder)? {
            if entry?.file_name().to_string_lossy().starts_with(DAMAGED) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes down what is known.
    pub(crate) fn write(&self, state: &State) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(state).map_err(io::Error::other)?;
        self.put(MANIFEST, &text)
    }

    /// Keeps a component, unless it is kept already.
    pub(crate) fn keep(&self, version: &VersionId, component: &[u8]) -> io::Result<()> {
        if self.component(version).is_ok() {
            return Ok(());
        }
        self.put(&component_name(version), component)
    }

    /// A component that is kept.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    pub(crate) fn component(&self, version: &VersionId) -> io::Result<Vec<u8>> {
        let path = self.path(version);
        let component = fs::read(&path)?;
        if VersionId::of(&component) == *version {
            return Ok(component);
        }
        Err(io::Error::new(ErrorKind::InvalidData, "it is not what was written"))
    }

    /// Where a component is or would be kept.
    pub(crate) fn path(&self, version: &VersionId) -> PathBuf {
        self.folder.join(component_name(version))
    }

    /// Removes the components that are not needed, and what was left half written: nothing while a damaged manifest lies there.
    pub(crate) fn clear(&self, needed: &BTreeSet<VersionId>) -> io::Result<()> {
        if self.has_damaged()? {
            return Ok(());
        }
        let names: BTreeSet<_> = needed.iter().map(component_name).collect();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_ours = path.extension().is_some_and(|kind| kind == COMPONENT || kind == "new");
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_ours && !names.contains(&*name) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// The folder, on the disk too: what is synced in it is there only if its name is.
    fn make_folder(&self) -> io::Result<()> {
        if self.folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let above = self.folder.ancestors().skip(1).take(2);
        above.filter(|above| above.is_dir()).try_for_each(|above| File::open(above)?.sync_all())
    }

    /// A whole file or none: written beside, brought to the disk, and only then given its name.
    fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.make_folder()?;
        let (path, beside) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let mut file = File::create(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(&self.folder)?.sync_all()
    }
}

fn component_name(version: &VersionId) -> String {
    format!("{version}.{COMPONENT}")
}

/// A hook may have any name; a file may not. RFC 3986 §2.1, and dots and capitals too, for `..` and for disks to which `A` is `a`.
fn file_name(name: &str) -> String {
    let mut file = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            _ if at == 0 && name == COMPILED => file.push_str(&format!("%{byte:02X}")),
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => file.push(char::from(byte)),
            _ => file.push_str(&format!("%{byte:02X}")),
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::super::state::{Component, Configured};
    use super::*;
    use std::time::SystemTime;

    fn state() -> State {
        let base = Component { version: VersionId::of(b"base"), bytes: 4 };
        State::new(&Configured { base, builtin: None, canary: None }, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(folder.path(), "thumb");
        assert_eq!(shelf.manifest(), Ok(None));
        let mut state = state();
        state
            .deploy(
                &Component { version: VersionId::of(b"a"), bytes: 1 },
                None,
                Some("why"),
                SystemTime::UNIX_EPOCH,
            )
            .unwrap();
        state.take_fresh();
        shelf.write(&state).unwrap();
        shelf.keep(&state.live, b"a").unwrap();
        let again = Shelf::of(folder.path(), "thumb");
        assert_eq!(again.manifest(), Ok(Some(state.clone())));
        assert_eq!(again.component(&state.live).unwrap(), b"a");
    }

    #[test]
    fn damage_is_told_and_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(folder.path(), "thumb");
        shelf.write(&state()).unwrap();
        let path = folder.path().join("hooks/thumb/versions.json");
        let whole = fs::read_to_string(&path).unwrap();
        for damaged in [
            &whole[..whole.len() / 2],
            "",
            "[]",
            "{\"format\": 1}",
            &whole.replace("\"format\": 1", "\"format\": 9"),
        ] {
            fs::write(&path, damaged).unwrap();
            let Unusable::Damaged(words) = shelf.manifest().unwrap_err() else { panic!("it was read") };
            assert!(words.contains("versions.json cannot be used: "), "{words}");
        }
        for name in ["versions.damaged.json", "versions.damaged-2.json"] {
            fs::write(&path, name).unwrap();
            let aside = shelf.put_aside().unwrap();
            assert_eq!((shelf.manifest(), fs::read_to_string(&aside).unwrap()), (Ok(None), name.to_owned()));
            assert!(aside.ends_with(name));
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_now_is_not_damaged() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("hooks/thumb/versions.json")).unwrap();
        let unread = Shelf::of(folder.path(), "thumb").manifest();
        assert!(matches!(unread, Err(Unusable::Unread(_))), "{unread:?}");
    }

    #[test]
    fn nothing_goes_while_a_damaged_list_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(folder.path(), "thumb");
        let version = VersionId::of(b"a");
        shelf.keep(&version, b"a").unwrap();
        fs::write(folder.path().join("hooks/thumb/versions.json"), "half").unwrap();
        let aside = shelf.put_aside().unwrap();
        shelf.clear(&BTreeSet::new()).unwrap();
        assert!(shelf.component(&version).is_ok());
        fs::remove_file(aside).unwrap();
        shelf.clear(&BTreeSet::new()).unwrap();
        assert!(shelf.component(&version).is_err());
    }

    #[test]
    fn a_component_that_was_changed_on_disk_is_not_used_and_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(folder.path(), "thumb");
        let version = VersionId::of(b"a");
        shelf.keep(&version, b"a").unwrap();
        fs::write(shelf.path(&version), b"b").unwrap();
        assert_eq!(shelf.component(&version).unwrap_err().kind(), ErrorKind::InvalidData);
        shelf.keep(&version, b"a").unwrap();
        assert_eq!(shelf.component(&version).unwrap(), b"a");
    }

    #[test]
    fn what_is_not_needed_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(folder.path(), "thumb");
        let [a, b] = [b"a", b"b"].map(|content| {
            let version = VersionId::of(content);
            shelf.keep(&version, content).unwrap();
            version
        });
        shelf.write(&state()).unwrap();
        fs::write(folder.path().join("hooks/thumb/half.wasm.new"), b"x").unwrap();
        shelf.clear(&BTreeSet::from([a.clone()])).unwrap();
        assert!(shelf.component(&a).is_ok() && shelf.component(&b).is_err());
        assert!(shelf.manifest().unwrap().is_some());
        assert!(!folder.path().join("hooks/thumb/half.wasm.new").exists());
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for (name, file) in [
            ("thumb-1_a", "thumb-1_a"),
            ("..", "%2E%2E"),
            ("a/b", "a%2Fb"),
            ("Ä", "%C3%84"),
            ("Thumb", "%54humb"),
        ] {
            assert_eq!(file_name(name), file);
        }
    }
}
