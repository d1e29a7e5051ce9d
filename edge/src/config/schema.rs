//! The JSON Schema of the config, for editors that complete and check while one types.

use std::sync::LazyLock;

use serde_json::Value;

use super::Config;
use super::document::Document;
use super::error::{ConfigError, ConfigErrors};
use super::wording;

/// The schema as pretty-printed JSON.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Config).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "Selvedge configuration".into());
    }
    // The node's name comes from the machine that prints the schema: elsewhere it is another.
    for path in ["/properties/node", "/$defs/NodeSettings/properties/name"] {
        if let Some(Value::Object(property)) = schema.pointer_mut(path) {
            property.remove("default");
        }
    }
    format!("{schema:#}")
}

/// Lists where the settings are a table, such as `[[node]]`. The deserializer takes a list for the fields of a table in
/// their order, which nobody means in a config.
pub(crate) fn lists_for_tables(document: &Document) -> ConfigErrors {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(Config).to_value());
    let mut errors = ConfigErrors::default();
    document.each_list(&mut |path, offset| {
        if errors.is_full() || takes_list(&SCHEMA, path) {
            return;
        }
        let named = wording::dotted(path);
        let has_header = path.len() < 3;
        let hint = if has_header {
            format!("a table is written [{named}] or {{ … }}")
        } else {
            "a table is written { … }".into()
        };
        let message = format!("{named}: is a list, but should be a table");
        errors
            .push(ConfigError { hint: Some(hint), ..document.error(Some(document.place(offset)), message) });
    });
    errors
}

/// Whether a list may stand at `path`; also where the schema knows nothing, for then another error will tell.
fn takes_list(root: &Value, path: &[String]) -> bool {
    let mut at = alternatives(root, root);
    for step in path {
        let below = at.iter().flat_map(|schema| {
            let named = schema["properties"].get(step).or(schema.get("additionalProperties"));
            named.or(schema.get("items")).filter(|below| below.is_object())
        });
        at = below.flat_map(|below| alternatives(root, below)).collect();
    }
    at.iter().all(|schema| schema["type"] != "object") || at.iter().any(|schema| schema["type"] == "array")
}

/// What a schema stands for: itself, what it refers to, or one of several.
fn alternatives<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    if let Some(Value::String(reference)) = schema.get("$ref") {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map(|target| alternatives(root, target)).unwrap_or_default();
    }
    let several = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array);
    match several {
        Some(several) => several.iter().flat_map(|one| alternatives(root, one)).collect(),
        None => vec![schema],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_is_described_and_unknown_keys_are_not_allowed() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        let sections = schema["properties"].as_object().unwrap();
        let known = [
            "version",
            "include",
            "node",
            "cache",
            "origin",
            "origin-group",
            "cache-policy",
            "key",
            "key-group",
            "hook",
            "kv",
            "site",
            "geo",
            "dns",
        ];
        for section in known {
            assert!(sections[section]["description"].is_string(), "{section}");
        }
        assert_eq!(sections.len(), known.len());
    }

    #[test]
    fn defaults_are_shown_but_not_those_that_depend_on_the_machine() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let node = &schema["$defs"]["NodeSettings"]["properties"];
        assert_eq!(node["threads"]["default"], 0);
        assert_eq!(node["name"].get("default"), None);
        assert_eq!(schema["properties"]["node"].get("default"), None);
    }

    #[test]
    fn lists_stand_where_settings_are_lists() {
        let schema = schemars::schema_for!(Config).to_value();
        for (path, expected) in [
            ("node", false),
            ("node.listen", true),
            ("node.limits", false),
            ("site", false),
            ("site.www", false),
            ("site.www.tls", false),
            ("site.www.route", true),
            ("site.www.route.0", false),
            ("site.www.route.0.methods", true),
            ("site.www.route.0.headers", false),
            ("site.www.route.0.geo", false),
            ("cache-policy.a.key.query", true),
            ("cache-policy.a.ttl", false),
            ("hook.a.on", true),
            ("geo", false),
            ("dns.steer.name.rules", true),
            ("dns.steer.name.rules.0", false),
            ("dns.steer.name.pools.own", true),
            ("nothing.known", true),
        ] {
            let steps: Vec<_> = path.split('.').map(String::from).collect();
            assert_eq!(takes_list(&schema, &steps), expected, "{path}");
        }
    }
}
