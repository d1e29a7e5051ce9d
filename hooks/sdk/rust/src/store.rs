//! Objects in the `store` of the hook's settings, best a bucket. Each call counts as a fetch.
//!
//! ```no_run
//! # use selvedge_hook::prelude::*;
//! # fn hook(request: &Request) -> Result<Option<Response>> {
//! if let Some(report) = store::get("/reports/today.json")? {
//!     return Ok(Some(report));
//! }
//! store::put("/reports/today.json", "application/json", "{}")?;
//! # Ok(None)
//! # }
//! ```

use crate::Response;
use crate::bindings::selvedge::edge::store as raw;
use crate::fetch::FetchError;

/// The object under this path; none when there is none.
///
/// # Errors
/// [`FetchError`]
pub fn get(path: &str) -> Result<Option<Response>, FetchError> {
    Ok(raw::get(path)?.map(Response::from_owned))
}

/// Puts an object there, over the one that is there already.
///
/// # Errors
/// [`FetchError`]
pub fn put(path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Result<(), FetchError> {
    Ok(raw::put(path, content_type, body.as_ref())?)
}
