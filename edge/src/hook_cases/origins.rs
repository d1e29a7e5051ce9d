//! The origins that a case gives a hook to ask: answers by origin, method and target.

use super::file::{CaseFile, FetchFault, ScriptedAnswer};
use super::scene;
use bytes::Bytes;
use hooks::{Fetch, FetchError, Fetching, Outside};
use http::Response;
use std::sync::{Mutex, PoisonError};

/// Scripted origins. What nobody scripted cannot be connected to, and is remembered.
#[derive(Debug, Default)]
pub(super) struct Origins {
    answers: Vec<Answer>,
    unexpected: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Answer {
    origin: String,
    method: Option<String>,
    path: String,
    gives: Result<Response<Bytes>, FetchError>,
}

impl Origins {
    pub(super) fn of(file: &CaseFile, answers: &[ScriptedAnswer]) -> Result<Self, String> {
        let answers = answers.iter().map(|answer| Answer::of(file, answer)).collect::<Result<_, _>>()?;
        Ok(Self { answers, unexpected: Mutex::default() })
    }

    /// What was asked and has no answer in the case.
    pub(super) fn unexpected(&self) -> Vec<String> {
        self.unexpected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Answer {
    fn of(file: &CaseFile, answer: &ScriptedAnswer) -> Result<Self, String> {
        let gives = match answer.fails {
            Some(fault) => Err(error(fault)),
            None => {
                let mut response = Response::new(scene::content(file, &answer.body)?);
                *response.status_mut() =
                    http::StatusCode::from_u16(answer.status).map_err(|_| "fetch.status is no status")?;
                *response.headers_mut() =
                    scene::headers(&answer.headers).map_err(|cause| format!("fetch.headers: {cause}"))?;
                Ok(response)
            }
        };
        let (origin, path) = (answer.origin.clone(), answer.path.clone());
        Ok(Self { origin, method: answer.method.clone(), path, gives })
    }
}

impl Outside for Origins {
    fn fetch(&self, fetch: Fetch) -> Fetching {
        let target = fetch.request.uri().path_and_query().map_or("/", |target| target.as_str());
        let method = fetch.request.method().as_str();
        let found = self.answers.iter().find(|answer| {
            *answer.origin == *fetch.origin
                && answer.path == target
                && answer.method.as_deref().is_none_or(|wanted| wanted == method)
        });
        let gives = match found {
            Some(answer) => answer.gives.clone(),
            None => {
                let asked = format!("{method} {target} of {}", fetch.origin);
                self.unexpected.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
                Err(FetchError::Unreachable)
            }
        };
        let gives = gives.and_then(|response| match response.body().len() as u64 > fetch.limit {
            true => Err(FetchError::TooLarge),
            false => Ok(response),
        });
        Box::pin(std::future::ready(gives))
    }
}

fn error(fault: FetchFault) -> FetchError {
    match fault {
        FetchFault::Unreachable => FetchError::Unreachable,
        FetchFault::Timeout => FetchError::Timeout,
        FetchFault::Protocol => FetchError::Protocol,
    }
}
