//! The folder of the second tier: whose it is, and what lies in it.

use super::segment::{self, Segment};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file that says whose folder this is; locked while a node uses it.
const MARKER: &str = "selvedge-disk-tier";

/// What the marker holds. Another format is emptied: it is a cache, and no reason not to start.
const FORMAT: &str = "format 1\n";

/// Why there is no second tier.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The folder cannot be made, read or written.
    #[error("{path}: {source}; the folder of the second tier must be one that the node may write to", path = .path.display())]
    Folder {
        /// What was being used.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder holds something else.
    #[error("{path} holds files that are not of a second tier; choose another folder, or empty it", path = .0.display())]
    Foreign(PathBuf),
    /// Another process uses it.
    #[error("{path} is used by another node; stop that one, or give each its own folder", path = .0.display())]
    Locked(PathBuf),
    /// It would hold nothing.
    #[error("{0} bytes are too few for a second tier; give it at least 1MiB")]
    TooSmall(u64),
}

/// A folder that this process alone uses.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Unlocked by the operating system when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Takes possession of a folder, which is made if it is not there.
    pub(super) fn claim(path: &Path) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Folder { path: path.to_owned(), source };
        check(path)?;
        // What is stored may be for few eyes.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut marker = options.open(path.join(MARKER)).map_err(failed)?;
        match marker.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DiskError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut format = String::new();
        let is_known = marker.read_to_string(&mut format).is_ok() && format == FORMAT;
        let folder = Self { path: path.to_owned(), _lock: marker };
        if !is_known {
            folder.begin_anew().map_err(failed)?;
        }
        Ok(folder)
    }

    fn begin_anew(&self) -> io::Result<()> {
        for number in self.segments()? {
            Segment::open(&self.path, number)?.delete()?;
        }
        let mut marker = &self._lock;
        marker.rewind()?;
        marker.set_len(0)?;
        marker.write_all(FORMAT.as_bytes())?;
        marker.sync_all()
    }

    /// The numbers of the segments, in order.
    pub(super) fn segments(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let name = file?.file_name();
            numbers.extend(name.to_str().and_then(segment::number_of));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// Whether a folder can be that of a second tier, without changing anything. A node may be using it.
///
/// # Errors
/// [`DiskError::Foreign`] or [`DiskError::Folder`].
pub fn check(path: &Path) -> Result<(), DiskError> {
    let files = match fs::read_dir(path) {
        Ok(mut files) => files.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => return Err(DiskError::Folder { path: path.to_owned(), source }),
    };
    if files && !path.join(MARKER).exists() {
        return Err(DiskError::Foreign(path.to_owned()));
    }
    Ok(())
}
