//! The running process: sockets, one thread a core, signals, reload, drain.
//!
//! Every core has a current-thread runtime and a listening socket of its own (SO_REUSEPORT): the kernel deals connections
//! out, a request never changes threads, and connections to origins stay on the core that uses them. `bench/README.md` has the figures.

mod reload;
mod saved;
mod sockets;
mod trials;

use crate::admin;
use crate::config::{AdminListen, Config};
use crate::listener::{self, Drain};
use crate::node::{Current, Node, NodeError, keep_warm};
use geo::{Answerer, Bound, CurrentAnswerer, GeoError};
use reload::Reload;
use saved::Watch;
use sockets::Socket;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

pub use reload::{ReloadError, Reloader};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config cannot become a node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}; is another program there, or does the port need more rights?")]
    Listen(String, #[source] io::Error),
    /// HTTPS is to be spoken, but no site has a certificate.
    #[error(
        "{0} needs a certificate, but no site has one; set tls = \"local\" or {{ cert = …, key = … }} on a site"
    )]
    NoCertificate(String),
    /// DNS.
    #[error("[dns]: {0}")]
    Dns(#[from] GeoError),
    /// The admin API is open to others but has no token.
    #[error("[node] admin: {0}")]
    Admin(String),
    /// Threads, signals, runtimes.
    #[error("the operating system refused: {0}")]
    System(#[from] io::Error),
}

/// What is ready once a node runs.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Where viewers connect: scheme and address.
    pub listening: Vec<String>,
    /// DNS, over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// The admin API.
    pub admin: Option<SocketAddr>,
    /// The root certificate of the local authority.
    pub root: Option<PathBuf>,
}

/// Where the config comes from, and so whether it can be reloaded.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file: read again on reload.
    File(PathBuf),
    /// A file: read again whenever it changes, or a file that it names.
    Watched(PathBuf),
    /// Made by the program itself.
    Given,
}

/// The clock, for what happens outside of requests.
#[expect(
    clippy::disallowed_methods,
    reason = "the process is the outermost shell: from here on time is an argument"
)]
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Runs a node until it is told to stop (SIGTERM, SIGINT or the admin API) and has drained. `announce` is called once it
/// serves.
///
/// # Errors
/// [`StartError`] when it cannot start; nothing has been served then.
pub fn run(config: Config, source: Source, announce: impl FnOnce(&Ready)) -> Result<(), StartError> {
    let config = Arc::new(config);
    let node = Node::build(&config, None, now())?;
    let sockets = sockets::bind(&config)?;
    if let Some(socket) = sockets.iter().find(|socket| socket.is_https()).filter(|_| node.tls.is_none()) {
        return Err(StartError::NoCertificate(socket.to_string()));
    }
    let observer = Arc::clone(&node.observer);
    config.refused_congestion().into_iter().for_each(|words| observer.say(words));
    node.doubts().iter().for_each(|(hook, doubt)| observer.say(format!("hook {hook:?}: {doubt}")));
    node.take_over(None);
    let current = Arc::new(Current::new(node));
    let (tell, told) = watch::channel(false);
    let (alive, ended) = mpsc::channel::<Infallible>(1);
    let drain = Drain { told, alive };
    let shell = runtime()?;
    let outcome = shell.block_on(async {
        let dns = bind_dns(&config, &current).await?;
        let answers = dns.as_ref().map(Bound::current);
        let admin = bind_admin(&config).await?;
        let ready = Ready {
            listening: sockets.iter().map(ToString::to_string).collect(),
            dns: dns.as_ref().map(|bound| bound.local_addresses().to_vec()).unwrap_or_default(),
            admin: admin.as_ref().and_then(|listener| listener.local_addr().ok()),
            root: current.load().local_root.clone(),
        };
        start_workers(sockets, &current, &drain)?;
        let (shell, stop) = Shell::start(&current, source, answers, &drain, admin)?;
        let dns = dns.map(|bound| tokio::spawn(bound.run(told_to_stop(drain.told.clone()))));
        announce(&ready);
        drop(drain);
        shell.serve(stop, &tell, ended, config.node.limits.drain).await;
        if let Some(dns) = dns {
            // Its own drain is bounded; what it says at the end concerns nobody any more.
            let _ = dns.await;
        }
        Ok(())
    });
    // What was stored until now is there after a restart.
    current.load().close();
    observer.flush();
    // Tasks that wait on blocking work would keep the process from ending.
    shell.shutdown_background();
    outcome
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn told_to_stop(mut told: watch::Receiver<bool>) {
    // An error means that the process is ending anyway.
    let _ = told.wait_for(|told| *told).await;
}

async fn bind_dns(config: &Config, current: &Current) -> Result<Option<Bound>, StartError> {
    let Some(settings) = &config.dns else { return Ok(None) };
    Ok(Some(Answerer::bind(settings, Arc::clone(current.load().atlas.locator())).await?))
}

async fn bind_admin(config: &Config) -> Result<Option<tokio::net::TcpListener>, StartError> {
    let AdminListen::At(address) = config.node.admin else { return Ok(None) };
    match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => Err(StartError::Listen(format!("{address} (admin)"), error)),
    }
}

/// One thread and runtime a core; each serves its own sockets until the drain is over.
fn start_workers(sockets: Vec<Socket>, current: &Arc<Current>, drain: &Drain) -> Result<(), StartError> {
    let mut by_worker: Vec<Vec<_>> = Vec::new();
    for socket in sockets {
        let scheme = socket.scheme;
        for (worker, listener) in socket.listeners.into_iter().enumerate() {
            if by_worker.len() <= worker {
                by_worker.push(Vec::new());
            }
            by_worker[worker].push((scheme, listener));
        }
    }
    for (worker, listeners) in by_worker.into_iter().enumerate() {
        let runtime = runtime()?;
        let (current, drain) = (Arc::clone(current), drain.clone());
        thread::Builder::new().name(format!("worker-{worker}")).spawn(move || {
            runtime.block_on(async move {
                let mut accepting = Vec::new();
                for (scheme, listener) in listeners {
                    match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => {
                            let task =
                                listener::accept(listener, scheme, Arc::clone(&current), drain.clone());
                            accepting.push(tokio::spawn(task));
                        }
                        Err(error) => current.load().observer.say(format!("worker-{worker}: {error}")),
                    }
                }
                tokio::spawn(keep_warm(current));
                let mut told = drain.told.clone();
                drop(drain);
                let _ = told.wait_for(|told| *told).await;
                // Connections and fills go on until the process ends.
                std::future::pending::<()>().await;
            });
        })?;
    }
    Ok(())
}

/// The main thread's part: signals and admin requests.
struct Shell {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    reloader: Arc<Reload>,
    current: Arc<Current>,
}

impl Shell {
    fn start(
        current: &Arc<Current>,
        source: Source,
        answers: Option<CurrentAnswerer>,
        drain: &Drain,
        admin: Option<tokio::net::TcpListener>,
    ) -> Result<(Self, mpsc::Receiver<()>), StartError> {
        let watch = if let Source::Watched(path) = &source { Some(Watch::begin(path)) } else { None };
        let reloader = Arc::new(Reload::new(source, Arc::clone(current), answers));
        if let Some(watch) = watch {
            let (reloader, current) = (Arc::clone(&reloader), Arc::clone(current));
            tokio::spawn(watch.run(move |files| {
                let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
                current.load().observer.say(format!("changed: {}", files.join(", ")));
                reload(&reloader, &current);
            }));
        }
        let (stop, stopping) = mpsc::channel(1);
        let token = admin_token(&current.load().config)?;
        if let Some(listener) = admin {
            let context = admin::Context {
                current: Arc::clone(current),
                reload: Arc::clone(&reloader) as Arc<dyn Reloader>,
                stop,
                draining: drain.told.clone(),
                token,
                scanning: tokio::sync::Mutex::default(),
                deploying: Arc::default(),
            };
            tokio::spawn(admin::serve(listener, Arc::new(context)));
        }
        tokio::spawn(trials::watch(Arc::clone(current)));
        let shell = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            reloader,
            current: Arc::clone(current),
        };
        Ok((shell, stopping))
    }

    /// Until told to stop and drained, or the drain takes too long, or told again.
    async fn serve(
        mut self,
        mut stop: mpsc::Receiver<()>,
        tell: &watch::Sender<bool>,
        mut ended: mpsc::Receiver<Infallible>,
        patience: std::time::Duration,
    ) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                Some(()) = stop.recv() => break,
                _ = self.hang_up.recv() => reload(&self.reloader, &self.current),
            }
        }
        let observer = Arc::clone(&self.current.load().observer);
        observer.say("draining");
        tell.send_replace(true);
        observer.say(tokio::select! {
            _ = ended.recv() => "drained",
            () = tokio::time::sleep(patience) => "drain took too long: connections were cut",
            _ = self.terminate.recv() => "told again to stop: connections were cut",
            _ = self.interrupt.recv() => "told again to stop: connections were cut",
        });
    }
}

/// Building a node reads files and compiles hooks: not on the thread that answers DNS and admin requests.
fn reload(reloader: &Arc<Reload>, current: &Arc<Current>) {
    let (reloader, current) = (Arc::clone(reloader), Arc::clone(current));
    tokio::task::spawn_blocking(move || {
        let words = match reloader.reload() {
            Ok(()) => "reloaded".to_owned(),
            Err(error) => format!("reload failed, the config in force stays: {error}"),
        };
        current.load().observer.say(words);
    });
}

fn admin_token(config: &Config) -> Result<Option<String>, StartError> {
    let token = config.node.admin_token.as_ref().map(crate::config::Material::read).transpose();
    let token = token.map_err(|error| StartError::Admin(error.to_string()))?;
    if config.node.admin.is_exposed() && token.is_none() {
        let address = config.node.admin;
        return Err(StartError::Admin(format!("{address} is open to other machines; set admin-token")));
    }
    Ok(token)
}
