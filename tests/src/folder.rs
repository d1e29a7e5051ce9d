//! A folder of one story: its config and files live there, and the binary runs in it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::{binary, within};

/// A temporary folder, removed when the story ends.
#[derive(Debug)]
pub struct Folder {
    root: TempDir,
}

/// What a verb of the binary left behind when it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All that it wrote to standard output.
    pub stdout: String,
    /// All that it wrote to standard error.
    pub stderr: String,
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// A new empty folder.
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("selvedge-story-").tempdir().expect("no temporary folder");
        Self { root }
    }

    /// Where `name` is or would be in this folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("cannot make a folder");
        }
        std::fs::write(&path, contents).expect("cannot write a file");
        path
    }

    /// The binary with `arguments`, to be run in this folder; it dies with the story.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.root()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a verb to its end.
    pub async fn run(&self, arguments: &[&str]) -> Outcome {
        let what = format!("selvedge {} to end", arguments.join(" "));
        let output =
            within(&what, self.command(arguments).output()).await.expect("the binary does not start");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
