//! Why there are no figures.

use std::io;

/// What ends a run. Figures of a run that was disturbed are worse than none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The machine refused; the first part says what was tried.
    #[error("{0}: {1}")]
    System(String, #[source] io::Error),
    /// Something that the scenario needs is missing or did not start.
    #[error("{0}")]
    Setup(String),
    /// A program under test gave another answer than the one asked for.
    #[error("wrong answer: {0}")]
    Answer(String),
}

impl Failure {
    /// For `map_err`: what was tried when the machine refused.
    pub(crate) fn system(tried: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let tried = tried.into();
        move |error| Self::System(tried, error)
    }
}
