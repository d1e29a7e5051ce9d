//! Interim responses on their way from an origin to a viewer (RFC 9110 §15.2): 102, 103 and what else may come before the answer.
//!
//! They are for the viewer who brought the fetch about, never stored (RFC 9111 §3), and go where HTTP/1.1 is spoken on both sides.

use crate::headers;
use crate::visit::Visit;
use http::Version;
use origin_shield::{Interim, Listener};
use std::fmt::Write;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

/// Runs what asks the origin, and tells the viewer meanwhile what the origin says before its answer.
pub async fn relay<F: Future>(visit: &Arc<Visit>, fetch: impl FnOnce(Arc<Visit>) -> F) -> F::Output {
    let asking = Arc::clone(visit);
    if visit.request.version != Version::HTTP_11 {
        return fetch(asking).await;
    }
    let listener = visit.listener.get_or_init(Listener::default);
    let mut fetched = pin!(fetch(asking));
    poll_fn(|context| {
        let answer = fetched.as_mut().poll(context);
        for mut interim in listener.take(context) {
            visit.keep_back(&mut interim.headers);
            visit.viewer.tell_before_answer(&head(interim));
        }
        answer
    })
    .await
}

/// The interim response as HTTP/1.1 has it.
fn head(mut interim: Interim) -> Vec<u8> {
    headers::end_hop(&mut interim.headers);
    let mut head = String::new();
    let reason = interim.status.canonical_reason().unwrap_or("Interim");
    // Writing to a String cannot fail.
    let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", interim.status.as_u16());
    let mut head = head.into_bytes();
    for (name, value) in &interim.headers {
        // A name and a value hold no line break.
        head.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, StatusCode};

    #[test]
    fn what_ends_at_this_hop_stays() {
        let mut headers = HeaderMap::new();
        headers.insert("link", HeaderValue::from_static("</a.css>; rel=preload"));
        headers.insert("connection", HeaderValue::from_static("x-own"));
        headers.insert("x-own", HeaderValue::from_static("1"));
        let interim = Interim { status: StatusCode::EARLY_HINTS, headers };
        let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
        assert_eq!(String::from_utf8(head(interim)).unwrap(), expected);
    }
}
