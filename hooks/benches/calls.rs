//! What a call costs: microseconds of the whole process's processor time, by a hook that looks at one header field of
//! twelve and edits three. `cargo bench -p hooks`; rounds in turn, the median of each, the smallest and the largest. And what
//! loading a component costs, the thumbnail hook's: compiled, found on disk, shared; with the first call after it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot run has failed, and it talks"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use hooks::{Engine, EngineSettings, Event, Hook, RequestOutcome, WasmSource};
use http::request::Parts;
use rustix::time::{ClockId, clock_gettime};
use support::{engine, facts, guest, on_one_core, request, settings};

const ROUNDS: usize = 15;
const CALLS: u32 = 20_000;

fn main() {
    loads();
    calls();
}

fn loads() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(WasmSource::Builtin("thumbnail".into()), &[Event::OriginRequest], &[]);
    let load = |engine: &Engine, how: &str| {
        let begin = processor_time();
        let hook = Hook::load(engine, "thumb", &settings).unwrap();
        let loaded = processor_time();
        on_one_core(hook.origin_request(request("/cat.jpg?w=8&h=8", &[]), &facts())).unwrap();
        let called = processor_time();
        println!(
            "{how:>10}: {:7.3} ms to load, {:.3} ms for the first call",
            (loaded - begin).as_secs_f64() * 1e3,
            (called - loaded).as_secs_f64() * 1e3
        );
        hook
    };
    drop(load(&Engine::keeping(folder.path(), &EngineSettings::default()).unwrap().0, "compiled"));
    let engine = Engine::keeping(folder.path(), &EngineSettings::default()).unwrap().0;
    let _found = load(&engine, "from disk");
    load(&engine, "shared");
}

fn calls() {
    let load = |adjust: fn(&mut hooks::HookSettings)| {
        let mut settings = settings(WasmSource::File(guest("editing")), &[Event::ViewerRequest], &[]);
        settings.limits = hooks::LimitSettings::default();
        adjust(&mut settings);
        Hook::load(engine(), "editing", &settings).unwrap()
    };
    let subjects: [(&str, Option<Hook>); 3] = [
        ("no hook", None),
        ("fresh", Some(load(|_| {}))),
        ("reused", Some(load(|settings| settings.reuse = Some(hooks::ReuseSettings::default())))),
    ];
    let calls = std::env::var("CALLS").map_or(CALLS, |calls| calls.parse().unwrap());
    let rounds = std::env::var("ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut figures = vec![Vec::new(); subjects.len()];
    on_one_core(async {
        for _ in 0..rounds {
            for (subject, figures) in subjects.iter().zip(&mut figures) {
                figures.push(round(subject.1.as_ref(), calls).await);
            }
        }
    });
    for ((name, _), figures) in subjects.iter().zip(&mut figures) {
        figures.sort_by(f64::total_cmp);
        println!(
            "{name:>10}: {:6.2} µs a call ({:.2} to {:.2})",
            figures[figures.len() / 2],
            figures[0],
            figures[figures.len() - 1]
        );
    }
}

/// Microseconds a call.
async fn round(hook: Option<&Hook>, calls: u32) -> f64 {
    let (request, facts) = (twelve_headers(), facts());
    let begin = processor_time();
    for _ in 0..calls {
        let request = request.clone();
        match hook {
            None => drop(std::hint::black_box(request)),
            Some(hook) => {
                let outcome = hook.viewer_request(request, &facts).await.unwrap();
                assert!(
                    matches!(outcome, RequestOutcome::Next(parts, _) if parts.headers["x-device"] == "large")
                );
            }
        }
    }
    (processor_time() - begin).as_secs_f64() * 1e6 / f64::from(calls)
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

fn twelve_headers() -> Parts {
    let headers = [
        ("host", "www.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "ko-KR,ko;q=0.8,en-US;q=0.5,en;q=0.3"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("referer", "https://www.example.com/articles/2026/11/"),
        ("cookie", "session=9f86d081884c7d659a2feaa0c55ad015; theme=dark; seen=1763718000"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        ("if-none-match", "\"33a64df551425fcc55e4d42a148795d9f25f89d4\""),
        ("priority", "u=0, i"),
    ];
    request("/articles/2026/11/21/a-story.html?page=2", &headers)
}
