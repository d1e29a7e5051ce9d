//! The hooks that every node carries, compiled into it by `build.rs`.

/// Resizes images by the `w` and `h` of the viewer's URL; its source is `hooks/thumbnail`.
const THUMBNAIL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/thumbnail.wasm"));

/// The component of a builtin hook.
pub(crate) fn component(name: &str) -> Option<&'static [u8]> {
    match name {
        "thumbnail" => Some(THUMBNAIL),
        _ => None,
    }
}
