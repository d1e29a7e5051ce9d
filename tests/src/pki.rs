//! A certificate authority of the tests' own.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A root that no machine trusts, and the means to sign with it.
#[derive(Debug)]
pub struct Authority {
    root: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, both PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// A new authority with a fresh key.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("no key");
        let mut params = CertificateParams::new(Vec::new()).expect("an authority needs no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Selvedge stories");
        let root = params.self_signed(&key).expect("cannot sign the root").pem();
        Self { root, issuer: Issuer::new(params, key) }
    }

    /// The root certificate, PEM.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// A certificate for these names.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.sign(&params(names))
    }

    /// A certificate for these names that was good once.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("no key");
        let certificate = params.signed_by(&key, &self.issuer).expect("cannot sign a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names of a story are valid")
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
