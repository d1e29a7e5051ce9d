//! All that one call can see: it is made for the call and dropped with it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{StatusCode, request};
use tokio::time::Instant;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::body::OriginBody;
use crate::bounds::Bounds;
use crate::event::Event;
use crate::facts::{Facts, Locality, Place};
use crate::headers::{Editing, Message};
use crate::held::WholeBody;
use crate::instance::Bounded;
use crate::log::CallLog;
use crate::meter::MemoryLimit;
use crate::outcome::{Caching, Keeping};
use crate::outside::Allowance;
use crate::own::Own;
use crate::transform::Transformer;

/// Handle of the response that passes by.
pub(crate) const PASSING: u32 = 0;

/// The data of a call's store.
pub(crate) struct CallState {
    pub(crate) event: Event,
    pub(crate) request: request::Parts,
    /// A handle is an index, for those that the guest made after `earlier_handles`; a place is empty once its response was
    /// dropped.
    responses: Vec<Option<Response>>,
    pub(crate) body: Option<OriginBody>,
    pub(crate) body_taken: bool,
    /// The guest's own body for the request to the origin.
    pub(crate) new_body: Option<WholeBody>,
    /// What is left to read of fetched bodies.
    fetched: Vec<WholeBody>,
    pub(crate) facts: Facts,
    /// Where the viewer is, once the guest has asked.
    pub(crate) place: Option<Place>,
    pub(crate) locality: Option<Box<Locality>>,
    /// What all calls of the hook share.
    pub(crate) own: Arc<Own>,
    /// What the hook calls what it makes.
    pub(crate) derived: Option<String>,
    /// What the guest says of the answer's caching.
    pub(crate) caching: Caching,
    pub(crate) log: CallLog,
    pub(crate) deadline: Instant,
    pub(crate) memory: MemoryLimit,
    pub(crate) bounds: Bounds,
    pub(crate) allowance: Allowance,
    /// Whether the guest can rewrite the body as it passes, whether it wants to, and the guest that does.
    pub(crate) can_transform: bool,
    pub(crate) transforms: bool,
    pub(crate) transformer: Option<Box<Transformer>>,
    /// Handles of earlier calls of the same instance: one that the guest has kept leads nowhere.
    earlier_handles: u32,
    /// Handles that the guest was given and has not dropped, but those of WASI.
    open_handles: u32,
    /// Made when the guest first asks for something of WASI: most header hooks never do.
    wasi: Option<Box<(WasiCtx, ResourceTable)>>,
}

/// A response in a guest's hands.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<WholeBody>,
    /// Whether that body was fetched, and the guest has not asked to read it.
    pub(crate) is_unread: bool,
    pub(crate) keeping: Keeping,
}

impl Response {
    pub(crate) fn new(status: u16, headers: HeaderMap) -> Self {
        Self { status, headers, body: None, is_unread: false, keeping: Keeping::default() }
    }

    /// The status as one that may be sent, or why not.
    pub(crate) fn final_status(&self) -> Result<StatusCode, String> {
        match StatusCode::from_u16(self.status) {
            Ok(status) if (200..=599).contains(&self.status) => Ok(status),
            _ => Err(format!("status {}: a final answer has 200 to 599", self.status)),
        }
    }

    /// The response with a body of the guest's own (RFC 9110 sections 15.3.5 and 15.4.5: 204 and 304 have none).
    pub(crate) fn finish(mut self) -> Result<http::Response<Bytes>, String> {
        let status = self.final_status()?;
        let body = self.body.map(|body| body.bytes).unwrap_or_default();
        if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            if !body.is_empty() {
                return Err(format!("status {status} has no body, but the hook gave {} bytes", body.len()));
            }
            self.headers.remove(CONTENT_LENGTH);
        } else {
            self.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut response = http::Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = self.headers;
        Ok(response)
    }
}

/// What a call is about.
pub(crate) struct Messages {
    pub(crate) request: request::Parts,
    pub(crate) response: Option<Response>,
    pub(crate) body: Option<OriginBody>,
}

impl Messages {
    /// Of no call.
    pub(crate) fn none() -> Self {
        Self { request: http::Request::new(()).into_parts().0, response: None, body: None }
    }
}

/// What a call may use and know.
pub(crate) struct Surroundings {
    pub(crate) facts: Facts,
    pub(crate) own: Arc<Own>,
    pub(crate) log: CallLog,
    pub(crate) deadline: Instant,
    pub(crate) memory: MemoryLimit,
    pub(crate) bounds: Bounds,
    pub(crate) allowance: Allowance,
    pub(crate) can_transform: bool,
}

impl CallState {
    pub(crate) fn new(event: Event, messages: Messages, around: Surroundings) -> Self {
        Self {
            event,
            request: messages.request,
            responses: vec![messages.response],
            body: messages.body,
            body_taken: false,
            new_body: None,
            fetched: Vec::new(),
            facts: around.facts,
            place: None,
            locality: None,
            own: around.own,
            derived: None,
            caching: Caching::default(),
            log: around.log,
            deadline: around.deadline,
            memory: around.memory,
            bounds: around.bounds,
            allowance: around.allowance,
            can_transform: around.can_transform,
            transforms: false,
            transformer: None,
            earlier_handles: 0,
            open_handles: 0,
            wasi: None,
        }
    }

    /// Puts the state of another call into an instance, and takes out that of the one before. What belongs to the instance
    /// stays: its memory, its view of WASI, and that handles of earlier calls lead nowhere.
    pub(crate) fn exchange(&mut self, mut next: CallState) -> CallState {
        std::mem::swap(&mut self.memory, &mut next.memory);
        next.wasi = self.wasi.take();
        let given = self.responses.len().max(self.fetched.len() + 1);
        next.earlier_handles = self.earlier_handles.saturating_add(u32::try_from(given).unwrap_or(u32::MAX));
        std::mem::replace(self, next)
    }

    /// What the guest knows of WASI: the next call finds a view of it as new as its memory.
    pub(crate) fn forget_wasi(&mut self) {
        self.wasi = None;
    }

    /// A handle that is the guest's from now on.
    pub(crate) fn hand<T: 'static>(&mut self, handle: u32) -> Resource<T> {
        self.open_handles = self.open_handles.saturating_add(1);
        Resource::new_own(handle)
    }

    /// The guest has dropped one of its handles.
    pub(crate) fn take_back(&mut self) {
        self.open_handles = self.open_handles.saturating_sub(1);
    }

    /// Whether the guest has more handles than the `given` that it has answered with.
    pub(crate) fn has_handles(&self, given: u32) -> bool {
        self.open_handles != given || self.wasi.as_ref().is_some_and(|wasi| !wasi.1.is_empty())
    }

    /// How a head of a message is edited.
    pub(crate) fn editing(&self, message: Message, event: Event) -> Editing {
        Editing { message, event, bounds: self.bounds.head }
    }

    pub(crate) fn add_response(&mut self, response: Response) -> wasmtime::Result<u32> {
        let most = self.bounds.responses;
        if self.responses.len() > most {
            let words =
                format!("more than {most} responses in one call; make fewer, or raise limits.responses");
            return Err(wasmtime::Error::msg(words));
        }
        let handle = self.handle(self.responses.len())?;
        self.responses.push(Some(response));
        Ok(handle)
    }

    pub(crate) fn response(&mut self, handle: u32) -> wasmtime::Result<&mut Response> {
        let place = self.index(handle).and_then(|index| self.responses.get_mut(index));
        place.and_then(Option::as_mut).ok_or_else(|| wasmtime::Error::msg("that response is gone"))
    }

    pub(crate) fn take_response(&mut self, handle: u32) -> Option<Response> {
        self.index(handle).and_then(|index| self.responses.get_mut(index)).and_then(Option::take)
    }

    /// The handle of the reader of the body that passes by.
    pub(crate) fn passing_reader(&self) -> u32 {
        self.earlier_handles
    }

    /// A handle of a reader of these bytes.
    pub(crate) fn add_fetched(&mut self, body: WholeBody) -> wasmtime::Result<u32> {
        self.fetched.push(body);
        self.handle(self.fetched.len())
    }

    pub(crate) fn fetched(&mut self, handle: u32) -> Option<&mut Bytes> {
        let index = self.index(handle)?.checked_sub(1)?;
        self.fetched.get_mut(index).map(|body| &mut body.bytes)
    }

    /// Bytes of the bodies that the guest has made and not dropped.
    pub(crate) fn made_bytes(&self) -> usize {
        let bodies = self.responses.iter().flatten().filter_map(|response| response.body.as_ref());
        bodies.chain(&self.new_body).map(WholeBody::made_bytes).sum()
    }

    /// Whether the instance is to live on for the body.
    pub(crate) fn goes_on(&mut self) -> bool {
        self.transforms && self.response(PASSING).is_ok_and(|passing| passing.body.is_none())
    }

    /// What the call leaves to the node while its instance lives on: the messages. What bounds the guest stays with it.
    pub(crate) fn depart(&mut self) -> Self {
        let request = std::mem::replace(&mut self.request, http::Request::new(()).into_parts().0);
        let (response, body) = (self.take_response(PASSING), self.body.take());
        let around = Surroundings {
            facts: self.facts.clone(),
            own: Arc::clone(&self.own),
            log: self.log.clone(),
            deadline: self.deadline,
            memory: self.memory.of_nothing(),
            bounds: self.bounds,
            allowance: Allowance { reach: Arc::clone(&self.allowance.reach), fetches: 0, bytes: 0 },
            can_transform: false,
        };
        Self::new(self.event, Messages { request, response, body }, around)
    }

    /// The handle of what the guest makes at this index, which is not 0.
    fn handle(&self, index: usize) -> wasmtime::Result<u32> {
        let handle = self.earlier_handles.checked_add(u32::try_from(index)?);
        handle.ok_or_else(|| wasmtime::Error::msg("the instance has used all handles up"))
    }

    fn index(&self, handle: u32) -> Option<usize> {
        match handle {
            PASSING => Some(0),
            made => {
                made.checked_sub(self.earlier_handles).filter(|index| *index > 0).map(|index| index as usize)
            }
        }
    }
}

impl Bounded for CallState {
    fn carried(&self) -> usize {
        self.bounds.output
    }

    fn handles(&self) -> usize {
        self.bounds.handles
    }

    fn memory(&mut self) -> &mut MemoryLimit {
        &mut self.memory
    }
}

impl WasiView for CallState {
    /// Clock and random numbers, and output to the log: no files, no sockets, no environment, no arguments.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (log, most) = (&self.log, self.bounds.handles);
        let wasi = self.wasi.get_or_insert_with(|| {
            let context = WasiCtx::builder()
                .stdout(log.clone())
                .stderr(log.clone())
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .max_random_size(1 << 20)
                .build();
            let mut table = ResourceTable::new();
            table.set_max_capacity(most);
            Box::new((context, table))
        });
        WasiCtxView { ctx: &mut wasi.0, table: &mut wasi.1 }
    }
}
