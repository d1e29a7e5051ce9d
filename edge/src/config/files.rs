//! Files that settings name must be there; what is in them is for the rooms that read them.

use std::path::{Path, PathBuf};

use certs::SiteTls;
use hooks::WasmSource;
use origin_shield::Variable;

use super::document::Sources;
use super::error::{ConfigError, ConfigErrors};
use super::node::Material;
use super::{Config, Loaded};

/// Checks that every file that the config names can be opened.
pub(crate) fn check(config: &Config, sources: &Sources) -> ConfigErrors {
    let mut errors = ConfigErrors::default();
    for (path, file) in named_files(config) {
        if errors.is_full() {
            break;
        }
        let Err(cause) = opened(&file) else { continue };
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let hint = file.is_relative().then(|| "relative paths start at the config file".to_owned());
        errors.push(ConfigError { hint, ..sources.error_at(&path, format!("{}: {cause}", file.display())) });
    }
    errors
}

/// The files that a config consists of, and those that it names; `None` while it is broken.
#[must_use]
pub fn files_of(path: &Path) -> Option<Vec<PathBuf>> {
    let loaded = Loaded::load(path).ok()?;
    let parts = loaded.sources.documents.iter().map(|document| PathBuf::from(&document.name));
    Some(parts.chain(named_files(&loaded.config).into_iter().map(|(_, file)| file)).collect())
}

/// Why the file cannot be read as one. Nothing is read: it may be large.
fn opened(file: &Path) -> Result<(), String> {
    let known = std::fs::metadata(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    })?;
    if known.is_dir() {
        return Err("is a folder, not a file".into());
    }
    Ok(())
}

/// Each file with the key path of the setting that names it.
fn named_files(config: &Config) -> Vec<(Vec<String>, PathBuf)> {
    let mut files = Files(Vec::new());
    if let Some(Material::File(file)) = &config.node.admin_token {
        files.add(&["node", "admin-token", "file"], file);
    }
    if let Some(edges) = &config.node.edges {
        files.maybe(&["node", "edges", "ca"], edges.ca.as_deref());
        for key in &edges.key {
            if let Material::File(file) = key {
                files.add(&["node", "edges", "key"], file);
            }
        }
    }
    for (name, origin) in &config.origin {
        if let Some(origin_shield::Material::File(file)) = &origin.key {
            files.add(&["origin", name, "key", "file"], file);
        }
        files.maybe(&["origin", name, "wasm"], origin.wasm.as_deref());
        for (variable, value) in &origin.env {
            if let Variable::Secret(origin_shield::Material::File(file)) = value {
                files.add(&["origin", name, "env", variable, "file"], file);
            }
        }
        for (keys, file) in origin.s3.iter().flat_map(origin_shield::BucketSettings::files) {
            files.add(&[&["origin", name, "s3"], keys].concat(), file);
        }
        let Some(tls) = &origin.tls else { continue };
        files.maybe(&["origin", name, "tls", "ca"], tls.ca.as_deref());
        files.maybe(&["origin", name, "tls", "client-cert"], tls.client_cert.as_deref());
        if let Some(origin_shield::Material::File(file)) = &tls.client_key {
            files.add(&["origin", name, "tls", "client-key", "file"], file);
        }
    }
    for (id, key) in &config.key {
        for (name, material) in key.materials() {
            if let signing::Material::File(file) = material {
                files.add(&["key", id, name, "file"], file);
            }
        }
    }
    for (name, hook) in &config.hook {
        if let WasmSource::File(file) = &hook.wasm {
            files.add(&["hook", name, "wasm"], file);
        }
        for (secret, place) in &hook.secrets {
            if let hooks::Material::File(file) = place {
                files.add(&["hook", name, "secrets", secret, "file"], file);
            }
        }
        if let Some(WasmSource::File(file)) = hook.canary.as_ref().map(|canary| &canary.wasm) {
            files.add(&["hook", name, "canary", "wasm"], file);
        }
    }
    for (name, site) in &config.site {
        if let Some(SiteTls::Files { cert, key }) = &site.tls {
            files.add(&["site", name, "tls", "cert"], cert);
            if let certs::Material::File(file) = key {
                files.add(&["site", name, "tls", "key", "file"], file);
            }
        }
    }
    for (index, file) in config.geo.iter().flat_map(|geo| &geo.database).enumerate() {
        files.add(&["geo", "database", &index.to_string()], file);
    }
    files.0
}

struct Files(Vec<(Vec<String>, PathBuf)>);

impl Files {
    fn add(&mut self, path: &[&str], file: &Path) {
        self.0.push((path.iter().map(ToString::to_string).collect(), file.to_owned()));
    }

    fn maybe(&mut self, path: &[&str], file: Option<&Path>) {
        if let Some(file) = file {
            self.add(path, file);
        }
    }
}
