//! A running node, through its admin API: `selvedge reload`, `drain`, and how every other verb asks one.

use super::{DEFAULT_FILE, Exit, data, talk};
use crate::config::{AdminListen, Config, Loaded};
use serde_json::Value;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// A node that says nothing for so long is not there.
const PATIENCE: Duration = Duration::from_secs(30);
/// A node that compiles a component of many megabytes says nothing for a while.
const DEPLOY_PATIENCE: Duration = Duration::from_secs(300);

/// More than any admin answer.
const LONGEST_ANSWER: u64 = 16 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The node's admin address. Default: the one in ./selvedge.toml, else 127.0.0.1:9180
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Answer in JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What is asked of a running node.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) body: Option<Value>,
}

/// A request as it goes over the wire.
struct Wire<'a> {
    method: &'static str,
    path: &'a str,
    kind: &'static str,
    body: &'a [u8],
    patience: Duration,
}

pub(super) fn reload(arguments: &Arguments) -> Exit {
    call(&Call { method: "POST", path: "/reload", body: None }, arguments, |_| "reloaded".to_owned())
}

pub(super) fn drain(arguments: &Arguments) -> Exit {
    call(&Call { method: "POST", path: "/drain", body: None }, arguments, |_| "draining".to_owned())
}

/// Asks a node and says what it answered, to people in the words of `told`.
pub(super) fn call(call: &Call<'_>, arguments: &Arguments, told: impl FnOnce(&Value) -> String) -> Exit {
    let Call { method, path, body } = call;
    let body = body.as_ref().map(Value::to_string).unwrap_or_default().into_bytes();
    let wire = Wire { method, path, kind: "application/json", body: &body, patience: PATIENCE };
    converse(&wire, arguments, told)
}

/// Gives a node a component, and says what it answered.
pub(super) fn deploy(
    path: &str,
    component: &[u8],
    arguments: &Arguments,
    told: impl FnOnce(&Value) -> String,
) -> Exit {
    let kind = "application/wasm";
    converse(
        &Wire { method: "POST", path, kind, body: component, patience: DEPLOY_PATIENCE },
        arguments,
        told,
    )
}

/// Gives a node bytes to keep, and says what it answered.
pub(super) fn put(
    path: &str,
    value: &[u8],
    arguments: &Arguments,
    told: impl FnOnce(&Value) -> String,
) -> Exit {
    let kind = "application/octet-stream";
    converse(&Wire { method: "PUT", path, kind, body: value, patience: PATIENCE }, arguments, told)
}

/// What a node answers to this path, for verbs that have more to say of it. What went wrong is told already.
pub(super) fn get(path: &str, arguments: &Arguments) -> Result<Value, Exit> {
    look(path, arguments).map_err(|unread| match unread {
        Unread::Silent(why) => {
            talk(&format!("error: {why}"));
            Exit::Unreachable
        }
        Unread::Over(exit) => exit,
    })
}

/// Why a path could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// Nobody answers, and why: later it may be otherwise.
    Silent(String),
    /// The config is wrong or the node refuses, which is told already.
    Over(Exit),
}

/// The same as [`get`] for verbs that wait for a node to come back.
pub(super) fn look(path: &str, arguments: &Arguments) -> Result<Value, Unread> {
    let wire = Wire { method: "GET", path, kind: "application/json", body: &[], patience: PATIENCE };
    let (address, token) = known(arguments).map_err(Unread::Over)?;
    let asked = ask(&wire, address, token.as_deref());
    match asked.map_err(|unanswered| Unread::Silent(unanswered.told(address)))? {
        (200, answer) => Ok(answer),
        (_, answer) => {
            talk(&format!("error: {}", answer["error"].as_str().unwrap_or("the node refused")));
            Err(Unread::Over(Exit::Failed))
        }
    }
}

fn converse(wire: &Wire<'_>, arguments: &Arguments, told: impl FnOnce(&Value) -> String) -> Exit {
    let (status, answer) = match reach(wire, arguments) {
        Ok(answered) => answered,
        Err(exit) => return exit,
    };
    let is_well = (200..300).contains(&status);
    match (arguments.json, is_well) {
        (true, _) => data(&format!("{answer:#}")),
        (false, true) => data(&told(&answer)),
        (false, false) => talk(&format!("error: {}", answer["error"].as_str().unwrap_or("the node refused"))),
    }
    match status {
        _ if is_well => Exit::Ok,
        400 => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// The node's status and answer; that there is none is told already.
fn reach(wire: &Wire<'_>, arguments: &Arguments) -> Result<(u16, Value), Exit> {
    let (address, token) = known(arguments)?;
    ask(wire, address, token.as_deref()).map_err(|unanswered| {
        talk(&format!("error: {}", unanswered.told(address)));
        Exit::Unreachable
    })
}

/// The same as [`node`]; that there is none is told already.
fn known(arguments: &Arguments) -> Result<(SocketAddr, Option<String>), Exit> {
    node(arguments).map_err(|message| {
        talk(&format!("error: {message}"));
        Exit::InvalidConfig
    })
}

/// Where the node is, and the token that it wants.
fn node(arguments: &Arguments) -> Result<(SocketAddr, Option<String>), String> {
    let file = Path::new(DEFAULT_FILE);
    let config = match file.exists() {
        true => Loaded::load(file).map(|loaded| loaded.config).map_err(|errors| errors.to_string()),
        false => Ok(Config::default()),
    };
    // Somebody who names an address needs no config, not even a right one.
    let config = match (config, arguments.admin) {
        (Err(_), Some(address)) => return Ok((address, None)),
        (config, _) => config?,
    };
    let token =
        config.node.admin_token.map(|token| token.read()).transpose().map_err(|error| error.to_string())?;
    match (arguments.admin, config.node.admin) {
        (Some(address), _) | (None, AdminListen::At(address)) => Ok((address, token)),
        (None, AdminListen::Off) => {
            Err(format!("{DEFAULT_FILE} says admin = \"off\": the node has no admin API"))
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Unanswered {
    NoNode(io::Error),
    /// The whole request went out; the node may well do what it says.
    NotYet(Duration),
}

impl Unanswered {
    fn told(&self, address: SocketAddr) -> String {
        match self {
            Self::NoNode(error) => {
                format!("no node answers at {address}: {error}; name its admin address with --admin")
            }
            Self::NotYet(patience) => format!(
                "sent to {address}, but no answer yet after {patience:?}: it may still be done; look at `selvedge hook list` or `selvedge status`"
            ),
        }
    }
}

impl From<io::Error> for Unanswered {
    fn from(error: io::Error) -> Self {
        Self::NoNode(error)
    }
}

/// One request over a connection of its own (RFC 9112); the answer ends with the connection.
fn ask(wire: &Wire<'_>, address: SocketAddr, token: Option<&str>) -> Result<(u16, Value), Unanswered> {
    let Wire { method, path, kind, body, patience } = wire;
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(*patience))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len(),
    )?;
    // A node that refuses what it has only begun to read answers, and closes: its words count then.
    let sent = stream.write_all(body);
    let mut answer = String::new();
    let read = stream.take(LONGEST_ANSWER).read_to_string(&mut answer);
    if answer.is_empty() {
        sent?;
        read.map_err(|error| match error.kind() {
            // Which of them it is depends on the system.
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Unanswered::NotYet(*patience),
            _ => Unanswered::NoNode(error),
        })?;
    }
    let no_api = || io::Error::new(ErrorKind::InvalidData, "this is no admin API of a node");
    Ok(parse(&answer).ok_or_else(no_api)?)
}

fn parse(answer: &str) -> Option<(u16, Value)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_that_is_still_at_it_is_not_told_to_be_missing() {
        let node = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = node.local_addr().unwrap();
        let wire =
            |patience| Wire { method: "POST", path: "/reload", kind: "text/plain", body: b"", patience };
        let unanswered = ask(&wire(Duration::from_millis(50)), address, None).unwrap_err();
        assert!(unanswered.told(address).contains("no answer yet"), "{unanswered:?}");
        drop(node);
        let unanswered = ask(&wire(PATIENCE), address, None).unwrap_err();
        assert!(unanswered.told(address).contains("no node answers"), "{unanswered:?}");
    }

    #[test]
    fn answers_are_read() {
        let answer =
            "HTTP/1.1 422 Unprocessable Content\r\ncontent-type: application/json\r\n\r\n{\"error\":\"x\"}\n";
        assert_eq!(parse(answer), Some((422, json!({ "error": "x" }))));
        for broken in ["", "HTTP/1.1 200 OK\r\n\r\n<html>", "SSH-2.0\r\n\r\n{}", "HTTP/1.1 2\r\n\r\n{}"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}
