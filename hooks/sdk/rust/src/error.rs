//! Why an edit or a body was refused, in words that end up in the node's log.

use std::fmt;

use crate::bindings::selvedge::edge::types as raw;

/// What a hook's functions return: with `Err`, the hook has failed, and the node's `on-error` decides. Any error goes through `?`,
/// a plain text too.
///
/// ```
/// # use selvedge_hook::Result;
/// fn width(text: Option<&str>) -> Result<u32> {
///     let text = text.ok_or("no width was given")?;
///     Ok(text.parse()?)
/// }
/// assert_eq!(width(None).unwrap_err().to_string(), "no width was given");
/// ```
pub type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Why the node refused an edit of a request or a response.
///
/// ```no_run
/// # use selvedge_hook::prelude::*;
/// # fn hook(response: &Response) -> Result {
/// match response.set_header("x-user", "josé\n") {
///     Err(error) if error.kind == EditErrorKind::InvalidSyntax => warn!("{error}"),
///     done => done?,
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditError {
    /// What was to be edited: the name of a header, `path`, `query`, …
    pub subject: String,
    /// Why not.
    pub kind: EditErrorKind,
}

/// The reasons of an [`EditError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditErrorKind {
    /// Not a valid name, value, path or query (RFC 9110 section 5, RFC 3986 section 3).
    InvalidSyntax,
    /// Belongs to the node (framing, hop by hop, routing), or may not change in this event.
    Forbidden,
    /// The message head would grow over the node's limits: 128 fields, 32 KiB.
    TooLarge,
}

impl EditError {
    pub(crate) fn about(subject: &str) -> impl FnOnce(raw::EditError) -> Self + '_ {
        move |error| {
            let kind = match error {
                raw::EditError::InvalidSyntax => EditErrorKind::InvalidSyntax,
                raw::EditError::Forbidden => EditErrorKind::Forbidden,
                raw::EditError::TooLarge => EditErrorKind::TooLarge,
            };
            Self { subject: subject.to_owned(), kind }
        }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.subject)?;
        formatter.write_str(match self.kind {
            EditErrorKind::InvalidSyntax => " cannot be set to that: its syntax is not valid",
            EditErrorKind::Forbidden => {
                " may not be edited here: it belongs to the node, or the event is too late"
            }
            EditErrorKind::TooLarge => " makes the message's head too large",
        })
    }
}

impl std::error::Error for EditError {}

/// Why a body could not be read or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Over the limit that was asked for, or over the hook's own (`limits.body`, `limits.output`).
    TooLarge,
    /// Who sends it broke off or was too slow; or a body was set where none may be.
    Broken,
}

impl From<raw::BodyError> for BodyError {
    fn from(error: raw::BodyError) -> Self {
        match error {
            raw::BodyError::TooLarge => BodyError::TooLarge,
            raw::BodyError::Broken => BodyError::Broken,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            BodyError::TooLarge => "the body is larger than allowed",
            BodyError::Broken => "the body broke off, or may not be set here",
        })
    }
}

impl std::error::Error for BodyError {}

impl From<BodyError> for std::io::Error {
    fn from(error: BodyError) -> Self {
        std::io::Error::other(error)
    }
}
