//! The harness of the stories: a real node, a scripted origin, and viewers, all over real sockets on port 0.
//!
//! A story starts an [`Origin`], writes a config that names it, starts a [`Node`] with that config, and asks it
//! things through a [`Viewer`] (a well-behaved one) or a [`RawConnection`] (one that sends what it likes).
//! Nothing sleeps to let something happen: an origin waits on a [`Gate`], and whoever waits for a state polls it
//! with a deadline ([`eventually`], [`within`]).
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole package is test code: a broken step must end its story at once, with its reason"
)]

pub mod bucket;
pub mod coding;
mod folder;
pub mod guests;
pub mod handshake;
mod name_server;
mod node;
mod origin;
pub mod picture;
pub mod pki;
mod raw;
mod viewer;
mod wait;

pub use folder::{Folder, Outcome};
pub use name_server::{NameServer, Said};
pub use node::{LOOPBACK, Node, Signal, binary};
pub use origin::{Answer, BareOrigin, Gate, Origin, Received, Tap};
pub use raw::RawConnection;
pub use viewer::{Connection, Reply, Streaming, Viewer};
pub use wait::{DEADLINE, eventually, within};
