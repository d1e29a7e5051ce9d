//! The programs under test: each a process of its own, pinned where the scenario wants it.

use crate::bare::Model;
use crate::failure::Failure;
use crate::load::runtime;
use crate::processor::{self, Used};
use crate::relay::Pool;
use crate::resident;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long a program may take until it accepts connections.
const START: Duration = Duration::from_secs(15);

/// A program under test. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its name in reports.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where its admin API is, if it has one.
    admin: Option<SocketAddr>,
    process: Child,
    /// Its config and state.
    _folder: TempDir,
}

/// How the node is set up; defaults otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Selvedge {
    /// With one thread.
    OneThread,
    /// With one thread, and nothing stored.
    PassThrough,
    /// With room for millions of small objects.
    Large,
    /// With one thread, and thumbnails that the node makes.
    Thumbnails,
    /// With one thread, and thumbnails that the hook makes by itself.
    GuestThumbnails,
}

impl Selvedge {
    fn settings(self) -> &'static str {
        match self {
            Self::OneThread | Self::PassThrough | Self::Thumbnails | Self::GuestThumbnails => "threads = 1",
            Self::Large => "memory = \"8GiB\"",
        }
    }

    fn routes(self) -> &'static str {
        match self {
            Self::PassThrough => "[[site.\"bench.test\".route]]\npath = \"/*\"\ncache = \"off\"\n",
            Self::OneThread | Self::Large => "",
            Self::Thumbnails => concat!(
                "[[site.\"bench.test\".route]]\npath = \"/img/*\"\ncache = \"pictures\"\nhooks = [\"thumb\"]\n",
                "[cache-policy.pictures]\nkey = { query = [\"w\", \"h\", \"v\"] }\n",
                "[hook.thumb]\nwasm = \"builtin:thumbnail\"\non = [\"origin-request\", \"origin-response\"]\n",
                "limits = { cpu = \"2s\", wall = \"20s\", concurrency = 200 }\n",
            ),
            Self::GuestThumbnails => concat!(
                "[[site.\"bench.test\".route]]\npath = \"/img/*\"\ncache = \"pictures\"\nhooks = [\"thumb\"]\n",
                "[cache-policy.pictures]\nkey = { query = [\"w\", \"h\", \"v\"] }\n",
                "[hook.thumb]\nwasm = \"builtin:thumbnail\"\non = [\"origin-request\", \"origin-response\"]\n",
                "config = { engine = \"guest\" }\nlimits = { cpu = \"2s\", wall = \"20s\", concurrency = 200 }\n",
            ),
        }
    }
}

/// How nginx is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Nginx {
    /// As its manual and most guides have it: `sendfile` and `tcp_nopush`.
    Usual,
    /// For small files that rarely change: open files are kept (a file replaced behind nginx's back goes unnoticed for a
    /// minute), and a body is read and written together with its head instead of being sent by `sendfile`.
    Tuned,
    /// As usual, and compressing for viewers who accept that.
    Gzip,
    /// As usual, and storing nothing.
    PassThrough,
}

impl Nginx {
    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Usual | Self::Gzip | Self::PassThrough => "nginx",
            Self::Tuned => "nginx tuned",
        }
    }

    fn files(self) -> &'static str {
        match self {
            Self::Usual | Self::PassThrough => "sendfile on; tcp_nopush on;",
            Self::Gzip => "sendfile on; tcp_nopush on; gzip on; gzip_types text/plain; gzip_proxied any;",
            Self::Tuned => "sendfile off; open_file_cache max=10000 inactive=60s; open_file_cache_valid 60s;",
        }
    }

    fn store(self) -> &'static str {
        match self {
            Self::PassThrough => "",
            Self::Usual | Self::Gzip | Self::Tuned => "proxy_cache bench; proxy_cache_lock on;",
        }
    }
}

/// How HAProxy is set up, with one thread.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Haproxy {
    /// Storing nothing.
    PassThrough,
    /// With its cache as large as it may be.
    Cache,
}

/// Where a program may run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cores {
    One(usize),
    All,
}

impl Peer {
    /// The node.
    pub(crate) fn selvedge(
        program: &Path,
        setup: Selvedge,
        origin: SocketAddr,
        cores: Cores,
    ) -> Result<Self, Failure> {
        if !program.exists() {
            let missing = program.display();
            return Err(Failure::Setup(format!(
                "{missing} is not there: build it with `cargo build --release -p edge`, or name it with --node"
            )));
        }
        let (folder, address, admin) = (folder()?, free_address()?, free_address()?);
        let (settings, routes) = (setup.settings(), setup.routes());
        let config = format!(
            "[node]\nname = \"edge\"\nlisten = [\"http://{address}\"]\nadmin = \"{admin}\"\n{settings}\nstate = \"state\"\n\n\
             [site.\"bench.test\"]\norigin = \"http://{origin}\"\n{routes}"
        );
        let file = write(&folder, "selvedge.toml", &config)?;
        let mut command = bound(program, cores);
        command.arg("run").arg("--config").arg(file);
        let mut node = Self::start("selvedge", command, address, folder)?;
        node.admin = Some(admin);
        Ok(node)
    }

    /// nginx `proxy_cache` with one worker.
    pub(crate) fn nginx(setup: Nginx, origin: SocketAddr, cores: Cores) -> Result<Self, Failure> {
        let (folder, address) = (folder()?, free_address()?);
        let file = write(&folder, "nginx.conf", &nginx_config(setup, folder.path(), address, origin))?;
        let mut command = bound(Path::new("nginx"), cores);
        command.arg("-p").arg(folder.path()).arg("-c").arg(file);
        Self::start(setup.name(), command, address, folder)
    }

    /// HAProxy, where it is installed.
    pub(crate) fn haproxy(setup: Haproxy, origin: SocketAddr, cores: Cores) -> Result<Option<Self>, Failure> {
        if !is_installed("haproxy") {
            println!("haproxy is not installed: measured without it");
            return Ok(None);
        }
        let (folder, address) = (folder()?, free_address()?);
        let (cache, rules) = match setup {
            Haproxy::PassThrough => ("", ""),
            Haproxy::Cache => (
                "cache bench\n  total-max-size 4095\n  max-object-size 100000\n  max-age 3600\n",
                "  http-request cache-use bench\n  http-response cache-store bench\n",
            ),
        };
        let config = format!(
            "global\n  nbthread 1\n  maxconn 4096\n{cache}defaults\n  mode http\n  timeout connect 3s\n  timeout client 60s\n  \
             timeout server 60s\n  http-reuse always\nfrontend viewers\n  bind {address}\n  default_backend origin\n\
             backend origin\n{rules}  server origin {origin}\n"
        );
        let file = write(&folder, "haproxy.cfg", &config)?;
        let mut command = bound(Path::new("haproxy"), cores);
        command.arg("-db").arg("-f").arg(file);
        Self::start("haproxy", command, address, folder).map(Some)
    }

    /// Varnish, where it is installed: as shipped, but for text that it keeps compressed.
    pub(crate) fn varnish(origin: SocketAddr, cores: Cores) -> Result<Option<Self>, Failure> {
        if !is_installed("varnishd") {
            println!("varnishd is not installed: measured without it");
            return Ok(None);
        }
        let (folder, address) = (folder()?, free_address()?);
        let (host, port) = (origin.ip(), origin.port());
        let config = format!(
            "vcl 4.1;\nbackend default {{ .host = \"{host}\"; .port = \"{port}\"; }}\n\
             sub vcl_backend_response {{ if (beresp.http.content-type ~ \"^text/\") {{ set beresp.do_gzip = true; }} }}\n"
        );
        let file = write(&folder, "varnish.vcl", &config)?;
        let mut command = bound(Path::new("varnishd"), cores);
        command
            .args(["-F", "-a", &address.to_string(), "-s", "malloc,8G", "-n"])
            .arg(folder.path().join("work"));
        command.arg("-f").arg(file);
        Self::start("varnish", command, address, folder).map(Some)
    }

    /// This program, as the floor.
    pub(crate) fn bare(
        name: &'static str,
        model: Model,
        threads: usize,
        objects: usize,
        cores: Cores,
    ) -> Result<Self, Failure> {
        let (folder, address) = (folder()?, free_address()?);
        let model = match model {
            Model::PerCore => "per-core",
            Model::WorkStealing => "work-stealing",
        };
        let mut command = bound(&this_program()?, cores);
        command.args(["bare", "--model", model, "--address", &address.to_string()]);
        command.args(["--threads", &threads.to_string(), "--objects", &objects.to_string()]);
        Self::start(name, command, address, folder)
    }

    /// This program, as the floor of passing through.
    pub(crate) fn relay(
        name: &'static str,
        pool: Pool,
        threads: usize,
        origin: SocketAddr,
        cores: Cores,
    ) -> Result<Self, Failure> {
        let (folder, address) = (folder()?, free_address()?);
        let pool = match pool {
            Pool::PerCore => "per-core",
            Pool::Shared => "shared",
        };
        let mut command = bound(&this_program()?, cores);
        command.args(["relay", "--pool", pool, "--threads", &threads.to_string()]);
        command.args(["--address", &address.to_string(), "--origin", &origin.to_string()]);
        Self::start(name, command, address, folder)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
        folder: TempDir,
    ) -> Result<Self, Failure> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(&folder)?);
        let process = command.spawn().map_err(Failure::system(format!("cannot start {name}")))?;
        let mut peer = Self { name, address, admin: None, process, _folder: folder };
        match runtime()?.block_on(async { tokio::time::timeout(START, accepting(address)).await }) {
            Ok(()) => Ok(peer),
            Err(_) => {
                let state = peer.process.try_wait().ok().flatten();
                let state = state.map_or("it runs".to_owned(), |status| status.to_string());
                let said = fs::read_to_string(peer._folder.path().join("log")).unwrap_or_default();
                Err(Failure::Setup(format!("{name} does not accept connections ({state}): {}", said.trim())))
            }
        }
    }

    /// Where its admin API is.
    pub(crate) fn admin(&self) -> Result<SocketAddr, Failure> {
        self.admin.ok_or_else(|| Failure::Setup(format!("{} has no admin API", self.name)))
    }

    /// What all its processes and threads have had of the processors so far.
    pub(crate) fn used(&self) -> Result<Used, Failure> {
        processor::used(self.process.id())
    }

    /// Bytes resident in memory, of all its processes.
    pub(crate) fn resident(&self) -> Result<u64, Failure> {
        resident::bytes(self.process.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Asked, not killed: nginx would leave its workers behind.
        if let Some(process) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(process, Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

/// Nothing is logged, connections are never closed, connections to the origin are kept.
fn nginx_config(setup: Nginx, folder: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    let (folder, files, store) = (folder.display(), setup.files(), setup.store());
    format!(
        "worker_processes 1;
daemon off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    {files}
    tcp_nodelay on;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=bench:16m max_size=1g inactive=60m use_temp_path=off;
    upstream origin {{ server {origin}; keepalive 64; }}
    server {{
        listen {address} reuseport;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            {store}
        }}
    }}
}}
"
    )
}

/// A command that keeps to its cores, and that the kernel ends when this program ends, however that happens.
fn bound(program: &Path, cores: Cores) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if let Cores::One(core) = cores {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command.arg(program);
    command
}

/// Whether a program is there to be compared with.
pub(crate) fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).exists())
}

/// A folder that a worker of another user can read: nginx changes its user where it may.
fn folder() -> Result<TempDir, Failure> {
    let failed = || Failure::system("a folder for a program under test");
    let folder = tempfile::Builder::new().prefix("bench-").tempdir().map_err(failed())?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).map_err(failed())?;
    Ok(folder)
}

fn log(folder: &TempDir) -> Result<Stdio, Failure> {
    let file = fs::File::create(folder.path().join("log")).map_err(Failure::system("a log file"))?;
    Ok(file.into())
}

fn write(folder: &TempDir, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let file = folder.path().join(name);
    fs::write(&file, text).map_err(Failure::system(file.display().to_string()))?;
    Ok(file)
}

fn free_address() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(Failure::system("a free port"))
}

/// This very program, or the file that lies beside it.
pub(crate) fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(Failure::system("the path of this program"))
}

async fn accepting(address: SocketAddr) {
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
