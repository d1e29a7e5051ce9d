//! What can go wrong with a hook, and whose fault it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;

use crate::event::Event;

/// A hook that could not be loaded or a call that failed. The call's instance is gone; the hook goes on.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The machine or the node: no hook can run here.
    #[error(
        "hooks cannot run on this machine: {cause}; the pooling allocator reserves address space up front, \
         so look at `ulimit -v` and the container's limits"
    )]
    Engine {
        /// What the engine said.
        cause: String,
    },
    /// The operator or the author: the component cannot serve as this hook.
    #[error("hook {hook:?}: {cause}")]
    Load {
        /// Name in the config.
        hook: String,
        /// What is wrong and what to do.
        cause: String,
    },
    /// Load: every place is taken.
    #[error(
        "{called} is busy: {concurrency} calls are running already and others wait; \
         raise limits.concurrency or limits.queue, or try again later"
    )]
    Busy {
        /// What was to be called.
        called: Called,
        /// The limit that was reached.
        concurrency: u32,
    },
    /// Load: as many bodies are being rewritten as may be.
    #[error("{call} is busy: it rewrites {limit} bodies already; raise limits.transforms, or try again later{}", call.details())]
    Transforms {
        /// Which call.
        call: Box<CallReport>,
        /// `limits.transforms`.
        limit: u32,
    },
    /// Load: the hooks of the node run in as many instances as it has.
    #[error("{call} found no instance: the hooks of this node run in as many as it has; try again later{}", call.details())]
    Instances {
        /// Which call.
        call: Box<CallReport>,
    },
    /// Load: the hooks of the node hold all the memory that they may.
    #[error("{call} found no memory: the hooks of this node hold {limit} together; raise limits.hook-memory of [node]{}", call.details())]
    Crowded {
        /// Which call.
        call: Box<CallReport>,
        /// `limits.hook-memory` of the node.
        limit: ByteSize,
    },
    /// The author: the guest trapped.
    #[error("{call} trapped: {cause}{}", call.details())]
    Trap {
        /// Which call.
        call: Box<CallReport>,
        /// The trap.
        cause: String,
    },
    /// The author or the operator: too much processor time.
    #[error("{call} used more than {limit:?} of processor time; make it cheaper or raise limits.cpu{}", call.details())]
    Deadline {
        /// Which call.
        call: Box<CallReport>,
        /// `limits.cpu`.
        limit: Duration,
    },
    /// The author, or a slow origin body: too much wall-clock time.
    #[error("{call} took longer than {limit:?}, waiting included; raise limits.wall if the origin is that slow{}", call.details())]
    Timeout {
        /// Which call.
        call: Box<CallReport>,
        /// `limits.wall`.
        limit: Duration,
    },
    /// The author or the operator: too much memory.
    #[error("{call} wanted more than {limit} of memory; make it leaner or raise limits.memory{}", call.details())]
    Memory {
        /// Which call.
        call: Box<CallReport>,
        /// `limits.memory`.
        limit: ByteSize,
    },
    /// The author: the guest answered something that cannot be sent.
    #[error("{call} gave an unusable answer: {cause}{}", call.details())]
    Output {
        /// Which call.
        call: Box<CallReport>,
        /// What is wrong with it.
        cause: String,
    },
    /// The author or the operator: the guest chose an origin that the node does not have.
    #[error("{call} chose the origin {origin:?}, which the config does not have")]
    UnknownOrigin {
        /// Which call.
        call: Box<CallReport>,
        /// What it said.
        origin: String,
    },
    /// The author: the guest itself reported a failure.
    #[error("{call} failed: {message}{}", call.details())]
    Failed {
        /// Which call.
        call: Box<CallReport>,
        /// The guest's words.
        message: String,
    },
    /// The node: the call's task is gone, because the node is shutting down or because of a bug in it.
    #[error("{call} was lost: {cause}{}", call.details())]
    Lost {
        /// Which call.
        call: Box<CallReport>,
        /// What happened to the task.
        cause: String,
    },
}

impl HookError {
    /// The reason token for logs, metrics and `Proxy-Status`.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            HookError::Engine { .. } => "hook-engine",
            HookError::Load { .. } => "hook-load",
            HookError::Busy { .. } | HookError::Transforms { .. } | HookError::Instances { .. } => {
                "hook-busy"
            }
            HookError::Crowded { .. } => "hook-crowded",
            HookError::Trap { .. } => "hook-trap",
            HookError::Deadline { .. } => "hook-deadline",
            HookError::Timeout { .. } => "hook-timeout",
            HookError::Memory { .. } => "hook-memory",
            HookError::Output { .. } => "hook-output",
            HookError::UnknownOrigin { .. } => "hook-origin",
            HookError::Failed { .. } => "hook-failed",
            HookError::Lost { .. } => "hook-lost",
        }
    }

    /// Which hook's call failed; `None` where no call was made.
    #[must_use]
    pub fn hook(&self) -> Option<&str> {
        match self {
            HookError::Engine { .. } | HookError::Load { .. } => None,
            HookError::Busy { called, .. } => Some(called.name()),
            HookError::Transforms { call, .. }
            | HookError::Instances { call }
            | HookError::Crowded { call, .. }
            | HookError::Trap { call, .. }
            | HookError::Deadline { call, .. }
            | HookError::Timeout { call, .. }
            | HookError::Memory { call, .. }
            | HookError::Output { call, .. }
            | HookError::UnknownOrigin { call, .. }
            | HookError::Failed { call, .. }
            | HookError::Lost { call, .. } => Some(call.called.name()),
        }
    }
}

/// Which call failed, where in the guest, and what the guest said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// What was called.
    pub called: Called,
    /// Guest functions, innermost first, where the component carries names.
    pub trace: Vec<String>,
    /// The call's last log lines, oldest first.
    pub log: Vec<String>,
}

impl CallReport {
    fn details(&self) -> String {
        let mut text = String::new();
        if !self.trace.is_empty() {
            text.push_str("; in ");
            text.push_str(&self.trace.join(" < "));
        }
        if !self.log.is_empty() {
            text.push_str("; its last words: ");
            text.push_str(&self.last_words().join(" | "));
        }
        text
    }
}

impl CallReport {
    /// As many of its last lines as one line of the node's log may hold: who floods his own log does not flood another.
    fn last_words(&self) -> &[String] {
        const MOST: usize = 2048;

        let mut left = MOST;
        let mut fits = |line: &&String| {
            left = left.saturating_sub(line.len());
            left > 0
        };
        let count = self.log.iter().rev().take_while(|line| fits(line)).count();
        &self.log[self.log.len() - count.max(1)..]
    }
}

impl fmt::Display for CallReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.called.fmt(formatter)
    }
}

/// What is called by the node: each by its name in the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// A hook, for an event.
    Hook(Arc<str>, Event),
    /// A component that answers as an origin.
    Origin(Arc<str>),
}

impl Called {
    fn name(&self) -> &Arc<str> {
        match self {
            Called::Hook(name, _) | Called::Origin(name) => name,
        }
    }
}

impl fmt::Display for Called {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Called::Hook(name, event) => write!(formatter, "hook {name:?} at {event}"),
            Called::Origin(name) => write!(formatter, "origin {name:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_holds_the_last_lines_and_no_more_than_are_read() {
        let log = (0..64).map(|number| format!("{number:02}{}", "x".repeat(98))).collect();
        let call =
            CallReport { called: Called::Hook("h".into(), Event::ViewerRequest), trace: Vec::new(), log };
        let told = HookError::Failed { call: Box::new(call), message: "no".into() }.to_string();
        assert!(told.ends_with(&format!("63{}", "x".repeat(98))) && !told.contains("43x"), "{told}");
        assert!(told.len() < 2500);
    }
}
