//! `selvedge hook list`: which hooks does a running node have?

use super::super::Exit;
use super::super::remote::{self, Call};
use serde_json::Value;
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    remote: remote::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    remote::call(&Call { method: "GET", path: "/hooks", body: None }, &arguments.remote, text)
}

fn text(hooks: &Value) -> String {
    let mut lines = String::new();
    for (name, hook) in hooks.as_object().into_iter().flatten() {
        let events = hook["on"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{name} at {}", events.collect::<Vec<_>>().join(", "));
    }
    if lines.is_empty() { "no hooks\n".to_owned() } else { lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_hook_has_a_line() {
        let hooks = json!({ "thumb": { "on": ["origin-request", "origin-response"] } });
        assert_eq!(text(&hooks), "thumb at origin-request, origin-response\n");
        assert_eq!(text(&json!({})), "no hooks\n");
    }
}
