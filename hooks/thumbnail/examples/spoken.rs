//! A guest that does what the words say that lie in it: stories write other words into the component, and so make versions.
//! It is no example to follow.
#![cfg_attr(not(target_arch = "wasm32"), allow(unused_crate_dependencies))]

#[cfg(target_arch = "wasm32")]
mod guest {
    #![allow(clippy::panic, reason = "to panic is its job")]

    #[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
    mod bindings {
        wit_bindgen::generate!({
            path: "../wit",
            inline: "
                package selvedge:spoken;
                world hook {
                    include selvedge:edge/imports@0.1.0;
                    export selvedge:edge/viewer-request@0.1.0;
                    export selvedge:edge/origin-request@0.1.0;
                    export selvedge:edge/origin-response@0.1.0;
                    export selvedge:edge/viewer-response@0.1.0;
                }
            ",
            world: "selvedge:spoken/hook",
            generate_all,
        });
        export!(Spoken);
        use super::Spoken;
    }

    use bindings::exports::selvedge::edge::{
        origin_request, origin_response, viewer_request, viewer_response,
    };
    use bindings::selvedge::edge::facts;
    use bindings::selvedge::edge::types::{Request, Response};

    struct Spoken;

    /// What is in the component.
    static WORDS: [u8; 48] = *b"words of a story: one                           ";

    fn words() -> String {
        let words = String::from_utf8_lossy(std::hint::black_box(&WORDS)).into_owned();
        words.rsplit(": ").next().unwrap_or_default().trim().to_owned()
    }

    impl viewer_request::Guest for Spoken {
        fn on_viewer_request(request: &Request) -> Result<viewer_request::Outcome, String> {
            request.set_header("x-words", words().as_bytes()).map_err(|error| error.name().to_owned())?;
            match words().as_str() {
                "traps" => panic!("on purpose"),
                "answers 500" => Ok(viewer_request::Outcome::Respond(Response::new(500))),
                _ => Ok(viewer_request::Outcome::Next),
            }
        }
    }

    impl origin_request::Guest for Spoken {
        fn on_origin_request(_: &Request) -> Result<origin_request::Outcome, String> {
            match words().as_str() {
                "traps late" => panic!("on purpose"),
                "astray" => Ok(origin_request::Outcome::RouteTo("nowhere".to_owned())),
                _ => Ok(origin_request::Outcome::Next),
            }
        }
    }

    impl origin_response::Guest for Spoken {
        fn on_origin_response(_: &Request, response: &Response) -> Result<origin_response::Outcome, String> {
            response.set_header("x-made-by", words().as_bytes()).map_err(|error| error.name().to_owned())?;
            Ok(origin_response::Outcome::Next)
        }
    }

    impl viewer_response::Guest for Spoken {
        fn on_viewer_response(_: &Request, response: &Response) -> Result<(), String> {
            let canary = if facts::is_canary() { "yes" } else { "no" };
            for (name, value) in
                [("x-says", words().as_str()), ("x-version", &facts::hook_version()), ("x-canary", canary)]
            {
                response.set_header(name, value.as_bytes()).map_err(|error| error.name().to_owned())?;
            }
            Ok(())
        }
    }
}
