//! Whatever a guest does, it is stopped within its limits, it is named, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of stories fail as stories do")]

mod support;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use bytesize::ByteSize;
use hooks::{
    Engine, Event, Facts, Hook, HookError, HookSettings, Locality, Place, Places, RequestOutcome, WasmSource,
};
use http_body::{Body, Frame};
use support::{engine, facts, guest, misbehaving, on_one_core, request, response, settings, told, whole};

/// The failure of a viewer-request call.
async fn failure(hook: &Hook) -> HookError {
    hook.viewer_request(request("/", &[]), &facts()).await.unwrap_err()
}

fn fails(task: &str, adjust: impl FnOnce(&mut HookSettings)) -> HookError {
    let hook = told(task, adjust);
    on_one_core(failure(&hook))
}

#[test]
fn an_endless_loop_ends_at_its_processor_limit() {
    let begin = Instant::now();
    let error = fails("loop", |settings| settings.limits.cpu = Duration::from_millis(50));
    assert_eq!(error.token(), "hook-deadline");
    assert!(error.to_string().contains("hook \"guest\" at viewer-request used more than 50ms"), "{error}");
    assert!(error.to_string().contains("on-viewer-request"), "the report names the function: {error}");
    assert!(begin.elapsed() >= Duration::from_millis(45));
}

#[test]
fn a_guest_that_sleeps_ends_at_its_wall_limit() {
    let hook = told("sleep", |settings| settings.limits.wall = Duration::from_millis(100));
    let begin = Instant::now();
    assert_eq!(on_one_core(failure(&hook)).token(), "hook-timeout");
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(100) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_loop_with_a_generous_processor_limit_ends_at_its_wall_limit() {
    let hook = told("loop", |settings| {
        settings.limits.cpu = Duration::from_secs(60);
        settings.limits.wall = Duration::from_millis(100);
    });
    let begin = Instant::now();
    assert_eq!(on_one_core(failure(&hook)).token(), "hook-timeout");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn memory_ends_at_its_limit() {
    let error = fails("grow", |settings| settings.limits.memory = ByteSize::mib(16));
    assert_eq!(error.token(), "hook-memory");
    assert!(error.to_string().contains("16.0 MiB"), "{error}");
}

#[test]
fn an_instruction_over_much_memory_is_stopped_in_the_middle_and_told_as_its_author_wrote_it() {
    for (task, function) in [("fill-much", "fill"), ("copy-much", "copy")] {
        let error = fails(task, |settings| {
            settings.limits.cpu = Duration::from_millis(20);
            settings.limits.trace = 64;
        });
        assert_eq!(error.token(), "hook-deadline");
        let text = error.to_string();
        let place = format!("{function} at examples/misbehaving/guest.rs:");
        assert!(text.contains(&place), "{text}");
        assert!(!text.contains("<wasm function"), "what the node adds is nobody's business: {text}");
    }
}

#[test]
fn a_trap_is_reported_with_functions_and_last_words() {
    let error = fails("trap", |_| {});
    assert_eq!(error.token(), "hook-trap");
    let text = error.to_string();
    assert!(text.contains("on purpose"), "the panic message is among the last words: {text}");
    assert!(text.contains("on-viewer-request"), "{text}");
    assert!(text.contains("in misbehaving::guest::misdeed at examples/misbehaving/guest.rs:"), "{text}");
    // The second time the lines are remembered.
    assert_eq!(fails("trap", |_| {}).to_string(), text);
    let short = fails("trap", |settings| settings.limits.trace = 1);
    assert!(text.contains(" < ") && !short.to_string().contains(" < "), "{short}");
}

/// A database that notes on which thread it is asked.
#[derive(Debug, Default)]
struct Threads(Mutex<Vec<String>>);

impl Places for Threads {
    fn place(&self, _: IpAddr) -> Place {
        self.0.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
        Place { country: None, continent: None, asn: None }
    }

    fn locality(&self, _: IpAddr) -> Locality {
        Locality { region: None, city: None, position: None, time_zone: None }
    }
}

#[test]
fn a_hook_that_was_heavy_begins_apart_until_it_is_light_again() {
    let hook = told("as-queried", |_| {});
    on_one_core(async {
        let began_apart = async |task: &str| {
            let threads = Arc::new(Threads::default());
            let facts = Facts { places: Arc::clone(&threads) as _, ..facts() };
            let uri = format!("/?do={task}&at=viewer-request");
            hook.viewer_request(request(&uri, &[]), &facts).await.unwrap();
            threads.0.lock().unwrap()[0] == "selvedge-hook"
        };
        // Of the first nothing is known; where it is by the time that it asks is the machine's affair, as is whether its clock ticks meanwhile.
        let mut spun = 0;
        while !began_apart("spin-5ms").await {
            spun += 1;
            assert!(spun < 100, "it is never known");
        }
        assert!(began_apart("facts").await, "once is not enough");
        let mut light = 1;
        while began_apart("facts").await {
            light += 1;
            assert!(light < 1000, "it is never tried again");
        }
    });
}

#[test]
fn endless_recursion_is_a_trap() {
    let error = fails("recurse", |_| {});
    assert_eq!(error.token(), "hook-trap");
    assert!(
        error.to_string().contains("misbehaving::guest::recurse at ") && error.to_string().contains("deep)"),
        "{error}"
    );
    assert!(error.to_string().len() < 8 << 10, "a deep stack does not fill the log");
}

#[test]
fn a_flood_of_log_lines_is_kept_short() {
    let error = fails("flood", |_| {});
    let HookError::Trap { call, .. } = &error else { panic!("{error}") };
    assert_eq!(call.log.len(), 33);
    assert!(call.log[0].contains("earlier lines dropped"), "{:?}", call.log[0]);
    assert!(call.log.iter().any(|line| line == "info: line 1999"), "{:?}", call.log);
    assert!(call.log.iter().any(|line| line == "printed 1999"), "{:?}", call.log);
}

#[test]
fn a_guest_that_exits_or_fails_says_so() {
    let error = fails("exit", |_| {});
    assert_eq!(error.token(), "hook-trap");
    assert!(error.to_string().contains("exit("), "{error}");
    let error = fails("fail", |_| {});
    assert_eq!(error.token(), "hook-failed");
    assert!(error.to_string().contains("no such user"), "{error}");
}

#[test]
fn there_is_no_network_no_file_and_no_environment() {
    let error = fails("connect", |_| {});
    assert!(error.to_string().contains("no network: true, no files: true, no environment: true"), "{error}");
}

#[test]
fn answers_that_cannot_be_sent_are_refused() {
    for (task, word) in [("bad-status", "99"), ("body-on-204", "204"), ("many-responses", "responses")] {
        let error = fails(task, |_| {});
        assert_eq!(error.token(), "hook-output", "{task}: {error}");
        assert!(error.to_string().contains(word), "{task}: {error}");
    }
    let error = fails("huge-body", |settings| settings.limits.output = ByteSize::mib(8));
    assert_eq!(error.token(), "hook-output", "{error}");
    let error = fails("huge-body", |settings| settings.limits.output = ByteSize::b((24 << 20) - 1));
    assert!(error.to_string().contains("too-large"), "just over the limit the guest hears of it: {error}");
    let hook = told("huge-body", |settings| settings.limits.output = ByteSize::mib(24));
    let outcome = on_one_core(hook.viewer_request(request("/", &[]), &facts())).unwrap();
    assert!(matches!(outcome, RequestOutcome::Respond(answer) if answer.body().len() == 24 << 20));
}

#[test]
fn the_bodies_of_one_call_are_bounded_together() {
    let hook = told("many-bodies", |settings| settings.limits.output = ByteSize::b((4 << 20) + 100));
    let outcome = on_one_core(hook.viewer_request(request("/", &[]), &facts())).unwrap();
    let RequestOutcome::Respond(answer) = outcome else { panic!("it went on") };
    assert_eq!(answer.body(), "4 then 4");
}

#[test]
fn a_body_over_the_hooks_limit_is_not_read() {
    on_one_core(async {
        let hook = told("read-all", |settings| settings.limits.body = ByteSize::b(4));
        let outcome = hook
            .origin_response(&request("/", &[]), response("text/plain", "hello"), &facts())
            .await
            .unwrap();
        assert_eq!(whole(outcome.response.into_body()).await, "too-large");
        let hook = told("read-all", |settings| settings.limits.body = ByteSize::b(5));
        let outcome = hook
            .origin_response(&request("/", &[]), response("text/plain", "hello"), &facts())
            .await
            .unwrap();
        assert_eq!(whole(outcome.response.into_body()).await, "5 bytes");
    });
}

/// A body that gives one chunk and then breaks, or never goes on.
#[derive(Debug)]
struct Half {
    first: Option<Bytes>,
    stalls: bool,
}

impl Body for Half {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.stalls { Poll::Pending } else { Poll::Ready(Some(Err(std::io::Error::other("gone")))) }
    }
}

#[test]
fn half_a_body_never_passes_for_a_whole_one() {
    on_one_core(async {
        let hook = told("read-and-pass", |_| {});
        let half = http::Response::new(Half { first: Some("half".into()), stalls: false });
        let failure = hook.origin_response(&request("/", &[]), half, &facts()).await.unwrap_err();
        assert_eq!(failure.error.token(), "hook-output");
        assert!(failure.error.to_string().contains("broke off"), "{failure}");
    });
}

#[test]
fn an_origin_that_stalls_ends_the_call_at_its_wall_limit() {
    on_one_core(async {
        let hook = told("read-and-pass", |settings| settings.limits.wall = Duration::from_millis(80));
        let stalled = http::Response::new(Half { first: Some("half".into()), stalls: true });
        let failure = hook.origin_response(&request("/", &[]), stalled, &facts()).await.unwrap_err();
        assert_eq!(failure.error.token(), "hook-timeout");
    });
}

#[test]
fn one_call_more_than_allowed_is_busy_and_the_place_is_free_again_after() {
    let hook = told("sleep", |settings| {
        settings.limits.concurrency = 1;
        settings.limits.queue = 0;
        settings.limits.wall = Duration::from_millis(200);
    });
    on_one_core(async {
        let (first, second) = tokio::join!(failure(&hook), failure(&hook));
        assert_eq!(first.token(), "hook-timeout");
        assert_eq!(second.token(), "hook-busy");
        let begin = Instant::now();
        // The timed-out call leaves its place at its next tick.
        while failure(&hook).await.token() == "hook-busy" {
            assert!(begin.elapsed() < Duration::from_secs(5), "the place was never given back");
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn calls_beyond_the_concurrency_wait_for_their_turn() {
    let hook = told("spin-5ms", |settings| settings.limits.concurrency = 1);
    let facts = facts();
    let call = || hook.viewer_request(request("/", &[]), &facts);
    let (first, second, third) = on_one_core(async { tokio::join!(call(), call(), call()) });
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
}

#[test]
fn all_hooks_together_hold_no_more_memory_than_the_node_gives_them() {
    let engine = Engine::new().unwrap();
    let load = |name| {
        let settings = settings(
            WasmSource::File(misbehaving().to_owned()),
            &[Event::ViewerRequest],
            &[("do", "rewrite")],
        );
        Hook::load(&engine, name, &settings).unwrap()
    };
    let (one, other) = (load("one"), load("other"));
    engine.limit_memory(1 << 10);
    for hook in [&one, &other] {
        let error = on_one_core(failure(hook));
        assert_eq!(error.token(), "hook-crowded");
        assert!(error.to_string().contains("limits.hook-memory"), "{error}");
    }
    engine.limit_memory(1 << 30);
    for _ in 0..50 {
        assert!(on_one_core(one.viewer_request(request("/", &[]), &facts())).is_ok());
    }
}

#[test]
fn a_core_with_looping_hooks_still_serves_others_at_once() {
    let looping = told("loop", |settings| settings.limits.cpu = Duration::from_secs(1));
    let quick = told("rewrite", |_| {});
    on_one_core(async {
        let others = async {
            let mut slowest = Duration::ZERO;
            for _ in 0..200 {
                let begin = Instant::now();
                quick.viewer_request(request("/", &[]), &facts()).await.unwrap();
                slowest = slowest.max(begin.elapsed());
                tokio::task::yield_now().await;
            }
            slowest
        };
        let loops = async {
            tokio::join!(failure(&looping), failure(&looping), failure(&looping), failure(&looping))
        };
        let (slowest, loops) = tokio::join!(others, loops);
        for error in [&loops.0, &loops.1, &loops.2, &loops.3] {
            assert_eq!(error.token(), "hook-deadline");
        }
        // Were the loops on this core, a call beside them would wait for a second at the least.
        assert!(slowest < Duration::from_millis(900), "{slowest:?}");
    });
}

#[test]
fn after_hundreds_of_failures_the_next_call_is_as_good_as_the_first() {
    let traps = told("trap", |_| {});
    let grows = told("grow", |settings| settings.limits.memory = ByteSize::mib(8));
    let good = told("rewrite", |_| {});
    on_one_core(async {
        for _ in 0..100 {
            assert_eq!(failure(&traps).await.token(), "hook-trap");
            assert_eq!(failure(&grows).await.token(), "hook-memory");
        }
        assert!(good.viewer_request(request("/", &[]), &facts()).await.is_ok());
    });
}

#[test]
fn a_call_that_nobody_waits_for_gives_its_place_back() {
    let hook = told("loop", |settings| {
        settings.limits.concurrency = 1;
        settings.limits.queue = 0;
        settings.limits.cpu = Duration::from_secs(600);
        settings.limits.wall = Duration::from_secs(600);
    });
    on_one_core(async {
        let gone = tokio::time::timeout(Duration::from_millis(30), failure(&hook)).await;
        assert!(gone.is_err(), "it loops");
        let begin = Instant::now();
        // Busy as long as the abandoned call holds the only place; then the next one loops there.
        while let Ok(error) = tokio::time::timeout(Duration::from_millis(5), failure(&hook)).await {
            assert_eq!(error.token(), "hook-busy");
            assert!(begin.elapsed() < Duration::from_secs(5), "the place was never given back");
        }
    });
}

#[test]
fn clock_and_random_numbers_work_without_files() {
    for task in ["random", "spin-5ms"] {
        let hook = told(task, |_| {});
        assert!(on_one_core(hook.viewer_request(request("/", &[]), &facts())).is_ok(), "{task}");
    }
}

fn load_error(wasm: WasmSource, on: &[Event]) -> String {
    let error = Hook::load(engine(), "broken", &settings(wasm, on, &[])).unwrap_err();
    assert_eq!(error.token(), "hook-load");
    let text = error.to_string();
    assert!(text.starts_with("hook \"broken\": "), "{text}");
    text
}

#[test]
fn what_cannot_be_a_hook_is_refused_at_load_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        WasmSource::File(path)
    };
    let on = [Event::ViewerRequest];
    assert!(load_error(WasmSource::File(folder.path().join("none.wasm")), &on).contains("cannot read"));
    assert!(load_error(WasmSource::Builtin("nothing".into()), &on).contains("builtin:thumbnail"));
    assert!(load_error(file("text.wasm", b"hello"), &on).contains("no WebAssembly file"));
    assert!(load_error(file("core.wasm", b"\0asm\x01\0\0\0"), &on).contains("wasm32-wasip2"));
    let empty = file("empty.wasm", b"\0asm\x0d\0\x01\0");
    assert!(load_error(empty, &on).contains("does not export selvedge:edge/viewer-request"));
    let editing = WasmSource::File(guest("editing"));
    let missing = load_error(editing, &[Event::ViewerRequest, Event::ViewerResponse]);
    assert!(missing.contains("selvedge:edge/viewer-response"), "{missing}");
}

#[test]
fn truncated_and_flipped_components_are_errors_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(support::misbehaving()).unwrap();
    for cut in [9, 100, 1000, good.len() / 2, good.len() - 1] {
        let path = folder.path().join("cut.wasm");
        std::fs::write(&path, &good[..cut]).unwrap();
        load_error(WasmSource::File(path), &[Event::ViewerRequest]);
    }
}

#[test]
fn limits_out_of_range_are_refused_at_load() {
    type Adjust = fn(&mut HookSettings);
    let cases: [(&str, Adjust); 4] = [
        ("limits.cpu", |settings| settings.limits.cpu = Duration::from_millis(1)),
        ("limits.wall", |settings| settings.limits.wall = Duration::MAX),
        ("limits.memory", |settings| settings.limits.memory = ByteSize::gib(5)),
        ("limits.concurrency", |settings| settings.limits.concurrency = 0),
    ];
    for (name, adjust) in cases {
        let mut settings = settings(WasmSource::Builtin("thumbnail".into()), &[Event::OriginRequest], &[]);
        adjust(&mut settings);
        let error = Hook::load(engine(), "broken", &settings).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
