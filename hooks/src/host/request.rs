//! The request for the guest.

use http::Method;
use http::uri::{PathAndQuery, Uri};
use wasmtime::component::Resource;

use crate::bindings::selvedge::edge::types::{BodyReader, EditError, HostRequest, Request};
use crate::event::Event;
use crate::facts::Storing;
use crate::headers::{self, Edit, Message};
use crate::host::{entries, first, values};
use crate::state::CallState;

/// As long as a viewer's own URL may be.
pub(super) const MAX_URL_BYTES: usize = 8 << 10;
/// As long as the name of an object in a bucket may be.
const MAX_DERIVED_BYTES: usize = 1 << 10;
/// Longer than any method that is registered.
pub(super) const MAX_METHOD_BYTES: usize = 32;
const MAX_KEY_PARTS: usize = 16;
const MAX_KEY_NAME_BYTES: usize = 64;
const MAX_KEY_VALUE_BYTES: usize = 256;

impl HostRequest for CallState {
    fn method(&mut self, _: Resource<Request>) -> wasmtime::Result<String> {
        Ok(self.request.method.as_str().to_owned())
    }

    fn set_method(
        &mut self,
        _: Resource<Request>,
        method: String,
    ) -> wasmtime::Result<Result<(), EditError>> {
        if method.len() > MAX_METHOD_BYTES {
            return Ok(Err(EditError::TooLarge));
        }
        // What is stored was asked for by GET; an answer to HEAD has no body for those who asked for one.
        let is_his = self.event == Event::OriginRequest && self.facts.storing == Storing::Never;
        let never = |method: &Method| matches!(*method, Method::CONNECT | Method::TRACE | Method::HEAD);
        Ok(match Method::from_bytes(method.as_bytes()) {
            Err(_) => Err(EditError::InvalidSyntax),
            Ok(method) if !is_his || never(&method) || never(&self.request.method) => {
                Err(EditError::Forbidden)
            }
            Ok(method) => {
                self.request.method = method;
                Ok(())
            }
        })
    }

    fn scheme(&mut self, _: Resource<Request>) -> wasmtime::Result<String> {
        Ok(self.facts.scheme.to_owned())
    }

    // Not from the message: viewers write what they like into its target, and origins are asked by another name.
    fn authority(&mut self, _: Resource<Request>) -> wasmtime::Result<String> {
        Ok((*self.facts.authority).to_owned())
    }

    fn path(&mut self, _: Resource<Request>) -> wasmtime::Result<String> {
        Ok(self.request.uri.path().to_owned())
    }

    fn query(&mut self, _: Resource<Request>) -> wasmtime::Result<Option<String>> {
        Ok(self.request.uri.query().map(str::to_owned))
    }

    fn set_path(&mut self, _: Resource<Request>, path: String) -> wasmtime::Result<Result<(), EditError>> {
        if path.len() > MAX_URL_BYTES {
            return Ok(Err(EditError::TooLarge));
        }
        if !is_path(&path) {
            return Ok(Err(EditError::InvalidSyntax));
        }
        let query = self.request.uri.query().map(str::to_owned);
        Ok(self.set_target(&path, query.as_deref()))
    }

    fn set_query(
        &mut self,
        _: Resource<Request>,
        query: Option<String>,
    ) -> wasmtime::Result<Result<(), EditError>> {
        if query.as_deref().is_some_and(|query| query.len() > MAX_URL_BYTES) {
            return Ok(Err(EditError::TooLarge));
        }
        if query.as_deref().is_some_and(|query| !is_query(query)) {
            return Ok(Err(EditError::InvalidSyntax));
        }
        let path = self.request.uri.path().to_owned();
        Ok(self.set_target(&path, query.as_deref()))
    }

    fn header(&mut self, _: Resource<Request>, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(first(&self.request.headers, &name))
    }

    fn header_values(&mut self, _: Resource<Request>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(values(&self.request.headers, &name))
    }

    fn headers(&mut self, _: Resource<Request>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        Ok(entries(&self.request.headers))
    }

    fn set_header(
        &mut self,
        _: Resource<Request>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), EditError>> {
        Ok(self.edit_request(&name, Edit::Set(value)))
    }

    fn append_header(
        &mut self,
        _: Resource<Request>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), EditError>> {
        Ok(self.edit_request(&name, Edit::Append(value)))
    }

    fn remove_header(
        &mut self,
        _: Resource<Request>,
        name: String,
    ) -> wasmtime::Result<Result<(), EditError>> {
        Ok(self.edit_request(&name, Edit::Remove))
    }

    fn derive_as(&mut self, _: Resource<Request>, path: String) -> wasmtime::Result<Result<(), EditError>> {
        Ok(if self.event != Event::OriginRequest || !self.own.has_store {
            Err(EditError::Forbidden)
        } else if path.len() > MAX_DERIVED_BYTES {
            Err(EditError::TooLarge)
        } else if !is_path(&path) {
            Err(EditError::InvalidSyntax)
        } else {
            self.derived = Some(path);
            Ok(())
        })
    }

    fn add_key_part(
        &mut self,
        _: Resource<Request>,
        name: String,
        value: String,
    ) -> wasmtime::Result<Result<(), EditError>> {
        let is_known = self.key_part_of(&name).is_some();
        let earlier = self.facts.caching.as_ref().map_or(0, |caching| caching.key_parts.len());
        Ok(if self.event != Event::ViewerRequest {
            Err(EditError::Forbidden)
        } else if name.len() > MAX_KEY_NAME_BYTES
            || value.len() > MAX_KEY_VALUE_BYTES
            || (!is_known && earlier + self.caching.key_parts.len() >= MAX_KEY_PARTS)
        {
            Err(EditError::TooLarge)
        } else if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_graphic())
            || value.chars().any(char::is_control)
        {
            Err(EditError::InvalidSyntax)
        } else {
            self.caching.add_key_part(name, value);
            Ok(())
        })
    }

    fn body(&mut self, _: Resource<Request>) -> wasmtime::Result<Option<Resource<BodyReader>>> {
        let is_here = headers::is_editable(Message::Request, self.event) && self.body.is_some();
        if !is_here || std::mem::replace(&mut self.body_taken, true) {
            return Ok(None);
        }
        Ok(Some(self.hand(self.passing_reader())))
    }

    fn set_body(&mut self, _: Resource<Request>, body: Vec<u8>) -> wasmtime::Result<Result<(), EditError>> {
        // A body has no meaning there, and some read it all the same (RFC 9110 section 9.3.1).
        let is_without = matches!(self.request.method, Method::GET | Method::HEAD);
        if self.event != Event::OriginRequest || is_without {
            return Ok(Err(EditError::Forbidden));
        }
        let before = self.new_body.take();
        let made = self.made(body.into());
        let fits = made.is_some();
        self.new_body = made.or(before);
        Ok(if fits { Ok(()) } else { Err(EditError::TooLarge) })
    }

    fn key_part(&mut self, _: Resource<Request>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.key_part_of(&name).map(str::to_owned))
    }

    fn bypass_cache(&mut self, _: Resource<Request>) -> wasmtime::Result<Result<(), EditError>> {
        if self.event != Event::ViewerRequest {
            return Ok(Err(EditError::Forbidden));
        }
        self.caching.bypass = true;
        Ok(Ok(()))
    }

    fn drop(&mut self, _: Resource<Request>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl CallState {
    /// What this hook said, or one before it.
    fn key_part_of(&self, name: &str) -> Option<&str> {
        let earlier = || self.facts.caching.as_ref().and_then(|caching| caching.key_part(name));
        self.caching.key_part(name).or_else(earlier)
    }

    fn edit_request(&mut self, name: &str, edit: Edit) -> Result<(), EditError> {
        self.editing(Message::Request, self.event).apply(&mut self.request.headers, name, edit)
    }

    fn set_target(&mut self, path: &str, query: Option<&str>) -> Result<(), EditError> {
        if !headers::is_editable(Message::Request, self.event) {
            return Err(EditError::Forbidden);
        }
        if path.len() + query.map_or(0, str::len) > MAX_URL_BYTES {
            return Err(EditError::TooLarge);
        }
        let target = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let target = PathAndQuery::from_maybe_shared(bytes::Bytes::from(target))
            .map_err(|_| EditError::InvalidSyntax)?;
        let mut parts = std::mem::take(&mut self.request.uri).into_parts();
        let old = parts.path_and_query.replace(target);
        match Uri::from_parts(parts) {
            Ok(uri) => {
                self.request.uri = uri;
                Ok(())
            }
            // Cannot happen: only a valid path was exchanged. Were it to, the request keeps a target.
            Err(_) => {
                self.request.uri = old.map(Uri::from).unwrap_or_default();
                Err(EditError::InvalidSyntax)
            }
        }
    }
}

/// A path without dot segments: what a hook sets is what the key and the origin see (RFC 3986 sections 3.3 and 6.2.2.3). Nor
/// may it hide any, or control characters, from whoever decodes it. Its length is the caller's to look at first: nothing
/// interrupts what the host does.
pub(super) fn is_path(path: &str) -> bool {
    let is_written_well = path.starts_with('/') && path.bytes().all(is_target_byte) && !path.contains('?');
    is_written_well
        && decoded(path).is_some_and(|plain| {
            let mut segments = plain.split(|byte| matches!(byte, b'/' | b'\\'));
            !plain.iter().any(u8::is_ascii_control)
                && !segments.any(|segment| matches!(segment, b"." | b".."))
        })
}

/// Without escapes; `None` where one lacks its two hexadecimal digits (RFC 3986 section 2.1).
fn decoded(path: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        plain.push(if byte == b'%' { (digit()? << 4) | digit()? } else { byte });
    }
    Some(plain)
}

pub(super) fn is_query(query: &str) -> bool {
    query.bytes().all(is_target_byte)
}

/// Visible ASCII but the fragment's sign and what RFC 3986 never allows in a target.
fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_dot_segments_fragments_or_control_bytes_are_refused() {
        for path in ["/", "/img/cat.jpg", "/a//b", "/a;x=1", "/a%20b", "/...", "/.well-known/x", "/a%2Fb%e9"]
        {
            assert!(is_path(path), "{path}");
        }
        for path in
            ["", "img", "/a?b", "/a#b", "/a b", "/a\nb", "/é", "/../x", "/a/..", "/%2e%2E/x", "/./x", "/a\\b"]
        {
            assert!(!is_path(path), "{path}");
        }
        // Escapes that are none, and what shows only once they are decoded.
        for path in ["/%", "/%2", "/%zz", "/..%2fx", "/a/%2e.%5Cx", "/a%00b", "/a%0D%0Ab"] {
            assert!(!is_path(path), "{path}");
        }
        assert!(is_query("w=1&h=2?"));
        assert!(!is_query("a b") && !is_query("a#b"));
    }
}
