//! What an entry keeps once it is in use: most stored responses are never asked for again, and do without.

use crate::coding::Coding;
use crate::draft::Draft;
use crate::packed::Packed;
use bytes::Bytes;
use http::HeaderMap;
use once_cell::race::OnceBox;
use std::sync::OnceLock;
use tokio::sync::OnceCell;

/// Header fields that the edge adds to an answer, at most (Age, Vary, Accept-Ranges, Cache-Status, Via, X-Request-Id …).
pub(crate) const ROOM: usize = 8;

/// How many drafts of answers are kept.
pub(crate) const DRAFTS: usize = 2;

/// What each kept encoded body costs beside its bytes.
const ENCODING: usize = 128;

/// What a header field costs in an unpacked head, beside its bytes.
const FIELD: usize = 112;

#[derive(Debug, Default)]
pub(crate) struct Warm {
    /// Bodies in the codings that viewers asked for, in the order of [`Coding::ALL`].
    encodings: [OnceCell<Bytes>; Coding::ALL.len()],
    /// The header fields for viewers, unpacked: copying them is cheaper than making them.
    headers: OnceLock<HeaderMap>,
    /// The heads of answers, all but what differs from one to the next.
    drafts: [OnceBox<Draft>; DRAFTS],
}

impl Warm {
    /// The same encoded bodies for another head.
    pub(crate) fn with_other_head(&self) -> Self {
        Self { encodings: self.encodings.clone(), ..Self::default() }
    }

    pub(crate) fn encoding(&self, coding: Coding) -> &OnceCell<Bytes> {
        &self.encodings[coding as usize]
    }

    pub(crate) fn headers(&self) -> Option<&HeaderMap> {
        self.headers.get()
    }

    pub(crate) fn unpack(&self, head: &Packed) {
        // A copy has no room to spare.
        self.headers.get_or_init(|| head.viewer_headers(0).clone());
    }

    pub(crate) fn drafts(&self) -> &[OnceBox<Draft>; DRAFTS] {
        &self.drafts
    }

    pub(crate) fn weight(&self) -> usize {
        let encodings = self.encodings.iter().filter_map(OnceCell::get).map(|body| ENCODING + body.len());
        encodings.sum::<usize>() + self.weight_of_heads()
    }

    /// Without the encoded bodies, which entries with the same body share. Drafts count before they are made: who asks next needs one.
    pub(crate) fn weight_of_heads(&self) -> usize {
        let headers = self.headers.get().map_or(0, |headers| {
            let values = headers.values().map(http::HeaderValue::len).sum::<usize>();
            FIELD * ((1 + DRAFTS) * headers.len() + ROOM) + values
        });
        size_of::<Self>() + headers
    }
}
