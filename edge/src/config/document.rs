//! The config files as they were written: where each key and value stands, and which are there at all.
//!
//! Settings carry no positions; an error names its key path and asks here for the line and column.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};

/// One config file: its name in messages, its text, and the outline of what it says.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
    root: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    key: Range<usize>,
    value: Node,
}

#[derive(Debug, Clone)]
struct Node {
    span: Range<usize>,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Scalar,
    Array(Vec<Node>),
    Table(BTreeMap<String, Entry>),
}

impl Document {
    /// The outline of a parsed file.
    pub(crate) fn new(name: &str, text: &str, table: &DeTable<'_>) -> Self {
        Document { name: name.into(), text: text.into(), root: entries(table) }
    }

    /// The place of a byte offset of the text.
    pub(crate) fn place(&self, offset: usize) -> Place {
        place(&self.text, offset)
    }

    /// The key path of the key or value that stands at `span`, its own name last.
    pub(crate) fn path_of(&self, span: &Range<usize>) -> Option<Vec<String>> {
        path_in(&self.root, span)
    }

    fn find(&self, path: &[&str]) -> Option<Found<'_>> {
        let (first, rest) = path.split_first()?;
        let entry = self.root.get(*first)?;
        let mut found = Found { key: &entry.key, node: &entry.value };
        for step in rest {
            found = found.step(step)?;
        }
        Some(found)
    }

    /// The names under a table, such as the sites of `["site"]`.
    pub(crate) fn names(&self, path: &[&str]) -> Vec<&str> {
        let table = match path {
            [] => Some(&self.root),
            _ => self.find(path).and_then(|found| match &found.node.shape {
                Shape::Table(table) => Some(table),
                _ => None,
            }),
        };
        table.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    /// Calls `found` with the key path and the byte offset of every list.
    pub(crate) fn each_list(&self, found: &mut impl FnMut(&[String], usize)) {
        lists_in(&self.root, &mut Vec::new(), found);
    }

    /// An error at the key of `path`.
    pub(crate) fn error_at_key(&self, path: &[&str], message: String) -> ConfigError {
        let place = self.find(path).map(|found| self.place(found.key.start));
        self.error(place, message)
    }

    /// An error about this file.
    pub(crate) fn error(&self, place: Option<Place>, message: String) -> ConfigError {
        ConfigError { file: self.name.clone(), place, message, hint: None }
    }
}

struct Found<'a> {
    key: &'a Range<usize>,
    node: &'a Node,
}

impl<'a> Found<'a> {
    fn step(&self, name: &str) -> Option<Found<'a>> {
        match &self.node.shape {
            Shape::Table(table) => table.get(name).map(|entry| Found { key: &entry.key, node: &entry.value }),
            Shape::Array(items) => {
                let node = items.get(name.parse::<usize>().ok()?)?;
                Some(Found { key: &node.span, node })
            }
            Shape::Scalar => None,
        }
    }
}

/// All files of one config, the main file first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub(crate) documents: Vec<Document>,
}

impl Sources {
    /// The file and the place of the value at a key path (array items by their decimal index), or of the nearest
    /// ancestor that was written. `None` when no file says anything of it.
    pub fn place_of(&self, path: &[&str]) -> Option<(&str, Place)> {
        (1..=path.len()).rev().find_map(|length| {
            self.documents.iter().find_map(|document| {
                let found = document.find(&path[..length])?;
                // A table has no single place: its name is what a reader looks for.
                let span = match found.node.shape {
                    Shape::Table(_) => found.key,
                    _ if length < path.len() => found.key,
                    _ => &found.node.span,
                };
                Some((document.name.as_str(), document.place(span.start)))
            })
        })
    }

    /// `selvedge.toml:9`: the file and line of what [`Sources::place_of`] finds.
    #[must_use]
    pub fn line_of(&self, path: &[&str]) -> Option<String> {
        self.place_of(path).map(|(file, place)| format!("{file}:{}", place.line))
    }

    /// An error at the value of `path`, or at the nearest ancestor that was written, or about the first file.
    pub(crate) fn error_at(&self, path: &[&str], message: String) -> ConfigError {
        let (file, place) = match self.place_of(path) {
            Some((file, place)) => (file.to_owned(), Some(place)),
            None => {
                let first = self.documents.first();
                (first.map_or_else(String::new, |document| document.name.clone()), None)
            }
        };
        ConfigError { file, place, message, hint: None }
    }

    /// Whether a file sets the value at `path`, by itself or as part of a shorthand for an ancestor.
    pub(crate) fn sets(&self, path: &[&str]) -> bool {
        self.documents.iter().any(|document| {
            (1..=path.len()).any(|length| match document.find(&path[..length]) {
                Some(found) => length == path.len() || !found.is_container(),
                None => false,
            })
        })
    }
}

impl Found<'_> {
    fn is_container(&self) -> bool {
        matches!(self.node.shape, Shape::Table(_) | Shape::Array(_))
    }
}

fn entries(table: &DeTable<'_>) -> BTreeMap<String, Entry> {
    table
        .iter()
        .map(|(key, value)| {
            let entry = Entry { key: key.span(), value: node(value) };
            (key.get_ref().to_string(), entry)
        })
        .collect()
}

fn node(value: &Spanned<DeValue<'_>>) -> Node {
    let shape = match value.get_ref() {
        DeValue::Table(table) => Shape::Table(entries(table)),
        DeValue::Array(items) => Shape::Array(items.iter().map(node).collect()),
        _ => Shape::Scalar,
    };
    Node { span: value.span(), shape }
}

fn lists_in(
    table: &BTreeMap<String, Entry>,
    path: &mut Vec<String>,
    found: &mut impl FnMut(&[String], usize),
) {
    for (name, entry) in table {
        path.push(name.clone());
        lists_below(&entry.value, path, found);
        path.pop();
    }
}

fn lists_below(node: &Node, path: &mut Vec<String>, found: &mut impl FnMut(&[String], usize)) {
    match &node.shape {
        Shape::Table(table) => lists_in(table, path, found),
        Shape::Array(items) => {
            found(path, node.span.start);
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                lists_below(item, path, found);
                path.pop();
            }
        }
        Shape::Scalar => {}
    }
}

fn path_in(table: &BTreeMap<String, Entry>, span: &Range<usize>) -> Option<Vec<String>> {
    table.iter().find_map(|(name, entry)| {
        let below = if entry.key == *span { Vec::new() } else { path_below(&entry.value, span)? };
        Some([vec![name.clone()], below].concat())
    })
}

fn path_below(node: &Node, span: &Range<usize>) -> Option<Vec<String>> {
    if node.span == *span {
        return Some(Vec::new());
    }
    match &node.shape {
        Shape::Table(table) => path_in(table, span),
        Shape::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let below = path_below(item, span)?;
            Some([vec![index.to_string()], below].concat())
        }),
        Shape::Scalar => None,
    }
}

/// The place of a byte offset; one beyond the end, or inside a character, counts as the next place before it.
pub(crate) fn place(text: &str, offset: usize) -> Place {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[site.www]\norigin = \"main\"\n\n[[site.www.route]]\npath = \"/é/*\"; \n";

    fn sources(text: &str) -> Sources {
        let table = DeTable::parse(text).unwrap();
        Sources { documents: vec![Document::new("a.toml", text, table.get_ref())] }
    }

    fn at(sources: &Sources, path: &[&str]) -> Option<(usize, usize)> {
        sources.place_of(path).map(|(_, place)| (place.line, place.column))
    }

    #[test]
    fn a_value_is_found_by_its_key_path() {
        let sources = sources(TEXT.trim_end_matches("; \n"));
        assert_eq!(at(&sources, &["site", "www", "origin"]), Some((2, 10)));
        assert_eq!(at(&sources, &["site", "www", "route", "0", "path"]), Some((5, 8)));
    }

    #[test]
    fn what_is_not_written_is_at_its_nearest_written_ancestor() {
        let sources = sources(TEXT.trim_end_matches("; \n"));
        assert_eq!(at(&sources, &["site", "www", "tls"]), Some((1, 7)));
        assert_eq!(at(&sources, &["site", "www", "route", "0", "cache"]), Some((4, 1)));
        assert_eq!(at(&sources, &["geo"]), None);
    }

    #[test]
    fn columns_count_characters() {
        let text = "a = \"ééé\"; b";
        assert_eq!(place(text, text.find(';').unwrap()), Place { line: 1, column: 10 });
        // Inside the two bytes of the first é, and far beyond the end.
        assert_eq!(place(text, 6), Place { line: 1, column: 6 });
        assert_eq!(place("x\n", 99), Place { line: 2, column: 1 });
    }

    #[test]
    fn a_shorthand_sets_everything_below_it() {
        let sources = sources("cache = \"off\"\n[node]\nname = \"a\"\n");
        assert!(sources.sets(&["cache", "ttl", "min"]));
        assert!(sources.sets(&["node", "name"]));
        assert!(!sources.sets(&["node", "admin"]));
    }

    #[test]
    fn a_span_leads_back_to_its_key_path() {
        let text = TEXT.trim_end_matches("; \n");
        let table = DeTable::parse(text).unwrap();
        let document = Document::new("a.toml", text, table.get_ref());
        let start = text.find("path").unwrap();
        assert_eq!(document.path_of(&(start..start + 4)).unwrap(), ["site", "www", "route", "0", "path"]);
        assert_eq!(document.path_of(&(0..text.len() + 9)), None);
    }
}
