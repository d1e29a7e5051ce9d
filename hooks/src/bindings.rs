//! What wasmtime makes of `wit/`.
//!
//! The imports are bound once; each export is a world of its own, because a hook exports only the events it answers.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "wit",
    world: "imports",
    imports: {
        "selvedge:edge/types.[method]body-reader.read": async | trappable,
        "selvedge:edge/types.[method]body-reader.read-all": async | trappable,
        "selvedge:edge/fetch.send": async | trappable,
        "selvedge:edge/store.get": async | trappable,
        "selvedge:edge/store.put": async | trappable,
        "selvedge:edge/image.transform": async | trappable,
        "selvedge:edge/image.response-info": async | trappable,
        "selvedge:edge/image.transform-response": async | trappable,
        default: trappable,
    },
});

macro_rules! export {
    ($module:ident, $world:literal) => {
        pub mod $module {
            wasmtime::component::bindgen!({
                path: "wit",
                world: $world,
                with: {
                    "selvedge:edge/types": crate::bindings::selvedge::edge::types,
                    "selvedge:edge/facts": crate::bindings::selvedge::edge::facts,
                    "selvedge:edge/log": crate::bindings::selvedge::edge::log,
                    "selvedge:edge/config": crate::bindings::selvedge::edge::config,
                    "selvedge:edge/fetch": crate::bindings::selvedge::edge::fetch,
                    "selvedge:edge/store": crate::bindings::selvedge::edge::store,
                    "selvedge:edge/secrets": crate::bindings::selvedge::edge::secrets,
                    "selvedge:edge/crypto": crate::bindings::selvedge::edge::crypto,
                    "selvedge:edge/metrics": crate::bindings::selvedge::edge::metrics,
                    "selvedge:edge/kv": crate::bindings::selvedge::edge::kv,
                    "selvedge:edge/image": crate::bindings::selvedge::edge::image,
                },
                exports: { default: async },
            });
        }
    };
}

export!(viewer_request, "viewer-request-hook");
export!(origin_request, "origin-request-hook");
export!(origin_response, "origin-response-hook");
export!(body_transform, "body-transform-hook");
export!(viewer_response, "viewer-response-hook");
