//! Objects in the store of a hook's settings.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use wasmtime::component::Resource;

use crate::bindings::selvedge::edge::fetch::FetchError;
use crate::bindings::selvedge::edge::store::Host;
use crate::bindings::selvedge::edge::types::Response;
use crate::held::WholeBody;
use crate::host::fetch::target;
use crate::state::CallState;

impl Host for CallState {
    async fn get(
        &mut self,
        path: String,
    ) -> wasmtime::Result<Result<Option<Resource<Response>>, FetchError>> {
        let answer = match object(Method::GET, path, Bytes::new()) {
            Ok(request) => self.ask_store(request).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(found) if found.status() == StatusCode::OK => {
                self.hand_over(found).map(|found| Ok(Some(found)))
            }
            Ok(none) if matches!(none.status(), StatusCode::NOT_FOUND | StatusCode::GONE) => Ok(Ok(None)),
            Ok(_) => Ok(Err(FetchError::Protocol)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn put(
        &mut self,
        path: String,
        content_type: String,
        body: Vec<u8>,
    ) -> wasmtime::Result<Result<(), FetchError>> {
        if body.len() > self.bounds.output {
            return Ok(Err(FetchError::TooLarge));
        }
        let Ok(content_type) = HeaderValue::try_from(content_type) else {
            return Ok(Err(FetchError::Invalid));
        };
        let mut request = match object(Method::PUT, path, body.into()) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        Ok(match self.ask_store(request).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(_) => Err(FetchError::Protocol),
            Err(error) => Err(error),
        })
    }
}

impl CallState {
    async fn ask_store(
        &mut self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<WholeBody>, FetchError> {
        let Some(store) = self.allowance.reach.store.clone() else { return Err(FetchError::Denied) };
        self.ask(store, request, None).await
    }
}

fn object(method: Method, path: String, body: Bytes) -> Result<http::Request<Bytes>, FetchError> {
    // What would be a query is part of no object's name: it is written `%3F`.
    let target = target(path)?;
    if target.query().is_some() {
        return Err(FetchError::Invalid);
    }
    let mut request = http::Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target.into();
    Ok(request)
}
