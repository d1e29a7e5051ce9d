//! Whether an original is a picture.

/// What an origin says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Picture,
    Other,
    /// Nothing: what it is must be seen from its first bytes.
    Nothing,
}

impl Said {
    /// By a media type, or the lack of one. Buckets say that an object is octets when nobody told them what it is.
    pub(crate) fn by(media_type: &str) -> Self {
        let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "" | "application/octet-stream" | "binary/octet-stream" => Self::Nothing,
            kind if kind.starts_with("image/") => Self::Picture,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_and_no_type_say_nothing() {
        for nothing in ["", " ", "binary/octet-stream", "Application/Octet-Stream; charset=binary"] {
            assert_eq!(Said::by(nothing), Said::Nothing, "{nothing}");
        }
        for picture in ["image/jpeg", " IMAGE/PNG", "image/webp;x=y"] {
            assert_eq!(Said::by(picture), Said::Picture, "{picture}");
        }
        for other in ["text/html", "application/octet-stream2", "application/image/png"] {
            assert_eq!(Said::by(other), Said::Other, "{other}");
        }
    }
}
