//! Places that only a way connects: a network namespace each, there for as long as a process of ours is in it.

use crate::failure::Failure;
use crate::peer::this_program;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take until it listens.
const START: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the kernel does unless it is told otherwise, and no memory of how earlier connections fared.
const SETTINGS: [(&str, &str); 5] = [
    ("ip_forward", "1"),
    ("tcp_no_metrics_save", "1"),
    ("tcp_slow_start_after_idle", "1"),
    ("tcp_rmem", "4096 131072 6291456"),
    ("tcp_wmem", "4096 16384 4194304"),
];

/// A network namespace. It ends with this program, however that ends, and everything in it.
#[derive(Debug)]
pub(crate) struct Place {
    holder: Program,
}

/// A process in a place; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Program(Child);

impl Place {
    /// An empty place with nothing but loopback.
    pub(crate) fn new() -> Result<Self, Failure> {
        let script = "ip link set lo up && echo up && exec sleep infinity";
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", script]);
        let holder = Program::saying(command, "up")?;
        let place = Self { holder };
        for (name, value) in SETTINGS {
            place.write(name, value)?;
        }
        Ok(place)
    }

    /// The process id that stands for it in `ip link set … netns`.
    pub(crate) fn id(&self) -> u32 {
        self.holder.0.id()
    }

    /// A program in this place, which the kernel ends when this one ends.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.id().to_string(), "--net", "setpriv", "--pdeathsig", "KILL"]);
        command.arg(program);
        command
    }

    /// One of this program's own parts in this place.
    pub(crate) fn part(&self, name: &str) -> Result<Command, Failure> {
        let mut command = self.command(&this_program()?);
        command.arg(name);
        Ok(command)
    }

    /// One of this program's own parts that must never wait for a processor.
    pub(crate) fn prompt_part(&self, name: &str) -> Result<Command, Failure> {
        let mut command = self.command(Path::new("chrt"));
        command.args(["--fifo", "10"]).arg(this_program()?).arg(name);
        Ok(command)
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &str, arguments: &str) -> Result<(), Failure> {
        let output = self.command(Path::new(program)).args(arguments.split(' ')).output();
        said(&output.map_err(Failure::system(program))?).map(drop)
    }

    /// Starts a program and waits until somebody listens on `port` here. What it says goes to `log`.
    pub(crate) fn start(&self, mut command: Command, port: u16, log: &Path) -> Result<Program, Failure> {
        let file = || File::create(log).map_err(Failure::system(log.display().to_string()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file()?);
        let mut program = Program(command.spawn().map_err(Failure::system("a program in another place"))?);
        let deadline = Instant::now() + START;
        while !self.listens(port) {
            let ended = program.0.try_wait().map_err(Failure::system("a program in another place"))?;
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(Failure::Setup(format!("nobody listens on port {port}: {}", said.trim())));
            }
            wait_a_little();
        }
        Ok(program)
    }

    /// Whether somebody listens on a port here, as the kernel lists sockets: `address:port remote state`, in hexadecimal.
    fn listens(&self, port: u16) -> bool {
        let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", self.id())).unwrap_or_default();
        let port = format!(":{port:04X}");
        sockets.lines().skip(1).any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            matches!(fields[..], [_, local, _, "0A", ..] if local.ends_with(&port))
        })
    }

    fn write(&self, name: &str, value: &str) -> Result<(), Failure> {
        let script = format!("echo '{value}' > /proc/sys/net/ipv4/{name}");
        let output = self.command(Path::new("sh")).args(["-c", &script]).output();
        said(&output.map_err(Failure::system("sh"))?).map(drop)
    }
}

impl Program {
    /// Starts a program and waits for the one line that it says when it is ready.
    pub(crate) fn saying(mut command: Command, ready: &str) -> Result<Self, Failure> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let shown = format!("{command:?}");
        let failed = || Failure::system(shown.clone());
        let mut program = Self(command.spawn().map_err(failed())?);
        let mut line = String::new();
        if let Some(output) = program.0.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(failed())?;
        }
        match line.trim() == ready {
            true => Ok(program),
            false => Err(Failure::Setup(format!("{shown} is not ready"))),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing here has anything to finish.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program that has ended said, or why it failed.
pub(crate) fn said(output: &std::process::Output) -> Result<String, Failure> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(Failure::Setup(format!("{}: {}", output.status, text(&output.stderr)))),
    }
}

#[allow(clippy::disallowed_methods, reason = "a deadline is polled for")]
fn wait_a_little() {
    thread::sleep(LOOK_EVERY);
}
