//! The parser's and the deserializer's errors in the words of the config, and keys and strings as TOML writes them.

use super::document::{Document, place};
use super::error::{ConfigError, ConfigErrors, did_you_mean};

/// A text that is no TOML.
pub(crate) fn not_toml(name: &str, text: &str, error: &toml::de::Error) -> ConfigErrors {
    let span = error.span().unwrap_or(0..0);
    let found = text.get(span.clone()).unwrap_or_default();
    let before = text.get(..span.start).unwrap_or_default();
    let (cause, hint) = match error.message() {
        "duplicate key" => (format!("`{found}` stands twice"), None),
        // The commonest slip of people who come from other formats.
        _ if before.trim_end().ends_with('=') && found.starts_with(char::is_alphabetic) => {
            let word =
                text.get(span.start..).unwrap_or_default().split_whitespace().next().unwrap_or_default();
            let hint = "strings stand in quotes: key = \"value\"".to_owned();
            (format!("`{word}` is no value"), Some(hint))
        }
        message => (message.to_owned(), None),
    };
    ConfigErrors::from(ConfigError {
        file: name.into(),
        place: error.span().map(|span| place(text, span.start)),
        message: format!("not TOML: {cause}"),
        hint,
    })
}

/// Whether the error is about a key that no setting has.
pub(crate) fn is_unknown_key(error: &toml::de::Error) -> bool {
    unknown_key(error.message()).is_some()
}

/// TOML that is no config.
pub(crate) fn explained(document: &Document, error: &toml::de::Error) -> ConfigError {
    let span = error.span();
    let path = span.as_ref().and_then(|span| document.path_of(span)).unwrap_or_default();
    let (message, hint) = in_our_words(document, error.message(), &path);
    ConfigError { hint, ..document.error(span.map(|span| document.place(span.start)), message) }
}

type Words = (String, Option<String>);

fn in_our_words(document: &Document, message: &str, path: &[String]) -> Words {
    if let Some((key, known)) = unknown_key(message) {
        return unknown_key_words(key, &known, path);
    }
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return (format!("missing key `{key}` in {}", table_name(path)), None);
    }
    let named = |words: String| if path.is_empty() { words } else { format!("{}: {words}", dotted(path)) };
    if message.starts_with("wanted exactly 1 element") {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let names: Vec<_> = document.names(&path).iter().map(|name| format!("`{name}`")).collect();
        let there = if names.is_empty() { "nothing".into() } else { names.join(" and ") };
        return (named(format!("one of env and file is wanted, not {there}")), None);
    }
    if let Some((word, known)) = listed(message, "unknown variant `") {
        let is_key = path.last().is_some_and(|key| key == word);
        return match known[..] {
            ["env", "file"] if is_key => unknown_key_words(word, &known, path),
            // What stands here may be a secret: it is not repeated.
            ["env", "file"] => {
                let hint = "write { env = \"NAME\" } or { file = \"PATH\" }".to_owned();
                (named("keys and secrets do not stand in the config itself".into()), Some(hint))
            }
            _ => {
                let near = did_you_mean(word, known.iter().copied());
                (named(format!("unknown value `{word}`")), near.or_else(|| known_list("values", &known)))
            }
        };
    }
    let (words, hint) = value_words(message);
    (named(words), hint)
}

fn unknown_key_words(key: &str, known: &[&str], path: &[String]) -> Words {
    let table = path.split_last().map_or(&[][..], |(_, table)| table);
    let hint = did_you_mean(key, known.iter().copied()).or_else(|| known_list("keys", known));
    (format!("unknown key `{key}` in {}", table_name(table)), hint)
}

/// What was expected of a value; for durations and sizes also how one is written.
fn value_words(message: &str) -> Words {
    const DURATION: &str = "a duration is a string with a unit, such as \"250ms\", \"3s\", \"10m\" or \"1d\"";
    const SIZE: &str = "a size is a string with a unit, such as \"1000B\", \"10MB\" or \"2GiB\"";
    let Some((before, expected)) = message.rsplit_once("expected ") else {
        return (message.into(), None);
    };
    let (expected, hint) = match expected {
        "a duration" => ("a duration", Some(DURATION)),
        // What `bytesize` says of a word without a known unit, and of what is no word.
        "parsable string" | "an integer or string" => ("a size", Some(SIZE)),
        "usize" | "u64" | "u32" | "u16" | "u8" => ("a whole number", None),
        "a sequence" => ("a list", None),
        "a map" => ("a table", None),
        _ if expected.starts_with("struct ") => ("a table", None),
        _ => (expected, None),
    };
    (format!("{before}expected {expected}"), hint.map(String::from))
}

/// The key that serde does not know and the keys that it does.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    listed(message, "unknown field `")
}

/// `` <before>word`, expected one of `a`, `b` `` or `` …, expected `a` or `b` `` or `` …, there are no … ``. The word
/// comes from the file and may hold anything; the known names are ours.
fn listed<'a>(message: &'a str, before: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let rest = message.strip_prefix(before)?;
    let (word, known) = rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once("`, there are no "))?;
    let names = known.split('`').skip(1).step_by(2).collect();
    Some((word, names))
}

fn known_list(what: &str, known: &[&str]) -> Option<String> {
    (!known.is_empty()).then(|| format!("known {what}: {}", known.join(", ")))
}

fn table_name(path: &[String]) -> String {
    if path.is_empty() {
        return "the top level".into();
    }
    format!("[{}]", dotted(path))
}

/// `site.www.route 2`: items of arrays count from 1, names with other characters stand in quotes. Below `errors`, numbers are statuses.
pub(crate) fn dotted(path: &[String]) -> String {
    let mut shown = String::new();
    for (depth, step) in path.iter().enumerate() {
        match step.parse::<usize>() {
            Ok(index) if depth > 0 && path[depth - 1] != "errors" => {
                shown.push_str(&format!(" {}", index.saturating_add(1)));
            }
            _ => {
                if depth > 0 {
                    shown.push('.');
                }
                shown.push_str(&key(step));
            }
        }
    }
    shown
}

/// A key as TOML writes it: bare where it may be, else quoted.
pub(crate) fn key(name: &str) -> String {
    let bare = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) {
        return name.into();
    }
    string(name)
}

/// A TOML basic string. JSON's escapes are a subset of TOML's, which forbids a bare DEL as well.
pub(crate) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_backticks_is_still_named_whole() {
        let (word, known) = unknown_key("unknown field `a`, expected `b`, expected one of `x`, `y`").unwrap();
        assert_eq!(word, "a`, expected `b");
        assert_eq!(known, ["x", "y"]);
    }

    #[test]
    fn paths_are_written_as_in_the_file() {
        let path = ["site", "a b", "route", "1", "cache"].map(String::from);
        assert_eq!(dotted(&path), "site.\"a b\".route 2.cache");
        let path = ["site", "a", "errors", "404", "page"].map(String::from);
        assert_eq!(dotted(&path), "site.a.errors.404.page");
        assert_eq!(string("a\"\u{7f}\n"), "\"a\\\"\\u007F\\n\"");
    }
}
