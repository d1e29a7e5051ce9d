//! `selvedge hook …`: the loop of whoever writes and runs hooks, one verb per file.

mod bench;
mod borrows;
mod build;
mod deploy;
mod folder;
mod joined;
mod kv;
mod language;
mod list;
mod logs;
mod new;
mod promote;
mod rollback;
mod sections;
mod test;

use super::Exit;
use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give a running node another version of a hook: to all viewers at once, or on trial with some
    Deploy(Box<deploy::Arguments>),
    /// Make the canary of a hook live
    Promote(promote::Arguments),
    /// Take the canary of a hook back, or go back to a version that is named
    Rollback(rollback::Arguments),
    /// Begin a hook: a folder with a program, its cases and a config
    New(new::Arguments),
    /// Build a hook's component with the tools of its language
    Build(build::Arguments),
    /// Play the cases of a hook's folder against the real engine
    Test(test::Arguments),
    /// Measure what calls of a hook cost, by its cases
    Bench(bench::Arguments),
    /// What a hook of a running node says, and why calls of it fail
    Logs(logs::Arguments),
    /// Look into the key-value stores of a running node, and change what is there
    Kv(kv::Arguments),
    /// Show the hooks of a running node, their versions and how canaries do
    List(list::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.verb {
        Verb::Deploy(arguments) => deploy::run(arguments),
        Verb::Promote(arguments) => promote::run(arguments),
        Verb::Rollback(arguments) => rollback::run(arguments),
        Verb::New(arguments) => new::run(arguments),
        Verb::Build(arguments) => build::run(arguments),
        Verb::Test(arguments) => test::run(arguments),
        Verb::Bench(arguments) => bench::run(arguments),
        Verb::Logs(arguments) => logs::run(arguments),
        Verb::Kv(arguments) => kv::run(arguments),
        Verb::List(arguments) => list::run(arguments),
    }
}

/// Where a hook is in the admin API. Its name may hold anything.
fn path(name: &str, verb: &str) -> String {
    format!("/hooks/{}{verb}", encoded(name))
}

/// RFC 3986 §2.1: all but unreserved characters.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_stay_what_they_are() {
        assert_eq!(path("a/b c", "/deploy"), "/hooks/a%2Fb%20c/deploy");
        assert_eq!(encoded("x-canary: 1&+ü"), "x-canary%3A%201%26%2B%C3%BC");
    }
}
