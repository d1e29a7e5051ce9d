//! What a call costs: microseconds of the whole process's processor time, by a hook that looks at one header field of
//! twelve and edits three. Rounds in turn, the median of each, the smallest and the largest.

use std::time::Duration;

use hooks::{Hook, RequestOutcome};
use http::request::Parts;
use rustix::time::{ClockId, clock_gettime};

use crate::support::{facts, on_one_core, request};

/// Measures the subjects in turn, `calls` of each a round, and tells; no hook is what the others are compared with.
pub(crate) fn compare(subjects: &[(String, Option<Hook>)], calls: u32, rounds: usize) {
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
            "{name:>20}: {:7.2} µs a call ({:.2} to {:.2})",
            figures[figures.len() / 2],
            figures[0],
            figures[figures.len() - 1]
        );
    }
}

/// `name` from the environment, or what is usual.
pub(crate) fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str, usual: T) -> T {
    std::env::var(name).map_or(usual, |number| number.parse().unwrap())
}

/// Processor time of the process.
pub(crate) fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
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
