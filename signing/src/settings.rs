//! `[key.ID]` and `[key-group.NAME]`: which keys there are, and which of them open what.

use crate::SchemeName;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::path::{Path, PathBuf};

/// One key, `[key.ID]`, by exactly one of `public`, `private`, `secret` and `encryption`. ID is what a token names: `Key-Pair-Id` of a
/// CloudFront URL, `kid` of a JWT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeySettings {
    /// The public half, PEM with `BEGIN PUBLIC KEY`: `{ file = "keys/premium.pem" }` or `{ env = "PREMIUM_KEY" }`. RSA, P-256 or
    /// Ed25519. It verifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<Material>,
    /// The private half, PEM with `BEGIN PRIVATE KEY`. It verifies, and renews tokens; nothing else needs it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Material>,
    /// A secret of at least 32 bytes for HMAC: `{ env = "PLAYER_SECRET" }`. It verifies, and renews tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Material>,
    /// An AES key for addresses that are encrypted in JWTs (`cdniip`), 16 or 32 bytes in base64url as in `k` of a JWK:
    /// `{ file = "keys/address.aes" }`. It decrypts for the groups that name it in `decrypt-with`, and verifies nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Material>,
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
    /// About how many signatures that were found good are remembered, so that a viewer's next request costs no public-key
    /// arithmetic: some 300 bytes each, a JWT as much as its claims besides. Reloading the config forgets them.
    #[serde(default = "default_remember")]
    pub remember: usize,
    /// How many wrong signatures an address may send in a minute; after that its signatures are not computed until the minute is over,
    /// and only what is remembered opens to it. 0: as many as come.
    #[serde(default = "default_wrong")]
    pub wrong_a_minute: u16,
    /// Whose JWTs are taken, where they say whose they are (`iss`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
    /// What this node is called in JWTs that say whom they are for (`aud`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// The key of this group that renews JWTs: one with `private` or `secret`. Without it a JWT is renewed with the secret that signed
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_with: Option<String>,
    /// The keys with `encryption` that read addresses which are encrypted in JWTs (`cdniip`); the encryption names one of them. More
    /// than one lets a key be replaced without an interruption. `selvedge sign --ip` encrypts with the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decrypt_with: Vec<String>,
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
        let all = [&mut self.public, &mut self.private, &mut self.secret, &mut self.encryption];
        for material in all.into_iter().flatten() {
            if let Material::File(path) = material {
                *path = base.join(&*path);
            }
        }
    }

    /// What the config says, each with the name of its setting: a key has exactly one.
    #[must_use]
    pub fn materials(&self) -> Vec<(&'static str, &Material)> {
        let all = [
            ("public", &self.public),
            ("private", &self.private),
            ("secret", &self.secret),
            ("encryption", &self.encryption),
        ];
        all.into_iter().filter_map(|(name, material)| Some((name, material.as_ref()?))).collect()
    }
}

impl KeyGroupSettings {
    /// Whether the group needs the key of this id, for whatever.
    #[must_use]
    pub fn names(&self, id: &str) -> bool {
        self.keys.iter().chain(&self.decrypt_with).any(|named| named == id)
    }
}

fn default_wrong() -> u16 {
    crate::KeyGroup::WRONG_A_MINUTE
}

fn default_remember() -> usize {
    crate::KeyGroup::REMEMBERED
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
        assert_eq!(key.public, Some(Material::File("/etc/selvedge/keys/a.pem".into())));
    }

    #[test]
    fn an_absolute_path_and_a_variable_stay_as_they_are() {
        let mut file: KeySettings = toml::from_str(r#"private = { file = "/k.pem" }"#).unwrap();
        let mut variable: KeySettings = toml::from_str(r#"secret = { env = "K" }"#).unwrap();
        file.resolve_paths(Path::new("/etc"));
        variable.resolve_paths(Path::new("/etc"));
        assert_eq!(file.private, Some(Material::File("/k.pem".into())));
        assert_eq!(variable.secret, Some(Material::Env("K".into())));
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
    }
}
