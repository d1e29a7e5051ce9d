//! Small values that calls share: counters, sessions, lists that change.
//!
//! A store is a `[kv.NAME]` of the node's configuration, open to the hooks that name it in their `kv`. It is this node's own,
//! and outlives calls, reloads and restarts; but it is a memory with a bound and not a database: what was used longest ago
//! makes room, and a crash loses what changed in the last seconds.
//!
//! ```no_run
//! use selvedge_hook::prelude::*;
//! use std::time::Duration;
//!
//! hook!(viewer-request: not_too_often);
//!
//! fn not_too_often(_: &Request) -> Result<Option<Response>> {
//!     let window = Some(Duration::from_secs(60));
//!     let asked = kv::open("visits")?.increment(&facts::viewer_address(), 1, window)?;
//!     if asked > 100 { Ok(Some(Response::text(429, "not so fast\n")?)) } else { Ok(None) }
//! }
//! ```

use std::fmt;
use std::time::Duration;

use crate::bindings::selvedge::edge::kv as raw;

/// A store that is open.
#[derive(Debug)]
pub struct Store(raw::Store);

/// Opens a store by its name.
///
/// # Errors
/// `Denied` when the hook's `kv` does not name it.
pub fn open(name: &str) -> Result<Store, KvError> {
    Ok(Store(raw::open(name)?))
}

impl Store {
    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// [`KvError`]
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.0.get(key)?)
    }

    /// Sets a value, for so many whole seconds; without them it lives as long as the store's settings say.
    ///
    /// # Errors
    /// [`KvError`]
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), KvError> {
        Ok(self.0.set(key, value.as_ref(), ttl.map(seconds))?)
    }

    /// Removes a value; whether there was one.
    ///
    /// # Errors
    /// [`KvError`]
    pub fn delete(&self, key: &str) -> Result<bool, KvError> {
        Ok(self.0.delete(key)?)
    }

    /// Adds to a number and gives the sum; one that is not there counts as 0. No call comes between: ten that add one make
    /// ten. `ttl` counts from when the number began, so that a window does not grow with every call.
    ///
    /// # Errors
    /// [`KvError`]
    pub fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, KvError> {
        Ok(self.0.increment(key, by, ttl.map(seconds))?)
    }

    /// At most `limit` keys that begin with `prefix`, and never more than 1000, in order of their bytes.
    ///
    /// # Errors
    /// [`KvError`]
    pub fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>, KvError> {
        Ok(self.0.keys(prefix, limit)?)
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// Why a store could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvError {
    /// The hook's `kv` does not name this store.
    Denied,
    /// The key is empty, longer than 512 bytes, or holds control characters.
    InvalidKey,
    /// The value is larger than the store takes.
    TooLarge,
    /// What is stored is not a number, or the sum does not fit.
    NotANumber,
    /// The store cannot be asked at the moment.
    Unavailable,
}

impl From<raw::KvError> for KvError {
    fn from(error: raw::KvError) -> Self {
        match error {
            raw::KvError::Denied => Self::Denied,
            raw::KvError::InvalidKey => Self::InvalidKey,
            raw::KvError::TooLarge => Self::TooLarge,
            raw::KvError::NotANumber => Self::NotANumber,
            raw::KvError::Unavailable => Self::Unavailable,
        }
    }
}

impl fmt::Display for KvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Denied => "the hook's settings do not name this key-value store",
            Self::InvalidKey => "a key has 1 to 512 bytes without control characters",
            Self::TooLarge => "the value is larger than the key-value store takes",
            Self::NotANumber => "what the key-value store holds is not a number, or the sum does not fit",
            Self::Unavailable => "the key-value store cannot be asked at the moment",
        })
    }
}

impl std::error::Error for KvError {}
