//! Bodies, pulled.

use crate::BodyError;
use crate::bindings::selvedge::edge::types as raw;

/// A body that is pulled: nothing is fetched or buffered until the hook asks. What was read still goes on its way
/// unless the body is replaced.
///
/// It is an [`std::io::Read`] and an iterator over its pieces.
///
/// ```no_run
/// # use selvedge_hook::prelude::*;
/// # fn hook(response: &Response) -> Result {
/// if let Some(mut body) = response.body() {
///     let text = String::from_utf8(body.read_all(1 << 20)?)?;
///     response.set_body(text.replace("http://", "https://"))?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BodyReader(pub(crate) raw::BodyReader);

/// How much an iteration asks for at once.
const PIECE: u32 = 64 << 10;

impl BodyReader {
    /// The next bytes, at most `max` and at least one; none at the end.
    ///
    /// # Errors
    /// Over the hook's limit, or the origin broke off.
    pub fn read_some(&mut self, max: u32) -> Result<Option<Vec<u8>>, BodyError> {
        Ok(self.0.read(max)?)
    }

    /// All that is left.
    ///
    /// # Errors
    /// When it is over `limit` bytes or the hook's own limit, or the origin broke off.
    pub fn read_all(&mut self, limit: u32) -> Result<Vec<u8>, BodyError> {
        Ok(self.0.read_all(limit)?)
    }

    /// Exactly how many bytes are left, where the origin said so.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.0.length()
    }
}

impl Iterator for BodyReader {
    type Item = Result<Vec<u8>, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_some(PIECE).transpose()
    }
}

impl std::io::Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let max = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        if max == 0 {
            return Ok(0);
        }
        let Some(piece) = self.read_some(max)? else { return Ok(0) };
        let (to, _) = buffer.split_at_mut(piece.len());
        to.copy_from_slice(&piece);
        Ok(piece.len())
    }
}
