//! How far hooks get beyond their limits: milliseconds from the limit to the answer, on the clock and of processor time. Those
//! without a time limit are told whole. `cargo bench -p hooks --bench containment`; on a busy machine the clock measures the
//! others too.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot run has failed, and it talks"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use hooks::{Hook, LimitSettings, Watch};
use support::{facts, on_one_core, request, told};

const CALLS: usize = 100;

/// A deed, the limit that it runs into, and what of that counts as allowed.
struct Case {
    task: &'static str,
    limit: &'static str,
    set: fn(&mut LimitSettings),
    allowed: Duration,
}

const CASES: [Case; 11] = [
    Case { task: "loop", limit: "cpu 20ms", set: cpu, allowed: Duration::from_millis(20) },
    Case { task: "flood-for-ever", limit: "cpu 20ms", set: cpu, allowed: Duration::from_millis(20) },
    Case { task: "fill", limit: "cpu 20ms", set: cpu, allowed: Duration::from_millis(20) },
    Case {
        task: "fill-much",
        limit: "cpu 200ms",
        set: |limits| limits.cpu = Duration::from_millis(200),
        allowed: Duration::from_millis(200),
    },
    Case { task: "loop", limit: "wall 20ms", set: wall, allowed: Duration::from_millis(20) },
    Case { task: "sleep", limit: "wall 20ms", set: wall, allowed: Duration::from_millis(20) },
    Case {
        task: "grow",
        limit: "memory 16MiB",
        set: |limits| limits.memory = ByteSize::mib(16),
        allowed: Duration::ZERO,
    },
    Case { task: "grow", limit: "memory 128MiB", set: |_| {}, allowed: Duration::ZERO },
    Case { task: "recurse", limit: "stack", set: |_| {}, allowed: Duration::ZERO },
    Case { task: "trap", limit: "-", set: |_| {}, allowed: Duration::ZERO },
    Case {
        task: "huge-answer",
        limit: "output 1MiB",
        set: |limits| limits.output = ByteSize::mib(1),
        allowed: Duration::ZERO,
    },
];

fn cpu(limits: &mut LimitSettings) {
    limits.cpu = Duration::from_millis(20);
}

fn wall(limits: &mut LimitSettings) {
    limits.wall = Duration::from_millis(20);
}

fn main() {
    println!("{:>16} {:>14}   clock: median, p99 (ms)   processor: median, p99 (ms)", "deed", "limit");
    for case in &CASES {
        let used = Arc::new(Mutex::new(Vec::new()));
        let hook = told(case.task, |settings| (case.set)(&mut settings.limits)).watched(noting(&used));
        let clock = on_one_core(clocked(&hook));
        let beyond = |times: Vec<Duration>| {
            let mut times: Vec<f64> =
                times.iter().map(|time| (time.as_secs_f64() - case.allowed.as_secs_f64()) * 1e3).collect();
            times.sort_by(f64::total_cmp);
            (times[times.len() / 2], times[times.len() * 99 / 100])
        };
        let ((clock, late), (processor, much)) =
            (beyond(clock), beyond(std::mem::take(&mut *used.lock().unwrap())));
        println!(
            "{:>16} {:>14}   {clock:8.2} {late:8.2}            {processor:8.2} {much:8.2}",
            case.task, case.limit
        );
    }
}

fn noting(used: &Arc<Mutex<Vec<Duration>>>) -> Watch {
    let used = Arc::clone(used);
    Watch::calls(move |call| used.lock().unwrap().push(call.cpu))
}

async fn clocked(hook: &Hook) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let begun = Instant::now();
        hook.viewer_request(request("/", &[]), &facts()).await.unwrap_err();
        times.push(begun.elapsed());
    }
    times
}
