//! The events that the hook answers.

use crate::asked::{self, Asked, Rules};
use crate::engine::{Engine, Original};
use crate::original::Said;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub(crate) mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package selvedge:thumbnail;
            world hook {
                include selvedge:edge/imports@0.1.0;
                export selvedge:edge/viewer-request@0.1.0;
                export selvedge:edge/origin-request@0.1.0;
                export selvedge:edge/origin-response@0.1.0;
                export selvedge:edge/viewer-response@0.1.0;
            }
        ",
        world: "selvedge:thumbnail/hook",
        generate_all,
    });
    export!(Thumbnail);
    use super::Thumbnail;
}

use bindings::exports::selvedge::edge::{origin_request, origin_response, viewer_request, viewer_response};
use bindings::selvedge::edge::image::ImageError;
use bindings::selvedge::edge::types::{EditError, Request, Response};
use bindings::selvedge::edge::{config, facts, log};

struct Thumbnail;

impl viewer_request::Guest for Thumbnail {
    /// Where the form follows the viewer, what it reads becomes part of the query, and so of the cache's key.
    fn on_viewer_request(request: &Request) -> Result<viewer_request::Outcome, String> {
        let accept = request.header("accept").map(text).unwrap_or_default();
        if asked::reads_webp(&accept) {
            let query = rules()?.for_webp(&request.query().unwrap_or_default());
            if let Some(query) = query {
                request.set_query(Some(&query)).map_err(not_edited)?;
            }
        }
        Ok(viewer_request::Outcome::Next)
    }
}

impl viewer_response::Guest for Thumbnail {
    /// Caches behind this one are told that the form followed the viewer.
    fn on_viewer_response(request: &Request, response: &Response) -> Result<(), String> {
        let asked = rules()?.asked(&request.query().unwrap_or_default());
        if asked.is_ok_and(|asked| asked.is_some_and(|asked| asked.follows_viewer())) {
            response.append_header("vary", b"accept").map_err(not_edited)?;
        }
        Ok(())
    }
}

impl origin_request::Guest for Thumbnail {
    /// Asks the origin for the original, whole and as it is.
    fn on_origin_request(request: &Request) -> Result<origin_request::Outcome, String> {
        let query = request.query().unwrap_or_default();
        let rules = rules()?;
        let asked = match rules.asked(&query) {
            Ok(Some(asked)) => asked,
            Ok(None) => return Ok(origin_request::Outcome::Next),
            Err(message) => return Ok(origin_request::Outcome::Respond(refusal(400, &message))),
        };
        let rest = rules.without(&query);
        let kept = config::get("store-as").filter(|_| request.method() == "GET");
        let name = |template: String| {
            asked::kept_name(&template, &facts::site(), &request.path(), rest.as_deref(), &asked)
        };
        if let Some(name) = kept.map(name).transpose()? {
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
            let tag = request.header("if-none-match").and_then(|tag| asked::original_tag(&text(tag), &asked));
            match tag {
                Some(tag) => request.set_header("if-none-match", tag.as_bytes()),
                None => Ok(()),
            }
        };
        edited().map_err(not_edited)?;
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
        let asked = match rules()?.asked(&query) {
            Ok(Some(asked)) if request.method() == "GET" => asked,
            Ok(_) => return Ok(Outcome::Next),
            Err(message) => return Ok(Outcome::Replace(refusal(400, &message))),
        };
        let status = response.status();
        if status == 200 {
            return answer(response, &asked);
        }
        if status == 304 {
            // The type is that of what is stored.
            response
                .remove_header("content-type")
                .and_then(|()| head(response, &asked))
                .map_err(not_edited)?;
        }
        Ok(Outcome::Next)
    }
}

/// A thumbnail of a picture; what is none passes.
fn answer(response: &Response, asked: &Asked) -> Result<origin_response::Outcome, String> {
    use origin_response::Outcome;
    let policy = Policy::read()?;
    let kind = response.header("content-type").map(text).unwrap_or_default();
    let made = match Said::by(&kind) {
        Said::Other => return Ok(Outcome::Next),
        Said::Picture => resize(Original::new(response), asked, &kind, &policy),
        Said::Nothing => match Original::look(response) {
            Ok(None) => return Ok(Outcome::Next),
            Ok(Some((original, kind))) => resize(original, asked, kind, &policy),
            Err(error) => Err(error),
        },
    };
    match made {
        Ok(media_type) => {
            response.set_header("content-type", media_type.as_bytes()).map_err(not_edited)?;
            head(response, asked).map_err(not_edited)?;
            Ok(Outcome::Next)
        }
        Err(error) => refused(error, asked, &policy),
    }
}

fn resize(original: Original<'_>, asked: &Asked, kind: &str, policy: &Policy) -> Result<String, ImageError> {
    policy.engine.transform(original, &asked.operations(kind), policy.passes_animations)
}

/// What the config says of how pictures are made, and of those that cannot be.
struct Policy {
    engine: Engine,
    passes_animations: bool,
    passes_bad: bool,
}

impl Policy {
    fn read() -> Result<Self, String> {
        Ok(Self {
            engine: Engine::named(config::get("engine").as_deref())?,
            passes_animations: setting("animated", "first", "original")?,
            passes_bad: setting("on-bad", "refuse", "original")?,
        })
    }
}

fn refused(error: ImageError, asked: &Asked, policy: &Policy) -> Result<origin_response::Outcome, String> {
    use origin_response::Outcome;
    match error {
        ImageError::Broken => Err("the origin broke off in the middle of the original".to_owned()),
        ImageError::Busy => {
            let answer = refusal(429, "images-busy: too many pictures are being made; try again in a second");
            let _ = answer.set_header("retry-after", b"1");
            Ok(Outcome::Replace(answer))
        }
        error => {
            let (status, message) = words(error);
            log::log(log::Level::Warn, &format!("no thumbnail {asked}: {status} {message}"));
            // An animation that passes is no bad picture.
            if policy.passes_bad || (policy.passes_animations && message.ends_with("animated")) {
                return Ok(Outcome::Next);
            }
            Ok(Outcome::Replace(refusal(status, &message)))
        }
    }
}

/// Whether a setting of two words has the second; the first is its default.
fn setting(key: &str, first: &str, second: &str) -> Result<bool, String> {
    match config::get(key).as_deref() {
        None => Ok(false),
        Some(word) if word == first => Ok(false),
        Some(word) if word == second => Ok(true),
        Some(word) => Err(format!("config.{key} is {word}; it must be {first} or {second}")),
    }
}

/// The head of a thumbnail: what spoke of the original's bytes goes, how long it may be kept stays.
fn head(response: &Response, asked: &Asked) -> Result<(), EditError> {
    let tag = response.header("etag").and_then(|tag| asked::thumbnail_tag(&text(tag), asked));
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

fn words(error: ImageError) -> (u16, String) {
    match error {
        ImageError::TooLarge(message) => (413, format!("the original cannot be resized: {message}")),
        ImageError::Unsupported(message) => {
            (415, format!("the original is no picture that is read: {message}"))
        }
        ImageError::Damaged(message) => (422, format!("the original cannot be decoded: {message}")),
        ImageError::Invalid(message) => (400, message),
        ImageError::Busy | ImageError::Broken => (502, "no picture".to_owned()),
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

fn rules() -> Result<Rules, String> {
    Rules::read(config::get)
}

fn not_edited(error: EditError) -> String {
    format!("the message could not be edited: {}", error.name())
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8(value).unwrap_or_default()
}
