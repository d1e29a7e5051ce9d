//! What one call may pile up, in the units that the code counts in.

use bytesize::ByteSize;

use crate::settings::LimitSettings;

/// The part of a hook's limits that is looked at in the middle of calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of a body that the guest makes.
    pub(crate) output: usize,
    /// Responses that one call makes.
    pub(crate) responses: usize,
    /// Handles, and as many of WASI, that the guest holds at once.
    pub(crate) handles: usize,
    /// Elements of all tables of an instance.
    pub(crate) table_elements: usize,
    pub(crate) head: HeadBounds,
    pub(crate) log: LogBounds,
}

/// Of the head of a message that the guest edits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadBounds {
    pub(crate) fields: usize,
    /// Of names and values together.
    pub(crate) bytes: usize,
}

/// Of what a call logs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogBounds {
    pub(crate) lines: usize,
    /// Of one line.
    pub(crate) bytes: usize,
}

impl Bounds {
    pub(crate) fn of(limits: &LimitSettings) -> Self {
        Self {
            output: bytes(limits.output),
            responses: limits.responses as usize,
            handles: limits.handles as usize,
            table_elements: limits.table_elements as usize,
            head: HeadBounds { fields: limits.header_count as usize, bytes: bytes(limits.head) },
            log: LogBounds { lines: limits.log_lines as usize, bytes: bytes(limits.log_line) },
        }
    }
}

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}
