//! The hook's `secrets` in the node's configuration: values that the node reads from a file or a variable and never prints.
//!
//! ```toml
//! [hook.login]
//! secrets = { jwt = { env = "JWT_KEY" } }
//! ```
//!
//! ```no_run
//! # use selvedge_hook::prelude::*;
//! # fn hook(message: &str, mac: &[u8]) -> Result {
//! if !secrets::get("jwt")?.verify_hmac_sha256(message, mac) {
//!     warn!("somebody forges tokens");
//! }
//! # Ok(())
//! # }
//! ```

use crate::Result;
use crate::bindings::selvedge::edge::secrets as raw;

/// A value that the node keeps. Sign and verify with it where you can, for then the hook never sees it; what it reveals and
/// writes into a log, a header or an error is its own doing.
#[derive(Debug)]
pub struct Secret(raw::Secret);

/// The secret of this name.
///
/// # Errors
/// When the settings do not name it.
pub fn get(name: &str) -> Result<Secret> {
    raw::get(name).map(Secret).ok_or_else(|| format!("the hook's secrets lack {name}").into())
}

impl Secret {
    /// The value, without the line break at its end that editors leave.
    #[must_use]
    pub fn reveal(&self) -> Vec<u8> {
        self.0.reveal()
    }

    /// HMAC with SHA-256 (RFC 2104), 32 bytes.
    #[must_use]
    pub fn hmac_sha256(&self, data: impl AsRef<[u8]>) -> Vec<u8> {
        self.0.hmac_sha256(data.as_ref())
    }

    /// Whether `mac` is the HMAC of `data`, whole, found in a time that does not depend on where they differ.
    #[must_use]
    pub fn verify_hmac_sha256(&self, data: impl AsRef<[u8]>, mac: &[u8]) -> bool {
        self.0.verify_hmac_sha256(data.as_ref(), mac)
    }
}
