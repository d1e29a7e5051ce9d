//! The one table: what went wrong → status, reason token, whose fault it is.

use crate::body::Body;
use crate::compress;
use crate::config::Methods;
use crate::headers::PROXY_STATUS;
use crate::route::PathFault;
use cache::{Permit, Refusal};
use hooks::HookError;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use origin_shield::hop::HopError;
use origin_shield::{Attempt, Exhausted, Failure};

/// Why the pipeline could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No host, several, or one that cannot be.
    #[error("the request must name exactly one valid host")]
    BadHost,
    /// A host of no site, or of another site than the certificate shown.
    #[error("this node does not serve that host")]
    UnknownHost,
    /// The target of the request cannot be used.
    #[error("the request target is not valid")]
    BadTarget,
    /// The path cannot be normalised.
    #[error(transparent)]
    BadPath(#[from] PathFault),
    /// `Content-Length` and `Transfer-Encoding` in one request (RFC 9112 §6.1).
    #[error("the request frames its body in two ways")]
    BadFraming,
    /// The target is longer than `limits.url`.
    #[error("the request target is too long")]
    UriTooLong,
    /// No route matches; only a target such as `*` can do that.
    #[error("nothing is served there")]
    NoRoute,
    /// The route does not let the method through.
    #[error("this method is not allowed here")]
    MethodNotAllowed(Methods),
    /// The route's `geo` rule.
    #[error("this is not available where you are")]
    PlaceDenied,
    /// The signature is missing or does not hold.
    #[error("this needs a valid signature")]
    Signature(signing::Reason),
    /// The site is for edges, and this is none that proves it.
    #[error("this is not answered to everybody")]
    EdgesOnly(Option<HopError>),
    /// The request has been here before; the nodes that it passed.
    #[error("the request has come back to this node")]
    Loop(String),
    /// No origin answered.
    #[error("no origin answered")]
    Origin(Box<Exhausted>),
    /// A followed request failed, and so this one.
    #[error("no origin answered")]
    Shared(Refusal),
    /// A large object changed while it was being fetched, again and again.
    #[error("the origin changes this too quickly")]
    Changed,
    /// A hook failed.
    #[error("a hook failed")]
    Hook(Box<HookError>),
    /// What the origin has encoded, and this viewer cannot read, cannot be decoded either.
    #[error(transparent)]
    Unreadable(compress::Unreadable),
    /// As many bodies are decoded for viewers as `limits.codings` allows.
    #[error("too many answers are being decoded at the moment")]
    DecodersBusy,
    /// As many tunnels are open as `limits.tunnels` allows.
    #[error("too many connections are open at the moment")]
    TunnelsBusy,
    /// The origin has answered a request for another protocol without agreeing to it, which the viewer could not tell.
    #[error("this speaks no other protocol")]
    NotUpgraded,
    /// The viewer wants a stored answer or none (RFC 9111 §5.2.1.7).
    #[error("nothing is stored that could be answered with")]
    NotStored,
    /// A task of the node is gone: a bug of ours.
    #[error("the node failed")]
    Internal(String),
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What the viewer gets.
    pub status: StatusCode,
    /// The reason, in log, metrics and `Proxy-Status` details.
    pub token: &'static str,
    /// The `Proxy-Status` error type (RFC 9209 §2.3).
    pub error_type: &'static str,
}

impl Fault {
    /// The table.
    #[must_use]
    pub fn row(&self) -> Row {
        const DENIED: &str = "http_request_denied";
        const BAD: &str = "http_request_error";
        let (status, token, error_type) = match self {
            Self::BadHost => (StatusCode::BAD_REQUEST, "bad-host", BAD),
            Self::UnknownHost => (StatusCode::MISDIRECTED_REQUEST, "unknown-host", DENIED),
            Self::BadTarget => (StatusCode::BAD_REQUEST, "bad-target", BAD),
            Self::BadPath(_) => (StatusCode::BAD_REQUEST, "bad-path", BAD),
            Self::BadFraming => (StatusCode::BAD_REQUEST, "bad-framing", BAD),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri-too-long", BAD),
            Self::NoRoute => (StatusCode::NOT_FOUND, "no-route", "destination_not_found"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", DENIED),
            Self::PlaceDenied => (StatusCode::FORBIDDEN, "place-denied", DENIED),
            Self::Signature(reason) => (StatusCode::FORBIDDEN, reason.token(), DENIED),
            Self::EdgesOnly(said) => {
                (StatusCode::FORBIDDEN, said.map_or("edges-only", HopError::token), DENIED)
            }
            Self::Loop(_) => (StatusCode::LOOP_DETECTED, "loop", "proxy_loop_detected"),
            Self::Origin(exhausted) => {
                // The last attempt speaks for all; a group without members is a config that cannot be built.
                let last = exhausted.attempts.last().map(|attempt| attempt.failure);
                const NOBODY: &str = "destination_unavailable";
                let status = last.map_or(StatusCode::BAD_GATEWAY, Failure::status);
                (status, last.map_or(NOBODY, Failure::token), last.map_or(NOBODY, Failure::error_type))
            }
            Self::Shared(refusal) if refusal.token == Failure::INJECTED => {
                (refusal.status, refusal.token, "proxy_internal_response")
            }
            Self::Shared(refusal) => (refusal.status, refusal.token, refusal.token),
            Self::Changed => (StatusCode::BAD_GATEWAY, "object-changed", "http_response_incomplete"),
            Self::Hook(error) => (hook_status(error), error.token(), hook_error_type(error)),
            // RFC 9209 §2.3.25
            Self::Unreadable(unreadable) => {
                (StatusCode::BAD_GATEWAY, unreadable.token(), "http_response_content_coding")
            }
            Self::DecodersBusy => {
                (StatusCode::SERVICE_UNAVAILABLE, "decoders-busy", "proxy_internal_response")
            }
            Self::NotUpgraded => (StatusCode::NOT_IMPLEMENTED, "not-upgraded", "http_upgrade_failed"),
            Self::TunnelsBusy => {
                (StatusCode::SERVICE_UNAVAILABLE, "tunnels-busy", "connection_limit_reached")
            }
            Self::NotStored => (StatusCode::GATEWAY_TIMEOUT, "only-if-cached", DENIED),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "proxy_internal_error"),
        };
        Row { status, token, error_type }
    }

    /// The attempts at origins that led here.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Origin(exhausted) => &exhausted.attempts,
            _ => &[],
        }
    }

    /// Whether the origin failed, and so every request for the same would.
    #[must_use]
    pub fn is_of_the_origin(&self) -> bool {
        let last = self.attempts().last().map(|attempt| attempt.failure);
        matches!(self, Self::Origin(_)) && last != Some(Failure::RequestInvalid)
    }

    /// Tells followers, where the failure is their concern too: what the origin did is, a fault of this very request is not.
    pub fn refuse(&self, permit: Permit) {
        if self.is_of_the_origin() {
            let row = self.row();
            permit.refuse(Refusal { status: row.status, token: row.token });
        }
    }

    /// The full story, for the log only: it may name origins and hooks.
    #[must_use]
    pub fn story(&self) -> String {
        match self {
            Self::Origin(exhausted) => exhausted.to_string(),
            Self::Hook(error) => error.to_string(),
            Self::EdgesOnly(Some(said)) => format!("the site is for edges only: {said}"),
            Self::Loop(passed) => format!("the request has come back to this node: {passed} > here"),
            Self::Signature(reason) => reason.to_string(),
            Self::Internal(what) => what.clone(),
            other => other.to_string(),
        }
    }

    /// The answer to the viewer: a short page, or JSON where the viewer prefers it, with the request id.
    #[must_use]
    pub fn response(
        &self,
        accept: Option<&HeaderValue>,
        node: &str,
        request_id: &HeaderValue,
    ) -> Response<Body> {
        let row = self.row();
        let (content_type, text) = self.page(&row, accept, request_id.to_str().unwrap_or_default());
        let mut response = Response::new(Body::Whole(text.into()));
        *response.status_mut() = row.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let details = match self.attempts() {
            // One attempt says no more than the error type.
            [] | [Attempt { halt: None, .. }] if row.token == row.error_type => String::new(),
            [] => format!("; details=\"{}\"", row.token),
            attempts => format!("; {}", details(attempts)),
        };
        if let Ok(value) = HeaderValue::from_str(&format!("{node}; error={}{details}", row.error_type)) {
            headers.insert(PROXY_STATUS, value);
        }
        match self {
            Self::MethodNotAllowed(Methods::Only(methods)) => {
                let names: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
                if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
                    headers.insert(ALLOW, value);
                }
            }
            // What a bucket knows (RFC 9110 §15.5.6).
            Self::Origin(_) if row.status == StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, PUT, DELETE"));
            }
            Self::BadFraming => drop(headers.insert(CONNECTION, HeaderValue::from_static("close"))),
            _ if row.status == StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }

    fn page(&self, row: &Row, accept: Option<&HeaderValue>, id: &str) -> (&'static str, String) {
        let wants = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let code = row.status.as_u16();
        if wants.contains("json") && !wants.contains("html") {
            let body = serde_json::json!({
                "status": code, "error": row.token, "message": self.to_string(), "request_id": id,
            });
            return ("application/json", body.to_string());
        }
        if let Self::Signature(reason) = self {
            return ("text/xml", cloudfront_page(*reason, id));
        }
        let rest =
            format!("<p>{}</p><small>{} · request {id}</small>", sentence(&self.to_string()), row.token);
        ("text/html; charset=utf-8", html(row.status, &rest))
    }
}

/// CloudFront's page for who may not, by which scripts and players tell that they need a new signature.
fn cloudfront_page(reason: signing::Reason, id: &str) -> String {
    use signing::Reason;
    let (code, message) = match reason {
        Reason::SignatureMissing | Reason::ParameterMissing(_) => {
            ("MissingKey", "Missing Key-Pair-Id query parameter or cookie value")
        }
        Reason::KeyUnknown | Reason::KeyUnsuitable => ("InvalidKey", "Unknown Key"),
        Reason::PolicyMalformed(_) | Reason::PolicyAmbiguous | Reason::ParameterMalformed("Policy") => {
            ("MalformedPolicy", "Malformed Policy")
        }
        Reason::ParameterMalformed("Signature") => ("MalformedSignature", "Could not unencode Signature"),
        _ => ("AccessDenied", "Access denied"),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>{id}</RequestId></Error>\n"
    )
}

/// A page that says no more than the status.
#[must_use]
pub fn plain_page(status: StatusCode) -> String {
    html(status, "")
}

fn html(status: StatusCode, rest: &str) -> String {
    let (code, title) = (status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>{code} {title}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34em;padding:0 1em}}\
         small{{color:#777}}</style><h1>{code} {title}</h1>{rest}\n"
    )
}

impl From<compress::Unreadable> for Fault {
    fn from(unreadable: compress::Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl From<compress::Uncoded> for Fault {
    fn from(uncoded: compress::Uncoded) -> Self {
        match uncoded {
            compress::Uncoded::Unreadable(unreadable) => Self::Unreadable(unreadable),
            compress::Uncoded::Busy => Self::DecodersBusy,
            compress::Uncoded::Failed(error) => Self::Internal(error.to_string()),
        }
    }
}

/// RFC 9209 §2.1.5: each failed attempt by its token, in order, and why there was no further one. Origins have no name here: it
/// would concern nobody outside.
#[must_use]
pub fn details(attempts: &[Attempt]) -> String {
    let failures: Vec<_> = attempts.iter().map(|attempt| attempt.failure.to_string()).collect();
    let halt = attempts.last().and_then(|attempt| attempt.halt);
    let halt = halt.map(|halt| format!("; {}", halt.token())).unwrap_or_default();
    format!("details=\"failed: {}{halt}\"", failures.join(", "))
}

/// Words as a sentence of a page.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn hook_status(error: &HookError) -> StatusCode {
    match error {
        HookError::Busy { .. }
        | HookError::Transforms { .. }
        | HookError::Instances { .. }
        | HookError::Crowded { .. } => StatusCode::TOO_MANY_REQUESTS,
        HookError::Engine { .. } | HookError::Load { .. } | HookError::Lost { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::BAD_GATEWAY,
    }
}

fn hook_error_type(error: &HookError) -> &'static str {
    match error {
        HookError::UnknownOrigin { .. } => "destination_not_found",
        _ => "proxy_internal_response",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use origin_shield::Halt;

    #[test]
    fn answers_name_status_token_and_request() {
        let id = HeaderValue::from_static("abc");
        let response = Fault::UnknownHost.response(None, "icn1", &id);
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(
            response.headers()[PROXY_STATUS],
            "icn1; error=http_request_denied; details=\"unknown-host\""
        );
        let Body::Whole(page) = response.into_body() else { panic!("pages are whole") };
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(page.contains("abc") && page.contains("421"), "{page}");
    }

    #[test]
    fn every_attempt_is_named_by_its_token_and_no_origin_by_its_name() {
        let attempt =
            |failure, halt| Attempt { origin: "app".into(), failure, detail: "10.0.0.1".into(), halt };
        let status = |attempts| {
            let fault = Fault::Origin(Box::new(Exhausted { group: "main".into(), attempts }));
            let response = fault.response(None, "icn1", &HeaderValue::from_static("x"));
            response.headers()[PROXY_STATUS].to_str().unwrap().to_owned()
        };
        let refused = || attempt(Failure::ConnectionRefused, None);
        assert_eq!(status(vec![refused()]), "icn1; error=connection_refused");
        assert_eq!(
            status(vec![attempt(Failure::Status(503), None), refused()]),
            "icn1; error=connection_refused; details=\"failed: status 503, connection_refused\""
        );
        assert_eq!(
            status(vec![attempt(Failure::ConnectionRefused, Some(Halt::Budget))]),
            "icn1; error=connection_refused; details=\"failed: connection_refused; retry-budget\""
        );
    }

    #[test]
    fn json_where_it_is_preferred() {
        let (accept, fault) = (HeaderValue::from_static("application/json"), Fault::Loop("a > b".into()));
        let (content_type, body) = fault.page(&fault.row(), Some(&accept), "abc");
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(content_type, "application/json");
        assert_eq!((read["status"].as_u64(), read["request_id"].as_str()), (Some(508), Some("abc")));
    }

    #[test]
    fn a_405_says_what_is_allowed() {
        let fault = Fault::MethodNotAllowed(Methods::default());
        let response = fault.response(None, "icn1", &HeaderValue::from_static("x"));
        assert_eq!(response.headers()[ALLOW], "GET, HEAD, OPTIONS");
    }
}
