//! Keys and key groups of the config, ready to verify with.

use super::Node;
use super::build::NodeError;
use crate::config::Config;
use signing::{KeyGroup, Material, PrivateKey, PublicKey, Secret, SigningError, SigningKey};
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
    let (mut keys, mut signers) = (HashMap::new(), HashMap::new());
    for (id, settings) in &config.key {
        for (name, material) in settings.materials() {
            let (place, text) = read(material);
            let text = text.map_err(|error| NodeError::KeyMaterial(id.clone(), place.clone(), error))?;
            let refused = |error| NodeError::Key(id.clone(), place.clone(), error);
            let key = match name {
                "public" => PublicKey::from_pem(&text).map_err(refused)?.into(),
                _ => {
                    let signer = parse(name, &text).map_err(refused)?;
                    let key = signer.verifying().map_err(refused)?;
                    signers.insert(id, signer);
                    key
                }
            };
            keys.insert(id.clone(), key);
        }
    }
    let group = |(name, settings): (&String, &signing::KeyGroupSettings)| {
        let member = |id: &String| {
            let key = keys.get(id).cloned().ok_or_else(|| NodeError::Missing(format!("[key.{id}]")))?;
            Ok((id.clone(), key))
        };
        let members = settings.keys.iter().map(member).collect::<Result<_, NodeError>>()?;
        let group = KeyGroup::new(members, &settings.accept)
            .remembering(settings.remember)
            .bearing(settings.wrong_a_minute)
            .between(settings.issuers.clone(), settings.audience.clone());
        let renewing = settings.renew_with.as_ref().and_then(|id| signers.get_key_value(id));
        let group = match renewing {
            Some((id, signer)) => group.renewing_with(id, signer.clone()),
            None => group,
        };
        let group = match previous.and_then(|previous| previous.key_groups.get(name)) {
            Some(before) => group.following(before),
            None => group,
        };
        Ok((name.clone(), Arc::new(group)))
    };
    config.key_group.iter().map(group).collect()
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
