//! The folder of one demo, gone when it ends.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A folder among the temporary files that only its owner can look into: keys live in it. Dropping it removes it.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        loop {
            let path = parent.join(format!("selvedge-demo-{:08x}", fastrand::u32(..)));
            // Never an existing one: somebody else may have put it there.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new file, with the folders above it.
    pub(super) fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(contents)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to be told; the system empties its temporary folder some day.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_its_owner_sees_into_it_and_it_goes_when_dropped() {
        let folder = Folder::new().unwrap();
        folder.write("keys/private.pem", b"secret").unwrap();
        let path = folder.path().to_owned();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("keys/private.pem"))), (0o700, 0o600));
        drop(folder);
        assert!(!path.exists());
    }
}
