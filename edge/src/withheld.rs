//! Answers of origins whose own words must not reach viewers, as those of buckets: they get the node's words instead.

use crate::body::Body;
use crate::error;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use origin_shield::{OriginBody, Withheld};

/// The answer with its own body, or with a page of the node's where the origin's words are withheld. It may be stored for
/// everybody, so it says nothing of this request.
#[must_use]
pub fn dressed(response: Response<OriginBody>) -> Response<Body> {
    if response.extensions().get::<Withheld>().is_none() {
        return response.map(Body::Origin);
    }
    let (mut head, _) = response.into_parts();
    let page = error::plain_page(head.status);
    head.headers.insert(CONTENT_LENGTH, page.len().into());
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Response::from_parts(head, Body::Whole(page.into()))
}
