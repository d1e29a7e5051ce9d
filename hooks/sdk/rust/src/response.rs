//! The response.

use std::time::Duration;

use crate::bindings::selvedge::edge::types as raw;
use crate::request::text;
use crate::{BodyError, BodyReader, Cookie, EditError, Result, TransformRefusal, transform};

/// A response: the one that passes by, or a new one.
///
/// ```no_run
/// use selvedge_hook::prelude::*;
///
/// hook!(viewer-request: closed);
///
/// fn closed(request: &Request) -> Result<Option<Response>> {
///     if request.path().starts_with("/shop") {
///         let response = Response::text(503, "back at eight")?;
///         response.set_header("retry-after", "3600")?;
///         return Ok(Some(response));
///     }
///     Ok(None)
/// }
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct Response(raw::Response);

impl Response {
    #[doc(hidden)]
    #[must_use]
    pub fn from_raw(response: &raw::Response) -> &Self {
        // SAFETY: Response is a transparent wrapper, and borrows what it is made of.
        unsafe { &*std::ptr::from_ref(response).cast::<Self>() }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn into_raw(self) -> raw::Response {
        self.0
    }

    pub(crate) fn as_raw(&self) -> &raw::Response {
        &self.0
    }

    pub(crate) fn from_owned(response: raw::Response) -> Self {
        Self(response)
    }

    /// A new, empty response; a final answer has 200 to 599.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self(raw::Response::new(status))
    }

    /// Words for people, UTF-8.
    ///
    /// # Errors
    /// When the text is over the hook's `limits.output`.
    pub fn text(status: u16, text: impl AsRef<[u8]>) -> Result<Self> {
        Self::typed(status, "text/plain; charset=utf-8", text.as_ref())
    }

    /// A page, UTF-8. What comes from outside must be escaped.
    ///
    /// # Errors
    /// When the page is over the hook's `limits.output`.
    pub fn html(status: u16, page: impl AsRef<[u8]>) -> Result<Self> {
        Self::typed(status, "text/html; charset=utf-8", page.as_ref())
    }

    /// JSON, as text.
    ///
    /// # Errors
    /// When the text is over the hook's `limits.output`.
    pub fn json(status: u16, json: impl AsRef<[u8]>) -> Result<Self> {
        Self::typed(status, "application/json", json.as_ref())
    }

    /// Sends the viewer elsewhere: 301 and 308 for good, 302 and 307 for now, 303 to look at something else.
    ///
    /// # Errors
    /// When the location cannot be a header's value, because of a line end for instance.
    pub fn redirect(status: u16, location: &str) -> Result<Self> {
        let response = Self::new(status);
        response.set_header("location", location)?;
        Ok(response)
    }

    fn typed(status: u16, content_type: &str, body: &[u8]) -> Result<Self> {
        let response = Self::new(status);
        response.set_header("content-type", content_type)?;
        response.set_body(body)?;
        Ok(response)
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status()
    }

    /// Changes the status.
    ///
    /// # Errors
    /// `Forbidden` at `viewer-response`: what was stored is what is answered.
    pub fn set_status(&self, status: u16) -> Result<(), EditError> {
        self.0.set_status(status).map_err(EditError::about("status"))
    }

    /// The first value of a header. Bytes that are not UTF-8 become U+FFFD, so a header that is there is never overlooked.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header(name).map(text)
    }

    /// The first value of a header, byte for byte.
    #[must_use]
    pub fn header_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.0.header(name)
    }

    /// All values of a header, in order, as [`Response::header`] gives the first.
    #[must_use]
    pub fn header_values(&self, name: &str) -> Vec<String> {
        self.0.header_values(name).into_iter().map(text).collect()
    }

    /// Names, in lower case, and values of all headers.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.0.headers()
    }

    /// Replaces every value of the name.
    ///
    /// # Errors
    /// `Forbidden` for headers of the node (`hooks/README.md` lists them); `InvalidSyntax` and `TooLarge` as their names say.
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.0.set_header(name, value.as_ref()).map_err(EditError::about(name))
    }

    /// Adds a value.
    ///
    /// # Errors
    /// As [`Response::set_header`].
    pub fn append_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.0.append_header(name, value.as_ref()).map_err(EditError::about(name))
    }

    /// Removes every value of the name; nothing happens when there is none.
    ///
    /// # Errors
    /// As [`Response::set_header`].
    pub fn remove_header(&self, name: &str) -> Result<(), EditError> {
        self.0.remove_header(name).map_err(EditError::about(name))
    }

    /// Gives the viewer a cookie. At `viewer-response` it is this viewer's; before, it may be stored for everybody.
    ///
    /// # Errors
    /// As [`Response::set_header`].
    pub fn add_cookie(&self, cookie: &Cookie) -> Result<(), EditError> {
        self.append_header("set-cookie", cookie.to_string())
    }

    /// The origin's body, at `origin-response`, or that of a fetched response; once, and none for any other response. It comes
    /// as the origin coded it: remove `accept-encoding` at `origin-request` to get it plain.
    #[must_use]
    pub fn body(&self) -> Option<BodyReader> {
        self.0.body().map(BodyReader)
    }

    /// Replaces the body; the node writes `content-length`, all other headers are the hook's to keep true.
    ///
    /// # Errors
    /// `TooLarge` over the hook's `limits.output`; `Broken` at `viewer-response`, where bodies stay.
    pub fn set_body(&self, body: impl AsRef<[u8]>) -> Result<(), BodyError> {
        Ok(self.0.set_body(body.as_ref())?)
    }

    /// Rewrites the body as it passes: a page of any length costs the memory of one piece. The function gets `Some` piece of at
    /// most 64 KiB after the other, then `None`, and gives what goes on in its place; nothing is fine, what it holds back it
    /// gives at the end. An error breaks the body off: the viewer sees that it is not whole, and nothing is stored.
    ///
    /// Say `body-transform` in [`hook!`](crate::hook), and answer `Next`. The node takes off what speaks of the origin's bytes:
    /// length, digests, ranges, and the strength of the entity tag.
    ///
    /// ```no_run
    /// use selvedge_hook::prelude::*;
    ///
    /// hook!(origin-response: sign_off, body-transform);
    ///
    /// fn sign_off(_: &Request, response: &Response) -> Result {
    ///     response.transform_body(|piece| Ok(piece.unwrap_or_else(|| b"<!-- that was all -->".to_vec())))?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`TransformRefusal`]
    pub fn transform_body(
        &self,
        rewriter: impl FnMut(Option<Vec<u8>>) -> Result<Vec<u8>> + 'static,
    ) -> Result<(), TransformRefusal> {
        self.0.transform_body()?;
        transform::keep(rewriter);
        Ok(())
    }

    /// How long the node may keep this answer fresh, in whole seconds, whatever its headers say (never beats `private` or
    /// `no-store`).
    ///
    /// # Errors
    /// `Forbidden` but for `origin-response`.
    pub fn set_ttl(&self, ttl: Duration) -> Result<(), EditError> {
        self.0.set_ttl(seconds(ttl)).map_err(EditError::about("ttl"))
    }

    /// How long past its lifetime the node may answer with it: while somebody asks the origin again, and when the origin fails
    /// (RFC 5861), in whole seconds. None leaves what the headers say.
    ///
    /// # Errors
    /// `Forbidden` but for `origin-response`.
    pub fn set_stale(
        &self,
        while_revalidate: Option<Duration>,
        if_error: Option<Duration>,
    ) -> Result<(), EditError> {
        let (while_revalidate, if_error) = (while_revalidate.map(seconds), if_error.map(seconds));
        self.0.set_stale(while_revalidate, if_error).map_err(EditError::about("stale"))
    }

    /// The node does not store this answer; what its headers say to viewers stays.
    ///
    /// # Errors
    /// `Forbidden` but for `origin-response`.
    pub fn no_store(&self) -> Result<(), EditError> {
        self.0.no_store().map_err(EditError::about("the store"))
    }

    /// A tag by which the stored answer can be purged, beside those that its headers name: 1 to 256 visible characters but
    /// commas, 50 tags at most.
    ///
    /// # Errors
    /// `Forbidden` but for `origin-response`; `InvalidSyntax` and `TooLarge` beyond these bounds.
    pub fn add_tag(&self, tag: &str) -> Result<(), EditError> {
        self.0.add_tag(tag).map_err(EditError::about("tag"))
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
