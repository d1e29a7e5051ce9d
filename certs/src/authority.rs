//! The development authority: a root of this machine alone, which a developer may trust once.

use crate::publish::{Readers, failed, read, settle};
use crate::{CertsError, files};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::fs::DirBuilder;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Certificates begin a day early, for viewers whose clocks are behind.
const HEAD_START: Duration = DAY;
/// The longest that browsers take is 398 days (CA/Browser Forum Baseline Requirements section 6.3.2, 2020 to 2026).
const SITE_LIFETIME: Duration = Duration::from_secs(397 * 24 * 60 * 60);
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// 9900-01-01; RFC 5280 section 4.1.2.5 can write years up to 9999.
const LAST_CLOCK: u64 = 250_247_836_800;
/// RFC 5280 appendix A.1, ub-common-name.
const MOST_COMMON_NAME: usize = 64;

/// A certificate authority that lives in one folder: `root.pem`, which viewers may trust, and `root.key`.
pub struct LocalAuthority {
    folder: PathBuf,
    root_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl LocalAuthority {
    /// Loads the authority from `folder`, or makes it there when there is none; `now` dates a new root.
    ///
    /// Processes that do this at once end up with the same authority. The key is readable by its owner alone.
    ///
    /// # Errors
    /// The folder cannot be read or written, or what it holds is not an authority.
    pub fn open(folder: &Path, now: SystemTime) -> Result<Self, CertsError> {
        create_folder(folder)?;
        let root_path = folder.join("root.pem");
        let key_path = folder.join("root.key");
        // The certificate comes into being after its key, so it is looked at first: with it there and the key gone, the
        // key was lost, and a new one would not fit the certificate that viewers trust.
        let root_pem = read(&root_path)?;
        let key_pem = match (read(&key_path)?, &root_pem) {
            (Some(text), _) => text,
            (None, Some(_)) => return Err(damaged(folder, "root.key is missing")),
            (None, None) => settle(&key_path, &new_key()?.serialize_pem(), Readers::Owner)?,
        };
        let key =
            KeyPair::from_pem(&key_pem).map_err(|error| damaged(folder, format!("root.key: {error}")))?;
        let root_pem = match root_pem {
            Some(text) => text,
            None => settle(&root_path, &new_root(&key, now)?, Readers::Everyone)?,
        };
        check_pair(folder, &root_pem, &key)?;
        let issuer = Issuer::from_ca_cert_pem(&root_pem, key)
            .map_err(|error| damaged(folder, format!("root.pem: {error}")))?;
        Ok(Self { folder: folder.to_owned(), root_pem, issuer })
    }

    /// The root certificate in PEM: what a viewer must trust.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The file that holds [`root_pem`](Self::root_pem).
    #[must_use]
    pub fn root_path(&self) -> PathBuf {
        self.folder.join("root.pem")
    }

    /// Issues one certificate for all `names`: host names, wildcards (`*.example.test`) and IP addresses. It holds for
    /// 396 days from `now`, with a new ECDSA P-256 key that is kept in memory only.
    ///
    /// # Errors
    /// There are no names or one is none, the clock is off, or the cryptography library fails.
    pub fn issue(&self, names: &[String], now: SystemTime) -> Result<CertifiedKey, CertsError> {
        let key = new_key()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = subject_names(names)?;
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = names.iter().find(|name| name.len() <= MOST_COMMON_NAME) {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        date(&mut params, now, SITE_LIFETIME)?;
        let certificate =
            params.signed_by(&key, &self.issuer).map_err(|error| library("issue a certificate", error))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        CertifiedKey::from_der(vec![certificate.into()], key, &files::provider())
            .map_err(|error| library("use a new certificate", error))
    }
}

impl fmt::Debug for LocalAuthority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LocalAuthority({})", self.folder.display())
    }
}

fn create_folder(folder: &Path) -> Result<(), CertsError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|cause| failed("create", folder, cause))
}

fn new_key() -> Result<KeyPair, CertsError> {
    KeyPair::generate().map_err(|error| library("make a key", error))
}

/// A root that may issue for sites and for no further authority.
fn new_root(key: &KeyPair, now: SystemTime) -> Result<String, CertsError> {
    let mut params = CertificateParams::default();
    // The key's own mark in the name keeps the roots of several machines apart in one trust store.
    let mark = params.key_identifier(key);
    let mark: String = mark.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Selvedge local development");
    params.distinguished_name.push(DnType::CommonName, format!("Selvedge local CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    date(&mut params, now, ROOT_LIFETIME)?;
    let root = params.self_signed(key).map_err(|error| library("make a root certificate", error))?;
    Ok(root.pem())
}

fn date(params: &mut CertificateParams, now: SystemTime, lifetime: Duration) -> Result<(), CertsError> {
    let since_1970 = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .filter(|since| (HEAD_START.as_secs()..LAST_CLOCK).contains(&since.as_secs()))
        .ok_or(CertsError::Clock)?;
    let start = date_time_ymd(1970, 1, 1) + (since_1970 - HEAD_START);
    params.not_before = start;
    // Both ends belong to the validity (RFC 5280 section 4.1.2.5).
    params.not_after = start + (lifetime - Duration::from_secs(1));
    Ok(())
}

/// RFC 5280 section 4.2.1.6.
fn subject_names(names: &[String]) -> Result<Vec<SanType>, CertsError> {
    if names.is_empty() {
        return Err(refused_name("", "a certificate needs at least one name"));
    }
    names.iter().map(|name| subject_name(name)).collect()
}

fn subject_name(name: &str) -> Result<SanType, CertsError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    if DnsName::try_from(host).is_err() {
        return Err(refused_name(
            name,
            "it is neither a host name, a wildcard such as *.example.com, nor an IP address",
        ));
    }
    name.to_ascii_lowercase()
        .try_into()
        .map(SanType::DnsName)
        .map_err(|_| refused_name(name, "it is not ASCII; write it in its xn-- form"))
}

fn check_pair(folder: &Path, root_pem: &str, key: &KeyPair) -> Result<(), CertsError> {
    let root = CertificateDer::from_pem_slice(root_pem.as_bytes())
        .map_err(|error| damaged(folder, format!("root.pem: {error}")))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    CertifiedKey::from_der(vec![root], key, &files::provider())
        .map_err(|error| damaged(folder, format!("root.pem and root.key: {error}")))?;
    Ok(())
}

fn damaged(folder: &Path, cause: impl Into<String>) -> CertsError {
    CertsError::Authority { folder: folder.to_owned(), cause: cause.into() }
}

fn refused_name(name: &str, cause: &'static str) -> CertsError {
    CertsError::Name { name: name.to_owned(), cause }
}

fn library(action: &'static str, cause: impl fmt::Display) -> CertsError {
    CertsError::Library { action, cause: cause.to_string() }
}
