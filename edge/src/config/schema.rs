//! The JSON Schema of the config, for editors that complete and check while one types.

use serde_json::Value;

use super::Config;

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
            "origin",
            "origin-group",
            "cache-policy",
            "key",
            "key-group",
            "hook",
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
}
