//! Fetches: the model's knowledge of each, and the hand that carries it out.

use crate::task::Task;
use bytes::Bytes;
use cache::{Permit, Truncated, Writer};

/// What the model knows about a fetch, for ever.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) key: usize,
    pub(crate) variant: usize,
    /// The step in which it began.
    pub(crate) begun: usize,
    /// What the origin sends: different in every four bytes from what any other fetch brings.
    pub(crate) body: Bytes,
    /// Whether the answer is for its own variant only.
    pub(crate) varies: bool,
    /// Whether every byte has come.
    pub(crate) whole: bool,
}

/// The body of a fetch.
pub(crate) fn content(fetch: usize, length: usize) -> Bytes {
    let words = (0..=length / 4).map(|word| ((fetch as u32) << 20) | word as u32);
    let mut body: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
    body.truncate(length);
    body.into()
}

/// A fetch under way.
pub(crate) struct Hand {
    pub(crate) fetch: usize,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    /// The origin has not answered yet.
    Asking(Permit),
    Writing {
        writer: Writer,
        sent: usize,
        chunk: usize,
    },
    /// A push that may have to wait.
    Pushing {
        push: Task<(Writer, Result<(), Truncated>)>,
        sent: usize,
        chunk: usize,
    },
}

impl Hand {
    /// Whether others may wait for its answer.
    pub(crate) fn leads(&self) -> bool {
        matches!(&self.work, Work::Asking(permit) if !permit.is_alone())
    }

    /// Whether it waits without having been woken.
    pub(crate) fn sleeps(&self) -> bool {
        matches!(&self.work, Work::Pushing { push, .. } if !push.is_woken())
    }
}

/// One piece into the writer, which comes back with what became of it.
pub(crate) fn push(mut writer: Writer, piece: Bytes) -> Task<(Writer, Result<(), Truncated>)> {
    Task::new(async move {
        let pushed = writer.push(piece).await;
        (writer, pushed)
    })
}
