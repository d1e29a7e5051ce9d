//! What wit-bindgen makes of `wit/`, a link to the contract of the hooks room that is a copy when this crate is packed.
//!
//! The imports are bound once. Each event is a world of its own with an export macro, so that a hook exports the events
//! that it declares and no other; of the imports, what a hook does not call is left out of it.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

wit_bindgen::generate!({ path: "wit", world: "imports", generate_all });

/// The one thing that is taken from WASI by name; clocks and output come with the standard library.
pub mod system {
    wit_bindgen::generate!({
        inline: "
            package selvedge:system;
            world system { import wasi:random/random@0.2.0; }
            package wasi:random@0.2.0 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                    get-random-u64: func() -> u64;
                }
            }
        ",
        world: "selvedge:system/system",
        generate_all,
    });
}

macro_rules! event {
    ($module:ident, $world:literal, $inline:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $inline,
                world: $world,
                with: { "selvedge:edge/types@0.1.0": crate::bindings::selvedge::edge::types },
                generate_all,
                pub_export_macro: true,
                export_macro_name: "declare",
            });
        }
    };
}

event!(
    viewer_request,
    "selvedge:sdk/viewer-request",
    "package selvedge:sdk; world viewer-request { export selvedge:edge/viewer-request@0.1.0; }"
);
event!(
    origin_request,
    "selvedge:sdk/origin-request",
    "package selvedge:sdk; world origin-request { export selvedge:edge/origin-request@0.1.0; }"
);
event!(
    origin_response,
    "selvedge:sdk/origin-response",
    "package selvedge:sdk; world origin-response { export selvedge:edge/origin-response@0.1.0; }"
);
event!(
    viewer_response,
    "selvedge:sdk/viewer-response",
    "package selvedge:sdk; world viewer-response { export selvedge:edge/viewer-response@0.1.0; }"
);
/// It speaks of bytes alone, so there are no types to share.
pub mod body_transform {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package selvedge:sdk; world body-transform { export selvedge:edge/body-transform@0.1.0; }",
        world: "selvedge:sdk/body-transform",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "declare",
    });
}
