//! What is asked for: objects of two sizes and two types.

use std::fmt;

/// A kind of object; there are as many different ones of each kind as the scenario likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    media: Media,
    /// Bytes of the body.
    pub(crate) size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    /// A type that edges compress for viewers who accept that (the load does not).
    Text,
    /// A type that nobody compresses.
    Picture,
}

/// The kinds that are measured.
pub(crate) const KINDS: [Kind; 4] = [
    Kind { media: Media::Text, size: 1 << 10 },
    Kind { media: Media::Text, size: 10 << 10 },
    Kind { media: Media::Picture, size: 1 << 10 },
    Kind { media: Media::Picture, size: 10 << 10 },
];

impl Kind {
    /// The path of one object.
    pub(crate) fn path(self, number: usize) -> String {
        format!("/{}/{}/{number}", self.media.word(), self.size)
    }

    /// The kind that a path asks for.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let word = segments.next()?;
        let size: usize = segments.next()?.parse().ok()?;
        KINDS.into_iter().find(|kind| kind.media.word() == word && kind.size == size)
    }

    /// What every program sends with it: the headers of a well-kept static file.
    pub(crate) fn headers(self) -> [(&'static str, &'static str); 4] {
        let media = match self.media {
            Media::Text => "text/plain; charset=utf-8",
            Media::Picture => "image/jpeg",
        };
        [
            ("content-type", media),
            ("cache-control", "public, max-age=3600"),
            ("etag", "\"5e1f-63c2b0a7d4f80\""),
            ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ]
    }

    /// The body.
    pub(crate) fn body(self) -> Vec<u8> {
        b"warp and weft, ".iter().copied().cycle().take(self.size).collect()
    }
}

impl Media {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Picture => "picture",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>2} KiB {}", self.size / 1024, self.media.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_back_to_their_kind() {
        for kind in KINDS {
            assert_eq!(Kind::of_path(&kind.path(7)), Some(kind));
            assert_eq!(kind.body().len(), kind.size);
        }
        assert_eq!(Kind::of_path("/text/17/1"), None);
        assert_eq!(Kind::of_path("/"), None);
    }
}
