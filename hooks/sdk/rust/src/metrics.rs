//! Figures of the hook's own at the node's `/metrics`, with the labels `hook` and `name`.
//!
//! A name is 1 to 64 letters, digits, `_`, `-` and `.`; the node keeps as many names of a hook as its `limits.metrics` says.
//! What has no place is counted as dropped, and nothing fails.
//!
//! ```no_run
//! # use selvedge_hook::prelude::*;
//! metrics::count("refused", 1);
//! metrics::observe("score", 0.7);
//! ```

use crate::bindings::selvedge::edge::metrics as raw;

/// Adds to a counter: `selvedge_hook_counter_total`.
pub fn count(name: &str, by: u64) {
    raw::count(name, by);
}

/// Notes a value, such as seconds or bytes, in a histogram: `selvedge_hook_value`. Only finite values of 0 and more.
pub fn observe(name: &str, value: f64) {
    raw::observe(name, value);
}
