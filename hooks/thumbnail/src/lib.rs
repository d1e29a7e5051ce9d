//! The thumbnail hook: `/img/cat.jpg?w=128&h=128` is answered with a JPEG of exactly that size, made from the original.
//!
//! At origin-request it takes `w` and `h` out of the query, so that the origin is asked for the original. At
//! origin-response it sees the request as the viewer asked it, and replaces the body. Without `w` and `h` nothing
//! happens. Config: `sizes = "64x64,128x128"` lists the sizes that are made; any other is refused.
//! `store-as = "/thumbnails{path}@{size}.jpg"` names what is made for the store of the hook's settings.
//!
//! Answers of its own: 400 size missing, unreadable or not listed; 413 over 50 megapixels or over the hook's memory;
//! 415 neither JPEG nor PNG; 422 damaged.

// On the build machine there is nothing to hook into; there the pure parts are only tested.
#[cfg(any(target_arch = "wasm32", test))]
mod asked;
#[cfg(target_arch = "wasm32")]
mod hook;
#[cfg(any(target_arch = "wasm32", test))]
mod picture;
