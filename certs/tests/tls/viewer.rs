//! A viewer with its own trust and its own clock, and the wire between it and the edge.

use certs::{CertificateStore, LocalAuthority, viewer_tls};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, ClientConnection, Error, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The time of all these tests: 2027-01-15.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// What both sides know after a handshake.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) version: ProtocolVersion,
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) kind: HandshakeKind,
    pub(crate) certificate: CertificateDer<'static>,
}

/// A folder with an authority in it.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
    pub(crate) authority: LocalAuthority,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = LocalAuthority::open(folder.path(), now()).unwrap();
        Self { folder, authority }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn certificate(&self, names: &[&str]) -> Arc<CertifiedKey> {
        Arc::new(self.authority.issue(&owned(names), now()).unwrap())
    }

    /// An edge with one certificate for each list of names.
    pub(crate) fn edge(&self, sites: &[&[&str]]) -> Arc<ServerConfig> {
        let entries = sites.iter().map(|names| (owned(names), self.certificate(names))).collect();
        edge(entries)
    }

    /// A viewer that trusts this machine's authority and nobody else.
    pub(crate) fn viewer(&self) -> Viewer {
        Viewer::trusting(self.authority.root_pem())
    }
}

pub(crate) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) fn edge(entries: Vec<(Vec<String>, Arc<CertifiedKey>)>) -> Arc<ServerConfig> {
    Arc::new(viewer_tls(Arc::new(CertificateStore::new(entries)), None).unwrap())
}

pub(crate) struct Viewer {
    roots: Arc<RootCertStore>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    clock: SystemTime,
}

impl Viewer {
    pub(crate) fn trusting(root_pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap()).unwrap();
        Self {
            roots: Arc::new(roots),
            versions: rustls::ALL_VERSIONS.to_vec(),
            protocols: vec![b"http/1.1".to_vec(), b"h2".to_vec()],
            clock: now(),
        }
    }

    pub(crate) fn speaking(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub(crate) fn offering(mut self, protocols: &[&[u8]]) -> Self {
        self.protocols = protocols.iter().map(|name| name.to_vec()).collect();
        self
    }

    pub(crate) fn at(mut self, clock: SystemTime) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clock = Arc::new(Clock(self.clock));
        let mut config = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = self.protocols.clone();
        config.resumption = Resumption::in_memory_sessions(8);
        config.enable_early_data = true;
        Arc::new(config)
    }

    /// Connects to `name`: a host name, sent as SNI, or an address, with no SNI.
    pub(crate) fn connect(&self, edge: &Arc<ServerConfig>, name: &str) -> Result<Session, Error> {
        connect(&self.config(), edge, name)
    }
}

pub(crate) fn connect(
    viewer: &Arc<ClientConfig>,
    edge: &Arc<ServerConfig>,
    name: &str,
) -> Result<Session, Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut viewer = ClientConnection::new(Arc::clone(viewer), name).unwrap();
    let mut edge = ServerConnection::new(Arc::clone(edge)).unwrap();
    assert!(viewer.early_data().is_none(), "the edge offered 0-RTT");
    while viewer.is_handshaking() || edge.is_handshaking() {
        exchange(&mut viewer, &mut edge)?;
    }
    // One word across, which also delivers the session tickets.
    edge.writer().write_all(b"word").unwrap();
    exchange(&mut viewer, &mut edge)?;
    let mut word = [0; 4];
    viewer.reader().read_exact(&mut word).unwrap();
    assert_eq!(&word, b"word");
    assert_eq!(viewer.alpn_protocol(), edge.alpn_protocol());
    Ok(Session {
        version: viewer.protocol_version().unwrap(),
        protocol: viewer.alpn_protocol().map(<[u8]>::to_vec),
        kind: viewer.handshake_kind().unwrap(),
        certificate: viewer.peer_certificates().unwrap()[0].clone(),
    })
}

/// Carries what each side has to say to the other, once; the edge's refusal comes first.
fn exchange(viewer: &mut ClientConnection, edge: &mut ServerConnection) -> Result<(), Error> {
    let mut wire = Vec::new();
    while viewer.wants_write() {
        viewer.write_tls(&mut wire).unwrap();
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        edge.read_tls(&mut rest).unwrap();
        edge.process_new_packets()?;
    }
    wire.clear();
    while edge.wants_write() {
        edge.write_tls(&mut wire).unwrap();
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        viewer.read_tls(&mut rest).unwrap();
        viewer.process_new_packets()?;
    }
    Ok(())
}

#[derive(Debug)]
struct Clock(SystemTime);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since_1970 = self.0.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since_1970))
    }
}
