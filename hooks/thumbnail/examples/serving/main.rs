//! A component that is an origin and does what the path says, well or badly.
//! The tests of the hooks room and the stories build it; docs/component-origins.md has one to follow.
#![cfg_attr(not(target_arch = "wasm32"), allow(unused_crate_dependencies))]

#[cfg(target_arch = "wasm32")]
mod guest;
