//! What the viewer asks for: a size in the query.

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// The longest edge that is made when the config lists no sizes.
const MAX_EDGE: u32 = 2048;

impl std::fmt::Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

/// The size in a query, if it has one; the message says what is wrong with it.
pub(crate) fn size(query: &str, listed: Option<&str>) -> Result<Option<Size>, String> {
    let (width, height) = (edge(query, "w")?, edge(query, "h")?);
    let size = match (width, height) {
        (None, None) => return Ok(None),
        (Some(width), Some(height)) => Size { width, height },
        _ => return Err("a thumbnail needs both w and h, as in ?w=128&h=128".to_owned()),
    };
    let Some(listed) = listed else {
        if size.width.max(size.height) > MAX_EDGE {
            return Err(format!("{size} is too large; no edge may be longer than {MAX_EDGE}"));
        }
        return Ok(Some(size));
    };
    let name = size.to_string();
    if listed.split(',').any(|entry| entry.trim() == name) {
        return Ok(Some(size));
    }
    Err(format!("{name} is not offered here; the sizes are {listed}"))
}

/// The query without `w` and `h`, for the origin.
pub(crate) fn without_size(query: &str) -> Option<String> {
    let kept: Vec<&str> = query.split('&').filter(|pair| !matches!(split(pair).0, "w" | "h")).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// What the thumbnail is called where it is kept: a template with `{path}` and `{size}`. What is left of the query is part
/// of the path, for the original may depend on it. Escapes are part of the name, as they are of the URL: decoded, `%3F` in a
/// path would be the `?` before a query, and one viewer would get the thumbnail of what another one asked for.
pub(crate) fn kept_name(
    template: &str,
    path: &str,
    rest: Option<&str>,
    size: Size,
) -> Result<String, String> {
    if !(template.starts_with('/') && template.contains("{path}") && template.contains("{size}")) {
        return Err(format!("store-as is {template}; it must begin with / and hold {{path}} and {{size}}"));
    }
    let literal = |text: &str| text.replace('%', "%25").replace('?', "%3F");
    let path = match rest {
        Some(rest) => format!("{}%3F{}", literal(path), literal(rest)),
        None => literal(path),
    };
    Ok(template.replace("{size}", &size.to_string()).replace("{path}", &path))
}

/// The entity tag of a thumbnail: weak, because another encoder may write other bytes (RFC 9110 section 8.8.1).
pub(crate) fn thumbnail_tag(original: &str, size: Size) -> Option<String> {
    let opaque = original.trim().trim_start_matches("W/").strip_prefix('"')?.strip_suffix('"')?;
    Some(format!("W/\"{opaque};{size}\""))
}

/// The original's tag again, so that a stored thumbnail is revalidated by asking the origin for its original.
pub(crate) fn original_tag(thumbnail: &str, size: Size) -> Option<String> {
    let opaque =
        thumbnail.trim().strip_prefix("W/\"")?.strip_suffix('"')?.strip_suffix(&format!(";{size}"))?;
    Some(format!("W/\"{opaque}\""))
}

fn edge(query: &str, name: &str) -> Result<Option<u32>, String> {
    let Some((_, value)) = query.split('&').map(split).find(|(key, _)| *key == name) else { return Ok(None) };
    match value.parse::<u32>() {
        Ok(pixels) if pixels > 0 => Ok(Some(pixels)),
        _ => Err(format!("{name} must be a number of pixels, as in {name}=128")),
    }
}

fn split(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size { width: 64, height: 48 };

    #[test]
    fn a_size_is_both_edges_and_no_size_is_neither() {
        assert_eq!(size("w=64&h=48", None), Ok(Some(SMALL)));
        assert_eq!(size("v=2&h=48&x&w=64", None), Ok(Some(SMALL)));
        assert_eq!(size("", None), Ok(None));
        assert_eq!(size("width=3", None), Ok(None));
        for query in ["w=64", "h=64", "w=0&h=4", "w=a&h=4", "w=-1&h=4", "w=&h=4", "w=99999999999&h=4"] {
            assert!(size(query, None).is_err(), "{query}");
        }
    }

    #[test]
    fn listed_sizes_exclude_all_others_and_the_message_says_which() {
        let listed = Some("64x48, 320x240");
        assert_eq!(size("w=64&h=48", listed), Ok(Some(SMALL)));
        assert!(size("w=320&h=240", listed).is_ok());
        let message = size("w=65&h=48", listed).unwrap_err();
        assert!(message.contains("65x48") && message.contains("320x240"), "{message}");
        assert!(size("w=4000&h=4000", None).is_err());
    }

    #[test]
    fn the_origin_is_asked_without_the_size_and_with_all_else() {
        assert_eq!(without_size("w=64&h=48"), None);
        assert_eq!(without_size("a=1&w=64&b&h=48&c=%20"), Some("a=1&b&c=%20".to_owned()));
    }

    #[test]
    fn a_kept_thumbnail_has_a_name_of_all_that_it_depends_on() {
        let template = "/thumbs{path}@{size}.jpg";
        assert_eq!(
            kept_name(template, "/img/cat.jpg", None, SMALL).unwrap(),
            "/thumbs/img/cat.jpg@64x48.jpg"
        );
        assert_eq!(
            kept_name(template, "/img/cat.jpg", Some("v=2?"), SMALL).unwrap(),
            "/thumbs/img/cat.jpg%3Fv=2%3F@64x48.jpg"
        );
        assert_eq!(
            kept_name(template, "/img/cat.jpg%3Fv=2", None, SMALL).unwrap(),
            "/thumbs/img/cat.jpg%253Fv=2@64x48.jpg"
        );
        assert_eq!(
            kept_name(template, "/a%20b", Some("v=%00"), SMALL).unwrap(),
            "/thumbs/a%2520b%3Fv=%2500@64x48.jpg"
        );
        assert_eq!(kept_name("/{path}/{size}", "/{size}", None, SMALL).unwrap(), "//{size}/64x48");
        for template in ["thumbs{path}{size}", "/{path}", "/{size}", ""] {
            assert!(kept_name(template, "/a", None, SMALL).is_err(), "{template}");
        }
    }

    #[test]
    fn a_thumbnails_tag_leads_back_to_the_originals() {
        let tag = thumbnail_tag("\"abc\"", SMALL).unwrap();
        assert_eq!(tag, "W/\"abc;64x48\"");
        assert_eq!(thumbnail_tag("W/\"abc\"", SMALL).unwrap(), tag);
        assert_eq!(original_tag(&tag, SMALL).unwrap(), "W/\"abc\"");
        assert_eq!(original_tag(&tag, Size { width: 1, height: 1 }), None);
        assert_eq!(thumbnail_tag("abc", SMALL), None);
    }
}
