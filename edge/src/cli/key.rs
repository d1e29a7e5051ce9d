//! `selvedge key`: pairs of keys, the private half for who signs, the public half for the node; and secrets for both.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use signing::{KeyKind, PrivateKey, Secret, SigningError};

use super::{Exit, data, talk};

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a key pair or a secret, and print what the config needs to know of it
    New(New),
}

#[derive(Debug, clap::Args)]
struct New {
    /// The folder for the two files; made if it is absent
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The name of the key in URLs and config; made up if none is given
    #[arg(long, value_parser = key_id)]
    id: Option<String>,
    /// rsa or p256 sign for CloudFront and in JWTs, ed25519 in JWTs; hmac makes a secret for short tokens and JWTs
    #[arg(long, value_enum, default_value_t = Kind::Rsa)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Rsa,
    P256,
    Ed25519,
    Hmac,
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("cannot write {}: {}", .0.display(), .1)]
    Write(PathBuf, #[source] io::Error),
    #[error("{} is there already, and a key is never overwritten; choose another --id or --out", .0.display())]
    Exists(PathBuf),
    #[error("cannot make a key: {0}")]
    Key(#[from] SigningError),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Action::New(new) = &arguments.action;
    let id = new.id.clone().unwrap_or_else(fresh_id);
    match make(&new.out, &id, new.kind) {
        Ok(text) => {
            data(&text);
            Exit::Ok
        }
        Err(error) => {
            talk(&format!("error: {error}"));
            Exit::Failed
        }
    }
}

/// A key id goes into URLs and file names: letters, digits, '-', '_' and '.', not at the start.
pub(super) fn key_id(text: &str) -> Result<String, &'static str> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !(1..=128).contains(&text.len()) || text.starts_with(['.', '-']) || !text.bytes().all(is_known) {
        return Err("use 1 to 128 letters, digits, '-', '_' or '.', with a letter, digit or '_' first");
    }
    Ok(text.to_owned())
}

/// In the fashion of CloudFront's. It is a name and no secret.
fn fresh_id() -> String {
    let rest =
        (0..13).map(|_| if fastrand::bool() { fastrand::char('A'..='Z') } else { fastrand::digit(10) });
    std::iter::once('K').chain(rest).collect()
}

fn make(folder: &Path, id: &str, kind: Kind) -> Result<String, KeyError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| KeyError::Write(folder.to_owned(), error))?;
    let kind = match kind {
        Kind::Rsa => KeyKind::Rsa,
        Kind::P256 => KeyKind::P256,
        Kind::Ed25519 => KeyKind::Ed25519,
        Kind::Hmac => {
            let secret = folder.join(format!("{id}.secret"));
            write(&secret, &Secret::generate()?, 0o600)?;
            let lines = config_lines(id, "secret", &secret, "accept = [\"hmac\", \"uri-signing\"]\n");
            return Ok(format!("# secret {id}; who signs needs the same: {}\n{lines}", secret.display()));
        }
    };
    let private = folder.join(format!("{id}.private.pem"));
    let public = folder.join(format!("{id}.public.pem"));
    if public.exists() {
        return Err(KeyError::Exists(public));
    }
    let key = PrivateKey::generate(kind)?;
    write(&private, &key.to_pem()?, 0o600)?;
    write(&public, &key.public_key()?.to_pem(), 0o644)?;
    let accept = if kind == KeyKind::Ed25519 { "accept = [\"uri-signing\"]\n" } else { "" };
    let lines = config_lines(id, "public", &public, accept);
    Ok(format!("# key {id}; its private half, for who signs: {}\n{lines}", private.display()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeyError::Exists(path.to_owned())),
        Err(error) => Err(KeyError::Write(path.to_owned(), error)),
    }
}

/// TOML to paste.
fn config_lines(id: &str, setting: &str, file: &Path, accept: &str) -> String {
    let is_bare = id.bytes().all(|byte| byte != b'.');
    let name = if is_bare { id.to_owned() } else { format!("\"{id}\"") };
    let path = toml::Value::String(file.display().to_string());
    format!(
        "[key.{name}]\n{setting} = {{ file = {path} }}\n\n[key-group.premium]\nkeys = [\"{id}\"]\n{accept}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_in_urls_and_file_names() {
        for id in ["premium1", "K2JCJMDEHXQW5F", "_a.b-c"] {
            assert_eq!(key_id(id).as_deref(), Ok(id));
        }
        for id in ["", "../a", "a/b", ".hidden", "-x", "a b", "ä", &"K".repeat(129)] {
            assert!(key_id(id).is_err(), "{id:?}");
        }
        for _ in 0..50 {
            let id = fresh_id();
            assert!(key_id(&id).is_ok() && id.len() == 14, "{id}");
        }
    }

    #[test]
    fn the_printed_lines_are_a_config() {
        for id in ["premium1", "a.b"] {
            let accept = "accept = [\"hmac\"]\n";
            let lines = config_lines(id, "secret", Path::new("keys/a \"b\".pem"), accept);
            let read: crate::config::Config = toml::from_str(&lines).unwrap();
            assert!(read.key.contains_key(id), "{lines}");
            assert_eq!(read.key_group["premium"].keys, [id]);
        }
    }
}
