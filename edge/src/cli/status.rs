//! `selvedge status`: how is a running node?

use super::Exit;
use super::remote::{self, Arguments, Call};
use serde_json::Value;
use std::fmt::Write as _;

pub(super) fn run(arguments: &Arguments) -> Exit {
    remote::call(&Call { method: "GET", path: "/status", body: None }, arguments, text)
}

fn text(status: &Value) -> String {
    let cache = &status["cache"];
    let mut lines = format!(
        "node {} {}\ncache {} keys, {} bytes, {} bytes arriving\n",
        word(&status["node"]),
        word(&status["version"]),
        cache["keys"],
        cache["bytes"],
        cache["in_flight_bytes"],
    );
    // Writing to a String cannot fail.
    if let disk @ Value::Object(_) = &status["disk"] {
        let _ = writeln!(
            lines,
            "disk {} objects, {} bytes, {} bytes waiting, {} dropped, {} errors",
            disk["records"], disk["bytes"], disk["queued_bytes"], disk["dropped"], disk["errors"],
        );
    }
    for (name, hook) in status["hooks"].as_object().into_iter().flatten() {
        if let canary @ Value::Object(_) = &hook["canary"] {
            let percent = canary["percent"].as_f64().unwrap_or_default();
            let _ = writeln!(
                lines,
                "hook {name}: live {}, canary {} for {percent:.1} % of viewers, {} calls",
                word(&hook["live"]),
                word(&canary["version"]),
                canary["calls"].as_u64().unwrap_or_default(),
            );
        }
    }
    for (name, group) in status["groups"].as_object().into_iter().flatten() {
        let members = group["members"].as_array().map(Vec::as_slice).unwrap_or_default();
        for member in members {
            let _ = match members {
                [_] => writeln!(lines, "origin {name}: {}", standing(member)),
                _ => writeln!(lines, "origin {name}/{}: {}", word(&member["origin"]), standing(member)),
            };
        }
        if let budget @ Value::Object(_) = &group["retry_budget"] {
            let _ = writeln!(
                lines,
                "group {name}: {} failovers, {} more allowed now, {} not made because the budget was spent",
                group["failovers"], budget["left"], budget["refused"],
            );
        }
    }
    lines
}

/// `out, passed over for 900 ms more, last failure connection_refused; checks: down, status (503 …)`.
fn standing(member: &Value) -> String {
    let mut text = word(&member["state"]).to_owned();
    if let Some(skipped @ 1..) = member["skipped_for_ms"].as_u64() {
        let _ = write!(text, ", passed over for {skipped} ms more");
    }
    if let Some(failure) = member["last_failure"].as_str() {
        let _ = write!(text, ", last failure {failure}");
    }
    if let Some(is_up) = member["health"]["up"].as_bool() {
        let _ = write!(text, "; checks: {}", if is_up { "up" } else { "down" });
    }
    if let Some(failure) = member["health"]["last_failure"].as_str() {
        let _ = write!(text, ", {failure}");
    }
    text
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_names_each_origins_state() {
        let text = text(&json!({
            "node": "icn1", "version": "0.1.0",
            "cache": { "keys": 1, "bytes": 2, "in_flight_bytes": 0 },
            "hooks": {
                "quiet": { "live": "aaaaaaaaaaaa", "canary": null },
                "thumb": { "live": "aaaaaaaaaaaa", "canary": { "version": "bbbbbbbbbbbb", "percent": 5.0, "calls": 7 } },
            },
            "groups": {
                "main": {
                    "members": [
                        { "origin": "app", "state": "out", "last_failure": "connection_refused", "skipped_for_ms": 900,
                          "health": { "up": false, "last_failure": "status (503 is not in 200-399)" } },
                        { "origin": "spare", "state": "well", "last_failure": null, "skipped_for_ms": 0, "health": null },
                    ],
                    "failovers": 3, "retry_budget": { "left": 99, "refused": 1 },
                },
                "spare": { "members": [{ "origin": "spare", "state": "well" }], "retry_budget": null },
            },
        }));
        for line in [
            "origin main/app: out, passed over for 900 ms more, last failure connection_refused; checks: down, status (503 is not in 200-399)",
            "origin main/spare: well",
            "hook thumb: live aaaaaaaaaaaa, canary bbbbbbbbbbbb for 5.0 % of viewers, 7 calls",
            "group main: 3 failovers, 99 more allowed now, 1 not made because the budget was spent",
            "origin spare: well",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
