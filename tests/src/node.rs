//! The real binary as a child process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::watch;

use crate::{Folder, Reply, Viewer, eventually, within};

/// The `[node]` table of most stories: plain HTTP and the admin API on free loopback ports.
pub const LOOPBACK: &str = r#"
[node]
name = "edge1"
listen = ["http://127.0.0.1:0"]
admin = "127.0.0.1:0"
state = "state"
"#;

/// A running node. Dropping it kills the process.
#[derive(Debug)]
pub struct Node {
    child: Child,
    folder: Folder,
    log: Log,
    addresses: HashMap<String, SocketAddr>,
}

/// The signals that a node answers to.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// SIGHUP: read the config again.
    Reload,
    /// SIGTERM: finish what is in flight, then exit.
    Drain,
}

impl Node {
    /// Starts a node with this config in a folder of its own and waits until it is ready.
    pub async fn start(config: &str) -> Self {
        Self::start_in(Folder::new(), config).await
    }

    /// The same in a folder that already holds the files which the config names.
    pub async fn start_in(folder: Folder, config: &str) -> Self {
        folder.write("selvedge.toml", config);
        Self::spawn(folder, &["run", "--config", "selvedge.toml"]).await
    }

    /// Starts the binary with any verb that runs a node, and waits until it says `ready`.
    pub async fn spawn(folder: Folder, arguments: &[&str]) -> Self {
        let mut command = folder.command(arguments);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary does not start");
        let log = Log::default();
        log.collect(child.stdout.take().expect("standard output is piped"));
        log.collect(child.stderr.take().expect("standard error is piped"));
        let mut node = Self { child, folder, log, addresses: HashMap::new() };
        node.await_ready().await;
        node
    }

    async fn await_ready(&mut self) {
        let log = self.log.clone();
        let ready = log.wait_for(|lines| lines.iter().any(|line| line == "ready"));
        let what = "the node to say `ready`";
        tokio::select! {
            status = self.child.wait() => {
                // Its last words may still be in the pipe.
                tokio::task::yield_now().await;
                panic!("the node ended with {status:?} before it was ready; it said:\n{}", log.text());
            }
            () = within(what, ready) => {}
        }
        for line in log.lines() {
            if let Some((kind, address)) = announced(&line) {
                self.addresses.insert(kind, address);
            }
        }
    }

    fn address(&self, kind: &str) -> SocketAddr {
        let found = self.addresses.get(kind).copied();
        found.unwrap_or_else(|| panic!("the node announced no {kind} address; it said:\n{}", self.log.text()))
    }

    /// Where it listens for plain HTTP.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.address("http")
    }

    /// Where it listens for TLS.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        self.address("https")
    }

    /// Where it answers DNS, over UDP and TCP.
    #[must_use]
    pub fn dns(&self) -> SocketAddr {
        self.address("dns")
    }

    /// Where its admin API is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    /// A viewer that speaks plain HTTP/1.1 to it.
    #[must_use]
    pub fn viewer(&self) -> Viewer {
        Viewer::http(self.http())
    }

    /// What the admin API answers to a GET of `path`.
    pub async fn ask_admin(&self, path: &str) -> Reply {
        let admin = self.admin();
        Viewer::http(admin).get(&format!("http://{admin}{path}")).await
    }

    /// The folder that it runs in.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Waits until a line of its log contains `text`, and returns that line.
    pub async fn log_contains(&self, text: &str) -> String {
        let found = || self.log.lines().into_iter().find(|line| line.contains(text));
        let wait = self.log.wait_for(|lines| lines.iter().any(|line| line.contains(text)));
        if tokio::time::timeout(crate::DEADLINE, wait).await.is_err() {
            panic!("no line of the log contains {text:?}; it says:\n{}", self.log.text());
        }
        found().expect("a line was there")
    }

    /// All that it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// How many bytes of memory the process holds.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let id = self.child.id().expect("the node has already ended");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process has a status");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it says what it holds");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kibibytes * 1024
    }

    /// Sends it a signal.
    pub async fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Reload => "-HUP",
            Signal::Drain => "-TERM",
        };
        let id = self.child.id().expect("the node has already ended").to_string();
        // The shell's own kill: not every machine has a program of that name.
        let status =
            tokio::process::Command::new("sh").args(["-c", "kill \"$0\" \"$1\"", name, &id]).status().await;
        assert!(status.expect("there is no shell").success(), "cannot signal the node");
    }

    /// Replaces its config file and tells it to reload.
    pub async fn reconfigure(&self, config: &str) {
        self.folder.write("selvedge.toml", config);
        self.signal(Signal::Reload).await;
    }

    /// Waits until it has ended by itself, and returns its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        within("the node to end", self.child.wait()).await.expect("cannot wait for the node").code()
    }

    /// Ends it as an operator does, and returns its folder, for another one that goes on there.
    pub async fn stop(mut self) -> Folder {
        self.signal(Signal::Drain).await;
        let code = self.exit_code().await;
        assert_eq!(code, Some(0), "the node did not end well; it said:\n{}", self.log.text());
        self.folder
    }

    /// Ends it in the middle of whatever it does (SIGKILL), and returns its folder.
    pub async fn kill(mut self) -> Folder {
        self.child.kill().await.expect("cannot kill the node");
        self.folder
    }

    /// Waits until its port refuses connections.
    pub async fn await_refusal(&self, address: SocketAddr) {
        eventually("the node's port to close", async || {
            tokio::net::TcpStream::connect(address).await.is_err().then_some(())
        })
        .await;
    }
}

/// Reads `listening http://ADDRESS`, `listening dns ADDRESS` and `admin http://ADDRESS`.
fn announced(line: &str) -> Option<(String, SocketAddr)> {
    if let Some(address) = line.strip_prefix("admin http://") {
        return Some(("admin".to_owned(), address.parse().ok()?));
    }
    let (kind, address) = line.strip_prefix("listening ")?.split_once([':', ' '])?;
    Some((kind.to_owned(), address.trim_start_matches('/').parse().ok()?))
}

/// Lines that a node has written to either stream.
#[derive(Debug, Clone)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
}

impl Default for Log {
    fn default() -> Self {
        Self { lines: Arc::default(), count: watch::Sender::new(0) }
    }
}

impl Log {
    fn collect(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let log = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                log.lines.lock().unwrap().push(line);
                log.count.send_modify(|count| *count += 1);
            }
        });
    }

    async fn wait_for(&self, ready: impl Fn(&[String]) -> bool) {
        let mut count = self.count.subscribe();
        while !ready(&self.lines.lock().unwrap()) {
            count.changed().await.expect("the log itself holds the sender");
        }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }
}

/// The binary under test: `$SELVEDGE`, or the one that cargo built beside this test executable.
///
/// # Panics
/// When it is absent, or older than the sources that it is made of.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("SELVEDGE") {
            // Relative to the project, wherever cargo runs the test.
            return Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        }
        let test = std::env::current_exe().expect("a test knows where it is");
        let profile = test.ancestors().nth(2).expect("cargo puts tests into target/<profile>/deps");
        let binary = profile.join("selvedge");
        assert!(binary.exists(), "{} is not there; build it first: cargo build -p edge", binary.display());
        if let Some(source) = newer_source(&binary) {
            panic!("selvedge is older than {source}; build it first: cargo build -p edge");
        }
        binary
    })
}

/// A source file changed after `binary` was built, by the list that cargo keeps in `selvedge.d`.
fn newer_source(binary: &Path) -> Option<String> {
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let built: SystemTime = modified(binary)?;
    let list = std::fs::read_to_string(binary.with_extension("d")).ok()?;
    let sources = list.split_once(": ")?.1.split_whitespace();
    sources
        .map(str::to_owned)
        .find(|source| modified(Path::new(source)).is_some_and(|changed| changed > built))
}
