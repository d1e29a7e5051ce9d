//! Compiled components: each is compiled once. Its native code is kept on disk from one start of the node to the next, and
//! in memory for as long as a hook uses it: a new config whose hooks are the same shares what the old one has loaded.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytesize::ByteSize;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Cache, CacheConfig, Engine};

use crate::bulk::{self, Bounded};
use crate::edits::Moves;
use crate::restore::{self, Restorer, Shape};
use crate::sources::Sources;
use crate::state::CallState;

/// Files on disk at most, two for each component.
const DISK_FILES: u64 = 1000;
/// Native code shrinks to a third at zstd's fastest; more effort gains little.
const COMPRESSION: i32 = 1;

/// A component that is tied to what the node offers. Whoever holds it keeps it loaded.
pub(crate) struct Loaded<T: 'static> {
    pub(crate) tied: InstancePre<T>,
    /// What it tells of its source.
    pub(crate) sources: Arc<Sources>,
    /// Puts its instances back, where that can be.
    pub(crate) restorer: Option<Restorer>,
}

/// A loaded hook.
pub(crate) type Ready = Arc<Loaded<CallState>>;

/// What is loaded, by the hash of its bytes; `T` is what its instances see of the host.
pub(crate) struct Components<T: 'static> {
    instances: Instances,
    loaded: Mutex<HashMap<[u8; 32], Weak<Loaded<T>>>>,
}

/// What becomes of instances after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instances {
    /// They are put back for the next, where that can be.
    Restored,
    Dropped,
}

/// Why a component cannot be used.
pub(crate) enum Unusable {
    /// It does not compile.
    Component(wasmtime::Error),
    /// It imports something that is not there.
    Imports(wasmtime::Error, Component),
}

impl<T> Components<T> {
    pub(crate) fn new(instances: Instances) -> Self {
        Self { instances, loaded: Mutex::default() }
    }

    /// The component of these bytes: loaded, from disk, or compiled now.
    pub(crate) fn get(&self, linker: &Linker<T>, bytes: &[u8]) -> Result<Arc<Loaded<T>>, Unusable> {
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        if let Some(ready) = self.loaded(&hash) {
            return Ok(ready);
        }
        // Not under the lock: others load theirs meanwhile, and whoever compiles the same twice has lost time only.
        let compiled = Compiled::of(linker.engine(), bytes, self.instances).map_err(Unusable::Component)?;
        let Compiled { component, moves, shape } = compiled;
        let tied = linker.instantiate_pre(&component);
        let tied = tied.map_err(|error| Unusable::Imports(error, component.clone()))?;
        let restorer = shape.and_then(|shape| Restorer::of(&component, shape));
        let ready = Arc::new(Loaded { tied, sources: Arc::new(Sources::of(bytes, moves)), restorer });
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, ready| ready.strong_count() > 0);
        loaded.insert(hash, Arc::downgrade(&ready));
        Ok(ready)
    }

    fn loaded(&self, hash: &[u8; 32]) -> Option<Arc<Loaded<T>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(hash).and_then(Weak::upgrade)
    }
}

/// A component in native code, its instructions over memory in pieces; and where its bytes went by that.
struct Compiled {
    component: Component,
    moves: Moves,
    /// How its instances can be put back, if they can.
    shape: Option<Shape>,
}

impl Compiled {
    /// What is wrong with a component is said of the bytes that its author has.
    fn of(engine: &Engine, bytes: &[u8], instances: Instances) -> wasmtime::Result<Self> {
        let as_it_is = || Component::from_binary(engine, bytes);
        let Bounded { bytes: bounded, moves } = match bulk::bounded(bytes) {
            Ok(bounded) => bounded,
            // The engine reads no more than we do: its word is the better one.
            Err(error) => return Err(as_it_is().err().unwrap_or_else(|| error.into())),
        };
        if instances == Instances::Restored
            && let Ok(Some(restorable)) = restore::restorable(&bounded)
            && let Ok(component) = Component::from_binary(engine, &restorable.bytes)
        {
            return Ok(Self {
                component,
                moves: restorable.moves.after(moves),
                shape: Some(restorable.shape),
            });
        }
        match Component::from_binary(engine, &bounded) {
            Ok(component) => Ok(Self { component, moves, shape: None }),
            Err(error) => Err(as_it_is().err().unwrap_or(error)),
        }
    }
}

/// The folder as a place for native code: whoever can write there decides what the node executes, so it is ours alone.
///
/// wasmtime names each file by a hash of the component and of all that its compilation depends on, and moves it into place
/// when it is whole; one that cannot be read is as if it were not there.
/// At most `most` of it is kept, of which a hook in Rust takes a MiB or two, one in Python some 40.
pub(crate) fn on_disk(folder: &Path, most: ByteSize) -> Result<Cache, String> {
    let folder = std::path::absolute(folder).map_err(|error| complaint(folder, &error))?;
    own(&folder).map_err(|error| complaint(&folder, &error))?;
    let mut config = CacheConfig::new();
    config
        .with_directory(&folder)
        .with_files_total_size_soft_limit(most.as_u64())
        .with_file_count_soft_limit(DISK_FILES)
        .with_baseline_compression_level(COMPRESSION)
        .with_optimized_compression_level(COMPRESSION);
    Cache::new(config).map_err(|error| format!("{}: {error:#}", folder.display()))
}

fn complaint(folder: &Path, error: &io::Error) -> String {
    format!("{}: {error}", folder.display())
}

fn own(folder: &Path) -> io::Result<()> {
    const OURS_ALONE: u32 = 0o700;
    const OTHERS_WRITE: u32 = 0o022;

    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(OURS_ALONE).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // A link that somebody else has put there would lead to a folder of theirs.
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("is not a folder of the user that the node runs as"));
    }
    fs::set_permissions(folder, Permissions::from_mode(OURS_ALONE))?;
    // What others could put there is not executed.
    if found.mode() & OTHERS_WRITE != 0 || !is_all_ours(folder)? { empty(folder) } else { Ok(()) }
}

fn is_all_ours(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Of a link this is the link itself.
        let found = entry.metadata()?;
        let is_ours = !found.is_symlink() && found.uid() == rustix::process::geteuid().as_raw();
        if !is_ours || (found.is_dir() && !is_all_ours(&entry.path())?) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(folder: &Path) -> Result<Cache, String> {
        on_disk(folder, ByteSize::gib(1))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_of_native_code_is_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("state/hooks/compiled");
        on(&new).unwrap();
        assert_eq!(mode(&new), 0o700);
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(open.join("modules")).unwrap();
        fs::write(open.join("modules/planted"), "").unwrap();
        fs::write(open.join("planted"), "").unwrap();
        on(&open).unwrap();
        assert_eq!(mode(&open), 0o700);
        assert!(!open.join("modules/planted").exists() && !open.join("planted").exists());
        // What it keeps from then on stays, whatever others may read.
        fs::write(open.join("kept"), "").unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        on(&open).unwrap();
        assert!(mode(&open) == 0o700 && open.join("kept").exists());
        std::os::unix::fs::symlink(folder.path(), open.join("link")).unwrap();
        on(&open).unwrap();
        assert!(!open.join("kept").exists() && folder.path().join("state").exists());
    }

    #[test]
    fn native_code_is_not_taken_from_where_a_link_leads_nor_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        assert!(on(&link).unwrap_err().contains("is not a folder"));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(on(&file).unwrap_err().contains("is not a folder"));
    }
}
