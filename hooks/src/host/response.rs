//! Responses and the origin's body for the guest.

use std::time::Duration;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use wasmtime::component::Resource;

use crate::bindings::selvedge::edge::types::{
    BodyError, BodyReader, EditError, HostBodyReader, HostResponse, Response, TransformRefusal,
};
use crate::body::{OriginBody, PullError};
use crate::event::Event;
use crate::headers::{Edit, Message};
use crate::host::{entries, first, values};
use crate::outcome::Keeping;
use crate::state::{self, CallState, PASSING};

const MAX_TAGS: usize = 50;
const MAX_TAG_BYTES: usize = 256;

impl HostResponse for CallState {
    fn new(&mut self, status: u16) -> wasmtime::Result<Resource<Response>> {
        let handle = self.add_response(state::Response::new(status, HeaderMap::new()))?;
        Ok(self.hand(handle))
    }

    fn status(&mut self, response: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.response(response.rep())?.status)
    }

    fn set_status(
        &mut self,
        response: Resource<Response>,
        status: u16,
    ) -> wasmtime::Result<Result<(), EditError>> {
        if self.event == Event::ViewerResponse {
            return Ok(Err(EditError::Forbidden));
        }
        let response = self.response(response.rep())?;
        if !(200..=599).contains(&status) {
            return Ok(Err(EditError::InvalidSyntax));
        }
        response.status = status;
        Ok(Ok(()))
    }

    fn header(&mut self, response: Resource<Response>, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(first(&self.response(response.rep())?.headers, &name))
    }

    fn header_values(
        &mut self,
        response: Resource<Response>,
        name: String,
    ) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(values(&self.response(response.rep())?.headers, &name))
    }

    fn headers(&mut self, response: Resource<Response>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        Ok(entries(&self.response(response.rep())?.headers))
    }

    fn set_header(
        &mut self,
        response: Resource<Response>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), EditError>> {
        self.edit_response(&response, &name, Edit::Set(value))
    }

    fn append_header(
        &mut self,
        response: Resource<Response>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), EditError>> {
        self.edit_response(&response, &name, Edit::Append(value))
    }

    fn remove_header(
        &mut self,
        response: Resource<Response>,
        name: String,
    ) -> wasmtime::Result<Result<(), EditError>> {
        self.edit_response(&response, &name, Edit::Remove)
    }

    fn body(&mut self, response: Resource<Response>) -> wasmtime::Result<Option<Resource<BodyReader>>> {
        if response.rep() != PASSING {
            return self.fetched_body(response.rep());
        }
        if self.body.is_none() || self.body_taken {
            return Ok(None);
        }
        self.body_taken = true;
        Ok(Some(self.hand(self.passing_reader())))
    }

    fn set_body(
        &mut self,
        response: Resource<Response>,
        body: Vec<u8>,
    ) -> wasmtime::Result<Result<(), BodyError>> {
        if self.event == Event::ViewerResponse {
            return Ok(Err(BodyError::Broken));
        }
        let fits = self.replace_body(response.rep(), body.into())?;
        Ok(if fits { Ok(()) } else { Err(BodyError::TooLarge) })
    }

    fn transform_body(
        &mut self,
        response: Resource<Response>,
    ) -> wasmtime::Result<Result<(), TransformRefusal>> {
        if self.event != Event::OriginResponse || response.rep() != PASSING || !self.can_transform {
            return Ok(Err(TransformRefusal::Forbidden));
        }
        let passing = self.response(PASSING)?;
        if passing.headers.contains_key(CONTENT_ENCODING) {
            return Ok(Err(TransformRefusal::Coded));
        }
        if passing.status == StatusCode::PARTIAL_CONTENT.as_u16() {
            return Ok(Err(TransformRefusal::Partial));
        }
        self.transforms = true;
        Ok(Ok(()))
    }

    fn set_ttl(
        &mut self,
        response: Resource<Response>,
        seconds: u32,
    ) -> wasmtime::Result<Result<(), EditError>> {
        self.keep(&response, |keeping| {
            keeping.ttl = Some(Duration::from_secs(seconds.into()));
            Ok(())
        })
    }

    fn set_stale(
        &mut self,
        response: Resource<Response>,
        while_revalidate: Option<u32>,
        if_error: Option<u32>,
    ) -> wasmtime::Result<Result<(), EditError>> {
        let seconds = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
        self.keep(&response, |keeping| {
            keeping.while_revalidate = seconds(while_revalidate).or(keeping.while_revalidate);
            keeping.if_error = seconds(if_error).or(keeping.if_error);
            Ok(())
        })
    }

    fn no_store(&mut self, response: Resource<Response>) -> wasmtime::Result<Result<(), EditError>> {
        self.keep(&response, |keeping| {
            keeping.no_store = true;
            Ok(())
        })
    }

    fn add_tag(
        &mut self,
        response: Resource<Response>,
        tag: String,
    ) -> wasmtime::Result<Result<(), EditError>> {
        self.keep(&response, |keeping| {
            if tag.len() > MAX_TAG_BYTES || keeping.tags.len() >= MAX_TAGS {
                return Err(EditError::TooLarge);
            }
            // A comma separates tags in the header that carries them to the store, and on to edges.
            if tag.is_empty() || !tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
                return Err(EditError::InvalidSyntax);
            }
            keeping.tags.push(tag);
            Ok(())
        })
    }

    fn drop(&mut self, response: Resource<Response>) -> wasmtime::Result<()> {
        self.take_response(response.rep());
        self.take_back();
        Ok(())
    }
}

impl HostBodyReader for CallState {
    async fn read(
        &mut self,
        reader: Resource<BodyReader>,
        max: u32,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, BodyError>> {
        if let Some(fetched) = self.fetched(reader.rep()) {
            let length = (max as usize).max(1).min(fetched.len());
            let chunk = fetched.split_to(length);
            return Ok(Ok((!chunk.is_empty()).then(|| chunk.to_vec())));
        }
        let chunk = self.origin_body(reader.rep())?.read(max as usize).await;
        Ok(chunk.map(|chunk| chunk.map(Vec::from)).map_err(body_error))
    }

    async fn read_all(
        &mut self,
        reader: Resource<BodyReader>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, BodyError>> {
        if let Some(fetched) = self.fetched(reader.rep()) {
            let fits = fetched.len() <= limit as usize;
            return Ok(if fits { Ok(std::mem::take(fetched).into()) } else { Err(BodyError::TooLarge) });
        }
        Ok(self.origin_body(reader.rep())?.read_all(limit as usize).await.map_err(body_error))
    }

    fn length(&mut self, reader: Resource<BodyReader>) -> wasmtime::Result<Option<u64>> {
        if let Some(fetched) = self.fetched(reader.rep()) {
            return Ok(Some(fetched.len() as u64));
        }
        Ok(self.origin_body(reader.rep())?.length())
    }

    fn drop(&mut self, _: Resource<BodyReader>) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }
}

impl CallState {
    /// Before an answer is stored is the time to say how.
    fn keep(
        &mut self,
        response: &Resource<Response>,
        say: impl FnOnce(&mut Keeping) -> Result<(), EditError>,
    ) -> wasmtime::Result<Result<(), EditError>> {
        if self.event != Event::OriginResponse {
            return Ok(Err(EditError::Forbidden));
        }
        Ok(say(&mut self.response(response.rep())?.keeping))
    }

    fn edit_response(
        &mut self,
        response: &Resource<Response>,
        name: &str,
        edit: Edit,
    ) -> wasmtime::Result<Result<(), EditError>> {
        let editing = self.editing(Message::Response, self.event);
        Ok(editing.apply(&mut self.response(response.rep())?.headers, name, edit))
    }

    fn fetched_body(&mut self, handle: u32) -> wasmtime::Result<Option<Resource<BodyReader>>> {
        let response = self.response(handle)?;
        if !std::mem::take(&mut response.is_unread) {
            return Ok(None);
        }
        let Some(body) = response.body.clone() else { return Ok(None) };
        let handle = self.add_fetched(body)?;
        Ok(Some(self.hand(handle)))
    }

    fn origin_body(&mut self, reader: u32) -> wasmtime::Result<&mut OriginBody> {
        if reader != self.passing_reader() {
            return Err(wasmtime::Error::msg("that body is gone"));
        }
        self.body.as_mut().ok_or_else(|| wasmtime::Error::msg("this event has no body"))
    }
}

fn body_error(error: PullError) -> BodyError {
    match error {
        PullError::TooLarge => BodyError::TooLarge,
        PullError::Broken => BodyError::Broken,
    }
}
