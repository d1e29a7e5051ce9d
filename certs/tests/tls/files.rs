//! Certificates from files. The authority of these tests stands for whoever issued them.

use crate::viewer::{Viewer, edge, owned};
use certs::{CertsError, Material, load_files};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// `site.pem` and `site.key`, self-signed.
    fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        let (certificate, key) = pair();
        site.write("site.pem", &certificate);
        site.write("site.key", &key);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn load(&self) -> Result<rustls::sign::CertifiedKey, CertsError> {
        let key = Material::File(self.path("site.key"));
        load_files(&self.path("site.pem"), &key)
    }

    fn words_of_failure(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(owned(&["one.test"])).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_pair_from_files_serves_its_site() {
    let site = Site::new();
    let certificate = site.load().unwrap();
    let edge = edge(vec![(owned(&["one.test"]), Arc::new(certificate))]);
    let viewer = Viewer::trusting(&fs::read_to_string(site.path("site.pem")).unwrap());
    viewer.connect(&edge, "one.test").unwrap();
}

#[test]
fn the_whole_chain_is_kept_in_order() {
    let site = Site::new();
    let own = fs::read_to_string(site.path("site.pem")).unwrap();
    let (intermediate, _) = pair();
    site.write("site.pem", &format!("site:\n{own}\nits issuer:\n{intermediate}"));
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    assert_eq!(site.load().unwrap().cert, [der(&own), der(&intermediate)]);

    // The other way round the first certificate is not the key's.
    site.write("site.pem", &format!("{intermediate}{own}"));
    assert!(matches!(site.load(), Err(CertsError::Mismatch { .. })));
}

#[test]
fn a_key_of_another_certificate_is_refused_naming_both_files() {
    let site = Site::new();
    let (_, other_key) = pair();
    site.write("site.key", &other_key);
    let words = site.words_of_failure();
    for name in ["site.pem", "site.key"] {
        assert!(words.contains(site.path(name).to_str().unwrap()), "{words}");
    }
}

#[test]
fn a_file_that_is_missing_or_no_pem_is_named() {
    for name in ["site.pem", "site.key"] {
        for text in [
            None,
            Some(""),
            Some("words"),
            Some("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
            Some("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
            Some("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"),
            Some("-----BEGIN CERTIFICATE-----\nMAA="),
        ] {
            let site = Site::new();
            fs::remove_file(site.path(name)).unwrap();
            if let Some(text) = text {
                site.write(name, text);
            }
            let words = site.words_of_failure();
            let path = site.path(name);
            assert!(words.contains(path.to_str().unwrap()), "{text:?}: {words}");
        }
    }
}

#[test]
fn a_key_may_come_from_the_environment() {
    // Cargo sets this one for every test; its value is no key, which shows that it was read.
    let site = Site::new();
    let load = |name: &str| load_files(&site.path("site.pem"), &Material::Env(name.to_owned()));
    let words = load("CARGO_PKG_NAME").unwrap_err().to_string();
    assert!(words.contains("environment variable CARGO_PKG_NAME holds no"), "{words}");
    assert!(matches!(
        load("SELVEDGE_NO_SUCH_VARIABLE"),
        Err(CertsError::Variable(name)) if name == "SELVEDGE_NO_SUCH_VARIABLE"
    ));
}

#[test]
fn errors_show_nothing_of_a_key() {
    let site = Site::new();
    let (_, other_key) = pair();
    site.write("site.key", &other_key);
    let error = site.load().unwrap_err();
    let shown = format!("{error} {error:?}");
    let body = other_key.lines().nth(1).unwrap();
    assert!(PrivateKeyDer::from_pem_slice(other_key.as_bytes()).is_ok());
    assert!(!shown.contains(body));
}
