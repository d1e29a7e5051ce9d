//! Other nodes that ask this one as their shield: how they are recognised, and what they are believed.

use crate::config::{EdgesSettings, MaterialError};
use crate::headers;
use crate::listener::Viewer;
use crate::node::Node;
use crate::visit;
use http::request::Parts;
use origin_shield::hop::{self, Asked, HOP, Hop, HopError, HopKey, WeakKey};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Who asks, as far as connection and request prove it.
#[derive(Debug, Clone)]
pub enum Asker {
    /// A viewer, or somebody who says more of himself than he proves.
    Viewer(Option<HopError>),
    /// A peer of `node.trust`, whose `X-Forwarded-*` and `X-Request-Id` are believed.
    Proxy,
    /// A node whose shield this one is, with what it says of the viewer. What the viewer had to prove was proved there.
    Edge(Option<Box<Hop>>),
}

/// How this node knows its edges.
#[derive(Debug)]
pub struct Edges {
    keys: Vec<HopKey>,
    window: Duration,
    /// What the authorities of their certificates are known by. A connection that others vouched for, before a reload, is no
    /// edge's any more.
    authorities: Option<u64>,
}

/// A key that edges cannot be known by.
#[derive(Debug, thiserror::Error)]
pub enum EdgesError {
    /// It is not where the config says.
    #[error("key: {0}")]
    Material(#[from] MaterialError),
    /// It is too short.
    #[error("key: {0}")]
    Weak(#[from] WeakKey),
    /// The authorities of their certificates cannot be read.
    #[error("ca: cannot read {path}: {1}", path = .0.display())]
    Authorities(PathBuf, std::io::Error),
}

impl Edges {
    /// Reads the keys.
    ///
    /// # Errors
    /// One of them is not there, or too short.
    pub fn build(settings: &EdgesSettings) -> Result<Self, EdgesError> {
        let key = |place: &crate::config::Material| Ok::<_, EdgesError>(HopKey::new(&place.read()?)?);
        Ok(Self {
            keys: settings.key.iter().map(key).collect::<Result<_, _>>()?,
            window: settings.window,
            authorities: settings.ca.as_deref().map(fingerprint).transpose()?,
        })
    }

    /// What the authorities of edges' certificates are known by, where there are any.
    #[must_use]
    pub fn authorities(&self) -> Option<u64> {
        self.authorities
    }

    /// The edge that asks; `Err` for anybody else, with what is wrong with what he says.
    fn recognise(
        &self,
        viewer: &Viewer,
        request: &mut Parts,
        now: SystemTime,
    ) -> Result<Option<Box<Hop>>, Option<HopError>> {
        let said = request.headers.remove(HOP);
        let is_certified = self.authorities.is_some() && viewer.certified_by() == self.authorities;
        let Some(said) = said else { return if is_certified { Ok(None) } else { Err(None) } };
        if is_certified {
            return hop::read(&said).map(|hop| Some(Box::new(hop))).map_err(Some);
        }
        let Ok(authority) = visit::authority(request) else { return Err(Some(HopError::Malformed)) };
        let target = headers::path_and_query(&request.uri);
        let asked = Asked { method: &request.method, authority: &authority, target };
        let opened = hop::open(&said, &asked, &self.keys, self.window, now);
        opened.map(|hop| Some(Box::new(hop))).map_err(Some)
    }
}

/// Of the file with the authorities. Whether it holds any is for those to say who check certificates.
fn fingerprint(file: &Path) -> Result<u64, EdgesError> {
    let authorities = std::fs::read(file).map_err(|cause| EdgesError::Authorities(file.to_owned(), cause))?;
    let mut hasher = DefaultHasher::new();
    authorities.hash(&mut hasher);
    Ok(hasher.finish())
}

impl Asker {
    /// Who asks. What an edge says of the viewer leaves the request: it is for this hop alone.
    pub fn of(node: &Node, viewer: &Viewer, request: &mut Parts, now: SystemTime) -> Self {
        let unknown = match &node.edges {
            None => None,
            Some(edges) => match edges.recognise(viewer, request, now) {
                Ok(hop) => return Self::Edge(hop),
                Err(error) => {
                    error.inspect(|error| node.observer.disbelieved(*error));
                    error
                }
            },
        };
        match node.trusts(viewer.peer.ip().to_canonical()) {
            true => Self::Proxy,
            false => Self::Viewer(unknown),
        }
    }

    /// Whether it may speak for the viewer.
    #[must_use]
    pub fn speaks_for_viewers(&self) -> bool {
        !matches!(self, Self::Viewer(_))
    }

    /// Whether it is a node whose shield this one is.
    #[must_use]
    pub fn is_edge(&self) -> bool {
        matches!(self, Self::Edge(_))
    }

    /// What an edge says of the viewer.
    #[must_use]
    pub fn hop(&self) -> Option<&Hop> {
        match self {
            Self::Edge(hop) => hop.as_deref(),
            Self::Viewer(_) | Self::Proxy => None,
        }
    }
}
