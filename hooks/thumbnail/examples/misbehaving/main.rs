//! A guest that does on demand all that a hook must not do, and a few things that it may. The config key `do` says what.
//! The tests of the hooks room build it; it is no example to follow.
#![cfg_attr(not(target_arch = "wasm32"), allow(unused_crate_dependencies))]

#[cfg(target_arch = "wasm32")]
mod guest;
