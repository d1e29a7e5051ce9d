//! One call of one event: an instance, the guest's answer.

use wasmtime::Store;
use wasmtime::component::{self, InstancePre, Resource};

use crate::bindings::body_transform::exports::selvedge::edge::origin_response as body_transform;
use crate::bindings::body_transform::{BodyTransformHook, BodyTransformHookIndices};
use crate::bindings::origin_request::OriginRequestHookIndices;
use crate::bindings::origin_request::exports::selvedge::edge::origin_request;
use crate::bindings::origin_response::OriginResponseHookIndices;
use crate::bindings::origin_response::exports::selvedge::edge::origin_response;
use crate::bindings::viewer_request::ViewerRequestHookIndices;
use crate::bindings::viewer_request::exports::selvedge::edge::viewer_request;
use crate::bindings::viewer_response::ViewerResponseHookIndices;
use crate::components::Ready;
use crate::event::Event;
use crate::instance::{Instance, made};
use crate::state::{CallState, PASSING};

/// The export of those that rewrite bodies.
const BODY_TRANSFORM: &str = "selvedge:edge/body-transform@0.1.0";

/// A component and where in it the events are that it answers.
pub(crate) struct Exports {
    component: Ready,
    viewer_request: Option<ViewerRequestHookIndices>,
    origin_request: Option<OriginRequestHookIndices>,
    origin_response: Option<OriginResponseHookIndices>,
    /// Instead of the last, where the component rewrites bodies as they pass.
    body_transform: Option<BodyTransformHookIndices>,
    viewer_response: Option<ViewerResponseHookIndices>,
}

/// What a guest answered.
pub(crate) enum Answer {
    Next,
    /// The same, and the guest goes on with the body.
    Transform(BodyTransformHook),
    RouteTo(String),
    /// Handle of the response.
    Respond(u32),
    Failed(String),
}

/// A call that came to its end, with the state it leaves.
pub(crate) struct Ended {
    pub(crate) answer: wasmtime::Result<Answer>,
    pub(crate) state: CallState,
    /// What the instance held, in bytes.
    pub(crate) memory: u64,
}

impl Exports {
    /// Finds the exports for `events`; the error names the first that is missing.
    pub(crate) fn find(component: Ready, events: &[Event]) -> Result<Self, (Event, wasmtime::Error)> {
        let mut exports = Self {
            viewer_request: None,
            origin_request: None,
            origin_response: None,
            body_transform: None,
            viewer_response: None,
            component,
        };
        for &event in events {
            let component = &exports.component.tied;
            match event {
                Event::ViewerRequest => {
                    ViewerRequestHookIndices::new(component).map(|found| exports.viewer_request = Some(found))
                }
                Event::OriginRequest => {
                    OriginRequestHookIndices::new(component).map(|found| exports.origin_request = Some(found))
                }
                Event::OriginResponse => {
                    body_transform_of(component).map(|found| exports.body_transform = found).and_then(|()| {
                        OriginResponseHookIndices::new(component)
                            .map(|found| exports.origin_response = Some(found))
                    })
                }
                Event::ViewerResponse => ViewerResponseHookIndices::new(component)
                    .map(|found| exports.viewer_response = Some(found)),
            }
            .map_err(|error| (event, error))?;
        }
        Ok(exports)
    }

    /// The component.
    pub(crate) fn component(&self) -> &Ready {
        &self.component
    }

    /// Whether the component rewrites bodies as they pass.
    pub(crate) fn transforms(&self) -> bool {
        self.body_transform.is_some()
    }

    /// Runs one call, in an instance that is made now or has answered others.
    pub(crate) async fn perform(&self, instance: &mut Instance) -> wasmtime::Result<Answer> {
        let store = &mut instance.store;
        let made = match instance.made {
            Some(made) => made,
            None => *instance.made.insert(made(&self.component.tied, store).await?),
        };
        match store.data().event {
            Event::ViewerRequest => self.viewer_request(store, &made).await,
            Event::OriginRequest => self.origin_request(store, &made).await,
            Event::OriginResponse => match &self.body_transform {
                Some(export) => body_transform(export, store, &made).await,
                None => self.origin_response(store, &made).await,
            },
            Event::ViewerResponse => self.viewer_response(store, &made).await,
        }
    }

    async fn viewer_request(
        &self,
        store: &mut Store<CallState>,
        made: &component::Instance,
    ) -> wasmtime::Result<Answer> {
        use viewer_request::Outcome;
        let Some(export) = &self.viewer_request else { return Ok(Answer::Next) };
        let guest = export.load(&mut *store, made)?;
        let answer = guest
            .selvedge_edge_viewer_request()
            .call_on_viewer_request(store, Resource::new_borrow(0))
            .await?;
        Ok(match answer {
            Ok(Outcome::Next) => Answer::Next,
            Ok(Outcome::Respond(response)) => Answer::Respond(response.rep()),
            Err(message) => Answer::Failed(message),
        })
    }

    async fn origin_request(
        &self,
        store: &mut Store<CallState>,
        made: &component::Instance,
    ) -> wasmtime::Result<Answer> {
        use origin_request::Outcome;
        let Some(export) = &self.origin_request else { return Ok(Answer::Next) };
        let guest = export.load(&mut *store, made)?;
        let answer = guest
            .selvedge_edge_origin_request()
            .call_on_origin_request(store, Resource::new_borrow(0))
            .await?;
        Ok(match answer {
            Ok(Outcome::Next) => Answer::Next,
            Ok(Outcome::RouteTo(origin)) => Answer::RouteTo(origin),
            Ok(Outcome::Respond(response)) => Answer::Respond(response.rep()),
            Err(message) => Answer::Failed(message),
        })
    }

    async fn origin_response(
        &self,
        store: &mut Store<CallState>,
        made: &component::Instance,
    ) -> wasmtime::Result<Answer> {
        use origin_response::Outcome;
        let Some(export) = &self.origin_response else { return Ok(Answer::Next) };
        let guest = export.load(&mut *store, made)?;
        let (request, response) = (Resource::new_borrow(0), Resource::new_borrow(PASSING));
        let answer =
            guest.selvedge_edge_origin_response().call_on_origin_response(store, request, response).await?;
        Ok(match answer {
            Ok(Outcome::Next) => Answer::Next,
            Ok(Outcome::Replace(response)) => Answer::Respond(response.rep()),
            Err(message) => Answer::Failed(message),
        })
    }

    async fn viewer_response(
        &self,
        store: &mut Store<CallState>,
        made: &component::Instance,
    ) -> wasmtime::Result<Answer> {
        let Some(export) = &self.viewer_response else { return Ok(Answer::Next) };
        let guest = export.load(&mut *store, made)?;
        let (request, response) = (Resource::new_borrow(0), Resource::new_borrow(PASSING));
        let answer =
            guest.selvedge_edge_viewer_response().call_on_viewer_response(store, request, response).await?;
        Ok(answer.map_or_else(Answer::Failed, |()| Answer::Next))
    }
}

/// Where a component rewrites bodies, if it says that it does. One that does so in another form than the contract's would go
/// without a word.
fn body_transform_of(
    component: &InstancePre<CallState>,
) -> wasmtime::Result<Option<BodyTransformHookIndices>> {
    match BodyTransformHookIndices::new(component) {
        Ok(found) => Ok(Some(found)),
        Err(error) => match component.component().get_export_index(None, BODY_TRANSFORM) {
            Some(_) => Err(error),
            None => Ok(None),
        },
    }
}

/// The origin-response event of a guest that may go on with the body.
async fn body_transform(
    export: &BodyTransformHookIndices,
    store: &mut Store<CallState>,
    made: &component::Instance,
) -> wasmtime::Result<Answer> {
    use body_transform::Outcome;
    let guest = export.load(&mut *store, made)?;
    let (request, response) = (Resource::new_borrow(0), Resource::new_borrow(PASSING));
    let event = guest.selvedge_edge_origin_response();
    let answer = event.call_on_origin_response(&mut *store, request, response).await?;
    Ok(match answer {
        Ok(Outcome::Next) if store.data_mut().goes_on() => Answer::Transform(guest),
        Ok(Outcome::Next) => Answer::Next,
        Ok(Outcome::Replace(response)) => Answer::Respond(response.rep()),
        Err(message) => Answer::Failed(message),
    })
}
