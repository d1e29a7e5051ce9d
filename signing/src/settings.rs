//! `[key.ID]` and `[key-group.NAME]`: which keys there are, and which of them open what.

use crate::SchemeName;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::path::{Path, PathBuf};

/// One verification key, `[key.ID]`. ID is what a token names: `Key-Pair-Id` of a CloudFront URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeySettings {
    /// The public half, PEM with `BEGIN PUBLIC KEY`: `{ file = "keys/premium.pem" }` or `{ env = "PREMIUM_KEY" }`.
    pub public: Material,
}

/// Keys that open the same doors, `[key-group.NAME]`; a route names the group in `signed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyGroupSettings {
    /// The ids of the keys, each a `[key.ID]`. More than one lets a key be replaced without an interruption.
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(length(min = 1))]
    pub keys: Vec<String>,
    /// The token formats that are taken, tried in this order.
    #[serde(default = "default_accept", deserialize_with = "at_least_one")]
    #[schemars(length(min = 1))]
    pub accept: Vec<SchemeName>,
}

/// Where key material is kept; it never stands in the config file itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Material {
    /// The name of an environment variable whose value is the material.
    Env(String),
    /// A file that holds the material.
    File(PathBuf),
}

impl KeySettings {
    /// Makes a relative path start at `base`, the folder of the config file.
    pub fn resolve_paths(&mut self, base: &Path) {
        if let Material::File(path) = &mut self.public {
            *path = base.join(&*path);
        }
    }
}

fn default_accept() -> Vec<SchemeName> {
    vec![SchemeName::Cloudfront]
}

/// A group without keys or formats could only ever refuse: surely a mistake, so said at start.
fn at_least_one<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(de::Error::invalid_length(0, &"at least one entry"));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_a_file_beside_the_config() {
        let mut key: KeySettings = toml::from_str(r#"public = { file = "keys/a.pem" }"#).unwrap();
        key.resolve_paths(Path::new("/etc/selvedge"));
        assert_eq!(key.public, Material::File("/etc/selvedge/keys/a.pem".into()));
    }

    #[test]
    fn an_absolute_path_and_a_variable_stay_as_they_are() {
        let mut file: KeySettings = toml::from_str(r#"public = { file = "/k.pem" }"#).unwrap();
        let mut variable: KeySettings = toml::from_str(r#"public = { env = "K" }"#).unwrap();
        file.resolve_paths(Path::new("/etc"));
        variable.resolve_paths(Path::new("/etc"));
        assert_eq!(file.public, Material::File("/k.pem".into()));
        assert_eq!(variable.public, Material::Env("K".into()));
    }

    #[test]
    fn a_group_accepts_cloudfront_unless_it_says_otherwise() {
        let group: KeyGroupSettings = toml::from_str(r#"keys = ["K1"]"#).unwrap();
        assert_eq!(group.accept, [SchemeName::Cloudfront]);
        let same: KeyGroupSettings = toml::from_str("keys = [\"K1\"]\naccept = [\"cloudfront\"]").unwrap();
        assert_eq!(same, group);
    }

    #[test]
    fn what_could_only_be_a_mistake_is_refused() {
        for text in [
            "keys = []",
            "keys = [\"K1\"]\naccept = []",
            "keys = [\"K1\"]\naccept = [\"none\"]",
            "keys = [\"K1\"]\nkey = \"K2\"",
            "accept = [\"cloudfront\"]",
        ] {
            assert!(toml::from_str::<KeyGroupSettings>(text).is_err(), "{text} was taken");
        }
        assert!(toml::from_str::<KeySettings>(r#"public = "-----BEGIN""#).is_err());
        assert!(toml::from_str::<KeySettings>("").is_err());
    }
}
