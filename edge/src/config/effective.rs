//! Every setting in force, those that no file sets marked as defaults. Secrets are not among them: settings only name the
//! variable or file that holds one.

use bytesize::ByteSize;
use serde_json::{Map, Value};

use super::document::Sources;
use super::wording::{key, string};
use super::{Config, Loaded};

/// The settings as TOML, which read back means the same; defaults carry the comment `# default`.
/// Errors: a path that is not UTF-8.
pub fn effective_toml(loaded: &Loaded) -> Result<String, serde_json::Error> {
    let mut writer = Writer { sources: &loaded.sources, text: String::new() };
    writer.section(&mut Vec::new(), &settings(&loaded.config)?);
    Ok(writer.text)
}

/// The settings as JSON: `{"config": …, "defaults": ["node.threads", …]}`. Errors: a path that is not UTF-8.
pub fn effective_json(loaded: &Loaded) -> Result<Value, serde_json::Error> {
    let settings = settings(&loaded.config)?;
    let mut defaults = Vec::new();
    list_defaults(&loaded.sources, &mut Vec::new(), &settings, &mut defaults);
    Ok(serde_json::json!({ "config": settings, "defaults": defaults }))
}

fn settings(config: &Config) -> Result<Map<String, Value>, serde_json::Error> {
    let mut value = serde_json::to_value(config)?;
    for (path, size) in sizes(config) {
        let found = path.iter().try_fold(&mut value, |value, step| value.get_mut(step.as_str()));
        if let Some(found) = found {
            *found = exact(size).into();
        }
    }
    match value {
        Value::Object(table) => Ok(table),
        _ => Ok(Map::new()),
    }
}

/// Every size that is a setting: they print themselves rounded ("9.5 MiB" for "10MB"), which would not read back the same.
fn sizes(config: &Config) -> Vec<(Vec<String>, ByteSize)> {
    let limits = &config.node.limits;
    let mut sizes = vec![
        (vec!["node", "memory"], config.node.memory),
        (vec!["node", "images", "memory"], config.node.images.memory),
        (vec!["node", "limits", "head"], limits.head),
        (vec!["node", "limits", "url"], limits.url),
        (vec!["node", "limits", "error-page-size"], limits.error_page_size),
        (vec!["node", "limits", "max-object"], limits.max_object),
        (vec!["node", "limits", "h2-window"], limits.h2_window),
        (vec!["node", "limits", "hook-memory"], limits.hook_memory),
        (vec!["node", "limits", "hook-compiled"], limits.hook_compiled),
        (vec!["cache", "slice", "size"], config.cache.slice.size),
        (vec!["cache", "slice", "over"], config.cache.slice.over),
    ];
    if let Some(disk) = &config.cache.disk {
        sizes.push((vec!["cache", "disk", "size"], disk.size));
        sizes.push((vec!["cache", "disk", "queue"], disk.queue));
    }
    for (name, origin) in &config.origin {
        sizes.push((vec!["origin", name, "pool", "window"], origin.pool.window));
        if let Some(limits) = &origin.limits {
            sizes.push((vec!["origin", name, "limits", "memory"], limits.memory));
            sizes.push((vec!["origin", name, "limits", "head"], limits.head));
            sizes.push((vec!["origin", name, "limits", "log-line"], limits.log_line));
        }
        let Some(bucket) = &origin.s3 else { continue };
        sizes.push((vec!["origin", name, "s3", "part-size"], bucket.part_size));
        sizes.push((vec!["origin", name, "s3", "single-put"], bucket.single_put));
    }
    for (name, policy) in &config.cache_policy {
        sizes.push((vec!["cache-policy", name, "compress", "min"], policy.compress.min));
        sizes.push((vec!["cache-policy", name, "compress", "max"], policy.compress.max));
        sizes.push((vec!["cache-policy", name, "compress", "decoded-max"], policy.compress.decoded_max));
    }
    for (name, hook) in &config.hook {
        sizes.push((vec!["hook", name, "limits", "memory"], hook.limits.memory));
        sizes.push((vec!["hook", name, "limits", "body"], hook.limits.body));
        sizes.push((vec!["hook", name, "limits", "output"], hook.limits.output));
        sizes.push((vec!["hook", name, "limits", "log-line"], hook.limits.log_line));
        sizes.push((vec!["hook", name, "limits", "head"], hook.limits.head));
        sizes.extend(hook.reuse.iter().map(|reuse| (vec!["hook", name, "reuse", "memory"], reuse.memory)));
        sizes.push((vec!["hook", name, "versions", "max-size"], hook.versions.max_size));
    }
    for (name, store) in &config.kv {
        sizes.push((vec!["kv", name, "size"], store.size));
        sizes.push((vec!["kv", name, "value"], store.value));
    }
    let owned = |path: Vec<&str>| path.into_iter().map(String::from).collect();
    sizes.into_iter().map(|(path, size)| (owned(path), size)).collect()
}

/// In the largest unit that leaves no rest.
fn exact(ByteSize(bytes): ByteSize) -> String {
    const UNITS: [(u64, &str); 6] = [
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ];
    let unit = UNITS.iter().find(|(unit, _)| bytes > 0 && bytes % unit == 0);
    let (unit, name) = unit.unwrap_or(&(1, "B"));
    format!("{}{name}", bytes / unit)
}

/// Who decided a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decided {
    Default,
    Written,
    /// A table of both.
    Mixed,
}

fn decided(sources: &Sources, path: &mut Vec<String>, value: &Value) -> Decided {
    let table = match value {
        Value::Object(table) if !is_leaf(path, value) => table,
        _ => {
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            return if sources.sets(&path) { Decided::Written } else { Decided::Default };
        }
    };
    let mut result = None;
    for (name, value) in table {
        path.push(name.clone());
        let here = decided(sources, path, value);
        path.pop();
        match result {
            None => result = Some(here),
            Some(before) if before != here => return Decided::Mixed,
            Some(_) => {}
        }
    }
    result.unwrap_or(Decided::Default)
}

/// What is written or default as a whole. Header names are such: they come back in lower case, not as they were written.
fn is_leaf(path: &[String], value: &Value) -> bool {
    match value {
        Value::Object(table) => {
            table.is_empty() || matches!(path, [.., parent, last] if parent == "headers" && last == "set")
        }
        Value::Array(items) => !(path.len() == 3 && is_routes(path, items)),
        _ => true,
    }
}

/// `[[site.NAME.route]]`: the one array whose items are sections.
fn is_routes(path: &[String], items: &[Value]) -> bool {
    matches!(path, [site, _, route] if site == "site" && route == "route")
        && items.iter().all(Value::is_object)
}

/// `[node]`, `[site.NAME]` and their like, which nobody writes on one line.
fn has_header(path: &[String]) -> bool {
    match path {
        [_] => true,
        [section, name] => section != "node" || name == "limits",
        _ => false,
    }
}

fn list_defaults(
    sources: &Sources,
    path: &mut Vec<String>,
    table: &Map<String, Value>,
    defaults: &mut Vec<String>,
) {
    for (name, value) in table {
        path.push(name.clone());
        match value {
            Value::Object(table) if !is_leaf(path, value) => list_defaults(sources, path, table, defaults),
            Value::Array(items) if !is_leaf(path, value) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    if let Value::Object(table) = item {
                        list_defaults(sources, path, table, defaults);
                    }
                    path.pop();
                }
            }
            _ if decided(sources, path, value) == Decided::Default && !value.is_null() => {
                defaults.push(path.join("."));
            }
            _ => {}
        }
        path.pop();
    }
}

struct Writer<'a> {
    sources: &'a Sources,
    text: String,
}

impl Writer<'_> {
    /// The settings of one table: first those of one line, then its sections.
    fn section(&mut self, path: &mut Vec<String>, table: &Map<String, Value>) {
        let mut sections = Vec::new();
        for (name, value) in table.iter().filter(|(_, value)| !value.is_null()) {
            path.push(name.clone());
            match self.one_line(path, value) {
                Some(mark) => {
                    let line = format!("{} = {}{mark}\n", key(name), inline(value));
                    self.text.push_str(&line);
                }
                None => sections.push((name, value)),
            }
            path.pop();
        }
        for (name, value) in sections {
            path.push(name.clone());
            self.subsection(path, value);
            path.pop();
        }
    }

    /// The comment behind a setting that stands on one line; `None` for one that needs a section of its own.
    fn one_line(&self, path: &mut Vec<String>, value: &Value) -> Option<&'static str> {
        if (value.is_object() && has_header(path)) || (value.is_array() && !is_leaf(path, value)) {
            return None;
        }
        match decided(self.sources, path, value) {
            Decided::Default => Some("  # default"),
            Decided::Written => Some(""),
            Decided::Mixed => None,
        }
    }

    fn subsection(&mut self, path: &mut Vec<String>, value: &Value) {
        match value {
            Value::Object(table) => {
                let has_lines = table.iter().any(|(name, value)| {
                    path.push(name.clone());
                    let one_line = self.one_line(path, value).is_some();
                    path.pop();
                    one_line
                });
                if has_lines || table.is_empty() {
                    self.header(path, "[", "]");
                }
                self.section(path, table);
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.header(path, "[[", "]]");
                    path.push(index.to_string());
                    if let Value::Object(table) = item {
                        self.section(path, table);
                    }
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn header(&mut self, path: &[String], open: &str, close: &str) {
        // An item of an array has no name of its own: its sections continue the last header.
        let names = path.iter().enumerate().filter(|(depth, _)| !(path[0] == "site" && *depth == 3));
        let names: Vec<_> = names.map(|(_, name)| key(name)).collect();
        let blank = if self.text.is_empty() { "" } else { "\n" };
        let line = format!("{blank}{open}{}{close}\n", names.join("."));
        self.text.push_str(&line);
    }
}

/// A value as TOML on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(table) => {
            let present = table.iter().filter(|(_, value)| !value.is_null());
            let pairs: Vec<_> =
                present.map(|(name, value)| format!("{} = {}", key(name), inline(value))).collect();
            if pairs.is_empty() { "{}".into() } else { format!("{{ {} }}", pairs.join(", ")) }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TEXT: &str = "[node]\nname = \"icn1\"\nlimits = { url = \"1000B\" }\n\
        [cache-policy.static]\nttl = { default = \"2d\" }\n\
        [site.localhost]\norigin = \"http://127.0.0.1:9000\"\n\
        [[site.localhost.route]]\npath = \"/a\\\"b/*\"\nheaders = { set = { X-A = \"1\" } }\n\
        [[site.localhost.route]]\npath = \"/b\"\ncache = \"static\"\n";

    fn loaded(text: &str) -> Loaded {
        Loaded::parse(text, "a.toml", Path::new(".")).unwrap()
    }

    #[test]
    fn settings_that_no_file_sets_are_marked() {
        let text = effective_toml(&loaded(TEXT)).unwrap();
        for line in [
            "name = \"icn1\"",
            "threads = 0  # default",
            "url = \"1kB\"",
            "header-timeout = \"10s\"  # default",
            "default = \"2days\"",
            "hosts = [\"localhost\"]  # default",
            "tls = \"local\"  # default",
            "origin = \"http://127.0.0.1:9000\"",
            "cache = \"origin\"  # default",
            "cache = \"static\"",
            "[[site.localhost.route]]",
            "set = { x-a = \"1\" }",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_effective_settings_read_back_as_the_same() {
        let before = loaded(TEXT);
        let text = effective_toml(&before).unwrap();
        assert_eq!(loaded(&text).config, before.config, "{text}");
        let again = effective_toml(&loaded(&text)).unwrap();
        assert!(!again.contains("# default"), "{again}");
    }

    #[test]
    fn sizes_are_exact() {
        for (size, shown) in [
            (0, "0B"),
            (1000, "1kB"),
            (1024, "1KiB"),
            (10_000_000, "10MB"),
            (2 << 30, "2GiB"),
            (1001, "1001B"),
        ] {
            assert_eq!(exact(ByteSize(size)), shown);
            assert_eq!(shown.parse(), Ok(ByteSize(size)));
        }
    }

    #[test]
    fn json_lists_the_defaults_by_their_paths() {
        let json = effective_json(&loaded(TEXT)).unwrap();
        assert_eq!(json["config"]["node"]["name"], "icn1");
        assert_eq!(json["config"]["cache-policy"]["static"]["compress"]["max"], "10MB");
        let defaults = json["defaults"].as_array().unwrap();
        for (path, is_default) in [
            ("node.threads", true),
            ("node.name", false),
            ("site.localhost.hosts", true),
            ("site.localhost.route.0.cache", true),
            ("site.localhost.route.1.cache", false),
        ] {
            assert_eq!(defaults.contains(&path.into()), is_default, "{path}");
        }
    }
}
