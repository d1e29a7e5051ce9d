//! Certificates that somebody else issued, read from files.

use crate::{CertsError, Material, publish};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::path::Path;
use std::{env, fmt, fs};

/// Reads a PEM certificate chain, the site's own certificate first, and its PEM private key (PKCS#8, PKCS#1 or SEC 1).
///
/// # Errors
/// One of the two cannot be read or is not of that form, or the key belongs to another certificate.
pub fn load_files(cert: &Path, key: &Material) -> Result<CertifiedKey, CertsError> {
    let chain = read_chain(cert)?;
    let private_key = read_key(key)?;
    CertifiedKey::from_der(chain, private_key, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            CertsError::Mismatch { cert: cert.to_owned(), key: key.to_string() }
        }
        Error::InvalidCertificate(_) => unusable(cert.display(), "certificate", error),
        _ => unusable(key, "private key", error),
    })
}

/// The one cryptography of the house; never the process default, which other code might have set.
pub(crate) fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertsError> {
    let text = fs::read(path).map_err(|cause| publish::failed("read", path, cause))?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(path.display(), "certificate", error))?;
    if chain.is_empty() {
        let cause = "there is no -----BEGIN CERTIFICATE-----";
        return Err(unusable(path.display(), "certificate", cause));
    }
    Ok(chain)
}

fn read_key(material: &Material) -> Result<PrivateKeyDer<'static>, CertsError> {
    let text = match material {
        Material::File(path) => fs::read(path).map_err(|cause| publish::failed("read", path, cause))?,
        Material::Env(name) => env::var(name).map_err(|_| CertsError::Variable(name.clone()))?.into_bytes(),
    };
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| unusable(material, "private key", error))
}

pub(crate) fn unusable(
    place: impl fmt::Display,
    wanted: &'static str,
    cause: impl fmt::Display,
) -> CertsError {
    CertsError::Material { place: place.to_string(), wanted, cause: cause.to_string() }
}

impl fmt::Display for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Material::Env(name) => write!(formatter, "the environment variable {name}"),
            Material::File(path) => path.display().fmt(formatter),
        }
    }
}
