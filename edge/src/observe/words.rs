//! What hooks have said lately, for whoever writes and runs them: the last lines of each, however much it says.

use super::Observer;
use humantime_serde::re::humantime::format_rfc3339_millis;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a call failed is told in so many bytes at most.
const LONGEST_STORY: usize = 2048;

/// A line of a hook's log, or why a call failed.
#[derive(Debug, Clone, Serialize)]
pub struct Said {
    /// Grows from line to line of this hook, over restarts of the node too: at least the microseconds since 1970.
    pub number: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// The version that was called.
    pub version: String,
    /// The event; `request` of a component that answers requests.
    pub event: String,
    /// `X-Request-Id` of the request.
    pub request: String,
    /// `debug`, `info`, `warn`, `error`; `output` for what was written to standard output or error; `failed` for a call that did.
    pub level: &'static str,
    /// What was said.
    pub text: String,
}

/// The last lines of all hooks.
#[derive(Debug)]
pub(super) struct Words {
    all: Mutex<BTreeMap<String, Lines>>,
    /// Of one hook.
    kept: AtomicUsize,
}

impl Words {
    /// Keeps so many lines of each hook.
    pub(super) fn keeping(lines: usize) -> Self {
        Self { all: Mutex::default(), kept: AtomicUsize::new(lines) }
    }
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Said>,
    last: u64,
}

impl Words {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Lines>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, hook: &str, version: &str, call: &hooks::CallRecord<'_>, now: SystemTime) {
        let time = format_rfc3339_millis(now).to_string();
        let said = |level, text: &str| Said {
            number: 0,
            time: time.clone(),
            version: version.to_owned(),
            event: call.event.map_or("request", hooks::Event::as_str).to_owned(),
            request: call.request_id.to_owned(),
            level,
            text: text.to_owned(),
        };
        let most = self.kept.load(Relaxed);
        let mut all = self.all();
        let lines = all.entry(hook.to_owned()).or_default();
        lines.number_from(now);
        let mut keep = |said| lines.keep(said, most);
        if call.dropped > 0 {
            keep(said("warn", &format!("({} earlier lines of this call dropped)", call.dropped)));
        }
        call.lines.iter().for_each(|line| keep(said(line.level.as_str(), &line.text)));
        if let Some(error) = call.error {
            keep(said("failed", shortened(&error.to_string())));
        }
    }

    fn after(&self, hook: &str, number: u64) -> Vec<Said> {
        let all = self.all();
        let kept = all.get(hook).into_iter().flat_map(|lines| &lines.kept);
        kept.filter(|said| said.number > number).cloned().collect()
    }
}

impl Lines {
    /// Whoever follows the lines over a restart asks for those after a number of the node that was: had this one begun at 1
    /// again, its first lines would be lost on them.
    fn number_from(&mut self, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        self.last = self.last.max(u64::try_from(since).unwrap_or_default());
    }

    fn keep(&mut self, said: Said, most: usize) {
        self.last += 1;
        self.kept.push_back(Said { number: self.last, ..said });
        while self.kept.len() > most {
            self.kept.pop_front();
        }
    }
}

fn shortened(story: &str) -> &str {
    let mut end = story.len().min(LONGEST_STORY);
    while !story.is_char_boundary(end) {
        end -= 1;
    }
    &story[..end]
}

impl Observer {
    /// A call of a hook has logged something, or failed.
    pub fn hook_said(&self, hook: &str, version: &str, call: &hooks::CallRecord<'_>, now: SystemTime) {
        // A component that is an origin answers no event, and fails as origins do.
        if let (Some(error), Some(event)) = (call.error, call.event) {
            self.figures.hook_failed(hook, event, error.token());
        }
        self.words.note(hook, version, call, now);
    }

    /// Keeps so many lines of each hook from now on.
    pub fn keep_said(&self, lines: usize) {
        self.words.kept.store(lines, Relaxed);
    }

    /// What a hook has said since the line of this number, oldest first: of its last lines, as many as are kept.
    #[must_use]
    pub fn said_after(&self, hook: &str, number: u64) -> Vec<Said> {
        self.words.after(hook, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hooks::{CallRecord, Event, LogLevel, LogLine};
    use std::time::Duration;

    const KEPT: usize = 1000;

    fn call<'a>(lines: &'a [LogLine], dropped: u64) -> CallRecord<'a> {
        CallRecord {
            event: Some(Event::ViewerRequest),
            request_id: "r1",
            lines,
            dropped,
            lineage: None,
            cpu: Duration::ZERO,
            memory: 0,
            error: None,
        }
    }

    #[test]
    fn a_flood_keeps_the_last_lines_and_numbers_go_on() {
        let words = Words::keeping(KEPT);
        for number in 0..KEPT + 10 {
            let lines = [LogLine { level: LogLevel::Info, text: format!("line {number}") }];
            words.note("a", "v", &call(&lines, 0), UNIX_EPOCH);
        }
        let said = words.after("a", 0);
        assert_eq!((said.len(), said[0].number, said[0].text.as_str()), (KEPT, 11, "line 10"));
        assert_eq!(words.after("a", 1009).len(), 1);
        assert!(words.after("b", 0).is_empty(), "a hook has its own lines");
    }

    #[test]
    fn whoever_follows_over_a_restart_gets_the_first_line_of_the_new_node() {
        let started = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let line = |text: &str| LogLine { level: LogLevel::Info, text: text.into() };
        let (before, after) = (Words::keeping(KEPT), Words::keeping(KEPT));
        before.note("a", "v", &call(&[line("one"), line("two")], 0), started);
        let last = before.after("a", 0)[1].number;

        after.note("a", "v", &call(&[line("three")], 0), started + Duration::from_millis(1));
        after.note("a", "v", &call(&[line("four"), line("five")], 0), started + Duration::from_secs(1));

        let said: Vec<_> = after.after("a", last).into_iter().map(|said| said.text).collect();
        assert_eq!(said, ["three", "four", "five"]);
    }

    #[test]
    fn lines_that_a_call_lost_are_counted() {
        let words = Words::keeping(KEPT);
        words.note("a", "v", &call(&[LogLine { level: LogLevel::Warn, text: "x".into() }], 3), UNIX_EPOCH);
        let said = words.after("a", 0);
        assert!(said[0].text.contains("3 earlier lines"), "{said:?}");
        assert_eq!((said[1].level, said[1].time.as_str()), ("warn", "1970-01-01T00:00:00.000Z"));
    }
}
