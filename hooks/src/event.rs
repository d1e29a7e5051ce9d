//! The four events, spelled the same everywhere: config, WIT, metrics, docs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A moment of a request's life at which hooks are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// After route and signature, before the cache.
    ViewerRequest,
    /// On the way to the origin, after a miss.
    OriginRequest,
    /// The origin has answered, nothing is stored yet.
    OriginResponse,
    /// The answer is about to leave for the viewer.
    ViewerResponse,
}

impl Event {
    /// All four, in the order of a request's life.
    pub const ALL: [Event; 4] =
        [Event::ViewerRequest, Event::OriginRequest, Event::OriginResponse, Event::ViewerResponse];

    /// The spelling in config, WIT, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Event::ViewerRequest => "viewer-request",
            Event::OriginRequest => "origin-request",
            Event::OriginResponse => "origin-response",
            Event::ViewerResponse => "viewer-response",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
