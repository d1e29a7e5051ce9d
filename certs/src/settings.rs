//! `tls = …` of a site.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// How a site's viewers are met: without TLS, with the development authority, or with a certificate from files.
#[derive(Debug, Clone, PartialEq)]
pub enum SiteTls {
    /// `"off"`: plain HTTP only.
    Off,
    /// `"local"`: a certificate of this machine's development authority, issued at start.
    Local,
    /// `{ cert = "site.pem", key = { file = "site.key" } }`.
    Files {
        /// PEM: the site's certificate, then the intermediate ones.
        cert: PathBuf,
        /// PEM: its private key.
        key: Material,
    },
}

/// Where a private key is kept; it never stands in the config file itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Material {
    /// The name of an environment variable whose value is the key.
    Env(String),
    /// A file that holds the key.
    File(PathBuf),
}

impl SiteTls {
    /// Makes relative paths start at `base`, the folder of the config file.
    pub fn resolve_paths(&mut self, base: &Path) {
        if let SiteTls::Files { cert, key } = self {
            *cert = base.join(&*cert);
            if let Material::File(path) = key {
                *path = base.join(&*path);
            }
        }
    }
}

/// The table form of [`SiteTls`].
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename = "SiteTlsFiles", rename_all = "kebab-case", deny_unknown_fields)]
struct Files {
    /// PEM: the site's certificate, then the intermediate ones.
    cert: PathBuf,
    /// PEM: its private key.
    key: Material,
}

impl Serialize for SiteTls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            SiteTls::Off => serializer.serialize_str("off"),
            SiteTls::Local => serializer.serialize_str("local"),
            SiteTls::Files { cert, key } => {
                Files { cert: cert.clone(), key: key.clone() }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for SiteTls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrTable)
    }
}

struct WordOrTable;

impl<'de> Visitor<'de> for WordOrTable {
    type Value = SiteTls;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(r#""off", "local" or { cert = "…", key = { file = "…" } }"#)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<SiteTls, E> {
        match word {
            "off" => Ok(SiteTls::Off),
            "local" => Ok(SiteTls::Local),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<SiteTls, A::Error> {
        let Files { cert, key } = Files::deserialize(MapAccessDeserializer::new(table))?;
        Ok(SiteTls::Files { cert, key })
    }
}

impl JsonSchema for SiteTls {
    fn schema_name() -> Cow<'static, str> {
        "SiteTls".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let files = generator.subschema_for::<Files>();
        json_schema!({
            "description": "How a site's viewers are met.",
            "oneOf": [
                { "const": "off", "description": "Plain HTTP only." },
                { "const": "local", "description": "A certificate of this machine's development authority." },
                files,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Site {
        tls: SiteTls,
    }

    fn parse(text: &str) -> Result<SiteTls, String> {
        toml::from_str::<Site>(text).map(|site| site.tls).map_err(|error| error.to_string())
    }

    #[test]
    fn the_three_forms_are_read_and_written_back() {
        let files = SiteTls::Files { cert: "a.pem".into(), key: Material::Env("KEY".into()) };
        for (text, expected) in [
            (r#"tls = "off""#, SiteTls::Off),
            (r#"tls = "local""#, SiteTls::Local),
            (r#"tls = { cert = "a.pem", key = { env = "KEY" } }"#, files),
        ] {
            let tls = parse(text).unwrap();
            assert_eq!(tls, expected);
            let written = toml::to_string(&Site { tls: tls.clone() }).unwrap();
            assert_eq!(parse(&written).unwrap(), tls);
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_words_that_there_are() {
        for word in ["acme", "Off", ""] {
            let error = parse(&format!("tls = \"{word}\"")).unwrap_err();
            assert!(error.contains(r#""off", "local" or { cert"#), "{error}");
            assert!(error.contains("line 1, column 7"), "{error}");
        }
    }

    #[test]
    fn a_table_must_be_complete_and_hold_nothing_else() {
        for (text, told) in [
            (r#"tls = { cert = "a" }"#, "missing field `key`"),
            (r#"tls = { key = { file = "a" } }"#, "missing field `cert`"),
            (r#"tls = { cert = "a", key = { file = "b" }, ca = "c" }"#, "unknown field `ca`"),
            (r#"tls = { cert = "a", key = { fil = "b" } }"#, "unknown variant `fil`"),
            (r#"tls = true"#, "expected \"off\", \"local\" or"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn relative_paths_start_at_the_config_file() {
        let mut tls = SiteTls::Files { cert: "a.pem".into(), key: Material::File("/secret/a.key".into()) };
        tls.resolve_paths(Path::new("/etc/selvedge"));
        let expected = SiteTls::Files {
            cert: "/etc/selvedge/a.pem".into(),
            key: Material::File("/secret/a.key".into()),
        };
        assert_eq!(tls, expected);
    }

    #[test]
    fn the_schema_offers_the_three_forms() {
        let schema = schemars::schema_for!(SiteTls);
        let forms = schema.get("oneOf").unwrap().as_array().unwrap();
        assert_eq!(forms.len(), 3);
        assert_eq!(forms[0]["const"], "off");
        assert_eq!(forms[1]["const"], "local");
        assert_eq!(forms[2]["$ref"], "#/$defs/SiteTlsFiles");
    }
}
