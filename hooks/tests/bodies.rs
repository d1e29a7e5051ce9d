//! Bodies of requests in the hands of hooks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use bytesize::ByteSize;
use hooks::{
    Event, Hook, HookBody, HookSettings, OnError, OriginRequestOutcome, RequestOutcome, ReuseSettings,
    WasmSource,
};
use http::request::Parts;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use support::{engine, facts, on_one_core, outward, settings, whole};

fn hook(task: &str, adjust: impl FnOnce(&mut HookSettings)) -> Hook {
    let source = WasmSource::File(outward().to_owned());
    let mut settings = settings(source, &[Event::ViewerRequest, Event::OriginRequest], &[("do", task)]);
    settings.reads_body = true;
    adjust(&mut settings);
    Hook::load(engine(), "guest", &settings).unwrap()
}

fn post() -> Parts {
    http::Request::post("/").body(()).unwrap().into_parts().0
}

fn body(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from_static(text.as_bytes()))
}

fn next(outcome: RequestOutcome) -> Parts {
    let RequestOutcome::Next(parts, _) = outcome else { panic!("answered: {outcome:?}") };
    parts
}

#[test]
fn what_a_hook_has_read_goes_on_all_the_same() {
    on_one_core(async {
        for (task, seen) in [("inspect", "11"), ("peek", "hell")] {
            let called = hook(task, |_| {}).viewer_request_with(post(), body("hello world"), &facts()).await;
            let (outcome, body) = called.unwrap();
            assert_eq!(next(outcome).headers["x-body"], seen);
            assert_eq!(whole(body).await, "hello world", "{task}");
        }
    });
}

#[test]
fn a_hook_may_answer_by_what_the_body_says() {
    on_one_core(async {
        let hook = hook("inspect", |_| {});
        let (outcome, _) = hook.viewer_request_with(post(), body("an attack"), &facts()).await.unwrap();
        assert!(matches!(outcome, RequestOutcome::Respond(response) if response.status() == 403));
    });
}

#[test]
fn there_is_no_body_without_the_word_in_the_settings_and_none_where_there_is_none() {
    on_one_core(async {
        let silent = hook("inspect", |settings| settings.reads_body = false);
        let (outcome, passed) =
            silent.viewer_request_with(post(), body("an attack"), &facts()).await.unwrap();
        assert_eq!(next(outcome).headers["x-body"], "none");
        assert!(matches!(passed, HookBody::Untouched(_)));
        let reading = hook("inspect", |_| {});
        let (outcome, _) = reading.viewer_request_with(post(), body(""), &facts()).await.unwrap();
        assert_eq!(next(outcome).headers["x-body"], "none");
        assert_eq!(next(reading.viewer_request(post(), &facts()).await.unwrap()).headers["x-body"], "none");
    });
}

#[test]
fn a_body_over_the_limit_is_not_read_and_not_lost() {
    on_one_core(async {
        let hook = hook("inspect", |settings| {
            settings.limits.body = ByteSize::b(4);
            settings.on_error = OnError::Pass;
        });
        let failure = hook.viewer_request_with(post(), body("hello"), &facts()).await.unwrap_err();
        assert!(failure.to_string().contains("too-large"), "{failure}");
        assert_eq!(whole(failure.body.unwrap()).await, "hello");
    });
}

#[test]
fn a_hook_that_fails_after_reading_gives_the_body_back() {
    on_one_core(async {
        let hook = hook("read-and-trap", |_| {});
        let failure = hook.viewer_request_with(post(), body("hello"), &facts()).await.unwrap_err();
        assert_eq!(failure.error.token(), "hook-trap");
        assert_eq!(whole(failure.body.unwrap()).await, "hello");
    });
}

#[test]
fn another_body_is_sent_to_the_origin_but_for_methods_that_have_none() {
    on_one_core(async {
        let hook = hook("exchange", |_| {});
        let (outcome, sent) = hook.origin_request_with(post(), body("hello"), &facts()).await.unwrap();
        assert!(matches!(outcome, OriginRequestOutcome::Next { .. }));
        assert!(matches!(sent, HookBody::Replaced(bytes) if bytes == "HELLO"));
        let get = http::Request::get("/").body(()).unwrap().into_parts().0;
        let (outcome, sent) = hook.origin_request_with(get, body("hello"), &facts()).await.unwrap();
        let OriginRequestOutcome::Next { parts, .. } = outcome else { panic!("it answered") };
        assert_eq!(parts.headers["x-refused"], "forbidden");
        assert_eq!(whole(sent).await, "hello");
    });
}

#[test]
fn half_a_body_never_goes_on_as_the_whole() {
    #[derive(Debug)]
    struct Half(bool);
    impl Body for Half {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            match std::mem::replace(&mut self.0, true) {
                false => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"hel"))))),
                true => Poll::Ready(Some(Err(std::io::Error::other("gone")))),
            }
        }
    }
    on_one_core(async {
        let failure = hook("inspect", |_| {}).viewer_request_with(post(), Half(false), &facts()).await;
        assert!(failure.unwrap_err().body.is_none());
        // Who has not read so far lets it break off by itself.
        let (_, passed) =
            hook("peek", |_| {}).viewer_request_with(post(), Half(false), &facts()).await.unwrap();
        assert!(passed.collect().await.is_err());
    });
}

#[test]
fn instances_that_are_used_again_read_each_requests_own_body() {
    on_one_core(async {
        let hook = hook("peek", |settings| settings.reuse = Some(ReuseSettings::default()));
        for text in ["first", "other", "third"] {
            let (outcome, passed) = hook.viewer_request_with(post(), body(text), &facts()).await.unwrap();
            assert_eq!(next(outcome).headers["x-body"], text[..4]);
            assert_eq!(whole(passed).await, text);
        }
    });
}
