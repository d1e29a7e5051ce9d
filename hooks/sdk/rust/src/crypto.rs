//! What tokens are checked with, in the node's native code. At most 1 MiB of data a call: more ends the hook.

use crate::Result;
use crate::bindings::selvedge::edge::crypto as raw;

/// Whether `signature` is by `public_key` over `data`.
///
/// The algorithm is spelled as in a JWT's `alg`: `RS256`, `ES256` (RFC 7518; the signature is r and s, 64 bytes) or `EdDSA`
/// (RFC 8037, Ed25519). The key is PEM with `BEGIN PUBLIC KEY`, or one JWK (RFC 7517). Name the algorithm that you expect,
/// never the one that the token names.
///
/// ```no_run
/// # use selvedge_hook::prelude::*;
/// # fn hook(signed: &str, signature: &[u8]) -> Result {
/// let is_theirs = crypto::verify("ES256", &config::require("key")?, signed, signature)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the algorithm is none of these, or the key is not one for it.
pub fn verify(algorithm: &str, public_key: &str, data: impl AsRef<[u8]>, signature: &[u8]) -> Result<bool> {
    raw::verify(algorithm, public_key, data.as_ref(), signature).map_err(|error| {
        match error {
            raw::CryptoError::UnknownAlgorithm => format!("{algorithm} is not RS256, ES256 or EdDSA"),
            raw::CryptoError::UnusableKey => format!("the public key is none for {algorithm}"),
        }
        .into()
    })
}

/// SHA-256 (FIPS 180-4), 32 bytes.
#[must_use]
pub fn sha256(data: impl AsRef<[u8]>) -> Vec<u8> {
    raw::sha256(data.as_ref())
}
