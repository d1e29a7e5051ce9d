//! `selvedge hook kv …`: what is in the key-value stores of a running node's hooks.

use super::super::remote;
use super::super::{Exit, data, talk};
use super::encoded;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The keys of a store; without a name, the stores
    List(List),
    /// Print the value of a key as it is
    Get(Get),
    /// Give a key a value
    Put(Put),
    /// Forget keys
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct List {
    /// The store: NAME of [kv.NAME]
    #[arg(value_name = "STORE")]
    store: Option<String>,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX", default_value = "", requires = "store", hide_default_value = true)]
    prefix: String,
    /// At most so many
    #[arg(long, value_name = "COUNT", requires = "store")]
    limit: Option<usize>,
    #[command(flatten)]
    remote: remote::Arguments,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Get {
    /// The store: NAME of [kv.NAME]
    #[arg(value_name = "STORE")]
    store: String,
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    remote: remote::Arguments,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Put {
    /// The store: NAME of [kv.NAME]
    #[arg(value_name = "STORE")]
    store: String,
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
    /// The value
    #[arg(value_name = "VALUE", required_unless_present = "path", conflicts_with = "path")]
    value: Option<String>,
    /// A file that holds the value; - is standard input
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// How long it lives, such as 1h. Default: as long as the store's settings say
    #[arg(long, value_name = "TIME")]
    ttl: Option<humantime_serde::re::humantime::Duration>,
    #[command(flatten)]
    remote: remote::Arguments,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Delete {
    /// The store: NAME of [kv.NAME]
    #[arg(value_name = "STORE")]
    store: String,
    /// The keys
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    remote: remote::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let done = match &arguments.verb {
        Verb::List(List { store: None, remote, .. }) => stores(remote),
        Verb::List(List { store: Some(store), prefix, limit, remote }) => keys(store, prefix, *limit, remote),
        Verb::Get(get) => value(get),
        Verb::Put(put) => return self::put(put),
        Verb::Delete(delete) => return self::delete(delete),
    };
    done.err().unwrap_or(Exit::Ok)
}

fn stores(remote: &remote::Arguments) -> Result<(), Exit> {
    let stores = remote::get("/kv", remote)?;
    if remote.json {
        data(&format!("{stores:#}"));
        return Ok(());
    }
    let number = |store: &Value, name: &str| store[name].as_u64().unwrap_or_default();
    for (name, store) in stores.as_object().into_iter().flatten() {
        let (keys, bytes, size) = (number(store, "keys"), number(store, "bytes"), number(store, "size"));
        data(&format!("{name}: {keys} keys, {bytes} of {size} bytes"));
    }
    Ok(())
}

/// A node answers a part of them at a time; they are printed as they come.
fn keys(store: &str, prefix: &str, limit: Option<usize>, remote: &remote::Arguments) -> Result<(), Exit> {
    let mut left = limit.unwrap_or(usize::MAX);
    let mut after = String::new();
    let mut all = Vec::new();
    while left > 0 {
        let path = format!("/kv/{}?prefix={}&limit={left}{after}", encoded(store), encoded(prefix));
        let answer = remote::get(&path, remote)?;
        let keys = answer["keys"].as_array().cloned().unwrap_or_default();
        left = left.saturating_sub(keys.len());
        if !remote.json {
            keys.iter().filter_map(Value::as_str).for_each(data);
        }
        let last = keys.last().and_then(Value::as_str).map(encoded);
        all.extend(keys);
        match last.filter(|_| answer["more"] == true) {
            Some(last) => after = format!("&after={last}"),
            None => break,
        }
    }
    if remote.json {
        data(&format!("{:#}", json!({ "keys": all })));
    }
    Ok(())
}

fn value(get: &Get) -> Result<(), Exit> {
    let pair = remote::get(&place(&get.store, &get.key), &get.remote)?;
    if get.remote.json {
        data(&format!("{pair:#}"));
        return Ok(());
    }
    let decoded = || STANDARD.decode(pair["base64"].as_str()?).ok();
    let bytes = pair["value"].as_str().map(|text| text.as_bytes().to_vec()).or_else(decoded);
    // As it is, without a line break that is not in it. Whoever reads it may go away; that is no failure.
    let _ = std::io::stdout().write_all(&bytes.unwrap_or_default());
    Ok(())
}

fn put(put: &Put) -> Exit {
    let value = match (&put.value, &put.path) {
        (Some(value), _) => value.clone().into_bytes(),
        (None, Some(path)) => match read(path) {
            Ok(value) => value,
            Err(error) => {
                talk(&format!("error: {}: {error}", path.display()));
                return Exit::Failed;
            }
        },
        (None, None) => Vec::new(),
    };
    let ttl = put.ttl.map(|ttl| format!("?ttl={}", encoded(&ttl.to_string()))).unwrap_or_default();
    let path = format!("{}{ttl}", place(&put.store, &put.key));
    remote::put(&path, &value, &put.remote, |pair| {
        let until = pair["expires"].as_str().map(|at| format!(", until {at}")).unwrap_or_default();
        format!("{} bytes{until}", pair["bytes"])
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return std::fs::read(path);
    }
    let mut value = Vec::new();
    std::io::stdin().read_to_end(&mut value)?;
    Ok(value)
}

/// Each by itself: what can be forgotten is.
fn delete(delete: &Delete) -> Exit {
    let forget = |key: &String| {
        let call = remote::Call { method: "DELETE", path: &place(&delete.store, key), body: None };
        remote::call(&call, &delete.remote, |_| format!("deleted {key}"))
    };
    let exits: Vec<_> = delete.keys.iter().map(forget).collect();
    exits.into_iter().find(|exit| *exit != Exit::Ok).unwrap_or(Exit::Ok)
}

fn place(store: &str, key: &str) -> String {
    format!("/kv/{}/{}", encoded(store), encoded(key))
}
