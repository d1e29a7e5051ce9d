//! Figures of hooks by version. Only those that serve, and the one before, have any: there are never many labels.

use super::origins::{family, label};
use crate::node::Node;
use crate::process;
use hooks::{CallsReport, SlotReport};
use std::fmt::Write;

/// The figures of versions in Prometheus' text format; nothing where there are no hooks.
#[must_use]
pub fn versions(node: &Node) -> String {
    let reports: Vec<_> = node.hooks.iter().map(|(name, slot)| (name, slot.report(process::now()))).collect();
    if reports.is_empty() { String::new() } else { text(&reports) }
}

fn text(reports: &[(&str, SlotReport)]) -> String {
    let mut text = String::new();
    let versions = || {
        reports.iter().flat_map(|(name, report)| {
            report.versions.iter().map(move |version| {
                (format!("{},{}", label("hook", name), label("version", version.version.as_str())), version)
            })
        })
    };
    let aliases = versions().flat_map(|(labels, version)| {
        version.aliases.iter().map(move |alias| (format!("{labels},{}", label("alias", alias)), 1))
    });
    let help = "Versions of hooks by what they are: live, canary, previous, config.";
    family(&mut text, ("selvedge_hook_version_info", help, "gauge"), aliases);
    let calls = |of: fn(&CallsReport) -> u64| {
        versions().flat_map(move |(labels, version)| {
            let at = move |calls: &CallsReport| (format!("{labels},event=\"{}\"", calls.event), of(calls));
            version.calls.iter().map(at).collect::<Vec<_>>()
        })
    };
    let help = "Calls of hooks, by version and event.";
    family(&mut text, ("selvedge_hook_calls_total", help, "counter"), calls(|calls| calls.calls));
    let help = "Calls of hooks that failed or made an error of their own, by version and event.";
    family(&mut text, ("selvedge_hook_errors_total", help, "counter"), calls(|calls| calls.failures));
    let (name, help) =
        ("selvedge_hook_seconds_total", "What calls of hooks took together, waiting included.");
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n");
    for (labels, nanoseconds) in calls(|calls| calls.nanoseconds) {
        let _ = writeln!(
            text,
            "{name}{{{labels}}} {}.{:09}",
            nanoseconds / 1_000_000_000,
            nanoseconds % 1_000_000_000
        );
    }
    let (name, help) = ("selvedge_hook_canary_percent", "Share of viewers that get the canary.");
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    for (hook, report) in reports {
        if let Some(canary) = &report.canary {
            let version = label("version", canary.version.as_str());
            let _ = writeln!(text, "{name}{{{},{version}}} {:.3}", label("hook", hook), canary.percent);
        }
    }
    let rollbacks = reports.iter().map(|(name, report)| (label("hook", name), report.automatic_rollbacks));
    let help = "Canaries that the node took back by itself.";
    family(&mut text, ("selvedge_hook_rollbacks_total", help, "counter"), rollbacks);
    text
}
