//! `selvedge hook list`: which hooks does a running node have, in which versions, and how do canaries do?

use super::super::Exit;
use super::super::remote::{self, Call};
use super::path;
use serde_json::Value;
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Only this one, with its versions and what was done
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    remote: remote::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.name {
        None => remote::call(&Call { method: "GET", path: "/hooks", body: None }, &arguments.remote, all),
        Some(name) => {
            let path = path(name, "");
            let call = Call { method: "GET", path: &path, body: None };
            remote::call(&call, &arguments.remote, |hook| one(name, hook))
        }
    }
}

fn all(hooks: &Value) -> String {
    let hooks = hooks.as_object().into_iter().flatten();
    let lines: String = hooks.map(|(name, hook)| standing(name, hook)).collect();
    if lines.is_empty() { "no hooks\n".to_owned() } else { lines }
}

/// A hook's line, and its canary's.
pub(super) fn standing(name: &str, hook: &Value) -> String {
    let events = list(&hook["on"]);
    let mut lines = format!("{name} at {events}: live {}\n", word(&hook["live"]));
    if let canary @ Value::Object(_) = &hook["canary"] {
        lines.push_str(&on_trial(canary));
    }
    lines
}

fn on_trial(canary: &Value) -> String {
    let percent = canary["percent"].as_f64().unwrap_or_default();
    let mut line = format!("  canary {} for {percent:.1} % of viewers", word(&canary["version"]));
    // Writing to a String cannot fail.
    if let Some(header) = canary["header"].as_str() {
        let _ = write!(line, " and who sends {header}");
    }
    if let Some(left) = canary["ramp_left_s"].as_u64() {
        let _ = write!(line, ", {} % in {left} s", canary["ramp_to"]);
    }
    line.push('\n');
    for event in canary["events"].as_array().into_iter().flatten() {
        let _ = writeln!(
            line,
            "    at {}: canary {}; live {}",
            word(&event["event"]),
            failures(&event["canary"], &event["canary_p99"]),
            failures(&event["live"], &event["live_p99"]),
        );
    }
    line
}

/// `3 of 500 calls failed (0.05 % to 2.30 %), p99 800 to 1300 us`: what was seen, and between what it surely lies.
fn failures(rate: &Value, slowness: &Value) -> String {
    let percent = |name: &str| rate[name].as_f64().unwrap_or_default() * 100.0;
    let (low, high) = (percent("at_least"), percent("at_most"));
    let mut text =
        format!("{} of {} calls failed ({low:.2} % to {high:.2} %)", rate["failures"], rate["calls"]);
    if let Some(at_most) = slowness["at_most_us"].as_u64() {
        let _ = write!(text, ", p99 {} to {at_most} us", slowness["at_least_us"]);
    }
    text
}

fn one(name: &str, hook: &Value) -> String {
    let mut lines = standing(name, hook);
    for version in hook["versions"].as_array().into_iter().flatten() {
        let aliases = list(&version["aliases"]);
        let _ = write!(lines, "version {} {} bytes", word(&version["version"]), version["bytes"]);
        if !aliases.is_empty() {
            let _ = write!(lines, ", {aliases}");
        }
        if let Some(note) = version["note"].as_str() {
            let _ = write!(lines, ": {note}");
        }
        lines.push('\n');
    }
    for change in hook["history"].as_array().into_iter().flatten() {
        let at = change["at_ms"].as_u64().unwrap_or_default();
        let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(at);
        let at = humantime_serde::re::humantime::format_rfc3339_seconds(at);
        let (what, version, words) =
            (word(&change["what"]), word(&change["version"]), word(&change["words"]));
        let _ = writeln!(lines, "{at} {what} {version}: {words}");
    }
    lines
}

fn list(values: &Value) -> String {
    values.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_hook_is_told_with_its_canary_versions_and_history() {
        let rate =
            |failures| json!({ "calls": 500, "failures": failures, "at_least": 0.0005, "at_most": 0.023 });
        let hook = json!({
            "on": ["origin-request", "origin-response"], "live": "aaaaaaaaaaaa",
            "canary": {
                "version": "bbbbbbbbbbbb", "percent": 5.0, "header": "x-canary: 1", "ramp_to": 100.0, "ramp_left_s": 60,
                "events": [{
                    "event": "origin-request", "canary": rate(3), "live": rate(0),
                    "canary_p99": { "at_least_us": 800, "at_most_us": 1300 }, "live_p99": { "at_least_us": 0, "at_most_us": null },
                }],
            },
            "versions": [{ "version": "aaaaaaaaaaaa", "bytes": 9, "aliases": ["live", "config"], "note": "first" }],
            "history": [{ "at_ms": 0, "what": "canary", "version": "bbbbbbbbbbbb", "words": "5 percent of viewers" }],
        });
        assert_eq!(
            one("thumb", &hook),
            "thumb at origin-request, origin-response: live aaaaaaaaaaaa\n  \
             canary bbbbbbbbbbbb for 5.0 % of viewers and who sends x-canary: 1, 100.0 % in 60 s\n    \
             at origin-request: canary 3 of 500 calls failed (0.05 % to 2.30 %), p99 800 to 1300 us; \
             live 0 of 500 calls failed (0.05 % to 2.30 %)\n\
             version aaaaaaaaaaaa 9 bytes, live, config: first\n\
             1970-01-01T00:00:00Z canary bbbbbbbbbbbb: 5 percent of viewers\n"
        );
        assert_eq!(all(&json!({})), "no hooks\n");
    }
}
