//! What is told of calls to whoever watches a hook.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hooks::{CallRecord, Event, Hook, Inspection, WasmSource, Watch};
use http_body_util::BodyExt;
use support::{engine, facts, guest, misbehaving, on_one_core, outward, request, response, settings, told};

type Told = Arc<Mutex<Vec<(Event, Vec<String>, Duration, u64, Option<&'static str>)>>>;

fn collect(into: &Told) -> impl Fn(&CallRecord<'_>) + Send + Sync + 'static {
    let into = Arc::clone(into);
    move |call| {
        assert_eq!(call.request_id, "req-1");
        let lines = call.lines.iter().map(ToString::to_string).collect();
        let token = call.error.map(hooks::HookError::token);
        into.lock().unwrap().push((call.event.unwrap(), lines, call.cpu, call.memory, token));
    }
}

#[test]
fn every_call_is_told_with_what_it_used_to_whoever_measures() {
    let seen = Told::default();
    on_one_core(async {
        let light = told("rewrite", |_| {}).watched(Watch::calls(collect(&seen)));
        light.viewer_request(request("/x", &[]), &facts()).await.unwrap();
        let endless = told("loop", |settings| settings.limits.cpu = Duration::from_millis(20));
        let endless = endless.watched(Watch::calls(collect(&seen)));
        endless.viewer_request(request("/", &[]), &facts()).await.unwrap_err();
    });
    let seen = seen.lock().unwrap();
    let [(event, _, light, memory, None), (.., heavy, _, Some("hook-deadline"))] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(*event, Event::ViewerRequest);
    assert!(*light > Duration::ZERO && light < heavy, "{light:?}, {heavy:?}");
    assert!(*heavy >= Duration::from_millis(18) && *heavy < Duration::from_secs(5), "{heavy:?}");
    assert!(*memory >= 1 << 16, "{memory}");
}

#[test]
fn a_silent_call_that_goes_well_is_not_told_to_whoever_wants_words() {
    let seen = Told::default();
    on_one_core(async {
        let quiet = told("rewrite", |_| {}).watched(Watch::words(collect(&seen)));
        quiet.viewer_request(request("/x", &[]), &facts()).await.unwrap();
        let failing = told("trap", |_| {}).watched(Watch::words(collect(&seen)));
        failing.viewer_request(request("/", &[]), &facts()).await.unwrap_err();
    });
    let seen = seen.lock().unwrap();
    let [(_, lines, .., Some("hook-trap"))] = &seen[..] else { panic!("{seen:?}") };
    assert!(lines.iter().any(|line| line.contains("on purpose")), "{lines:?}");
}

#[test]
fn calls_without_a_place_and_answers_that_cannot_be_sent_are_failures_too() {
    let seen = Told::default();
    on_one_core(async {
        let unsendable = told("bad-status", |_| {}).watched(Watch::words(collect(&seen)));
        unsendable.viewer_request(request("/", &[]), &facts()).await.unwrap_err();
        let slow = told("sleep", |settings| {
            (settings.limits.concurrency, settings.limits.queue) = (1, 0);
            settings.limits.wall = Duration::from_millis(100);
        });
        let slow = slow.watched(Watch::words(collect(&seen)));
        let (facts, call) = (facts(), || request("/", &[]));
        let _ = tokio::join!(slow.viewer_request(call(), &facts), slow.viewer_request(call(), &facts));
    });
    let tokens: Vec<_> = seen.lock().unwrap().iter().map(|(.., token)| token.unwrap()).collect();
    assert_eq!(tokens, ["hook-output", "hook-busy", "hook-timeout"]);
}

#[test]
fn what_a_hook_says_of_a_body_is_told_once_when_that_has_ended() {
    for (task, lines, token) in
        [("talk", &["5 bytes", "0 bytes"][..], None), ("fail", &[][..], Some("hook-failed"))]
    {
        let seen = Told::default();
        on_one_core(async {
            let source = WasmSource::File(outward().to_owned());
            let told = [("do", "rewrite"), ("transform", task)];
            let hook = Hook::load(engine(), "guest", &settings(source, &[Event::OriginResponse], &told));
            let hook = hook.unwrap().watched(Watch::words(collect(&seen)));
            let original = response("text/plain", "hello");
            let outcome = hook.origin_response(&request("/", &[]), original, &facts()).await.unwrap();
            assert!(seen.lock().unwrap().is_empty());
            drop(outcome.response.into_body().collect().await);
        });
        let seen = seen.lock().unwrap();
        let [(Event::OriginResponse, said, .., failure)] = &seen[..] else { panic!("{task}: {seen:?}") };
        assert_eq!(
            (&said[..], *failure),
            (&lines.iter().map(ToString::to_string).collect::<Vec<_>>()[..], token)
        );
    }
}

#[test]
fn a_component_says_which_events_it_answers_and_what_it_imports() {
    let file = WasmSource::File(misbehaving().to_owned());
    let found = Inspection::of(engine(), "guest", &file).unwrap();
    assert_eq!(found.events, Event::ALL);
    assert!(found.imports.iter().any(|import| import == "selvedge:edge/config@0.1.0"), "{found:?}");
    assert!(found.bytes > 1000, "{found:?}");
    let file = WasmSource::File(guest("editing"));
    assert_eq!(Inspection::of(engine(), "guest", &file).unwrap().events, [Event::ViewerRequest]);
}
