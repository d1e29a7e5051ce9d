//! Which certificate a viewer gets.

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// All certificates of a node, found by the server name that a viewer asks for (SNI, RFC 6066 section 3).
///
/// An exact name comes before a wildcard, which stands for one label. A name that nobody serves gets none: the
/// handshake ends there, and no site's content is shown under a name that is not its own.
#[derive(Debug)]
pub struct CertificateStore {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    unnamed: Option<Arc<CertifiedKey>>,
}

impl CertificateStore {
    /// `entries` are pairs of a site's names and its certificate; where two sites claim a name, the first keeps it.
    ///
    /// Viewers that connect to an address send no name. They get the first certificate of a site that has an IP address
    /// among its names, else of `localhost`, else none.
    #[must_use]
    pub fn new(entries: Vec<(Vec<String>, Arc<CertifiedKey>)>) -> Self {
        let mut exact = HashMap::new();
        let mut wildcard = HashMap::new();
        let mut by_address = None;
        for (names, certificate) in entries {
            for name in names.iter().map(|name| normal(name)) {
                if name.parse::<IpAddr>().is_ok() {
                    by_address.get_or_insert_with(|| Arc::clone(&certificate));
                } else if let Some(parent) = name.strip_prefix("*.") {
                    wildcard.entry(parent.to_owned()).or_insert_with(|| Arc::clone(&certificate));
                } else {
                    exact.entry(name).or_insert_with(|| Arc::clone(&certificate));
                }
            }
        }
        let unnamed = by_address.or_else(|| exact.get("localhost").cloned());
        Self { exact, wildcard, unnamed }
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = name.map(normal) else {
            return self.unnamed.clone();
        };
        if let Some(certificate) = self.exact.get(&name) {
            return Some(Arc::clone(certificate));
        }
        // RFC 9525 section 6.3: the wildcard is the whole left-most label.
        let (_, parent) = name.split_once('.')?;
        self.wildcard.get(parent).cloned()
    }
}

/// Names differ neither by case nor by the root's dot.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 6066 forbids addresses as names; the library gives none for viewers that send one all the same.
        self.find(hello.server_name())
    }
}
