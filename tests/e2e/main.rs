//! The stories: one module per feature, each against the real binary over real sockets.
//!
//! They are one test executable because one links faster than twenty. A story reads as given, when, then, and is
//! named after the rule that it checks.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken step must end its story at once, with its reason"
)]

mod admin;
mod architecture;
mod astray;
mod authoring;
mod bodies;
mod broken;
mod bucket;
mod collapse;
mod component_origin;
mod compress;
mod conditional;
mod config;
mod contained;
mod contract;
mod demo;
mod derived;
mod directives;
mod disk;
mod distance;
mod dns;
mod drain;
mod encoded;
mod examples;
mod explained;
mod failover;
mod faults;
mod fetch;
mod filling;
mod forwarding;
mod freshness;
mod geo;
mod grpc;
mod guest;
mod heads;
mod health;
mod hls;
mod hooks;
mod http2;
mod inspected;
mod interim;
mod invalidation;
mod keys;
mod malformed;
mod names;
mod pages;
mod pools;
mod proxy;
mod purge;
mod range;
mod reload;
mod rewritten;
mod sealed;
mod sharing;
mod shield;
mod signed;
mod signed_paths;
mod signers;
mod slices;
mod slow;
mod steady;
mod stores;
mod thumbnail;
mod tls;
mod trailers;
mod truncated;
mod upgrade;
mod uploads;
mod vary;
mod verbs;
mod versions;

use tests::{LOOPBACK, Node, Origin};

/// The site that most stories ask.
const SITE: &str = "http://www.test";

/// A config with that one site, which does what the origin's headers say.
fn site(origin: &Origin) -> String {
    format!("{LOOPBACK}\n[site.\"www.test\"]\norigin = \"{}\"\n", origin.url())
}

/// A config where that site keeps what the origin gives, by a policy with these settings (TOML lines).
fn site_with_policy(origin: &Origin, policy: &str) -> String {
    let route = "[[site.\"www.test\".route]]\npath = \"/*\"\ncache = \"static\"\n";
    format!("{}\n{route}\n[cache-policy.static]\n{policy}\n", site(origin))
}

/// An origin, and a node before it.
async fn origin_and_node() -> (Origin, Node) {
    let origin = Origin::start().await;
    let node = Node::start(&site(&origin)).await;
    (origin, node)
}
