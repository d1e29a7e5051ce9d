//! Figures that hooks keep of themselves, for `/metrics`. They go on over reloads.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

const MAX_NAME_BYTES: usize = 64;
/// Upper bounds of the histogram: whatever is measured, in seconds or in bytes, has a few of them around it.
const BOUNDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 100.0, 1_000.0, 10_000.0,
    100_000.0,
];

/// The figures of all hooks of a node.
#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<BTreeMap<String, Arc<HookFigures>>>);

/// Those of one hook.
#[derive(Debug, Default)]
pub(crate) struct HookFigures {
    /// Names of counters and of values together.
    names: AtomicUsize,
    limit: AtomicUsize,
    counters: RwLock<BTreeMap<String, AtomicU64>>,
    values: RwLock<BTreeMap<String, Histogram>>,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    /// Bits of an `f64`.
    sum: AtomicU64,
}

impl Figures {
    /// Those of the hook of this name, which may have `limit` names from now on.
    pub(crate) fn of(&self, hook: &str, limit: usize) -> Arc<HookFigures> {
        let mut hooks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = hooks.entry(hook.to_owned()).or_default();
        figures.limit.store(limit, Relaxed);
        Arc::clone(figures)
    }

    /// In Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let hooks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = head(&mut text, "selvedge_hook_counter_total", "counter", "What hooks count.");
        hooks.iter().for_each(|(hook, figures)| figures.write_counters(&mut text, hook));
        let _ = head(&mut text, "selvedge_hook_value", "histogram", "What hooks measure.");
        hooks.iter().for_each(|(hook, figures)| figures.write_values(&mut text, hook));
        let help = "Figures of hooks that had no place or no valid name.";
        let _ = head(&mut text, "selvedge_hook_figures_dropped_total", "counter", help);
        for (hook, figures) in hooks.iter() {
            let dropped = figures.dropped.load(Relaxed);
            let _ = writeln!(text, "selvedge_hook_figures_dropped_total{{hook={hook:?}}} {dropped}");
        }
        text
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n")
}

impl HookFigures {
    pub(crate) fn count(&self, name: &str, by: u64) {
        self.with(&self.counters, name, |counter| {
            counter.fetch_add(by, Relaxed);
        });
    }

    pub(crate) fn observe(&self, name: &str, value: f64) {
        if !value.is_finite() || value < 0.0 {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        self.with(&self.values, name, |histogram| histogram.add(value));
    }

    /// Most names are there already, so most calls share the lock.
    fn with<T: Default>(&self, all: &RwLock<BTreeMap<String, T>>, name: &str, note: impl Fn(&T)) {
        if let Some(there) = all.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return note(there);
        }
        if !is_name(name) {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = all.get(name) {
            return note(there);
        }
        if !self.has_room() {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        note(all.entry(name.to_owned()).or_default());
    }

    fn has_room(&self) -> bool {
        let limit = self.limit.load(Relaxed);
        self.names.fetch_update(Relaxed, Relaxed, |names| (names < limit).then_some(names + 1)).is_ok()
    }

    fn write_counters(&self, text: &mut String, hook: &str) {
        for (name, count) in self.counters.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let count = count.load(Relaxed);
            let _ = writeln!(text, "selvedge_hook_counter_total{{hook={hook:?},name={name:?}}} {count}");
        }
    }

    fn write_values(&self, text: &mut String, hook: &str) {
        for (name, histogram) in self.values.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = histogram.write(text, &format!("hook={hook:?},name={name:?}"));
        }
    }
}

impl Histogram {
    fn add(&self, value: f64) {
        if let Some(at) = BOUNDS.iter().position(|bound| value <= *bound) {
            self.buckets[at].fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        let add = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        // Never gives up: `add` always has an answer.
        let _ = self.sum.fetch_update(Relaxed, Relaxed, add);
    }

    fn write(&self, text: &mut String, labels: &str) -> std::fmt::Result {
        let mut below = 0;
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            below += bucket.load(Relaxed);
            writeln!(text, "selvedge_hook_value_bucket{{{labels},le=\"{bound}\"}} {below}")?;
        }
        let (count, sum) = (self.count.load(Relaxed), f64::from_bits(self.sum.load(Relaxed)));
        writeln!(text, "selvedge_hook_value_bucket{{{labels},le=\"+Inf\"}} {count}")?;
        writeln!(text, "selvedge_hook_value_sum{{{labels}}} {sum}")?;
        writeln!(text, "selvedge_hook_value_count{{{labels}}} {count}")
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hooks_count_and_measure_is_told_by_hook_and_name() {
        let figures = Figures::default();
        let bots = figures.of("bots", 8);
        bots.count("blocked", 2);
        bots.count("blocked", 3);
        bots.observe("score", 0.3);
        bots.observe("score", 1e9);
        figures.of("other", 8).count("blocked", 1);
        let text = figures.text();
        for line in [
            "selvedge_hook_counter_total{hook=\"bots\",name=\"blocked\"} 5",
            "selvedge_hook_counter_total{hook=\"other\",name=\"blocked\"} 1",
            "selvedge_hook_value_bucket{hook=\"bots\",name=\"score\",le=\"0.25\"} 0",
            "selvedge_hook_value_bucket{hook=\"bots\",name=\"score\",le=\"0.5\"} 1",
            "selvedge_hook_value_bucket{hook=\"bots\",name=\"score\",le=\"+Inf\"} 2",
            "selvedge_hook_value_sum{hook=\"bots\",name=\"score\"} 1000000000.3",
            "selvedge_hook_figures_dropped_total{hook=\"bots\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn names_are_bounded_and_what_has_no_place_is_counted() {
        let figures = Figures::default();
        let hook = figures.of("h", 2);
        hook.count("a", 1);
        hook.observe("b", 1.0);
        for _ in 0..3 {
            hook.count("c", 1);
        }
        for name in ["", "a b", "a\"}", "é", &"x".repeat(65)] {
            hook.count(name, 1);
        }
        hook.observe("b", f64::NAN);
        hook.observe("b", -1.0);
        hook.count("a", 1);
        let text = figures.text();
        assert!(text.contains("name=\"a\"} 2") && !text.contains("name=\"c\""), "{text}");
        assert!(text.contains("selvedge_hook_figures_dropped_total{hook=\"h\"} 10"), "{text}");
        figures.of("h", 3).count("c", 1);
        assert!(figures.text().contains("name=\"c\"} 1"), "a reload may raise the limit");
    }
}
