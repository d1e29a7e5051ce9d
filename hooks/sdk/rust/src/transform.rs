//! Bodies that are rewritten as they pass.

use std::cell::RefCell;
use std::fmt;

use crate::Result;
use crate::bindings::selvedge::edge::types as raw;

/// What rewrites a body: `Some` piece after piece, then `None` for the end, where what was held back is given.
type Rewriter = Box<dyn FnMut(Option<Vec<u8>>) -> Result<Vec<u8>>>;

thread_local! {
    /// The instance lives on until the body has ended, and serves that one body.
    static REWRITER: RefCell<Option<Rewriter>> = const { RefCell::new(None) };
}

pub(crate) fn keep(rewriter: impl FnMut(Option<Vec<u8>>) -> Result<Vec<u8>> + 'static) {
    REWRITER.set(Some(Box::new(rewriter)));
}

pub(crate) fn transform(piece: Vec<u8>, is_last: bool) -> Result<Vec<u8>> {
    // Taken out, so that a rewriter may do as it likes.
    let mut rewriter = REWRITER.take().ok_or("the hook has set no rewriter for this body")?;
    let mut done = if piece.is_empty() { Vec::new() } else { rewriter(Some(piece))? };
    if is_last {
        done.extend(rewriter(None)?);
    } else {
        REWRITER.set(Some(rewriter));
    }
    Ok(done)
}

/// Why a body cannot be rewritten as it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransformRefusal {
    /// Not this response, not in this event, or `hook!` does not name `body-transform`.
    Forbidden,
    /// It has a content coding that the node cannot or may not take off. Those that it can are off already.
    Coded,
    /// It is a part of a body.
    Partial,
}

impl From<raw::TransformRefusal> for TransformRefusal {
    fn from(refusal: raw::TransformRefusal) -> Self {
        match refusal {
            raw::TransformRefusal::Forbidden => Self::Forbidden,
            raw::TransformRefusal::Coded => Self::Coded,
            raw::TransformRefusal::Partial => Self::Partial,
        }
    }
}

impl fmt::Display for TransformRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Forbidden => "this body cannot be rewritten here, or `hook!` does not name body-transform",
            Self::Coded => "the body has a content coding that the node does not take off",
            Self::Partial => "only a part of the body passes",
        })
    }
}

impl std::error::Error for TransformRefusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewriter_remembers_gives_at_the_end_and_serves_one_body() {
        let mut pieces = 0;
        keep(move |piece| {
            pieces += usize::from(piece.is_some());
            Ok(piece.unwrap_or_else(|| pieces.to_string().into_bytes()))
        });
        assert_eq!(transform(b"a".to_vec(), false).unwrap(), b"a");
        assert_eq!(transform(b"b".to_vec(), true).unwrap(), b"b2");
        assert!(transform(Vec::new(), true).is_err());
    }
}
