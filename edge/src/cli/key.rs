//! `selvedge key`: pairs of keys, the private half for who signs, the public half for the node; and secrets for both.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use signing::{EncryptionKey, KeyKind, PrivateKey, Secret, SigningError};

use super::signer::FOLDER;
use super::{DEFAULT_FILE, Exit, data, talk};
use crate::config::Loaded;

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
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    out: PathBuf,
    /// The key group that routes name in `signed`. One that ./selvedge.toml has already is left for you to add the key to
    #[arg(long, value_name = "NAME", default_value = "premium", value_parser = key_id)]
    group: String,
    /// The name of the key in URLs and config; made up if none is given
    #[arg(long, value_parser = key_id)]
    id: Option<String>,
    /// rsa or p256 sign for CloudFront and in JWTs, ed25519 in JWTs; hmac makes a secret for short tokens and JWTs, aes one that hides
    /// addresses in JWTs
    #[arg(long, value_enum, default_value_t = Kind::Rsa)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Rsa,
    P256,
    Ed25519,
    Hmac,
    Aes,
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
        Ok(made) => {
            // One that is not right yet is no reason to make no key.
            let config = Loaded::load(Path::new(DEFAULT_FILE)).ok();
            data(&made.words(&id, &new.group, config.as_ref()));
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

/// What was made, and what the config has to know of it.
struct Made {
    /// `public` or `secret`.
    setting: &'static str,
    /// The file that the setting names.
    file: PathBuf,
    /// The file for who signs.
    signs: PathBuf,
    /// The formats that such a key signs, where they are not the usual one.
    accept: &'static str,
}

fn make(folder: &Path, id: &str, kind: Kind) -> Result<Made, KeyError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| KeyError::Write(folder.to_owned(), error))?;
    let kind = match kind {
        Kind::Rsa => KeyKind::Rsa,
        Kind::P256 => KeyKind::P256,
        Kind::Ed25519 => KeyKind::Ed25519,
        Kind::Hmac => {
            let secret = folder.join(format!("{id}.secret"));
            write(&secret, &Secret::generate()?, 0o600)?;
            let accept = "accept = [\"hmac\", \"uri-signing\"]\n";
            return Ok(Made { setting: "secret", file: secret.clone(), signs: secret, accept });
        }
        Kind::Aes => {
            let key = folder.join(format!("{id}.aes"));
            write(&key, &EncryptionKey::generate()?, 0o600)?;
            return Ok(Made { setting: "encryption", file: key.clone(), signs: key, accept: "" });
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
    Ok(Made { setting: "public", file: public, signs: private, accept })
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeyError::Exists(path.to_owned())),
        Err(error) => Err(KeyError::Write(path.to_owned(), error)),
    }
}

impl Made {
    /// TOML to paste. A group that is there already is not written again.
    fn words(&self, id: &str, group: &str, config: Option<&Loaded>) -> String {
        let Self { setting, file, signs, accept } = self;
        let path = toml::Value::String(file.display().to_string());
        let whose = match *setting {
            "public" => "its private half, for who signs",
            _ => "who signs needs the same",
        };
        let known = config.filter(|loaded| loaded.config.key_group.contains_key(group));
        let known = known.and_then(|loaded| loaded.sources.line_of(&["key-group", group, "keys"]));
        let group = match known {
            _ if *setting == "encryption" => {
                let line = known.map(|line| format!(", {line}")).unwrap_or_default();
                format!("# in [key-group.{group}]{line}: decrypt-with = [\"{id}\"]\n")
            }
            Some(line) => {
                let accept = accept.trim_end();
                let formats =
                    if accept.is_empty() { String::new() } else { format!(", which needs {accept}") };
                format!("# add \"{id}\" to the keys of [key-group.{group}], {line}{formats}\n")
            }
            None => format!("[key-group.{}]\nkeys = [\"{id}\"]\n{accept}", name(group)),
        };
        format!(
            "# key {id}; {whose}: {}\n[key.{}]\n{setting} = {{ file = {path} }}\n\n{group}",
            signs.display(),
            name(id)
        )
    }
}

/// As TOML has it.
fn name(id: &str) -> String {
    if id.bytes().all(|byte| byte != b'.') { id.to_owned() } else { format!("\"{id}\"") }
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
        let made = Made {
            setting: "secret",
            file: "keys/a \"b\".pem".into(),
            signs: "k".into(),
            accept: "accept = [\"hmac\"]\n",
        };
        for id in ["premium1", "a.b"] {
            let lines = made.words(id, "films.hd", None);
            let read: crate::config::Config = toml::from_str(&lines).unwrap();
            assert!(read.key.contains_key(id), "{lines}");
            assert_eq!(read.key_group["films.hd"].keys, [id]);
        }
    }

    #[test]
    fn a_key_that_encrypts_joins_no_keys_that_verify() {
        let file = PathBuf::from("keys/a.aes");
        let made = Made { setting: "encryption", signs: file.clone(), file, accept: "" };
        let lines = made.words("a", "premium", None);
        assert!(lines.ends_with("# in [key-group.premium]: decrypt-with = [\"a\"]\n"), "{lines}");
        let read: crate::config::Config = toml::from_str(&lines).unwrap();
        assert!(read.key["a"].encryption.is_some() && read.key_group.is_empty());
    }

    #[test]
    fn a_group_that_is_there_is_not_written_again() {
        let text = "[key.K1]\npublic = { env = \"K\" }\n[key-group.premium]\nkeys = [\"K1\"]\n";
        let config = Loaded::parse(text, "a.toml", Path::new(".")).unwrap();
        let made = Made { setting: "public", file: "a".into(), signs: "b".into(), accept: "" };
        let lines = made.words("K2", "premium", Some(&config));
        assert!(lines.contains("# add \"K2\" to the keys of [key-group.premium], a.toml:4"), "{lines}");
        assert!(toml::from_str::<crate::config::Config>(&format!("{text}{lines}")).is_ok(), "{lines}");
    }
}
