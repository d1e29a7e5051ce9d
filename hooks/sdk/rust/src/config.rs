//! The hook's `config` table in the node's configuration file.
//!
//! ```toml
//! [hook.redirects]
//! config = { status = "308", hosts = "example.com, example.net" }
//! ```
//!
//! ```no_run
//! # use selvedge_hook::prelude::*;
//! # fn hook() -> Result {
//! let status: u16 = config::parse("status")?.unwrap_or(302);
//! let hosts = config::list("hosts");
//! let key = config::require("key")?; // an error that says what is missing
//! # Ok(())
//! # }
//! ```

use std::fmt::Display;
use std::str::FromStr;

use crate::Result;
use crate::bindings::selvedge::edge::config as raw;

/// The text of a key, if it is there.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    raw::get(key)
}

/// Every key of the table.
#[must_use]
pub fn keys() -> Vec<String> {
    raw::keys()
}

/// The text of a key that must be there.
///
/// # Errors
/// When it is not; the message names the key.
pub fn require(key: &str) -> Result<String> {
    get(key).ok_or_else(|| format!("the hook's config lacks {key}").into())
}

/// A key's value as a type of your own, if it is there.
///
/// # Errors
/// When the text is not one of the type; the message names the key.
pub fn parse<T: FromStr<Err: Display>>(key: &str) -> Result<Option<T>> {
    let Some(text) = get(key) else { return Ok(None) };
    match text.trim().parse() {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(format!("the hook's config has {key} = \"{text}\": {error}").into()),
    }
}

/// The items of a comma-separated list, without spaces around them; empty when the key is not there.
#[must_use]
pub fn list(key: &str) -> Vec<String> {
    let text = get(key).unwrap_or_default();
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
