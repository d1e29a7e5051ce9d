//! Reaching the origin.
//!
//! A [`Group`] asks its [`Origin`]s in order until one answers, remembers who failed, and names every attempt. An origin
//! keeps one pool of connections per core, resolves its name when it has to connect, and never makes a broken answer
//! look complete. See `README.md` for the operator's side.
//!
//! Everything here needs a tokio runtime with time and I/O enabled; connections stay on the thread that opened them.
#![forbid(unsafe_code)]

mod body;
mod dial;
mod error;
mod failure;
mod group;
mod interim;
mod origin;
mod pool;
mod settings;
mod trailers;
mod upload;

pub use body::OriginBody;
pub use error::OriginError;
pub use failure::Failure;
pub use group::{Attempt, Exhausted, Group, MemberState, Reply};
pub use interim::{Interim, Listener};
pub use origin::Origin;
pub use settings::{
    Algorithm, BucketSettings, BucketStyle, Condition, Congestion, GroupSettings, Material, NoAlgorithm,
    OriginSettings, OriginTls, OriginUrl, OriginUrlError, PoolSettings, ProfileSettings, Protocol, Refused,
    Target, TargetError, WebIdentitySettings,
};
pub use upload::{BoxError, OutgoingBody};
