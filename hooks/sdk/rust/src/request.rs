//! The request.

use crate::bindings::selvedge::edge::types as raw;
use crate::{BodyReader, EditError, Query, cookie};

/// The request. At `viewer-request` and `origin-request`, edits change what happens next; at `origin-response` and
/// `viewer-response` it is what the viewer asked, and edits are forbidden.
///
/// Nothing is copied into the hook until a method asks for it, so keep what you need twice.
#[derive(Debug)]
#[repr(transparent)]
pub struct Request(raw::Request);

impl Request {
    #[doc(hidden)]
    #[must_use]
    pub fn from_raw(request: &raw::Request) -> &Self {
        // SAFETY: Request is a transparent wrapper, and borrows what it is made of.
        unsafe { &*std::ptr::from_ref(request).cast::<Self>() }
    }

    /// `GET`, `HEAD`, `POST`, … as the viewer wrote it.
    #[must_use]
    pub fn method(&self) -> String {
        self.0.method()
    }

    /// Asks the origin by another method.
    ///
    /// # Errors
    /// `Forbidden` but for `origin-request`, where the answer may be stored, and for `CONNECT` and `TRACE`.
    pub fn set_method(&self, method: &str) -> Result<(), EditError> {
        self.0.set_method(method).map_err(EditError::about("method"))
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> String {
        self.0.scheme()
    }

    /// Host and port that the viewer asked for.
    #[must_use]
    pub fn authority(&self) -> String {
        self.0.authority()
    }

    /// The path, escapes as they came; always begins with `/`.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// The query as it came, without the question mark; none when there is no question mark.
    #[must_use]
    pub fn query(&self) -> Option<String> {
        self.0.query()
    }

    /// The first value of a name in the query, decoded.
    ///
    /// ```no_run
    /// # use selvedge_hook::prelude::*;
    /// # fn hook(request: &Request) -> Result {
    /// let width: u32 = request.query_value("w").ok_or("no width")?.parse()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        Query::parse(&self.query()?).get(name)
    }

    /// Changes the path.
    ///
    /// # Errors
    /// `InvalidSyntax` when it does not begin with `/`, has dot segments or characters that must be escaped; `Forbidden` when
    /// the origin has already answered.
    pub fn set_path(&self, path: &str) -> Result<(), EditError> {
        self.0.set_path(path).map_err(EditError::about("path"))
    }

    /// Changes the query, or takes it away together with its question mark.
    ///
    /// # Errors
    /// `InvalidSyntax` when it has characters that must be escaped; `Forbidden` when the origin has already answered.
    pub fn set_query(&self, query: Option<&str>) -> Result<(), EditError> {
        self.0.set_query(query).map_err(EditError::about("query"))
    }

    /// Changes parts of the query, and writes it back when that made a difference.
    ///
    /// ```no_run
    /// # use selvedge_hook::prelude::*;
    /// # fn hook(request: &Request) -> Result {
    /// request.edit_query(|query| query.remove("fbclid"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Request::set_query`].
    pub fn edit_query(&self, edit: impl FnOnce(&mut Query)) -> Result<(), EditError> {
        let before = self.query();
        let mut query = Query::parse(before.as_deref().unwrap_or_default());
        edit(&mut query);
        let after = (!query.is_empty()).then(|| query.to_string());
        if before == after { Ok(()) } else { self.set_query(after.as_deref()) }
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

    /// All values of a header, in order, as [`Request::header`] gives the first.
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
    /// `Forbidden` for headers of the node (`hooks/README.md` lists them) and when the origin has already answered;
    /// `InvalidSyntax` and `TooLarge` as their names say.
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.0.set_header(name, value.as_ref()).map_err(EditError::about(name))
    }

    /// Adds a value.
    ///
    /// # Errors
    /// As [`Request::set_header`].
    pub fn append_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.0.append_header(name, value.as_ref()).map_err(EditError::about(name))
    }

    /// Removes every value of the name; nothing happens when there is none.
    ///
    /// # Errors
    /// As [`Request::set_header`].
    pub fn remove_header(&self, name: &str) -> Result<(), EditError> {
        self.0.remove_header(name).map_err(EditError::about(name))
    }

    /// The value of a cookie that the viewer sent.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        // HTTP/2 and HTTP/3 may send one field for each cookie (RFC 9113 section 8.2.3).
        self.header_values("cookie").iter().find_map(|field| cookie::find(field, name).map(str::to_owned))
    }

    /// Sets a cookie in the request, for the cache key and the origin; the viewer learns nothing of it.
    ///
    /// # Errors
    /// As [`Request::set_header`].
    pub fn set_cookie(&self, name: &str, value: &str) -> Result<(), EditError> {
        let mut cookies = self.cookies_without(name);
        cookies.push(format!("{name}={value}"));
        self.set_header("cookie", cookies.join("; "))
    }

    /// Takes a cookie out of the request.
    ///
    /// # Errors
    /// As [`Request::set_header`].
    pub fn remove_cookie(&self, name: &str) -> Result<(), EditError> {
        match self.cookies_without(name) {
            cookies if cookies.is_empty() => self.remove_header("cookie"),
            cookies => self.set_header("cookie", cookies.join("; ")),
        }
    }

    /// The viewer's body, at `viewer-request` and `origin-request` of hooks with `reads-body` in their settings; once, and none
    /// where there is none. What was read still reaches the origin, and the rest follows it.
    #[must_use]
    pub fn body(&self) -> Option<BodyReader> {
        self.0.body().map(BodyReader)
    }

    /// Sends this body to the origin instead; the node writes `content-length`.
    ///
    /// # Errors
    /// `Forbidden` but for `origin-request`, and for `GET` and `HEAD`, which have none; `TooLarge` over `limits.output`.
    pub fn set_body(&self, body: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.0.set_body(body.as_ref()).map_err(EditError::about("the body"))
    }

    /// Makes answers differ by something that URL and policy do not name, such as the half of an A/B test: requests with another
    /// value get another stored answer. A purge of the URL takes all of them. A second value for a name replaces the first.
    ///
    /// # Errors
    /// `Forbidden` but for `viewer-request`; `InvalidSyntax` and `TooLarge` beyond 16 parts, names of 1 to 64 visible
    /// characters, and values of 256 bytes without control characters.
    pub fn add_key_part(&self, name: &str, value: &str) -> Result<(), EditError> {
        self.0.add_key_part(name, value).map_err(EditError::about("the cache key"))
    }

    /// The value that a `viewer-request` hook gave this part of the key: what an `origin-request` hook may shape the request
    /// by, since it is in the key.
    #[must_use]
    pub fn key_part(&self, name: &str) -> Option<String> {
        self.0.key_part(name)
    }

    /// Neither looks the answer up nor stores it: the request goes to the origin as the viewer sent it.
    ///
    /// # Errors
    /// `Forbidden` but for `viewer-request`.
    pub fn bypass_cache(&self) -> Result<(), EditError> {
        self.0.bypass_cache().map_err(EditError::about("the cache"))
    }

    /// Says what this hook is about to make of the answer, as a path in the store of its settings. When it is there, the node
    /// answers with it and asks no origin; else it puts there what `origin-response` hooks make. The name must tell all that
    /// the object depends on.
    ///
    /// # Errors
    /// `InvalidSyntax` when it is no path; `Forbidden` but for `origin-request` of hooks with a `store`.
    pub fn derive_as(&self, path: &str) -> Result<(), EditError> {
        self.0.derive_as(path).map_err(EditError::about("the name in the store"))
    }

    fn cookies_without(&self, name: &str) -> Vec<String> {
        let fields = self.header_values("cookie");
        fields.iter().map(|field| cookie::without(field, name)).filter(|field| !field.is_empty()).collect()
    }
}

/// UTF-8, with U+FFFD for what is not.
pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
