//! What an operator says about a component that answers requests in the node itself.

use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Material;

/// What one request of a component may use. One that goes over is ended; nobody else notices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ProgramLimits {
    /// Processor time of one request, body and all.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub cpu: Duration,
    /// Wall-clock time from when a request comes to the component until its instance is gone, whoever is waited for: a place, bodies,
    /// viewers, other origins. How long it may be silent is `response-timeout`, as of any origin.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub wall: Duration,
    /// Memory of one instance, at most 4GiB.
    #[schemars(with = "String")]
    pub memory: ByteSize,
    /// Requests at the same time, until their bodies are read; more wait.
    pub concurrency: u32,
    /// Requests that wait for their turn; one more is refused as busy.
    pub queue: u32,
    /// Requests of its own that it may send for one request.
    pub fetches: u32,
}

impl Default for ProgramLimits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(5 * 60),
            memory: ByteSize::mib(128),
            concurrency: 256,
            queue: 256,
            fetches: 32,
        }
    }
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "give the value, or { env = \"NAME\" }, or { file = \"path\" }")]
pub enum Variable {
    /// For everybody to see.
    Open(String),
    /// Kept elsewhere, and never printed.
    Secret(Material),
}

impl Variable {
    /// Makes a relative path start at `base`.
    pub(super) fn resolve_path(&mut self, base: &Path) {
        if let Self::Secret(Material::File(path)) = self {
            *path = base.join(&*path);
        }
    }
}
