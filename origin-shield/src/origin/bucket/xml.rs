//! The few words that are read out of a service's XML.

use quick_xml::Reader;
use quick_xml::events::Event;

/// The longest document that is read.
pub(super) const LONGEST: usize = 64 * 1024;

/// The text of the first element called `name`, whatever it stands in; `None` where there is none, or no XML.
pub(super) fn text(document: &[u8], name: &str) -> Option<String> {
    let document = std::str::from_utf8(document).ok()?;
    let mut reader = Reader::from_str(document);
    let mut found: Option<String> = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                found = (element.local_name().as_ref() == name).then(String::new);
            }
            Event::Text(text) => {
                if let Some(found) = &mut found {
                    found.push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                let Some(found) = &mut found else { continue };
                match reference.resolve_char_ref().ok()? {
                    Some(letter) => found.push(letter),
                    None => found.push_str(quick_xml::escape::resolve_xml_entity(&reference)?),
                }
            }
            Event::End(_) if found.is_some() => return found.map(|text| text.trim().to_owned()),
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// The name of the outermost element.
pub(super) fn root(document: &[u8]) -> Option<String> {
    let mut reader = Reader::from_str(std::str::from_utf8(document).ok()?);
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                return Some(element.local_name().as_ref().to_owned());
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_element_is_found_wherever_it_stands() {
        let error = b"<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Key>a&amp;b&#33;</Key><Code>x</Code></Error>";
        assert_eq!(text(error, "Code").as_deref(), Some("NoSuchKey"));
        assert_eq!(text(error, "Key").as_deref(), Some("a&b!"));
        assert_eq!(text(error, "Message"), None);
        assert_eq!(root(error).as_deref(), Some("Error"));
    }

    #[test]
    fn what_is_no_xml_has_no_text() {
        for junk in [
            &b""[..],
            b"<",
            b"<a",
            b"<a>",
            b"<a></b>",
            b"\xff\xfe",
            b"<html><p>no",
            b"{\"a\":1}",
            b"&amp;",
            b"<a>&evil;</a>",
        ] {
            assert_eq!(text(junk, "a"), None, "{junk:?}");
        }
    }
}
