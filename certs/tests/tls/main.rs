//! Real handshakes between a viewer and the edge, in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing helper fails its test

mod authority;
mod files;
mod handshake;
mod viewer;
