//! What can be wrong in this room, and who is at fault.

use std::path::PathBuf;
use std::sync::Arc;

use crate::failure::Failure;
use crate::settings::TargetError;

/// Wrong settings of an origin, found when it is built, or a body that its origin did not finish.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// The operator named a file that cannot be read, or holds no PEM.
    #[error("origin {origin}: {setting}: cannot use {path}: {cause}", path = .path.display())]
    File {
        /// The origin's name.
        origin: Arc<str>,
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The operator named an environment variable that is not set or holds nothing usable.
    #[error("origin {origin}: {setting}: cannot use the environment variable {variable}: {cause}")]
    Variable {
        /// The origin's name.
        origin: Arc<str>,
        /// The setting that names the variable.
        setting: &'static str,
        /// The variable.
        variable: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The settings name nobody to ask, or too many.
    #[error("origin {origin}: {cause}")]
    Target {
        /// The origin's name.
        origin: Arc<str>,
        /// What is wrong with them.
        cause: TargetError,
    },
    /// The TLS settings do not fit together.
    #[error("origin {origin}: tls: {cause}")]
    Tls {
        /// The origin's name.
        origin: Arc<str>,
        /// What does not fit, and what would.
        cause: String,
    },
    /// The bucket cannot be reached or opened with these settings.
    #[error("origin {origin}: s3: {cause}")]
    Bucket {
        /// The origin's name.
        origin: Arc<str>,
        /// What is missing or does not fit, and what would.
        cause: String,
    },
    /// The origin began to answer and did not finish: what was received must not be taken for the whole.
    #[error("origin {origin} did not finish its answer: {failure}: {detail}")]
    Body {
        /// The origin's name.
        origin: Arc<str>,
        /// Why.
        failure: Failure,
        /// What the connection said about it.
        detail: String,
    },
}

impl OriginError {
    /// Why a body ended early; `None` for wrong settings.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Body { failure, .. } => Some(*failure),
            _ => None,
        }
    }
}
