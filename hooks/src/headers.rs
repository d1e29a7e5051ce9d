//! Which headers a hook may not touch, and the edits of those it may.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::bindings::selvedge::edge::types::EditError;
use crate::bounds::HeadBounds;
use crate::event::Event;

/// Which kind of message is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    Request,
    Response,
}

/// The one table of headers that belong to the node.
fn is_protected(name: &str, message: Message, event: Event) -> bool {
    match name {
        // Framing: the node writes it from the body it sends (RFC 9112 section 6, RFC 9110 section 8.6).
        "content-length" | "transfer-encoding" | "trailer" | "te" => true,
        // Hop by hop: they speak of one connection, not of the message (RFC 9110 section 7.6.1).
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "upgrade"
        | "http2-settings"
        | "expect"
        | "proxy-authenticate"
        | "proxy-authorization" => true,
        // Loops are found by them (RFC 9110 section 7.6.3, RFC 8586).
        "via" | "cdn-loop" => true,
        // Names the tenant: route, key and signature have used it already.
        "host" => true,
        // Marks the record of an object in slices in the node's store: a forged one would stand for slices that nobody has stored.
        "selvedge-slices" => true,
        // The node vouches for these to the origin.
        "forwarded" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-request-id" => true,
        // Written by the node when the answer leaves (RFC 9211, RFC 9209, RFC 9111 section 5.1).
        "cache-status" | "proxy-status" | "age" => message == Message::Response,
        // Say how the stored body is written; at this point the body cannot follow (RFC 9110 sections 8.4 and 14.4).
        "content-encoding" | "content-range" => {
            event == Event::ViewerResponse && message == Message::Response
        }
        _ => false,
    }
}

/// May messages of this kind be edited at this event at all?
pub(crate) fn is_editable(message: Message, event: Event) -> bool {
    match message {
        Message::Request => matches!(event, Event::ViewerRequest | Event::OriginRequest),
        Message::Response => true,
    }
}

/// A change of one header.
#[derive(Debug)]
pub(crate) enum Edit {
    Set(Vec<u8>),
    Append(Vec<u8>),
    Remove,
}

/// Which message is edited when, and how large its head may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Editing {
    pub(crate) message: Message,
    pub(crate) event: Event,
    pub(crate) bounds: HeadBounds,
}

impl Editing {
    /// Applies an edit to a message, or says why not.
    pub(crate) fn apply(self, headers: &mut HeaderMap, name: &str, edit: Edit) -> Result<(), EditError> {
        let Self { message, event, bounds } = self;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::InvalidSyntax)?;
        if !is_editable(message, event) || is_protected(name.as_str(), message, event) {
            return Err(EditError::Forbidden);
        }
        match edit {
            Edit::Remove => {
                headers.remove(&name);
            }
            Edit::Set(value) => {
                let value = bounds.field_value(value)?;
                let old = headers.get_all(&name).iter().map(|value| name.as_str().len() + value.len()).sum();
                bounds.check_room(headers, old, name.as_str().len() + value.len())?;
                headers.try_insert(name, value).map_err(|_| EditError::TooLarge)?;
            }
            Edit::Append(value) => {
                let value = bounds.field_value(value)?;
                bounds.check_room(headers, 0, name.as_str().len() + value.len())?;
                headers.try_append(name, value).map_err(|_| EditError::TooLarge)?;
            }
        }
        Ok(())
    }
}

impl HeadBounds {
    fn field_value(self, bytes: Vec<u8>) -> Result<HeaderValue, EditError> {
        // Nothing interrupts the host while it looks at each byte.
        if bytes.len() > self.bytes {
            return Err(EditError::TooLarge);
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).map_err(|_| EditError::InvalidSyntax)
    }

    fn check_room(self, headers: &HeaderMap, old: usize, new: usize) -> Result<(), EditError> {
        if new <= old {
            return Ok(());
        }
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers.len() >= self.fields || size - old + new > self.bytes {
            return Err(EditError::TooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 4] =
        [Event::ViewerRequest, Event::OriginRequest, Event::OriginResponse, Event::ViewerResponse];

    const BOUNDS: HeadBounds = HeadBounds { fields: 128, bytes: 32 << 10 };

    fn edit(
        headers: &mut HeaderMap,
        message: Message,
        event: Event,
        name: &str,
        edit: Edit,
    ) -> Result<(), EditError> {
        Editing { message, event, bounds: BOUNDS }.apply(headers, name, edit)
    }

    fn set(headers: &mut HeaderMap, event: Event, name: &str, value: &str) -> Result<(), EditError> {
        edit(headers, Message::Response, event, name, Edit::Set(value.into()))
    }

    #[test]
    fn framing_routing_and_loop_headers_are_never_a_hooks() {
        for event in EVENTS {
            for name in [
                "Content-Length",
                "transfer-encoding",
                "CONNECTION",
                "te",
                "via",
                "cdn-loop",
                "host",
                "x-forwarded-for",
                "selvedge-slices",
            ] {
                for message in [Message::Request, Message::Response] {
                    let mut headers = HeaderMap::new();
                    let refused = edit(&mut headers, message, event, name, Edit::Append(b"1".to_vec()));
                    assert_eq!(refused, Err(EditError::Forbidden), "{name} at {event}");
                    let refused = edit(&mut headers, message, event, name, Edit::Remove);
                    assert_eq!(refused, Err(EditError::Forbidden), "{name} at {event}");
                }
            }
        }
    }

    #[test]
    fn a_request_is_read_only_once_the_origin_has_answered() {
        for event in EVENTS {
            let mut headers = HeaderMap::new();
            let done = edit(&mut headers, Message::Request, event, "x-a", Edit::Set(b"1".to_vec()));
            let expected = matches!(event, Event::ViewerRequest | Event::OriginRequest);
            assert_eq!(done.is_ok(), expected, "{event}");
            assert_eq!(headers.contains_key("x-a"), expected);
        }
    }

    #[test]
    fn coding_headers_may_change_before_storing_but_not_after() {
        let mut headers = HeaderMap::new();
        assert!(set(&mut headers, Event::OriginResponse, "content-encoding", "gzip").is_ok());
        assert_eq!(
            set(&mut headers, Event::ViewerResponse, "content-encoding", "br"),
            Err(EditError::Forbidden)
        );
        assert_eq!(headers["content-encoding"], "gzip");
    }

    #[test]
    fn values_cannot_smuggle_lines() {
        let mut headers = HeaderMap::new();
        for value in ["a\r\nset-cookie: x", "a\nb", "a\0b"] {
            assert_eq!(set(&mut headers, Event::OriginResponse, "x-a", value), Err(EditError::InvalidSyntax));
        }
        assert_eq!(set(&mut headers, Event::OriginResponse, "x a", "1"), Err(EditError::InvalidSyntax));
        assert!(headers.is_empty());
    }

    #[test]
    fn a_head_cannot_grow_without_end() {
        let mut headers = HeaderMap::new();
        for number in 0..1000 {
            let _ = edit(
                &mut headers,
                Message::Response,
                Event::OriginResponse,
                "x-a",
                Edit::Append(number.to_string().into_bytes()),
            );
        }
        assert_eq!(headers.len(), BOUNDS.fields);
        assert_eq!(set(&mut headers, Event::OriginResponse, "x-b", "1"), Err(EditError::TooLarge));
        // The length is looked at before any byte.
        let large = "\n".repeat(BOUNDS.bytes + 1);
        assert_eq!(
            set(&mut HeaderMap::new(), Event::OriginResponse, "x-a", &large),
            Err(EditError::TooLarge)
        );
    }

    #[test]
    fn set_replaces_append_adds_remove_removes() {
        let mut headers = HeaderMap::new();
        let response = Message::Response;
        let event = Event::OriginResponse;
        edit(&mut headers, response, event, "X-A", Edit::Append(b"1".to_vec())).unwrap();
        edit(&mut headers, response, event, "x-a", Edit::Append(b"2".to_vec())).unwrap();
        assert_eq!(headers.get_all("x-a").iter().count(), 2);
        edit(&mut headers, response, event, "x-a", Edit::Set(b"3".to_vec())).unwrap();
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["3"]);
        edit(&mut headers, response, event, "x-a", Edit::Remove).unwrap();
        assert!(headers.is_empty());
    }
}
