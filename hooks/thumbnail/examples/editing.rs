//! What most hooks do: look at a few header fields, set others. The benchmark of the hooks room calls it.
// Elsewhere there is nothing to hook into, and linkers know no such names.
#![cfg(target_arch = "wasm32")]

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "viewer-request-hook", generate_all });
    export!(Editing);
    use super::Editing;
}

use bindings::exports::selvedge::edge::viewer_request::{Guest, Outcome};
use bindings::selvedge::edge::types::{EditError, Request};

struct Editing;

impl Guest for Editing {
    fn on_viewer_request(request: &Request) -> Result<Outcome, String> {
        let agent = request.header("user-agent").unwrap_or_default();
        let kind: &[u8] = if agent.windows(6).any(|word| word == b"Mobile") { b"small" } else { b"large" };
        request.set_header("x-device", kind).map_err(said)?;
        request.set_header("accept-language", b"en").map_err(said)?;
        request.remove_header("cookie").map_err(said)?;
        Ok(Outcome::Next)
    }
}

fn said(error: EditError) -> String {
    format!("edit refused: {}", error.name())
}
