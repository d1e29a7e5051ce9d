//! `selvedge hook logs`: what does a hook of a running node say, and why do calls of it fail?

use super::super::remote::{self, Unread};
use super::super::{Exit, data, talk};
use super::path;
use serde_json::Value;
use std::thread::sleep;
use std::time::Duration;

/// How often a node is asked for more.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The hook's name in the node's config
    #[arg(value_name = "NAME")]
    name: String,
    /// Go on with what it says from now on, until interrupted; a node that is restarted is waited for
    #[arg(long, short)]
    follow: bool,
    /// How many of the lines that are there already
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    lines: usize,
    #[command(flatten)]
    remote: remote::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut answer = match remote::get(&lines_after(0, arguments), &arguments.remote) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let mut shown = arguments.lines;
    loop {
        let lines = answer["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
        for line in &lines[lines.len().saturating_sub(shown)..] {
            data(&if arguments.remote.json { line.to_string() } else { told(line) });
        }
        if !arguments.follow {
            return Exit::Ok;
        }
        shown = usize::MAX;
        let path = lines_after(answer["last"].as_u64().unwrap_or_default(), arguments);
        answer = match next(&path, &arguments.remote) {
            Ok(answer) => answer,
            Err(exit) => return exit,
        };
    }
}

fn lines_after(number: u64, arguments: &Arguments) -> String {
    format!("{}?after={number}", path(&arguments.name, "/logs"))
}

/// What came since. A node that does not answer is waited for: it is restarted, perhaps, and its lines' numbers go on then.
fn next(path: &str, node: &remote::Arguments) -> Result<Value, Exit> {
    let mut is_waiting = false;
    loop {
        pause();
        match remote::look(path, node) {
            Ok(answer) => {
                if is_waiting {
                    talk("the node answers again");
                }
                return Ok(answer);
            }
            Err(Unread::Silent(why)) if !is_waiting => {
                talk(&format!("waiting until the node answers again: {why}"));
                is_waiting = true;
            }
            Err(Unread::Silent(_)) => {}
            Err(Unread::Over(exit)) => return Err(exit),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person looks on: there is no state to wait for, and nothing else to do"
)]
fn pause() {
    sleep(PAUSE);
}

fn told(line: &Value) -> String {
    let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let [time, version, event, request, level, text] =
        ["time", "version", "event", "request", "level", "text"].map(word);
    harmless(&format!("{time} {level:6} {event} {request} {version}: {text}"))
}

/// What a hook says as a terminal may get it: its control characters would move the cursor, or begin lines of their own.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hook_says_is_one_line_and_moves_no_cursor() {
        let line = serde_json::json!({ "time": "t", "level": "info", "event": "e", "request": "r", "version": "v",
            "text": "a\u{1b}[2Jb\nforged \u{9b}c" });
        assert_eq!(told(&line), "t info   e r v: a\\u{1b}[2Jb\\nforged \\u{9b}c");
    }
}
