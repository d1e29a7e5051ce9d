//! Whom to trust, whom to ask for, and who we are, in TLS towards an origin.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::Purpose;
use crate::error::OriginError;
use crate::settings::{Material, OriginSettings, OriginTls, OriginUrl, Protocol};

/// The names of the two protocols in TLS (RFC 7301 section 6, RFC 9113 section 3.2).
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// TLS towards one origin, ready to use.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    /// The same, offering HTTP/1.1 alone.
    http1: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl Tls {
    /// What an `https://` origin needs; reads the files and variables that the settings name.
    pub(crate) fn build(
        origin: &Arc<str>,
        url: &OriginUrl,
        settings: &OriginSettings,
    ) -> Result<Self, OriginError> {
        let wrong = |cause: String| OriginError::Tls { origin: origin.clone(), cause };
        let tls = settings.tls.clone().unwrap_or_default();
        let name = tls.sni.as_deref().unwrap_or(url.host());
        let name = ServerName::try_from(name.to_owned()).map_err(|error| {
            wrong(format!("{name:?} cannot be a server name ({error}): set sni to a DNS name"))
        })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?
            .with_root_certificates(trusted(origin, &tls)?);
        let mut config = identified(origin, &tls, builder)?;
        config.alpn_protocols = vec![HTTP1.to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols = match settings.protocol {
            Protocol::Auto => vec![HTTP2.to_vec(), HTTP1.to_vec()],
            Protocol::Http1 => vec![HTTP1.to_vec()],
            Protocol::Http2 => vec![HTTP2.to_vec()],
        };
        Ok(Self { config: Arc::new(config), http1, name })
    }

    pub(super) fn config(&self, purpose: Purpose) -> Arc<ClientConfig> {
        match purpose {
            Purpose::Requests => self.config.clone(),
            Purpose::Upgrade => self.http1.clone(),
        }
    }
}

fn trusted(origin: &Arc<str>, tls: &OriginTls) -> Result<RootCertStore, OriginError> {
    let mut roots = RootCertStore::empty();
    let Some(ca) = &tls.ca else {
        let found = rustls_native_certs::load_native_certs();
        // Some certificates of a machine's store may be unusable; that is no reason not to trust the others.
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let cause =
                "this machine has no trusted authorities: install ca-certificates, or set ca to a PEM file"
                    .into();
            return Err(OriginError::Tls { origin: origin.clone(), cause });
        }
        return Ok(roots);
    };
    for certificate in certificates(origin, "tls.ca", ca)? {
        roots.add(certificate).map_err(|error| file(origin, "tls.ca", ca, error.to_string()))?;
    }
    Ok(roots)
}

fn identified(
    origin: &Arc<str>,
    tls: &OriginTls,
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
) -> Result<ClientConfig, OriginError> {
    let wrong = |cause: String| OriginError::Tls { origin: origin.clone(), cause };
    match (&tls.client_cert, &tls.client_key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(chain), Some(key)) => builder
            .with_client_auth_cert(certificates(origin, "tls.client-cert", chain)?, private_key(origin, key)?)
            .map_err(|error| wrong(format!("client-cert and client-key do not fit together: {error}"))),
        (Some(_), None) => Err(wrong("client-cert needs its client-key beside it".into())),
        (None, Some(_)) => Err(wrong("client-key needs its client-cert beside it".into())),
    }
}

fn certificates(
    origin: &Arc<str>,
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, OriginError> {
    let pem = std::fs::read(path).map_err(|error| file(origin, setting, path, error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| file(origin, setting, path, error.to_string()))?;
    if found.is_empty() {
        let cause = "it holds no certificate: give a file with -----BEGIN CERTIFICATE-----".into();
        return Err(file(origin, setting, path, cause));
    }
    Ok(found)
}

fn private_key(origin: &Arc<str>, key: &Material) -> Result<PrivateKeyDer<'static>, OriginError> {
    const SETTING: &str = "tls.client-key";
    match key {
        Material::File(path) => {
            let pem = std::fs::read(path).map_err(|error| file(origin, SETTING, path, error.to_string()))?;
            PrivateKeyDer::from_pem_slice(&pem)
                .map_err(|error| file(origin, SETTING, path, error.to_string()))
        }
        Material::Env(variable) => {
            let unusable = |cause: String| OriginError::Variable {
                origin: origin.clone(),
                setting: SETTING,
                variable: variable.clone(),
                cause,
            };
            let pem = std::env::var(variable).map_err(|error| unusable(error.to_string()))?;
            PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| unusable(error.to_string()))
        }
    }
}

fn file(origin: &Arc<str>, setting: &'static str, path: &Path, cause: String) -> OriginError {
    OriginError::File { origin: origin.clone(), setting, path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn build(tls: OriginTls) -> Result<Tls, String> {
        let url: OriginUrl = "https://app.internal".parse().unwrap();
        let mut settings = OriginSettings::new(url.clone());
        settings.tls = Some(tls);
        Tls::build(&Arc::from("app"), &url, &settings).map_err(|error| error.to_string())
    }

    fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["app.internal".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    #[test]
    fn the_certificates_name_is_the_host_unless_sni_says_otherwise() {
        let (_folder, ca) = written("ca.pem", &pair().0);
        let tls = build(OriginTls { ca: Some(ca.clone()), ..OriginTls::default() }).unwrap();
        assert_eq!(tls.name, ServerName::try_from("app.internal").unwrap());
        let sni = Some("app.example.com".to_owned());
        let tls = build(OriginTls { ca: Some(ca), sni, ..OriginTls::default() }).unwrap();
        assert_eq!(tls.name, ServerName::try_from("app.example.com").unwrap());
    }

    #[test]
    fn unusable_material_names_origin_setting_place_and_cause() {
        let missing =
            build(OriginTls { ca: Some("/nowhere/ca.pem".into()), ..OriginTls::default() }).unwrap_err();
        assert!(
            missing.contains("origin app: tls.ca: cannot use /nowhere/ca.pem: No such file"),
            "{missing}"
        );

        let (_folder, path) = written("ca.pem", "not PEM at all");
        let empty = build(OriginTls { ca: Some(path), ..OriginTls::default() }).unwrap_err();
        assert!(empty.contains("holds no certificate"), "{empty}");

        let sni = build(OriginTls { sni: Some("no spaces".into()), ..OriginTls::default() }).unwrap_err();
        assert!(sni.contains("cannot be a server name"), "{sni}");

        let (certificate, _) = pair();
        let (_folder, path) = written("edge.pem", &certificate);
        let key = Some(Material::Env("SELVEDGE_TEST_NO_SUCH_VARIABLE".into()));
        let tls = OriginTls { ca: Some(path.clone()), client_cert: Some(path), client_key: key, sni: None };
        let variable = build(tls).unwrap_err();
        assert!(
            variable.contains("variable SELVEDGE_TEST_NO_SUCH_VARIABLE: environment variable not found"),
            "{variable}"
        );
    }

    #[test]
    fn a_client_certificate_needs_its_own_key() {
        let ((certificate, _), (_, other_key)) = (pair(), pair());
        let (_folder, path) = written("edge.pem", &certificate);
        let (_other, key) = written("edge.key", &other_key);
        let tls = OriginTls { ca: Some(path.clone()), client_cert: Some(path), ..OriginTls::default() };
        assert!(build(tls.clone()).unwrap_err().contains("needs its client-key"));
        let wrong = build(OriginTls { client_key: Some(Material::File(key)), ..tls }).unwrap_err();
        assert!(wrong.contains("do not fit together"), "{wrong}");
    }
}
