//! Instances that answer many calls, where the hook's settings say so.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::time::Duration;

use bytesize::ByteSize;
use hooks::{Called, Event, Hook, HookError, RequestOutcome, ReuseSettings};
use support::{facts, on_one_core, request, told};

/// The guest that does what the path says, in instances that are used again.
fn reused(adjust: impl FnOnce(&mut ReuseSettings)) -> Hook {
    told("as-asked", |settings| {
        let mut reuse = ReuseSettings::default();
        adjust(&mut reuse);
        settings.reuse = Some(reuse);
        settings.limits.cpu = Duration::from_millis(50);
    })
}

/// How many calls the instance had answered, this one included.
async fn ask(hook: &Hook, path: &str) -> Result<String, HookError> {
    match hook.viewer_request(request(path, &[]), &facts()).await? {
        RequestOutcome::Next(parts, _) => {
            assert_eq!(parts.uri, path, "each call has its own request");
            Ok(parts.headers["x-calls"].to_str().unwrap().to_owned())
        }
        RequestOutcome::Respond(response) => panic!("answered {response:?}"),
    }
}

#[test]
fn an_instance_answers_as_many_calls_as_it_may() {
    let hook = reused(|reuse| reuse.calls = 3);
    on_one_core(async {
        for expected in ["1", "2", "3", "1", "2", "3", "1"] {
            assert_eq!(ask(&hook, "/").await.unwrap(), expected);
        }
    });
}

#[test]
fn an_instance_serves_every_event_of_its_hook() {
    let hook = reused(|_| {});
    on_one_core(async {
        assert_eq!(ask(&hook, "/").await.unwrap(), "1");
        let head = http::Response::new(()).into_parts().0;
        let edited = hook.viewer_response(&request("/", &[]), head, &facts()).await.unwrap();
        assert_eq!(edited.headers["x-frame-options"], "DENY");
        assert_eq!(ask(&hook, "/").await.unwrap(), "2");
    });
}

#[test]
fn an_instance_that_is_too_old_or_too_large_is_not_used_again() {
    on_one_core(async {
        let old = reused(|reuse| reuse.age = Duration::ZERO);
        for _ in 0..3 {
            assert_eq!(ask(&old, "/").await.unwrap(), "1");
        }
        let large = reused(|reuse| reuse.memory = ByteSize::mib(16));
        assert_eq!(ask(&large, "/").await.unwrap(), "1");
        assert_eq!(ask(&large, "/grow").await.unwrap(), "2");
        assert_eq!(ask(&large, "/").await.unwrap(), "1");
    });
}

#[test]
fn instances_that_wait_make_room_for_another_hook() {
    let engine = hooks::Engine::new().unwrap();
    engine.limit_memory(2 << 20);
    let load = |name: &str| {
        let source = hooks::WasmSource::File(support::misbehaving().to_owned());
        let mut settings = support::settings(source, &support::ALL, &[("do", "as-asked")]);
        settings.reuse = Some(ReuseSettings::default());
        Hook::load(&engine, name, &settings).unwrap()
    };
    on_one_core(async {
        let (one, other) = (load("one"), load("other"));
        for _ in 0..3 {
            assert_eq!(ask(&one, "/").await.unwrap(), "1");
            assert_eq!(ask(&other, "/").await.unwrap(), "1");
        }
    });
}

#[test]
fn an_instance_that_trapped_or_ran_into_a_limit_is_not_used_again() {
    let hook = reused(|_| {});
    on_one_core(async {
        for (path, token) in [("/trap", "hook-trap"), ("/loop", "hook-deadline")] {
            assert_eq!(ask(&hook, "/").await.unwrap(), "1");
            assert_eq!(ask(&hook, "/").await.unwrap(), "2");
            assert_eq!(ask(&hook, path).await.unwrap_err().token(), token);
        }
        assert_eq!(ask(&hook, "/").await.unwrap(), "1");
        assert_eq!(ask(&hook, "/fail").await.unwrap_err().token(), "hook-failed");
        assert_eq!(ask(&hook, "/").await.unwrap(), "2", "a hook that says no is in order");
    });
}

#[test]
fn every_call_has_all_of_its_processor_time() {
    let hook = told("spin-5ms", |settings| {
        settings.reuse = Some(ReuseSettings::default());
        settings.limits.cpu = Duration::from_millis(500);
    });
    on_one_core(async {
        for _ in 0..200 {
            hook.viewer_request(request("/", &[]), &facts()).await.unwrap();
        }
    });
}

#[test]
fn the_lines_of_one_call_are_not_in_the_report_of_another() {
    let hook = reused(|_| {});
    on_one_core(async {
        ask(&hook, "/say").await.unwrap();
        let HookError::Failed { call, .. } = ask(&hook, "/fail").await.unwrap_err() else { panic!() };
        assert_eq!(call.log, Vec::<String>::new());
        assert_eq!(call.called, Called::Hook("guest".into(), Event::ViewerRequest));
    });
}

#[test]
fn a_response_that_a_guest_has_hoarded_is_not_that_of_a_later_call() {
    let hook = reused(|_| {});
    on_one_core(async {
        ask(&hook, "/hoard").await.unwrap();
        let error = hook.viewer_request(request("/take", &[]), &facts()).await.unwrap_err();
        assert_eq!(error.token(), "hook-output");
        assert!(error.to_string().contains("gone"), "{error}");
    });
}

#[test]
fn calls_at_the_same_time_have_an_instance_each() {
    let hook = told("spin-5ms", |settings| settings.reuse = Some(ReuseSettings::default()));
    on_one_core(async {
        let facts = facts();
        let call = || hook.viewer_request(request("/", &[]), &facts);
        for _ in 0..3 {
            let (first, second, third) = tokio::join!(call(), call(), call());
            assert!(first.is_ok() && second.is_ok() && third.is_ok());
        }
    });
}
