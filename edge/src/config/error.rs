//! What can be wrong with a config, each with its place, its cause and its remedy.

use std::fmt;

/// More errors than this are not collected: the first ones are what a person repairs.
const MAX_ERRORS: usize = 100;

/// A line and a column in a file; both count from 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// One thing that is wrong with the config; the fault is always the config's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as it was named on the command line or by `include`.
    pub file: String,
    /// Where in the file; `None` when the file as a whole is at fault (missing, not UTF-8).
    pub place: Option<Place>,
    /// The cause, in one line.
    pub message: String,
    /// What to do about it, if that can be known.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    /// `selvedge.toml:12:7: cause`, and the remedy on an indented line of its own.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", printable(&self.file))?;
        if let Some(place) = self.place {
            write!(formatter, ":{}:{}", place.line, place.column)?;
        }
        write!(formatter, ": {}", printable(&self.message))?;
        if let Some(hint) = &self.hint {
            for line in hint.lines() {
                write!(formatter, "\n  {}", printable(line))?;
            }
        }
        Ok(())
    }
}

/// Names and values in messages come from files: they must not drive the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_default());
            let plain = escaped.is_none().then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// Everything found wrong with a config, in the order of the files and lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    pub(crate) fn push(&mut self, error: ConfigError) {
        if !self.is_full() {
            self.errors.push(error);
        }
    }

    /// Whether more errors would not be kept: looking for them is work in vain.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= MAX_ERRORS
    }

    pub(crate) fn extend(&mut self, others: ConfigErrors) {
        for error in others.errors {
            self.push(error);
        }
    }

    /// `value` when nothing is wrong, else everything that is.
    pub(crate) fn or<T>(mut self, value: T) -> Result<T, ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(value);
        }
        // A stable sort: files stay in the order in which they were read.
        let mut files: Vec<String> = Vec::new();
        for error in &self.errors {
            if !files.contains(&error.file) {
                files.push(error.file.clone());
            }
        }
        let rank = |error: &ConfigError| files.iter().position(|file| *file == error.file);
        self.errors.sort_by_key(|error| (rank(error), error.place));
        Err(self)
    }

    /// The errors one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.errors.iter()
    }

    /// How many there are; never 0 in an `Err`.
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        ConfigErrors { errors: vec![error] }
    }
}

impl fmt::Display for ConfigErrors {
    /// One error after the other, each on lines of its own.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{error}")?;
        }
        if self.is_full() {
            write!(formatter, "\nthere may be more")?;
        }
        Ok(())
    }
}

/// `` did you mean `origin`? `` when one of `known` is close enough to `word` to be meant by it.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|name| format!("did you mean `{name}`?"))
}

fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are no typing mistakes, and comparing them costs length times length.
    const MAX_WORD: usize = 128;
    if word.len() > MAX_WORD {
        return None;
    }
    let lower = word.to_lowercase();
    known
        .into_iter()
        .filter(|name| name.len() <= MAX_WORD)
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(file: &str, line: usize, message: &str) -> ConfigError {
        ConfigError {
            file: file.into(),
            place: Some(Place { line, column: 7 }),
            message: message.into(),
            hint: None,
        }
    }

    #[test]
    fn an_error_names_place_cause_and_remedy() {
        let error = ConfigError {
            hint: Some("did you mean `origin`?".into()),
            ..error("selvedge.toml", 12, "unknown key `orgin` in [site.www]")
        };
        assert_eq!(
            error.to_string(),
            "selvedge.toml:12:7: unknown key `orgin` in [site.www]\n  did you mean `origin`?"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let shown = error("a.toml", 1, "unknown key `\u{1b}[31mred`").to_string();
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert!(shown.contains("\\u{1b}[31mred"), "{shown}");
    }

    #[test]
    fn errors_are_ordered_by_file_as_read_then_by_line() {
        let mut errors = ConfigErrors::default();
        errors.push(error("z.toml", 9, "late"));
        errors.push(error("a.toml", 1, "other file"));
        errors.push(error("z.toml", 2, "early"));
        let errors = errors.or(()).unwrap_err();
        let order: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(order, ["early", "late", "other file"]);
    }

    #[test]
    fn no_errors_give_the_value() {
        assert_eq!(ConfigErrors::default().or(7), Ok(7));
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["origin", "hosts", "tls"];
        assert_eq!(nearest("orgin", known), Some("origin"));
        assert_eq!(nearest("Hosts", known), Some("hosts"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest(&"o".repeat(100_000), known), None);
    }
}
