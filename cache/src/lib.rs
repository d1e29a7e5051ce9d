//! Stored responses: what may be kept, under which key, for how long, and who reads it meanwhile.
//!
//! [`Store::begin`] answers a request with a [`Lookup`]: a stored [`Entry`], a place among the followers of a fill,
//! or a [`Permit`] to fill the entry oneself. A permit is used up by storing, refreshing or declining; dropping it frees the
//! waiters. The rules of RFC 9111 are pure functions in [`policy`]; nothing in this room reads a clock.
#![forbid(unsafe_code)]

mod body;
mod coding;
pub mod control;
pub mod disk;
mod draft;
mod entry;
mod fill;
mod key;
mod language;
mod object;
mod packed;
pub mod policy;
mod purge;
mod realm;
mod second_tier;
mod settings;
pub mod slice;
mod store;
mod tag;
mod tags;
mod tiers;
mod times;
mod underway;
mod vary;
mod warm;

pub use body::{Reader, Truncated};
pub use coding::Coding;
pub use draft::Draft;
pub use entry::{EDGE_ONLY, Entry, Head};
pub use fill::{Follower, Outcome, Permit, Refusal, Writer};
pub use key::{Key, KeyParts};
pub use policy::{Demand, Freshness, Policy, Skip, Storing};
pub use purge::{Effect, Receipt, Selector};
pub use settings::{
    CachePolicySettings, CompressSettings, KeySettings, QuerySelection, StaleSettings, TagHeaders,
    TtlSettings, ViewerDirectives,
};
pub use slice::{Slice, Sliced};
pub use store::{Limits, Lookup, Statistics, Store};
pub use tag::{Tag, TagLimits, Tags};
pub use tiers::{CacheSettings, SliceSettings};
