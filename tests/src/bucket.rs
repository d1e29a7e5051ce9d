//! A real S3-compatible service, which checks every signature: `s3s-fs` as a child process, its objects as files in a folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{Folder, within};

/// The one bucket that there is.
pub const BUCKET: &str = "media";
/// The one key that it knows.
pub const ACCESS_KEY: &str = "AKIASELVEDGESTORY";
/// What that key signs with.
pub const SECRET_KEY: &str = "hunter2-of-the-bucket";

/// A running service. Dropping it kills the process.
#[derive(Debug)]
pub struct Bucket {
    folder: Folder,
    url: String,
    _child: Child,
}

impl Bucket {
    /// Starts a service on a free port, with an empty bucket.
    pub async fn start() -> Self {
        let folder = Folder::new();
        std::fs::create_dir(folder.path(BUCKET)).expect("cannot make a folder");
        let mut child = Command::new(program())
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(folder.root())
            .env("RUST_LOG", "s3s_fs=info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("s3s-fs does not start");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let announced = async {
            loop {
                let line = lines.next_line().await.expect("cannot read").expect("s3s-fs has ended");
                if let Some((_, url)) = line.split_once("server is running at ") {
                    return url.trim().to_owned();
                }
            }
        };
        let url = within("s3s-fs to listen", announced).await;
        // What it says later is of no interest, but must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { folder, url, _child: child }
    }

    /// Its address as a config names it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Puts an object there behind the service's back.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        self.folder.write(&format!("{BUCKET}/{name}"), contents);
    }

    /// The bytes of an object, if it is there.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.path(BUCKET).join(name)).ok()
    }

    /// The names of all files that the service holds for uploads in parts that nobody has finished.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.root()).expect("cannot read a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains("upload")).collect()
    }
}

/// `s3s-fs` from `S3S_FS`, from where `tests/run` installs it, or from the path.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("S3S_FS") {
        return named.into();
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/s3s-fs");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&paths).map(|folder| folder.join("s3s-fs"));
    on_path.chain([installed]).find(|program| program.is_file()).unwrap_or_else(|| {
        panic!(
            "s3s-fs is missing; install it: cargo install s3s-fs --version 0.14.1 --locked --features binary"
        )
    })
}
