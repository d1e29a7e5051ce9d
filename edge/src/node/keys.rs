//! Keys and key groups of the config, ready to verify with.

use super::Node;
use super::build::NodeError;
use crate::config::Config;
use signing::{
    EncryptionKey, Key, KeyGroup, KeyGroupSettings, KeySettings, Material, PrivateKey, PublicKey, Secret,
    SigningError, SigningKey,
};
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The groups by name.
///
/// # Errors
/// [`NodeError`] names the key and what is wrong with it.
pub(super) fn build(
    config: &Config,
    previous: Option<&Node>,
) -> Result<HashMap<String, Arc<KeyGroup>>, NodeError> {
    let mut keys = Keys::default();
    for (id, settings) in &config.key {
        keys.read(id, settings)?;
    }
    let group = |(name, settings): (&String, &KeyGroupSettings)| {
        let group = keys.group(settings)?;
        let group = match previous.and_then(|previous| previous.key_groups.get(name)) {
            Some(before) => group.following(before),
            None => group,
        };
        Ok((name.clone(), Arc::new(group)))
    };
    config.key_group.iter().map(group).collect()
}

/// One group alone, for who has no node: keys of other groups may lie where this process cannot read them.
///
/// # Errors
/// [`NodeError`] names the key and what is wrong with it.
pub fn group(config: &Config, settings: &KeyGroupSettings) -> Result<KeyGroup, NodeError> {
    let mut keys = Keys::default();
    for (id, settings) in config.key.iter().filter(|(id, _)| settings.names(id)) {
        keys.read(id, settings)?;
    }
    keys.group(settings)
}

/// The keys that are not in this group, as far as they can be read.
#[must_use]
pub fn others(config: &Config, group: &KeyGroupSettings) -> Vec<(String, Key)> {
    let mut keys = Keys::default();
    for (id, settings) in config.key.iter().filter(|(id, _)| !group.names(id)) {
        // One that cannot be read has not signed anything that could be told.
        let _ = keys.read(id, settings);
    }
    keys.verifying.into_iter().map(|(id, key)| (id.to_owned(), key)).collect()
}

/// The half of a key that signs, where the config names it.
///
/// # Errors
/// [`NodeError`] names the key and what is wrong with it.
pub fn signing_half(id: &str, settings: &KeySettings) -> Result<Option<SigningKey>, NodeError> {
    let mut keys = Keys::default();
    keys.read(id, settings)?;
    Ok(keys.signing.remove(id))
}

/// The key that encrypts addresses, where the config has one of this id.
///
/// # Errors
/// [`NodeError`] names the key and what is wrong with it.
pub fn encryption(id: &str, settings: &KeySettings) -> Result<Option<EncryptionKey>, NodeError> {
    let mut keys = Keys::default();
    keys.read(id, settings)?;
    Ok(keys.encryption.remove(id))
}

/// What verifies the signatures of a key.
///
/// # Errors
/// [`NodeError`] names the key and what is wrong with it.
pub fn verifying_half(id: &str, settings: &KeySettings) -> Result<Option<Key>, NodeError> {
    let mut keys = Keys::default();
    keys.read(id, settings)?;
    Ok(keys.verifying.remove(id))
}

#[derive(Default)]
struct Keys<'a> {
    verifying: HashMap<&'a str, Key>,
    signing: HashMap<&'a str, SigningKey>,
    encryption: HashMap<&'a str, EncryptionKey>,
}

impl<'a> Keys<'a> {
    fn read(&mut self, id: &'a str, settings: &KeySettings) -> Result<(), NodeError> {
        for (name, material) in settings.materials() {
            let (place, text) = read(material);
            let text = text.map_err(|error| NodeError::KeyMaterial(id.to_owned(), place.clone(), error))?;
            let refused = |error| NodeError::Key(id.to_owned(), place.clone(), error);
            let key = match name {
                "encryption" => {
                    self.encryption.insert(id, EncryptionKey::from_text(&text).map_err(refused)?);
                    continue;
                }
                "public" => PublicKey::from_pem(&text).map_err(refused)?.into(),
                _ => {
                    let signer = parse(name, &text).map_err(refused)?;
                    let key = signer.verifying().map_err(refused)?;
                    self.signing.insert(id, signer);
                    key
                }
            };
            self.verifying.insert(id, key);
        }
        Ok(())
    }

    fn decrypting(&self, settings: &KeyGroupSettings) -> Result<Vec<(String, EncryptionKey)>, NodeError> {
        let named = |id: &String| {
            let key = self.encryption.get(&**id).cloned();
            Ok((id.clone(), key.ok_or_else(|| NodeError::Missing(format!("[key.{id}]")))?))
        };
        settings.decrypt_with.iter().map(named).collect()
    }

    fn group(&self, settings: &KeyGroupSettings) -> Result<KeyGroup, NodeError> {
        let member = |id: &String| {
            let key = self.verifying.get(&**id).cloned();
            Ok((id.clone(), key.ok_or_else(|| NodeError::Missing(format!("[key.{id}]")))?))
        };
        let members = settings.keys.iter().map(member).collect::<Result<_, NodeError>>()?;
        let group = KeyGroup::new(members, &settings.accept)
            .remembering(settings.remember)
            .bearing(settings.wrong_a_minute)
            .between(settings.issuers.clone(), settings.audience.clone())
            .decrypting_with(self.decrypting(settings)?);
        let renewing = settings.renew_with.as_ref().and_then(|id| self.signing.get_key_value(&**id));
        Ok(match renewing {
            Some((id, signer)) => group.renewing_with(id, signer.clone()),
            None => group,
        })
    }
}

/// Where the material is kept, and what it is; it is cleared from memory when it is dropped.
fn read(material: &Material) -> (String, Result<Zeroizing<String>, String>) {
    match material {
        Material::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
            (path.display().to_string(), text.map(Zeroizing::new))
        }
        Material::Env(name) => {
            let text = std::env::var(name).map_err(|error| error.to_string());
            (format!("${name}"), text.map(Zeroizing::new))
        }
    }
}

fn parse(setting: &str, text: &str) -> Result<SigningKey, SigningError> {
    match setting {
        "secret" => Ok(SigningKey::Secret(Secret::from_text(text)?)),
        _ => Ok(SigningKey::Private(Arc::new(PrivateKey::from_pem(text)?))),
    }
}
