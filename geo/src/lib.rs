//! Where to send a viewer: which place an address belongs to, and which pool of addresses that place is given.
//!
//! Three layers, each usable without the next:
//!
//! - [`Locator`] reads MaxMind-format files and turns an address into a [`Place`]; [`RouteGeo`] says whether a route
//!   admits that place.
//! - [`steer()`] turns a [`Place`] into the [`Answer`] of one steering name. Pure: no clock, no sockets.
//! - [`Answerer`] speaks DNS for the steering names, over UDP and TCP.
//!
//! The room's guide is `README.md` beside this crate.
#![forbid(unsafe_code)]

mod continent;
mod error;
mod fence;
mod locate;
mod place;
mod respond;
mod server;
mod settings;
mod steer;
mod subnet;
mod zone;

pub use error::GeoError;
pub use fence::RouteGeo;
pub use locate::Locator;
pub use place::{Continent, Country, Locality, Place};
pub use respond::Answerer;
pub use server::{Bound, CurrentAnswerer};
pub use settings::{DnsSettings, GeoSettings, RuleSettings, SteerSettings, Target};
pub use steer::{Answer, Pool, Steering, draw, steer};

/// A tiny MaxMind-format database over the documentation ranges of RFC 5737 and RFC 3849, for the demo and the tests:
/// `192.0.2.0/24` and `2001:db8:82::/48` are in KR, `198.51.100.0/24` and `2001:db8:c0de::/48` in CN,
/// `203.0.113.0/24` in DE. `tests/fixture.rs` makes it.
pub const DEMO_DATABASE: &[u8] = include_bytes!("../fixtures/places.mmdb");
