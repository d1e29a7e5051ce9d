//! What a hook may do at each event.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use hooks::{Event, HookBody, OnError, OriginRequestOutcome, RequestOutcome};
use http_body_util::Full;
use support::{facts, on_one_core, request, response, told, whole};

fn next(outcome: RequestOutcome) -> http::request::Parts {
    let RequestOutcome::Next(parts, _) = outcome else { panic!("answered: {outcome:?}") };
    parts
}

fn respond(outcome: RequestOutcome) -> http::Response<bytes::Bytes> {
    let RequestOutcome::Respond(response) = outcome else { panic!("went on: {outcome:?}") };
    response
}

#[test]
fn viewer_request_edits_headers_and_is_refused_those_of_the_node() {
    on_one_core(async {
        let headers =
            [("host", "www.example.com"), ("user-agent", "curl"), ("x-many", "1"), ("cookie", "a=b")];
        let hook = told("headers", |_| {});
        let parts = next(hook.viewer_request(request("/", &headers), &facts()).await.unwrap());
        assert_eq!(parts.headers["x-agent-length"], "4");
        assert_eq!(parts.headers.get_all("x-many").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert!(!parts.headers.contains_key("cookie"));
        assert_eq!(parts.headers["host"], "www.example.com");
    });
}

#[test]
fn viewer_request_rewrites_the_uri_and_keeps_the_authority() {
    on_one_core(async {
        let hook = told("rewrite", |_| {});
        let parts = next(hook.viewer_request(request("https://a.test/x?y=1", &[]), &facts()).await.unwrap());
        assert_eq!(parts.uri, "https://a.test/new/x?lang=ko");
    });
}

#[test]
fn viewer_request_sees_every_fact() {
    on_one_core(async {
        let hook = told("facts", |_| {});
        // Neither scheme nor host of the message counts: the facts know them.
        let headers = [("host", "origin.test")];
        let asked = request("http://other.test/p?q=1", &headers);
        let answer = respond(hook.viewer_request(asked, &facts()).await.unwrap());
        assert_eq!(
            answer.body(),
            "GET|https|www.example.com|/p|q=1|2001:db8::7|KR|TLSv1.3|HTTP/2|req-1|icn1|www|/img/*|viewer-request|guest|12|true|true|do"
        );
        assert_eq!(answer.headers()["content-length"], answer.body().len().to_string());
    });
}

#[test]
fn viewer_request_answers_for_everybody() {
    on_one_core(async {
        let answer =
            respond(told("respond", |_| {}).viewer_request(request("/", &[]), &facts()).await.unwrap());
        assert_eq!(answer.status(), 418);
        assert_eq!(answer.body(), "short and stout");
    });
}

#[test]
fn origin_request_chooses_an_origin_or_answers_in_its_place() {
    on_one_core(async {
        let outcome = told("route", |_| {}).origin_request(request("/x?y=1", &[]), &facts()).await.unwrap();
        let OriginRequestOutcome::RouteTo { parts, origin, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((origin.as_str(), parts.uri.to_string().as_str()), ("other", "/elsewhere?y=1"));
        let outcome = told("respond", |_| {}).origin_request(request("/", &[]), &facts()).await.unwrap();
        assert!(
            matches!(outcome, OriginRequestOutcome::Respond(answer) if answer.body() == "in the origin's place")
        );
    });
}

#[test]
fn origin_response_edits_head_ttl_and_tags_and_leaves_the_body_alone() {
    on_one_core(async {
        let hook = told("edit", |_| {});
        let outcome = hook
            .origin_response(&request("/", &[]), response("text/plain", "hello"), &facts())
            .await
            .unwrap();
        assert_eq!(outcome.response.status(), 203);
        assert_eq!(outcome.response.headers()["x-hook"], "edited");
        assert_eq!(outcome.response.headers()["etag"], "\"abc\"");
        assert_eq!(outcome.keeping.ttl, Some(Duration::from_secs(90)));
        assert_eq!(outcome.keeping.tags, ["cats", "dogs"]);
        assert!(matches!(outcome.response.body(), HookBody::Untouched(_)));
    });
}

#[test]
fn origin_response_may_look_into_the_body_and_let_it_pass() {
    on_one_core(async {
        let hook = told("peek", |_| {});
        let outcome = hook
            .origin_response(&request("/", &[]), response("text/plain", "hello"), &facts())
            .await
            .unwrap();
        assert_eq!(outcome.response.headers()["x-seen"], "hell");
        assert_eq!(whole(outcome.response.into_body()).await, "hello");
    });
}

#[test]
fn origin_response_replaces_the_body_and_its_length() {
    on_one_core(async {
        let hook = told("upper", |_| {});
        let outcome = hook
            .origin_response(&request("/", &[]), response("text/plain", "hello"), &facts())
            .await
            .unwrap();
        assert_eq!(outcome.response.headers()["content-length"], "5");
        assert_eq!(outcome.response.headers()["content-type"], "text/plain");
        assert_eq!(whole(outcome.response.into_body()).await, "HELLO");
    });
}

#[test]
fn viewer_response_edits_headers_and_nothing_else() {
    on_one_core(async {
        let mut head =
            http::Response::builder().status(404).header("server", "x").body(()).unwrap().into_parts().0;
        head.extensions.insert(7_u8);
        let edited = told("", |_| {}).viewer_response(&request("/", &[]), head, &facts()).await.unwrap();
        assert_eq!(edited.status, 404);
        assert_eq!(edited.headers["x-frame-options"], "DENY");
        assert!(!edited.headers.contains_key("server"));
        assert_eq!(edited.extensions.get::<u8>(), Some(&7));
    });
}

#[test]
fn a_hook_that_does_not_listen_changes_nothing() {
    on_one_core(async {
        let hook = told("trap", |settings| settings.on = vec![Event::OriginRequest]);
        assert!(!hook.listens(Event::ViewerRequest) && hook.listens(Event::OriginRequest));
        let parts = next(hook.viewer_request(request("/same", &[]), &facts()).await.unwrap());
        assert_eq!(parts.uri, "/same");
    });
}

#[test]
fn no_call_sees_what_another_left_in_memory() {
    on_one_core(async {
        let hook = told("memory-of-others", |_| {});
        for _ in 0..50 {
            let parts = next(hook.viewer_request(request("/", &[]), &facts()).await.unwrap());
            assert_eq!(parts.headers["x-calls"], "1");
        }
    });
}

#[test]
fn a_hook_that_may_be_passed_over_gives_the_origins_response_back() {
    on_one_core(async {
        for (task, token) in [("read-then-trap", "hook-trap"), ("body-on-204", "hook-output")] {
            let hook = told(task, |settings| settings.on_error = OnError::Pass);
            let original = response("text/plain", "hello");
            let failure = hook.origin_response(&request("/", &[]), original, &facts()).await.unwrap_err();
            assert_eq!(failure.error.token(), token);
            let restored = failure.response.unwrap();
            assert_eq!(restored.headers()["etag"], "\"abc\"");
            assert_eq!(whole(restored.into_body()).await, "hello");
        }
    });
}

#[test]
fn an_answer_that_cannot_be_sent_gives_the_requests_body_back() {
    on_one_core(async {
        let hook = told("bad-status", |settings| settings.on_error = OnError::Pass);
        let body = Full::new(Bytes::from_static(b"hello"));
        let failure = hook.viewer_request_with(request("/", &[]), body, &facts()).await.unwrap_err();
        assert_eq!(failure.error.token(), "hook-output");
        assert_eq!(whole(failure.body.unwrap()).await, "hello");
    });
}
