//! Who signs a URL: the key that the command line names, or the one that the config's route asks for.

use std::path::{Path, PathBuf};

use signing::{EncryptionKey, KeyGroupSettings, KeyKind, KeySettings, Material, SchemeName, SigningKey};
use zeroize::Zeroizing;

use super::asked::AskedUrl;
use super::key::key_id;
use crate::config::{Config, Loaded};
use crate::node::keys;

/// Where `key new` puts keys.
pub(super) const FOLDER: &str = "keys";

/// A key that signs, under the name that the node knows it by.
pub(super) struct Signer {
    pub(super) id: String,
    pub(super) key: SigningKey,
    /// What the key group takes and such a key signs; without a config, what fits the key.
    pub(super) scheme: SchemeName,
    /// What addresses are encrypted with, and its id, or why it cannot be read.
    pub(super) encryption: Result<Option<(String, EncryptionKey)>, String>,
}

impl Signer {
    /// The key in this file, by this id.
    pub(super) fn given(id: &str, file: &Path) -> Result<Self, String> {
        let key = in_file(file)?;
        let scheme = usual(key.kind());
        Ok(Self { id: id.to_owned(), key, scheme, encryption: Ok(None) })
    }

    /// The key that the route of this URL asks for: the one of this id, or the first of its group whose signing half is found, in
    /// `file` or where it usually lies.
    pub(super) fn of_route(
        loaded: &Loaded,
        url: &str,
        id: Option<&str>,
        file: Option<&Path>,
    ) -> Result<Self, String> {
        let url = AskedUrl::parse(url)?;
        let belonging = url.belonging(loaded)?;
        let config = &loaded.config;
        let group = belonging.group().and_then(|name| config.key_group.get(name));
        let group = group.ok_or_else(|| {
            format!("nothing has to be signed there: {} asks for no signature", belonging.words())
        })?;
        if let Some(id) = id.filter(|id| !group.keys.iter().any(|key| key == id)) {
            let known = group.keys.join(", ");
            return Err(format!("{id} is no key of the route's key group, which has {known}"));
        }
        let mut missing = Vec::new();
        for known in group.keys.iter().filter(|known| id.is_none_or(|id| id == *known)) {
            match half(config, known, file) {
                Ok(key) => {
                    let encryption = group.decrypt_with.first().map(|id| encrypting(config, id)).transpose();
                    return Ok(Self { encryption, ..Self::within(group, known, key)? });
                }
                Err(message) => missing.push(message),
            }
        }
        Err(missing.join("; "))
    }

    fn within(group: &KeyGroupSettings, id: &str, key: SigningKey) -> Result<Self, String> {
        let kind = key.kind();
        let scheme = group.accept.iter().copied().find(|scheme| signs(kind, *scheme));
        let scheme = scheme.ok_or_else(|| {
            format!("[key.{id}] is {}, and the key group takes nothing that such a key signs", kind.name())
        })?;
        Ok(Self { id: id.to_owned(), key, scheme, encryption: Ok(None) })
    }
}

/// The half of a key that signs, which must belong to the half that the node knows.
fn half(config: &Config, id: &str, file: Option<&Path>) -> Result<SigningKey, String> {
    let Some(settings) = config.key.get(id) else { return Err(format!("there is no [key.{id}]")) };
    let key = match file {
        Some(file) => in_file(file)?,
        None => match keys::signing_half(id, settings).map_err(|error| error.to_string())? {
            Some(key) => return Ok(key),
            None => in_file(&beside(id, settings)?)?,
        },
    };
    let ours = key.verifying().map_err(|error| error.to_string())?;
    let known = keys::verifying_half(id, settings).map_err(|error| error.to_string())?;
    match known.is_some_and(|known| known.is_same(&ours)) {
        true => Ok(key),
        false => {
            let what = if key.kind() == KeyKind::Hmac { "secret" } else { "private key" };
            Err(format!("the {what} does not belong to [key.{id}]: a node would refuse what it signs"))
        }
    }
}

/// Where `key new` puts the private half: beside the public one.
fn beside(id: &str, settings: &KeySettings) -> Result<PathBuf, String> {
    let mut places = Vec::new();
    if let Some(Material::File(public)) = &settings.public {
        let folder = public.parent().unwrap_or(Path::new(""));
        let name = public.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        places
            .extend(name.strip_suffix(".public.pem").map(|name| folder.join(format!("{name}.private.pem"))));
        places.push(folder.join(format!("{id}.private.pem")));
    }
    places.push(Path::new(FOLDER).join(format!("{id}.private.pem")));
    places.dedup();
    if let Some(found) = places.iter().find(|place| place.exists()) {
        return Ok(found.clone());
    }
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Err(format!("the private half of [key.{id}] is not at {}; name it with --private", places.join(" nor ")))
}

fn in_file(file: &Path) -> Result<SigningKey, String> {
    let text = read(file)?;
    SigningKey::from_text(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// The config's key of this id that encrypts.
fn encrypting(config: &Config, id: &str) -> Result<(String, EncryptionKey), String> {
    let settings = config.key.get(id).ok_or_else(|| format!("there is no [key.{id}]"))?;
    let key = keys::encryption(id, settings).map_err(|error| error.to_string())?;
    Ok((id.to_owned(), key.ok_or_else(|| format!("[key.{id}] does not encrypt"))?))
}

/// The key in this file that encrypts, with its id.
pub(super) fn encryption(id: &str, file: &Path) -> Result<(String, EncryptionKey), String> {
    let key =
        EncryptionKey::from_text(&read(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok((id.to_owned(), key))
}

/// `ID=FILE` of the command line.
pub(super) fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (id, file) = text.split_once('=').ok_or("write ID=FILE: the key's id, and where it is")?;
    Ok((key_id(id)?, file.into()))
}

/// A key file's text, cleared from memory when it is dropped. Amazon's command line writes `file://` before it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let path = path.to_str().and_then(|text| text.strip_prefix("file://")).map_or(path, Path::new);
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Which tokens such a key signs.
fn signs(kind: KeyKind, scheme: SchemeName) -> bool {
    match scheme {
        SchemeName::Cloudfront => matches!(kind, KeyKind::Rsa | KeyKind::P256),
        SchemeName::UriSigning => true,
        SchemeName::Hmac => kind == KeyKind::Hmac,
    }
}

fn usual(kind: KeyKind) -> SchemeName {
    match kind {
        KeyKind::Rsa | KeyKind::P256 => SchemeName::Cloudfront,
        KeyKind::Ed25519 => SchemeName::UriSigning,
        KeyKind::Hmac => SchemeName::Hmac,
    }
}
