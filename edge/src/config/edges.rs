//! `[node] edges`: by what other nodes prove that this one is their shield.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::node::Material;

/// How this node knows the edges whose shield it is. One proof is enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EdgesSettings {
    /// PEM file of the authorities whose client certificates edges show. Whomever they sign is an edge: take ones of your own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The secret that edges sign with, of at least 32 characters; several while it is being changed.
    #[serde(deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "one_or_more_schema")]
    pub key: Vec<Material>,
    /// How far an edge's clock may be off, and how long a signature holds. At most an hour.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub window: Duration,
}

impl Default for EdgesSettings {
    fn default() -> Self {
        EdgesSettings { ca: None, key: Vec::new(), window: Duration::from_secs(30) }
    }
}

/// The longest window that makes sense: whoever has read a signature on its way can use it for so long.
pub(crate) const LONGEST_WINDOW: Duration = Duration::from_secs(60 * 60);

impl EdgesSettings {
    /// Makes relative paths start at `base`.
    pub fn resolve_paths(&mut self, base: &Path) {
        let keys = self.key.iter_mut().filter_map(|key| match key {
            Material::File(path) => Some(path),
            Material::Env(_) => None,
        });
        for path in self.ca.iter_mut().chain(keys) {
            *path = base.join(&*path);
        }
    }
}

/// `{ env = "KEY" }`, or a list of such.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Material>, D::Error> {
    deserializer.deserialize_any(OneOrMore)
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Vec<Material>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{ env = \"NAME\" }, { file = \"PATH\" } or a list of these")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<Material>, A::Error> {
        Ok(vec![Material::deserialize(MapAccessDeserializer::new(map))?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Material>, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = items.next_element()? {
            keys.push(key);
        }
        Ok(keys)
    }

    /// Refused in the same words as any secret that stands in the config itself.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<Material>, E> {
        Ok(vec![Material::deserialize(StrDeserializer::new(text))?])
    }
}

fn one_or_more_schema(generator: &mut SchemaGenerator) -> Schema {
    let one = generator.subschema_for::<Material>();
    json_schema!({ "oneOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}
