//! From the text of one file to settings.

use std::ops::Range;

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue, Deserializer};

use super::document::Document;
use super::error::ConfigErrors;
use super::{Config, schema, wording};

/// Unknown keys are reported together, at most this many from one file.
const MAX_UNKNOWN_KEYS: usize = 20;

/// One file: its outline and its own settings, before files are merged and checked.
pub(crate) struct Parsed {
    pub(crate) document: Document,
    pub(crate) settings: Config,
}

/// Reads the text of one file. Every unknown key is an error of its own; anything else ends the reading.
pub(crate) fn parse(name: &str, text: &str) -> Result<Parsed, ConfigErrors> {
    let mut table = DeTable::parse(text).map_err(|error| wording::not_toml(name, text, &error))?;
    let document = Document::new(name, text, table.get_ref());
    let mut errors = schema::lists_for_tables(&document).or(ConfigErrors::default())?;
    for _ in 0..MAX_UNKNOWN_KEYS {
        let error = match Config::deserialize(Deserializer::from(table.clone())) {
            Ok(settings) => return errors.or(Parsed { document, settings }),
            Err(error) => error,
        };
        let unknown = wording::is_unknown_key(&error);
        if unknown || errors.is_empty() {
            errors.push(wording::explained(&document, &error));
        }
        // Reading on without the unknown key finds the next one, but also what the misspelt key leaves missing.
        let Some(span) = error.span().filter(|_| unknown) else { break };
        if !remove_key(table.get_mut(), &span) {
            break;
        }
    }
    Err(errors)
}

fn remove_key(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let found = table.keys().find(|key| key.span() == *span).map(|key| key.get_ref().to_string());
    match found {
        Some(key) => table.remove(key.as_str()).is_some(),
        None => table.iter_mut().any(|(_, value)| remove_below(value.get_mut(), span)),
    }
}

fn remove_below(value: &mut DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => remove_key(table, span),
        DeValue::Array(items) => items.iter_mut().any(|item| remove_below(item.get_mut(), span)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let errors = parse("a.toml", text).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_table_and_the_nearest_known_one() {
        let found = errors("[site.www]\norgin = \"http://127.0.0.1:9000\"\n");
        assert_eq!(found, ["a.toml:2:1: unknown key `orgin` in [site.www]\n  did you mean `origin`?"]);
    }

    #[test]
    fn all_unknown_keys_are_reported_at_once() {
        let found = errors("nod = 1\n[site.www]\norigin = \"http://a\"\nhots = []\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.toml:1:1: unknown key `nod` in the top level"), "{found:?}");
        assert!(found[1].starts_with("a.toml:4:1: unknown key `hots`"), "{found:?}");
    }

    #[test]
    fn a_duration_without_a_unit_is_told_the_units() {
        let found = errors("[node.limits]\nidle-timeout = \"60\"\n");
        assert!(found[0].starts_with("a.toml:2:16: node.limits.idle-timeout: "), "{found:?}");
        assert!(found[0].contains("\"250ms\""), "{found:?}");
        let found = errors("[node]\nmemory = \"2 gigs\"\n");
        assert!(
            found[0].starts_with("a.toml:2:10: node.memory: ") && found[0].contains("\"2GiB\""),
            "{found:?}"
        );
    }

    #[test]
    fn a_bare_word_is_told_to_stand_in_quotes() {
        let found = errors("[node]\nname = icn1\n");
        assert!(found[0].starts_with("a.toml:2:8: not TOML: `icn1` is no value"), "{found:?}");
        assert!(found[0].contains("in quotes"), "{found:?}");
    }

    #[test]
    fn a_key_that_stands_twice_is_named() {
        let found = errors("[node]\nname = \"a\"\nname = \"b\"\n");
        assert_eq!(found, ["a.toml:3:1: not TOML: `name` stands twice"]);
    }

    #[test]
    fn a_secret_in_the_config_is_not_repeated_in_the_error() {
        for text in ["[key.K]\npublic = \"s3cret\"", "[node]\nadmin-token = \"s3cret\""] {
            let found = errors(text);
            assert!(found[0].contains("{ env = \"NAME\" }") && !found[0].contains("s3cret"), "{found:?}");
        }
        let found = errors("[key.K]\npublic = { fil = \"a\" }");
        assert_eq!(found, ["a.toml:2:12: unknown key `fil` in [key.K.public]\n  did you mean `file`?"]);
        let found = errors("[key.K]\npublic = { file = \"a\", env = \"A\" }");
        assert_eq!(found, ["a.toml:2:10: key.K.public: one of env and file is wanted, not `env` and `file`"]);
    }

    #[test]
    fn types_are_told_in_words_of_the_config() {
        for (text, words) in [
            ("[[site.a]]\norigin = \"b\"", "a table is written [site.a] or { … }"),
            ("node = []", "a table is written [node] or { … }"),
            ("site = 1", "expected a table"),
            ("node = 1", "expected a table"),
            ("[node]\nthreads = -1", "expected a whole number"),
            ("[site.a]\nhosts = {}\norigin = \"b\"", "expected a list"),
        ] {
            let found = errors(text);
            assert!(found[0].ends_with(words), "{text}: {found:?}");
        }
    }
}
