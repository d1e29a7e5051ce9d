//! A guest that tries what the contract offers beside messages, as its config says.
//! The tests of the hooks room and the stories build it; it is no example to follow.
#![cfg_attr(not(target_arch = "wasm32"), allow(unused_crate_dependencies))]

#[cfg(target_arch = "wasm32")]
mod guest;
