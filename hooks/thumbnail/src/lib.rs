//! The thumbnail hook: `/img/cat.jpg?w=128&h=128` is answered with a JPEG of exactly that size, made from the original.
//!
//! At origin-request it takes what is its own out of the query, so that the origin is asked for the original. At
//! origin-response it sees the request as the viewer asked it, and replaces the body. Without `w`, `h` or a preset nothing
//! happens. `docs/thumbnails.md` has the options and the config.
//!
//! Answers of its own: 400 size missing, unreadable or not listed; 413 over the limits of pixels or memory;
//! 415 no picture that is read; 422 damaged; 429 too many pictures are waiting.

// On the build machine there is nothing to hook into; there the pure parts are only tested.
#[cfg(any(target_arch = "wasm32", test))]
mod asked;
#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(target_arch = "wasm32")]
mod hook;
#[cfg(any(target_arch = "wasm32", test))]
mod original;
