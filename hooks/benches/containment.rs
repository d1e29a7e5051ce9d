//! How far hooks get beyond their limits: milliseconds from the limit to the answer, on the clock and of processor time. Of those
//! that run into a limit of memory, what the same guest takes that stops just before it (the median) is not counted; the others are
//! told whole. `cargo bench -p hooks --bench containment`; on a busy machine the clock measures the others too.
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
    allowed: Allowed,
}

/// What does not count as too much.
enum Allowed {
    Time(Duration),
    /// What this deed takes.
    Deed(&'static str),
}

const TICKS: Allowed = Allowed::Time(Duration::from_millis(20));
const NOTHING: Allowed = Allowed::Time(Duration::ZERO);

const CASES: [Case; 12] = [
    Case { task: "loop", limit: "cpu 20ms", set: cpu, allowed: TICKS },
    Case { task: "flood-for-ever", limit: "cpu 20ms", set: cpu, allowed: TICKS },
    Case { task: "fill", limit: "cpu 20ms", set: cpu, allowed: TICKS },
    Case {
        task: "fill-much",
        limit: "cpu 200ms",
        set: |limits| limits.cpu = Duration::from_millis(200),
        allowed: Allowed::Time(Duration::from_millis(200)),
    },
    Case {
        task: "copy-much",
        limit: "cpu 200ms",
        set: |limits| limits.cpu = Duration::from_millis(200),
        allowed: Allowed::Time(Duration::from_millis(200)),
    },
    Case { task: "loop", limit: "wall 20ms", set: wall, allowed: TICKS },
    Case { task: "sleep", limit: "wall 20ms", set: wall, allowed: TICKS },
    Case {
        task: "grow",
        limit: "memory 16MiB",
        set: |limits| limits.memory = ByteSize::mib(16),
        allowed: Allowed::Deed("grow-to-15"),
    },
    Case { task: "grow", limit: "memory 128MiB", set: |_| {}, allowed: Allowed::Deed("grow-to-127") },
    Case { task: "recurse", limit: "stack", set: |_| {}, allowed: NOTHING },
    Case { task: "trap", limit: "-", set: |_| {}, allowed: NOTHING },
    Case {
        task: "huge-answer",
        limit: "output 1MiB",
        set: |limits| limits.output = ByteSize::mib(1),
        allowed: NOTHING,
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
        let (clock, used) = times(case, case.task);
        let (clock_allowed, used_allowed) = match case.allowed {
            Allowed::Time(time) => (time, time),
            Allowed::Deed(task) => {
                let (clock, used) = times(case, task);
                (clock[CALLS / 2], used[CALLS / 2])
            }
        };
        let beyond = |times: &[Duration], allowed: Duration, place: usize| {
            (times[place].as_secs_f64() - allowed.as_secs_f64()) * 1e3
        };
        let [median, late] = [CALLS / 2, CALLS * 99 / 100];
        println!(
            "{:>16} {:>14}   {:8.2} {:8.2}            {:8.2} {:8.2}",
            case.task,
            case.limit,
            beyond(&clock, clock_allowed, median),
            beyond(&clock, clock_allowed, late),
            beyond(&used, used_allowed, median),
            beyond(&used, used_allowed, late),
        );
    }
}

/// How long each call took, and how much of the processor, sorted.
fn times(case: &Case, task: &str) -> (Vec<Duration>, Vec<Duration>) {
    let used = Arc::new(Mutex::new(Vec::new()));
    let hook = told(task, |settings| (case.set)(&mut settings.limits)).watched(noting(&used));
    let mut clock = on_one_core(clocked(&hook));
    let mut used = std::mem::take(&mut *used.lock().unwrap());
    clock.sort();
    used.sort();
    (clock, used)
}

fn noting(used: &Arc<Mutex<Vec<Duration>>>) -> Watch {
    let used = Arc::clone(used);
    Watch::calls(move |call| used.lock().unwrap().push(call.cpu))
}

async fn clocked(hook: &Hook) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let begun = Instant::now();
        drop(hook.viewer_request(request("/", &[]), &facts()).await);
        times.push(begun.elapsed());
    }
    times
}
