//! What was expected against what was seen.

use super::file::{Case, CaseFile, Content, Expect, HeaderRule};
use super::play::Seen;
use super::scene;
use crate::config::ConfigError;
use hooks::{Keeping, Stores};
use http::HeaderMap;
use toml::Spanned;

/// Longer texts are shown cut.
const SHOWN: usize = 400;

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The line of the expectation, from 1.
    pub line: usize,
    /// What was looked at: `status`, `header location`, …
    pub what: String,
    /// What the case says.
    pub expected: String,
    /// What there was.
    pub found: String,
}

/// All that differs, in the order of the file's lines.
pub(super) fn differences(
    file: &CaseFile,
    case: &Spanned<Case>,
    seen: &Seen,
    stores: &Stores,
) -> Result<Vec<Difference>, ConfigError> {
    let expect = &case.get_ref().expect;
    let mut found = Findings { file, all: Vec::new() };
    found.outcome(case, seen);
    found.message(expect, seen);
    if let Some(body) = &expect.body {
        found.body(body, seen)?;
    }
    found.edits(expect, seen);
    found.words(expect, seen);
    found.stores(case.get_ref(), stores);
    for asked in &seen.unexpected {
        found.add(case.span().start, "fetch", "a [[case.fetch]] that answers it", asked);
    }
    found.all.sort_by_key(|difference| difference.line);
    Ok(found.all)
}

struct Findings<'a> {
    file: &'a CaseFile,
    all: Vec<Difference>,
}

impl Findings<'_> {
    fn add(&mut self, offset: usize, what: impl Into<String>, expected: &str, found: &str) {
        let line = self.file.line(offset);
        self.all.push(Difference { line, what: what.into(), expected: cut(expected), found: cut(found) });
    }

    /// A failure that nobody expects is a difference whatever else is expected.
    fn outcome(&mut self, case: &Spanned<Case>, seen: &Seen) {
        let expect = &case.get_ref().expect;
        match &seen.failure {
            Some((token, message)) if !expect.is_failure() => {
                let word = expect.outcome.as_ref().map_or("no failure", |outcome| outcome.get_ref());
                let offset =
                    expect.outcome.as_ref().map_or(case.span().start, |outcome| outcome.span().start);
                self.add(offset, "outcome", word, &format!("fail, {token}: {message}"));
            }
            _ => self.equal("outcome", expect.outcome.as_ref(), Some(seen.outcome)),
        }
        self.equal("fails", expect.fails.as_ref(), seen.failure.as_ref().map(|(token, _)| *token));
        if let Some(part) = &expect.error {
            let message = seen.failure.as_ref().map_or("no failure", |(_, message)| message);
            if !message.contains(part.get_ref()) {
                self.add(part.span().start, "error", &format!("… {} …", part.get_ref()), message);
            }
        }
    }

    fn message(&mut self, expect: &Expect, seen: &Seen) {
        self.equal("status", expect.status.as_ref(), seen.status.map(|status| status.to_string()));
        self.equal("uri", expect.uri.as_ref(), seen.uri.as_deref());
        for (name, rule) in &expect.headers {
            self.rule(format!("header {name}"), rule, &values(&seen.headers, name));
        }
    }

    fn rule(&mut self, what: String, rule: &Spanned<HeaderRule>, values: &[String]) {
        if !holds(rule.get_ref(), values) {
            let found = if values.is_empty() { "not there".to_owned() } else { quoted(values) };
            self.add(rule.span().start, what, &wanted(rule.get_ref()), &found);
        }
    }

    /// What is in the stores after the call.
    fn stores(&mut self, case: &Case, stores: &Stores) {
        let now = scene::now(case);
        for (name, keys) in &case.expect.kv {
            let store = stores.get(name);
            for (key, rule) in keys {
                let value = store.as_ref().and_then(|store| store.get(key, now));
                let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
                self.rule(format!("kv {name} {key}"), rule, &Vec::from_iter(value));
            }
        }
    }

    fn body(&mut self, body: &Spanned<Content>, seen: &Seen) -> Result<(), ConfigError> {
        let offset = body.span().start;
        let Some(found) = &seen.body else {
            self.add(offset, "body", "a response", &format!("no response, the outcome is {}", seen.outcome));
            return Ok(());
        };
        if let Content::Contains(part) = body.get_ref() {
            if !String::from_utf8_lossy(found).contains(part) {
                self.add(offset, "body", &format!("… {part} …"), &text(found));
            }
            return Ok(());
        }
        let expected =
            scene::content(self.file, body.get_ref()).map_err(|cause| self.file.error(offset, cause))?;
        if expected != *found {
            self.add(offset, "body", &text(&expected), &text(found));
        }
        Ok(())
    }

    fn edits(&mut self, expect: &Expect, seen: &Seen) {
        let Keeping { ttl, while_revalidate, if_error, no_store, tags } = &seen.keeping;
        for (what, expected, found) in [
            ("ttl", &expect.ttl, ttl),
            ("while-revalidate", &expect.while_revalidate, while_revalidate),
            ("if-error", &expect.if_error, if_error),
        ] {
            let expected = expected
                .as_ref()
                .map(|expected| Spanned::new(expected.span(), format!("{:?}", expected.get_ref().0)));
            self.equal(what, expected.as_ref(), found.map(|found| format!("{found:?}")));
        }
        if let Some(expected) = &expect.tags
            && tags != expected.get_ref()
        {
            self.add(expected.span().start, "tags", &quoted(expected.get_ref()), &quoted(tags));
        }
        self.equal("no-store", expect.no_store.as_ref(), Some(no_store.to_string()));
        self.equal("bypass", expect.bypass.as_ref(), Some(seen.caching.bypass.to_string()));
        for (name, rule) in &expect.key_parts {
            let part = seen.caching.key_part(name).map(str::to_owned);
            self.rule(format!("key part {name}"), rule, &Vec::from_iter(part));
        }
        self.equal("route-to", expect.route_to.as_ref(), seen.route_to.as_deref());
        self.equal("derived", expect.derived.as_ref(), seen.derived.as_deref());
    }

    fn words(&mut self, expect: &Expect, seen: &Seen) {
        let Some(lines) = &expect.log else { return };
        for line in lines.get_ref() {
            if !seen.log.iter().any(|said| said.contains(line)) {
                self.add(lines.span().start, "log", &format!("… {line} …"), &quoted(&seen.log));
            }
        }
    }

    fn equal<T: ToString, S: AsRef<str>>(
        &mut self,
        what: &str,
        expected: Option<&Spanned<T>>,
        found: Option<S>,
    ) {
        let Some(expected) = expected else { return };
        let (offset, expected) = (expected.span().start, expected.get_ref().to_string());
        match found {
            Some(found) if found.as_ref() == expected => {}
            Some(found) => self.add(offset, what, &expected, found.as_ref()),
            None => self.add(offset, what, &expected, "none"),
        }
    }
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

fn holds(rule: &HeaderRule, values: &[String]) -> bool {
    match rule {
        HeaderRule::Are(expected) => values == expected,
        HeaderRule::Present => !values.is_empty(),
        HeaderRule::Absent => values.is_empty(),
        HeaderRule::Contains(part) => values.iter().any(|value| value.contains(part)),
    }
}

fn wanted(rule: &HeaderRule) -> String {
    match rule {
        HeaderRule::Are(values) => quoted(values),
        HeaderRule::Present => "there".into(),
        HeaderRule::Absent => "not there".into(),
        HeaderRule::Contains(part) => format!("… {part} …"),
    }
}

fn quoted(values: &[String]) -> String {
    match values {
        [] => "none".into(),
        values => values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", "),
    }
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("{} bytes, no text", bytes.len()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
