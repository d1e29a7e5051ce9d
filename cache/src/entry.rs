//! A stored response.

use crate::body::{Reader, SharedBody};
use crate::policy::Freshness;
use crate::vary::Selection;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};
use tokio::sync::OnceCell;

/// What an entry costs beside its bytes: structures, map slots, reference counts. Measured, rounded up.
const OVERHEAD: usize = 512;

/// Header fields that the edge adds to an answer, at most (Age, Vary, Accept-Ranges, Cache-Status, Via, X-Request-Id …).
const ROOM: usize = 8;

/// A content coding (RFC 9110 §8.4.1) that the edge makes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// As in `Content-Encoding`.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
        }
    }
}

/// Fields that speak to the edge alone: RFC 9213 §2, and what purge tags are known by. Stored, never sent on.
pub const EDGE_ONLY: [HeaderName; 6] = [
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("cache-groups"),
    HeaderName::from_static("cache-group-invalidation"),
];

/// Status and headers of a response, ready to be stored: hop-by-hop fields removed.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The header fields for viewers.
    pub headers: HeaderMap,
    /// Those of [`EDGE_ONLY`].
    edge_only: HeaderMap,
}

impl Head {
    /// A head as it came from the origin.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Self { status, headers, edge_only: HeaderMap::new() }.sorted()
    }

    /// All fields, as the origin said them.
    pub(crate) fn all_headers(&self) -> HeaderMap {
        let mut all = self.headers.clone();
        for (name, value) in &self.edge_only {
            all.append(name.clone(), value.clone());
        }
        all
    }

    fn sorted(mut self) -> Self {
        for name in EDGE_ONLY {
            for value in self.headers.get_all(&name) {
                self.edge_only.append(&name, value.clone());
            }
            self.headers.remove(name);
        }
        self
    }

    /// Values of their own: as they come, they are slices of a read buffer, which must not stay alive with the entry.
    pub(crate) fn owned(mut self) -> Self {
        for value in self.headers.values_mut().chain(self.edge_only.values_mut()) {
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                *value = copy;
            }
        }
        // Copies of the map have the same room: what every answer adds must not make each of them grow.
        self.headers.reserve(ROOM);
        self
    }

    /// The declared length of the body in bytes.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The entity tag.
    #[must_use]
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.headers.get(ETAG)
    }

    /// The date of the last change.
    #[must_use]
    pub fn last_modified(&self) -> Option<&HeaderValue> {
        self.headers.get(LAST_MODIFIED)
    }
}

/// A stored response: one variant under one key. Its head never changes; its body may still be arriving.
#[derive(Debug)]
pub struct Entry {
    head: Head,
    freshness: Freshness,
    selection: Selection,
    body: Arc<SharedBody>,
    gzip: OnceCell<Bytes>,
    compressible: OnceLock<bool>,
}

impl Entry {
    pub(crate) fn new(head: Head, freshness: Freshness, selection: Selection, body: SharedBody) -> Self {
        Self {
            head,
            freshness,
            selection,
            body: Arc::new(body),
            gzip: OnceCell::new(),
            compressible: OnceLock::new(),
        }
    }

    /// RFC 9111 §4.3.4: the same body under a head that the origin has just confirmed.
    pub(crate) fn refreshed(&self, head: Head, freshness: Freshness) -> Self {
        Self {
            head,
            freshness,
            selection: self.selection.clone(),
            body: Arc::clone(&self.body),
            gzip: self.gzip.clone(),
            compressible: OnceLock::new(),
        }
    }

    /// Status and headers.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How long it may be used.
    #[must_use]
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// The whole body, once it has arrived.
    #[must_use]
    pub fn complete(&self) -> Option<&Bytes> {
        self.body.complete()
    }

    /// The length of the body in bytes, where it is known already.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.complete().map(|body| body.len() as u64).or_else(|| self.head.content_length())
    }

    /// A reader from the first byte. `None` when the body turned out too large to keep and its beginning is gone.
    #[must_use]
    pub fn read(&self) -> Option<Reader> {
        self.body.read()
    }

    /// The kept encoded body for a coding: filled once by whoever comes first, then free for everybody.
    #[must_use]
    pub fn encoded(&self, coding: Coding) -> &OnceCell<Bytes> {
        match coding {
            Coding::Gzip => &self.gzip,
        }
    }

    /// Whether a response of this head is worth compressing: judged once by the edge, then remembered.
    #[must_use]
    pub fn compressible(&self, judge: impl FnOnce(&Head) -> bool) -> bool {
        *self.compressible.get_or_init(|| judge(&self.head))
    }

    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    pub(crate) fn body(&self) -> &Arc<SharedBody> {
        &self.body
    }

    pub(crate) fn weight(&self) -> usize {
        let headers = self.head.headers.iter().chain(&self.head.edge_only);
        let headers: usize = headers.map(|(name, value)| 64 + name.as_str().len() + value.len()).sum();
        let body = self.complete().map_or(0, Bytes::len) + self.gzip.get().map_or(0, Bytes::len);
        OVERHEAD + headers + self.selection.weight() + body
    }
}
