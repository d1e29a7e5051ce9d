//! Reaching the origin.
//!
//! A [`Group`] asks its [`Origin`]s in order until one answers, remembers who failed, and names every attempt. An origin
//! keeps one pool of connections per core, resolves its name when it has to connect, and never makes a broken answer
//! look complete. See `README.md` for the operator's side.
//!
//! Everything here needs a tokio runtime with time and I/O enabled; connections stay on the thread that opened them.
#![forbid(unsafe_code)]

mod body;
mod change;
mod clock;
mod dial;
mod error;
mod expect;
mod failure;
mod fault;
mod group;
mod health;
pub mod hop;
mod interim;
mod origin;
mod pool;
mod program;
mod settings;
mod trailers;
mod upload;

pub use body::OriginBody;
pub use change::{Change, Event, Witness};
pub use dial::Names;
pub use error::OriginError;
pub use expect::BodyUnread;
pub use failure::{Failure, Injected};
pub use fault::{Fault, FaultEnd, FaultState};
pub use group::{Attempt, BudgetState, Exhausted, Group, GroupState, Halt, MemberState, Reply, Trust};
pub use health::HealthState;
pub use interim::{Interim, Listener};
pub use origin::{Origin, Withheld};
pub use pool::{Tunnel, TunnelStream};
pub use program::{Answering, Program, Unanswered};
pub use settings::{
    Abort, AbortSettings, Algorithm, BucketSettings, BucketStyle, Condition, Congestion, DelaySettings,
    EjectSettings, FaultSettings, GroupSettings, HealthSettings, Material, NoAlgorithm, OriginSettings,
    OriginTls, OriginUrl, OriginUrlError, OtherEnd, PoolSettings, ProfileSettings, ProgramLimits, Protocol,
    Refused, RetryBudget, Statuses, StopSettings, Target, TargetError, Variable, WebIdentitySettings,
};
pub use upload::{BoxError, OutgoingBody};
