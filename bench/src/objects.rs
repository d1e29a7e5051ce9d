//! What is asked for.

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
    /// Text that compresses as well as people's texts do, to a third.
    Prose,
}

/// The kinds that are hit.
pub(crate) const KINDS: [Kind; 4] = [
    Kind { media: Media::Text, size: 1 << 10 },
    Kind { media: Media::Text, size: 10 << 10 },
    Kind { media: Media::Picture, size: 1 << 10 },
    Kind { media: Media::Picture, size: 10 << 10 },
];

/// What viewers get compressed.
pub(crate) const PROSE: Kind = Kind { media: Media::Prose, size: 100 << 10 };

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
        KINDS.into_iter().chain([PROSE]).find(|kind| kind.media.word() == word && kind.size == size)
    }

    /// Whether edges compress it for viewers who accept that.
    pub(crate) fn is_text(self) -> bool {
        self.media != Media::Picture
    }

    /// What every program sends with it: the headers of a well-kept static file.
    pub(crate) fn headers(self) -> [(&'static str, &'static str); 4] {
        let media = match self.media {
            Media::Text | Media::Prose => "text/plain; charset=utf-8",
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
        match self.media {
            Media::Text | Media::Picture => {
                b"warp and weft, ".iter().copied().cycle().take(self.size).collect()
            }
            Media::Prose => prose(self.size),
        }
    }
}

/// Words from a small vocabulary, few of them often and most of them rarely.
fn prose(size: usize) -> Vec<u8> {
    const SYLLABLES: [&str; 16] =
        ["ta", "ri", "len", "mo", "sel", "ve", "dge", "or", "in", "ka", "thu", "es", "wa", "pro", "ni", "ul"];
    let (mut text, mut state) = (Vec::with_capacity(size + 16), 0x2545_f491_4f6c_dd1d_u64);
    while text.len() < size {
        // Marsaglia's xorshift: the same text in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let rank = (state >> 40) % 4096 * ((state >> 20) % 4096) / 4096;
        let syllables = (0..3).map(|place| (rank >> (4 * place)) as usize % 16).map(|index| SYLLABLES[index]);
        syllables
            .take(1 + rank as usize % 3)
            .for_each(|syllable| text.extend_from_slice(syllable.as_bytes()));
        text.extend_from_slice(if state % 11 == 0 { b", " } else { b" " });
    }
    text.truncate(size);
    text
}

impl Media {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Picture => "picture",
            Self::Prose => "prose",
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
        for kind in KINDS.into_iter().chain([PROSE]) {
            assert_eq!(Kind::of_path(&kind.path(7)), Some(kind));
            assert_eq!(kind.body().len(), kind.size);
        }
        assert_eq!(Kind::of_path("/text/17/1"), None);
        assert_eq!(Kind::of_path("/"), None);
    }
}
