//! How plain functions become the exports of a component.

pub use crate::bindings::{body_transform, origin_request, origin_response, viewer_request, viewer_response};

use crate::bindings::selvedge::edge::types as raw;
use crate::{
    OriginRequestOutcome, OriginResponseOutcome, Request, Response, Result, ViewerRequestOutcome, transform,
};

/// Says which function answers which event. A hook answers one event or several, each with a function of its own:
///
/// | event | function | may also return |
/// | --- | --- | --- |
/// | `viewer-request` | `fn(&Request) -> Result` | `Result<Option<Response>>`, `Result<ViewerRequestOutcome>` |
/// | `origin-request` | `fn(&Request) -> Result` | `Result<Option<Response>>`, `Result<OriginRequestOutcome>` |
/// | `origin-response` | `fn(&Request, &Response) -> Result` | `Result<Option<Response>>`, `Result<OriginResponseOutcome>` |
/// | `viewer-response` | `fn(&Request, &Response) -> Result` | |
///
/// ```
/// use selvedge_hook::prelude::*;
///
/// hook!(viewer-request: hide, viewer-response: harden);
///
/// fn hide(request: &Request) -> Result<Option<Response>> {
///     if request.path().starts_with("/internal/") {
///         return Ok(Some(Response::text(404, "there is nothing here")?));
///     }
///     Ok(None)
/// }
///
/// fn harden(_: &Request, response: &Response) -> Result {
///     response.set_header("x-content-type-options", "nosniff")?;
///     Ok(())
/// }
/// ```
///
/// `body-transform` beside `origin-response` lets [`Response::transform_body`](crate::Response::transform_body) rewrite bodies
/// as they pass.
///
/// Only the events that are named are exported. Off WebAssembly nothing is, so that a hook's own functions can be tested on
/// the build machine.
#[macro_export]
macro_rules! hook {
    ($($side:ident - $moment:ident $(: $function:expr)?),+ $(,)?) => {
        const _: () = {
            struct Hook;
            // Off WebAssembly nobody else would name it, and the author's functions would seem unused.
            let _ = Hook;
            $($crate::__event!(Hook, $side - $moment $(, $function)?);)+
        };
    };
}

/// One event of [`hook!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __event {
    ($hook:ident, viewer-request, $function:expr) => {
        impl $crate::export::viewer_request::exports::selvedge::edge::viewer_request::Guest for $hook {
            fn on_viewer_request(
                request: &$crate::export::RawRequest,
            ) -> ::std::result::Result<$crate::export::RawViewerRequest, ::std::string::String> {
                $crate::export::viewer_request_with($function, request)
            }
        }
        $crate::__declare!($hook, viewer_request);
    };
    ($hook:ident, origin-request, $function:expr) => {
        impl $crate::export::origin_request::exports::selvedge::edge::origin_request::Guest for $hook {
            fn on_origin_request(
                request: &$crate::export::RawRequest,
            ) -> ::std::result::Result<$crate::export::RawOriginRequest, ::std::string::String> {
                $crate::export::origin_request_with($function, request)
            }
        }
        $crate::__declare!($hook, origin_request);
    };
    ($hook:ident, origin-response, $function:expr) => {
        impl $crate::export::origin_response::exports::selvedge::edge::origin_response::Guest for $hook {
            fn on_origin_response(
                request: &$crate::export::RawRequest,
                response: &$crate::export::RawResponse,
            ) -> ::std::result::Result<$crate::export::RawOriginResponse, ::std::string::String> {
                $crate::export::origin_response_with($function, request, response)
            }
        }
        $crate::__declare!($hook, origin_response);
    };
    ($hook:ident, viewer-response, $function:expr) => {
        impl $crate::export::viewer_response::exports::selvedge::edge::viewer_response::Guest for $hook {
            fn on_viewer_response(
                request: &$crate::export::RawRequest,
                response: &$crate::export::RawResponse,
            ) -> ::std::result::Result<(), ::std::string::String> {
                $crate::export::viewer_response_with($function, request, response)
            }
        }
        $crate::__declare!($hook, viewer_response);
    };
    ($hook:ident, body-transform) => {
        impl $crate::export::body_transform::exports::selvedge::edge::body_transform::Guest for $hook {
            fn transform(
                piece: ::std::vec::Vec<u8>,
                is_last: bool,
            ) -> ::std::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                $crate::export::body_transform_with(piece, is_last)
            }
        }
        $crate::__declare!($hook, body_transform);
    };
    ($hook:ident, $side:ident - $moment:ident $(, $function:expr)?) => {
        ::std::compile_error!(::std::concat!(
            "there is no event ",
            ::std::stringify!($side),
            "-",
            ::std::stringify!($moment),
            "; the events are viewer-request, origin-request, origin-response, viewer-response"
        ));
    };
}

/// The exports themselves.
#[doc(hidden)]
#[macro_export]
macro_rules! __declare {
    ($hook:ident, $event:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::export::$event::declare!($hook with_types_in $crate::export::$event);
    };
}

pub use origin_request::exports::selvedge::edge::origin_request::Outcome as RawOriginRequest;
pub use origin_response::exports::selvedge::edge::origin_response::Outcome as RawOriginResponse;
pub use raw::{Request as RawRequest, Response as RawResponse};
pub use viewer_request::exports::selvedge::edge::viewer_request::Outcome as RawViewerRequest;

pub fn viewer_request_with<Answer: Into<ViewerRequestOutcome>>(
    function: impl FnOnce(&Request) -> Result<Answer>,
    request: &RawRequest,
) -> Result<RawViewerRequest, String> {
    match function(Request::from_raw(request)).map(Into::into) {
        Ok(ViewerRequestOutcome::Next) => Ok(RawViewerRequest::Next),
        Ok(ViewerRequestOutcome::Respond(response)) => Ok(RawViewerRequest::Respond(response.into_raw())),
        Err(error) => Err(error.to_string()),
    }
}

pub fn origin_request_with<Answer: Into<OriginRequestOutcome>>(
    function: impl FnOnce(&Request) -> Result<Answer>,
    request: &RawRequest,
) -> Result<RawOriginRequest, String> {
    match function(Request::from_raw(request)).map(Into::into) {
        Ok(OriginRequestOutcome::Next) => Ok(RawOriginRequest::Next),
        Ok(OriginRequestOutcome::RouteTo(origin)) => Ok(RawOriginRequest::RouteTo(origin)),
        Ok(OriginRequestOutcome::Respond(response)) => Ok(RawOriginRequest::Respond(response.into_raw())),
        Err(error) => Err(error.to_string()),
    }
}

pub fn origin_response_with<Answer: Into<OriginResponseOutcome>>(
    function: impl FnOnce(&Request, &Response) -> Result<Answer>,
    request: &RawRequest,
    response: &RawResponse,
) -> Result<RawOriginResponse, String> {
    match function(Request::from_raw(request), Response::from_raw(response)).map(Into::into) {
        Ok(OriginResponseOutcome::Next) => Ok(RawOriginResponse::Next),
        Ok(OriginResponseOutcome::Replace(response)) => Ok(RawOriginResponse::Replace(response.into_raw())),
        Err(error) => Err(error.to_string()),
    }
}

pub fn viewer_response_with(
    function: impl FnOnce(&Request, &Response) -> Result,
    request: &RawRequest,
    response: &RawResponse,
) -> Result<(), String> {
    function(Request::from_raw(request), Response::from_raw(response)).map_err(|error| error.to_string())
}

pub fn body_transform_with(piece: Vec<u8>, is_last: bool) -> Result<Vec<u8>, String> {
    transform::transform(piece, is_last).map_err(|error| error.to_string())
}
