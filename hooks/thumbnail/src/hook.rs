//! The two events that the hook answers.

use crate::asked::{self, Size};
use crate::picture::{self, Refusal};

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:thumbnail;
            world hook {
                include selvedge:edge/imports@0.1.0;
                export selvedge:edge/origin-request@0.1.0;
                export selvedge:edge/origin-response@0.1.0;
            }
        ",
        world: "selvedge:thumbnail/hook",
        generate_all,
    });
    export!(Thumbnail);
    use super::Thumbnail;
}

use bindings::exports::selvedge::edge::{origin_request, origin_response};
use bindings::selvedge::edge::types::{BodyError, EditError, Request, Response};
use bindings::selvedge::edge::{config, log};

/// The longest original, encoded, that is read.
const MAX_ORIGINAL: u32 = 48 << 20;

struct Thumbnail;

impl origin_request::Guest for Thumbnail {
    /// Asks the origin for the original, whole and as it is.
    fn on_origin_request(request: &Request) -> Result<origin_request::Outcome, String> {
        let query = request.query().unwrap_or_default();
        let size = match asked::size(&query, config::get("sizes").as_deref()) {
            Ok(Some(size)) => size,
            Ok(None) => return Ok(origin_request::Outcome::Next),
            Err(message) => return Ok(origin_request::Outcome::Respond(refusal(400, &message))),
        };
        let rest = asked::without_size(&query);
        let kept = config::get("store-as").filter(|_| request.method() == "GET");
        let kept = kept.map(|template| asked::kept_name(&template, &request.path(), rest.as_deref(), size));
        if let Some(name) = kept.transpose()? {
            // A name that is too long is no reason to make no thumbnail.
            if let Err(error) = request.derive_as(&name) {
                log::log(log::Level::Warn, &format!("{name} is not kept: {}", error.name()));
            }
        }
        let edited = || -> Result<(), EditError> {
            request.set_query(rest.as_deref())?;
            for name in ["range", "if-range", "accept-encoding"] {
                request.remove_header(name)?;
            }
            let tag = request.header("if-none-match").and_then(|tag| asked::original_tag(&text(tag), size));
            match tag {
                Some(tag) => request.set_header("if-none-match", tag.as_bytes()),
                None => Ok(()),
            }
        };
        edited().map_err(|error| format!("the request could not be edited: {}", error.name()))?;
        Ok(origin_request::Outcome::Next)
    }
}

impl origin_response::Guest for Thumbnail {
    fn on_origin_response(
        request: &Request,
        response: &Response,
    ) -> Result<origin_response::Outcome, String> {
        use origin_response::Outcome;
        let query = request.query().unwrap_or_default();
        let size = match asked::size(&query, config::get("sizes").as_deref()) {
            Ok(Some(size)) if request.method() == "GET" => size,
            Ok(_) => return Ok(Outcome::Next),
            Err(message) => return Ok(Outcome::Replace(refusal(400, &message))),
        };
        let status = response.status();
        let kind = response.header("content-type").map(text).unwrap_or_default();
        if status == 200 && kind.trim_start().to_ascii_lowercase().starts_with("image/") {
            return resize(response, size);
        }
        if status == 304 {
            head(response, size)
                .map_err(|error| format!("the response could not be edited: {}", error.name()))?;
        }
        Ok(Outcome::Next)
    }
}

fn resize(response: &Response, size: Size) -> Result<origin_response::Outcome, String> {
    use origin_response::Outcome;
    let reader = response.body().ok_or("the response has no body")?;
    let original = match reader.read_all(MAX_ORIGINAL) {
        Ok(original) => original,
        Err(BodyError::TooLarge) => {
            return Ok(Outcome::Replace(refusal(413, "the original is too large to resize")));
        }
        Err(BodyError::Broken) => return Err("the origin broke off in the middle of the original".to_owned()),
    };
    let thumbnail = match picture::thumbnail(&original, size) {
        Ok(thumbnail) => thumbnail,
        Err(refused) => {
            log::log(log::Level::Warn, &format!("no thumbnail {size}: {refused:?}"));
            return Ok(Outcome::Replace(refused_picture(&refused)));
        }
    };
    response
        .set_body(&thumbnail)
        .map_err(|error| format!("the thumbnail could not be answered: {}", error.name()))?;
    head(response, size).map_err(|error| format!("the response could not be edited: {}", error.name()))?;
    Ok(Outcome::Next)
}

/// The head of a thumbnail: what spoke of the original's bytes goes, how long it may be kept stays.
fn head(response: &Response, size: Size) -> Result<(), EditError> {
    response.set_header("content-type", b"image/jpeg")?;
    let tag = response.header("etag").and_then(|tag| asked::thumbnail_tag(&text(tag), size));
    match tag {
        Some(tag) => response.set_header("etag", tag.as_bytes())?,
        None => response.remove_header("etag")?,
    }
    for name in
        ["accept-ranges", "content-encoding", "content-digest", "repr-digest", "digest", "content-md5"]
    {
        response.remove_header(name)?;
    }
    Ok(())
}

fn refused_picture(refused: &Refusal) -> Response {
    match refused {
        Refusal::TooLarge(message) => refusal(413, &format!("the original cannot be resized: {message}")),
        Refusal::Unsupported => refusal(415, "the original is neither JPEG nor PNG"),
        Refusal::Damaged(message) => refusal(422, &format!("the original cannot be decoded: {message}")),
    }
}

/// An answer in plain words. The headers and the short body cannot be refused.
fn refusal(status: u16, message: &str) -> Response {
    let response = Response::new(status);
    let _ = response.set_header("content-type", b"text/plain; charset=utf-8");
    let _ = response.set_header("cache-control", b"no-store");
    let _ = response.set_body(format!("{message}\n").as_bytes());
    response
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8(value).unwrap_or_default()
}
