//! What a hook wants done, for each event that has a choice.

use crate::Response;

/// What a `viewer-request` function answers. `()` stands for `Next`, and `Option<Response>` for either.
#[derive(Debug)]
pub enum ViewerRequestOutcome {
    /// Go on with the request as edited.
    Next,
    /// Answer now; neither cache nor origin is asked.
    Respond(Response),
}

/// What an `origin-request` function answers. `()` stands for `Next`, and `Option<Response>` for `Next` or `Respond`.
///
/// ```no_run
/// use selvedge_hook::prelude::*;
///
/// hook!(origin-request: by_language);
///
/// fn by_language(request: &Request) -> Result<OriginRequestOutcome> {
///     Ok(match request.header("accept-language") {
///         Some(languages) if languages.starts_with("ko") => OriginRequestOutcome::RouteTo("seoul".into()),
///         _ => OriginRequestOutcome::Next,
///     })
/// }
/// ```
#[derive(Debug)]
pub enum OriginRequestOutcome {
    /// Go to the route's origin with the request as edited.
    Next,
    /// Go to this origin or origin group of the node's configuration instead.
    RouteTo(String),
    /// Answer in the origin's place; cached like an origin's answer.
    Respond(Response),
}

/// What an `origin-response` function answers. `()` stands for `Next`, and `Option<Response>` for either.
#[derive(Debug)]
pub enum OriginResponseOutcome {
    /// Go on with the response as edited.
    Next,
    /// Go on with this response instead.
    Replace(Response),
}

macro_rules! shorthand {
    ($outcome:ident, $answer:ident) => {
        impl From<()> for $outcome {
            fn from((): ()) -> Self {
                $outcome::Next
            }
        }

        impl From<Response> for $outcome {
            fn from(response: Response) -> Self {
                $outcome::$answer(response)
            }
        }

        impl From<Option<Response>> for $outcome {
            fn from(response: Option<Response>) -> Self {
                response.map_or($outcome::Next, $outcome::$answer)
            }
        }
    };
}

shorthand!(ViewerRequestOutcome, Respond);
shorthand!(OriginRequestOutcome, Respond);
shorthand!(OriginResponseOutcome, Replace);
