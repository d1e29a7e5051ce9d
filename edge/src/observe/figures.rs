//! Counters and gauges, named as Prometheus wants them.

use super::CacheStatus;
use super::origins::{self, label};
use super::tunnels::Tunnels;
use cache::disk::DiskStatistics;
use hooks::Event;
use http::StatusCode;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const CACHE: [&str; 11] = [
    "hit",
    "disk",
    "stale",
    "miss",
    "expired",
    "demanded",
    "collapsed",
    "revalidated",
    "stale-if-error",
    "bypass",
    "none",
];

/// What the cache says about itself at the moment of asking.
pub type CacheFigure = cache::Statistics;

#[derive(Debug, Default)]
pub(super) struct Figures {
    classes: [AtomicU64; CLASSES.len()],
    cache: [AtomicU64; CACHE.len()],
    reasons: Mutex<BTreeMap<&'static str, u64>>,
    unstored: Mutex<BTreeMap<&'static str, u64>>,
    attempts: Mutex<BTreeMap<&'static str, u64>>,
    derived: Mutex<BTreeMap<&'static str, u64>>,
    fetched: Mutex<BTreeMap<&'static str, u64>>,
    purges: Mutex<BTreeMap<&'static str, u64>>,
    purged: Mutex<BTreeMap<&'static str, u64>>,
    /// Failures of hooks, by hook, event and reason.
    hooks: Mutex<BTreeMap<(String, &'static str, &'static str), u64>>,
    pub(super) tunnels: Tunnels,
}

impl Figures {
    pub(super) fn request(&self, status: StatusCode, cache: Option<CacheStatus>) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.classes[class].fetch_add(1, Relaxed);
        let token = cache.map_or("none", CacheStatus::token);
        if let Some(at) = CACHE.iter().position(|name| *name == token) {
            self.cache[at].fetch_add(1, Relaxed);
        }
    }

    pub(super) fn reason(&self, token: &'static str) {
        count(&self.reasons, token);
    }

    pub(super) fn unstored(&self, reason: &'static str) {
        count(&self.unstored, reason);
    }

    pub(super) fn derived(&self, outcome: &'static str) {
        count(&self.derived, outcome);
    }

    pub(super) fn fetched(&self, outcome: &'static str) {
        count(&self.fetched, outcome);
    }

    pub(super) fn hook_failed(&self, hook: &str, event: Event, reason: &'static str) {
        let mut counts = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((hook.to_owned(), event.as_str(), reason)).or_default() += 1;
    }

    /// What hooks failed with, in all their versions.
    fn of_hooks(&self, text: &mut String) {
        let counts = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = counts.iter().map(|((hook, event, reason), count)| {
            (format!("{},event=\"{event}\",reason=\"{reason}\"", label("hook", hook)), *count)
        });
        let help = "Calls of hooks that failed, by hook, event and reason.";
        origins::family(text, ("selvedge_hook_failures_total", help, "counter"), samples);
    }

    pub(super) fn attempt(&self, token: &'static str) {
        count(&self.attempts, token);
    }

    /// A purge and how many objects it took; what was only counted took none.
    pub(super) fn purge(&self, kind: &'static str, effect: &'static str, objects: u64) {
        count(&self.purges, kind);
        if effect != "dry-run" {
            add(&self.purged, effect, objects);
        }
    }

    pub(super) fn text(&self, cache: super::CacheFigure, lines_dropped: u64) -> String {
        let mut text = String::new();
        let class = CLASSES.iter().zip(&self.classes).map(|(name, count)| (*name, count.load(Relaxed)));
        family(&mut text, "selvedge_requests_total", "Requests answered, by status class.", "class", class);
        let outcomes = CACHE.iter().zip(&self.cache).map(|(name, count)| (*name, count.load(Relaxed)));
        family(
            &mut text,
            "selvedge_cache_total",
            "Requests answered, by what the cache did.",
            "cache",
            outcomes,
        );
        family(
            &mut text,
            "selvedge_unstored_total",
            "Answers of origins that were not stored, by the rule that forbids it.",
            "reason",
            all(&self.unstored),
        );
        family(
            &mut text,
            "selvedge_faults_total",
            "Requests that failed, by reason.",
            "reason",
            all(&self.reasons),
        );
        family(
            &mut text,
            "selvedge_origin_failures_total",
            "Attempts at origins that failed, by reason (RFC 9209).",
            "reason",
            all(&self.attempts),
        );
        family(
            &mut text,
            "selvedge_derived_total",
            "Objects that hooks make and stores keep, by what became of them.",
            "outcome",
            all(&self.derived),
        );
        family(
            &mut text,
            "selvedge_hook_fetches_total",
            "Requests of hooks to origins, by what came of them.",
            "outcome",
            all(&self.fetched),
        );
        family(&mut text, "selvedge_purges_total", "Purges asked for, by kind.", "kind", all(&self.purges));
        family(
            &mut text,
            "selvedge_purged_objects_total",
            "Objects that purges made stale or removed.",
            "effect",
            all(&self.purged),
        );
        for (name, help, kind, value) in [
            ("selvedge_cache_keys", "Keys held by the cache.", "gauge", cache.keys),
            ("selvedge_cache_bytes", "Bytes held by the cache.", "gauge", cache.stored_bytes),
            ("selvedge_tag_index_entries", "Pairs of purge tag and object.", "gauge", cache.tag_postings),
            (
                "selvedge_tags_dropped_total",
                "Purge tags that were too many, too long or not readable.",
                "counter",
                cache.tags_dropped,
            ),
            ("selvedge_fill_bytes", "Bytes of bodies that are arriving.", "gauge", cache.in_flight_bytes),
            ("selvedge_tunnels", "Tunnels open or being opened.", "gauge", self.tunnels.open.load(Relaxed)),
            (
                "selvedge_tunnels_ended_total",
                "Tunnels that were open and have ended.",
                "counter",
                self.tunnels.ended.load(Relaxed),
            ),
            (
                "selvedge_tunnel_viewer_bytes_total",
                "Bytes that ended tunnels brought to viewers.",
                "counter",
                self.tunnels.to_viewers.load(Relaxed),
            ),
            (
                "selvedge_tunnel_origin_bytes_total",
                "Bytes that ended tunnels brought to origins.",
                "counter",
                self.tunnels.to_origins.load(Relaxed),
            ),
            (
                "selvedge_log_lines_dropped_total",
                "Log lines that nobody read in time.",
                "counter",
                lines_dropped,
            ),
        ] {
            figure(&mut text, name, help, kind, value);
        }
        self.of_hooks(&mut text);
        if let Some(disk) = &cache.disk {
            of_disk(&mut text, disk);
        }
        text
    }
}

fn of_disk(text: &mut String, disk: &DiskStatistics) {
    for (name, help, kind, value) in [
        ("objects", "Objects held on disk, variants each for itself.", "gauge", disk.records),
        ("bytes", "Bytes that the disk tier takes.", "gauge", disk.bytes),
        ("queued_bytes", "Bytes that wait to be written to disk.", "gauge", disk.queued_bytes),
        ("hits_total", "Lookups that found something on disk.", "counter", disk.hits),
        ("misses_total", "Lookups that found nothing on disk.", "counter", disk.misses),
        ("written_total", "Objects written to disk.", "counter", disk.written),
        ("written_bytes_total", "Bytes written to disk.", "counter", disk.written_bytes),
        ("dropped_total", "Objects too large or too many at once for the disk.", "counter", disk.dropped),
        ("damaged_total", "Objects on disk that were not what was written.", "counter", disk.damaged),
        ("errors_total", "What the operating system refused the disk tier.", "counter", disk.errors),
    ] {
        figure(text, &format!("selvedge_disk_{name}"), help, kind, value);
    }
}

fn figure(text: &mut String, name: &str, help: &str, kind: &str, value: u64) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

fn count(counts: &Mutex<BTreeMap<&'static str, u64>>, token: &'static str) {
    add(counts, token, 1);
}

fn add(counts: &Mutex<BTreeMap<&'static str, u64>>, token: &'static str, more: u64) {
    *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(token).or_default() += more;
}

fn all(counts: &Mutex<BTreeMap<&'static str, u64>>) -> Vec<(&'static str, u64)> {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.iter().map(|(token, count)| (*token, *count)).collect()
}

fn family(
    text: &mut String,
    name: &str,
    help: &str,
    label: &str,
    counts: impl IntoIterator<Item = (&'static str, u64)>,
) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n");
    for (value, count) in counts {
        let _ = writeln!(text, "{name}{{{label}=\"{value}\"}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_outcome_has_a_counter() {
        let figures = Figures::default();
        for (status, cache) in [
            (200, Some(CacheStatus::Hit(Duration::ZERO))),
            (200, Some(CacheStatus::StaleIfError(Duration::ZERO))),
            (503, None),
        ] {
            figures.request(StatusCode::from_u16(status).unwrap(), cache);
        }
        figures.reason("loop");
        figures.purge("tag", "soft", 3);
        figures.purge("tag", "dry-run", 7);
        let cache = super::super::CacheFigure {
            keys: 3,
            stored_bytes: 2,
            in_flight_bytes: 1,
            tag_postings: 4,
            tags_dropped: 5,
            disk: Some(DiskStatistics { records: 6, ..DiskStatistics::default() }),
        };
        let text = figures.text(cache, 0);
        for line in [
            "selvedge_requests_total{class=\"2xx\"} 2",
            "selvedge_requests_total{class=\"5xx\"} 1",
            "selvedge_cache_total{cache=\"hit\"} 1",
            "selvedge_cache_total{cache=\"stale-if-error\"} 1",
            "selvedge_cache_total{cache=\"none\"} 1",
            "selvedge_faults_total{reason=\"loop\"} 1",
            "selvedge_purges_total{kind=\"tag\"} 2",
            "selvedge_purged_objects_total{effect=\"soft\"} 3",
            "selvedge_cache_keys 3",
            "selvedge_disk_objects 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
