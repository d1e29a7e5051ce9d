//! What a hook may ask of the world outside, and what it is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use bytesize::ByteSize;
use hooks::{
    Event, Facts, Fetch, FetchError, Fetching, Hook, HookSettings, Outside, RequestOutcome, WasmSource,
};
use http::{Response, StatusCode};
use support::{engine, facts, on_one_core, outward, request, settings};

/// An origin that answers with what it was asked, and remembers objects.
#[derive(Debug, Default)]
struct Echo {
    asked: Mutex<Vec<String>>,
    objects: Mutex<Vec<(String, Bytes)>>,
}

impl Outside for Echo {
    fn fetch(&self, fetch: Fetch) -> Fetching {
        let (head, body) = fetch.request.into_parts();
        self.asked.lock().unwrap().push(format!("{} {} {}", fetch.origin, head.method, head.uri));
        let name = head.uri.path().to_owned();
        let mut objects = self.objects.lock().unwrap();
        let (status, answer) = match (&*fetch.origin, head.method.as_str()) {
            ("bucket", "PUT") => {
                objects.push((name, body));
                (StatusCode::CREATED, Bytes::new())
            }
            ("bucket", _) => match objects.iter().find(|(stored, _)| *stored == name) {
                Some((_, object)) => (StatusCode::OK, object.clone()),
                None => (StatusCode::NOT_FOUND, Bytes::new()),
            },
            ("late", _) => {
                let timeout = fetch.timeout;
                return Box::pin(async move {
                    tokio::time::sleep(timeout).await;
                    Err(FetchError::Timeout)
                });
            }
            _ => (StatusCode::IM_A_TEAPOT, body),
        };
        let limit = fetch.limit;
        Box::pin(async move {
            if answer.len() as u64 > limit {
                return Err(FetchError::TooLarge);
            }
            Ok(Response::builder().status(status).header("x-from", "outside").body(answer).unwrap())
        })
    }
}

fn hook(config: &[(&str, &str)], adjust: impl FnOnce(&mut HookSettings)) -> Hook {
    let source = WasmSource::File(outward().to_owned());
    let mut settings = settings(source, &[Event::ViewerRequest], config);
    settings.fetch = vec!["api".into(), "late".into()];
    adjust(&mut settings);
    Hook::load(engine(), "guest", &settings).unwrap()
}

async fn answer(hook: &Hook, outside: &Arc<Echo>) -> Response<Bytes> {
    let facts = Facts { outside: Some(Arc::clone(outside) as _), ..facts() };
    match hook.viewer_request(request("/path?q=1", &[]), &facts).await.unwrap() {
        RequestOutcome::Respond(response) => response,
        RequestOutcome::Next(..) => panic!("it went on"),
    }
}

#[test]
fn a_fetched_answer_can_be_the_hooks_own() {
    on_one_core(async {
        let outside = Arc::new(Echo::default());
        let config =
            [("do", "fetch"), ("origin", "api"), ("method", "POST"), ("path", "/a?b"), ("body", "hello")];
        let response = answer(&hook(&config, |_| {}), &outside).await;
        assert_eq!((response.status(), &response.body()[..]), (StatusCode::IM_A_TEAPOT, &b"hello"[..]));
        assert_eq!(
            (&response.headers()["x-from"], &response.headers()["content-length"]),
            (&"outside".parse().unwrap(), &"5".parse().unwrap())
        );
        assert_eq!(*outside.asked.lock().unwrap(), ["api POST /a?b"]);
    });
}

#[test]
fn a_fetched_body_is_read_once() {
    on_one_core(async {
        let config = [("do", "fetch-and-read"), ("origin", "api"), ("body", "hello")];
        let response = answer(&hook(&config, |_| {}), &Arc::default()).await;
        assert_eq!(response.body(), "Some(5) [104, 101, 108, 108] [111] None false");
    });
}

#[test]
fn what_the_settings_do_not_name_is_never_asked() {
    on_one_core(async {
        for (setting, value) in [
            ("origin", "other"),
            ("origin", "http://169.254.169.254"),
            ("origin", ""),
            ("method", "CONNECT"),
            ("header", "host=other"),
            ("header", "cdn-loop="),
        ] {
            let outside = Arc::new(Echo::default());
            let config = [("origin", "api"), (setting, value), ("do", "fetch")];
            let response = answer(&hook(&config, |_| {}), &outside).await;
            assert_eq!(response.body(), "denied", "{setting} {value}");
            assert!(outside.asked.lock().unwrap().is_empty(), "{setting} {value}");
        }
    });
}

#[test]
fn a_call_sends_as_many_requests_and_reads_as_many_bytes_as_it_may() {
    on_one_core(async {
        let config = [("do", "fetch-many"), ("origin", "api"), ("body", "hello")];
        let response = answer(&hook(&config, |_| {}), &Arc::default()).await;
        assert_eq!(response.body(), "8 then budget");
        let response = answer(&hook(&config, |settings| settings.limits.fetches = 0), &Arc::default()).await;
        assert_eq!(response.body(), "0 then budget");
        let hook = hook(&config, |settings| settings.limits.body = ByteSize::b(14));
        assert_eq!(answer(&hook, &Arc::default()).await.body(), "2 then too-large");
    });
}

#[test]
fn others_go_on_while_a_hook_waits_for_an_origin() {
    on_one_core(async {
        let slow = hook(&[("do", "fetch"), ("origin", "late"), ("timeout", "300")], |_| {});
        let quick = hook(&[("do", "fetch"), ("origin", "api")], |_| {});
        let outside = Arc::default();
        let waiting = answer(&slow, &outside);
        let others = async {
            for _ in 0..5 {
                answer(&quick, &outside).await;
            }
        };
        let (late, first) = tokio::join!(waiting, tokio::time::timeout(Duration::from_millis(250), others));
        assert_eq!(late.body(), "timeout");
        assert!(first.is_ok());
    });
}

#[test]
fn a_fetch_ends_with_the_wall_clock_of_its_call() {
    on_one_core(async {
        let slow = hook(&[("do", "fetch"), ("origin", "late"), ("timeout", "60000")], |settings| {
            settings.limits.wall = Duration::from_millis(50);
        });
        let facts = Facts { outside: Some(Arc::new(Echo::default()) as _), ..facts() };
        let error = slow.viewer_request(request("/", &[]), &facts).await;
        // Which of the two clocks is first does not matter.
        match error {
            Err(error) => assert_eq!(error.token(), "hook-timeout"),
            Ok(RequestOutcome::Respond(response)) => assert_eq!(response.body(), "timeout"),
            Ok(RequestOutcome::Next(..)) => panic!("it went on"),
        }
    });
}

#[test]
fn objects_are_put_and_got_where_the_hook_has_a_store() {
    on_one_core(async {
        let config = [("do", "store"), ("body", "hello")];
        let outside = Arc::new(Echo::default());
        let response =
            answer(&hook(&config, |settings| settings.store = Some("bucket".into())), &outside).await;
        assert_eq!((response.status(), &response.body()[..]), (StatusCode::OK, &b"hello"[..]));
        assert_eq!(
            *outside.asked.lock().unwrap(),
            ["bucket PUT /path", "bucket GET /missing", "bucket GET /path"]
        );
        let response = answer(&hook(&config, |_| {}), &outside).await;
        assert_eq!(response.body(), "put denied");
    });
}
