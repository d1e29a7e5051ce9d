//! From what stopped a call to an error that says what to do.

use std::sync::Arc;

use bytesize::ByteSize;
use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

use crate::error::{CallReport, Called, HookError};
use crate::log::CallLog;
use crate::meter::{DeadlineReached, MemoryLimit, Refused};
use crate::places::NoTransform;
use crate::secrets::Secrets;
use crate::settings::LimitSettings;
use crate::sources::Sources;
use crate::workers::{Lost, Workers};

/// Of what a guest says went wrong.
const MESSAGE_BYTES: usize = 2048;

/// Makes the errors of one call.
pub(crate) struct Reporter<'a> {
    pub(crate) called: Called,
    pub(crate) secrets: &'a Secrets,
    pub(crate) limits: &'a LimitSettings,
    pub(crate) log: &'a CallLog,
    pub(crate) sources: &'a Arc<Sources>,
    pub(crate) workers: &'a Workers,
}

impl Reporter<'_> {
    pub(crate) fn failed(&self, message: &str) -> HookError {
        HookError::Failed { call: self.call(Vec::new()), message: spoken(self.secrets, message) }
    }

    pub(crate) fn unusable(&self, cause: &str) -> HookError {
        HookError::Output { call: self.call(Vec::new()), cause: spoken(self.secrets, cause) }
    }

    pub(crate) fn unknown_origin(&self, origin: &str) -> HookError {
        HookError::UnknownOrigin { call: self.call(Vec::new()), origin: spoken(self.secrets, origin) }
    }

    pub(crate) fn lost(&self, lost: Lost) -> HookError {
        let call = self.call(Vec::new());
        match lost {
            Lost::Timeout => HookError::Timeout { call, limit: self.limits.wall },
            Lost::Task(cause) => HookError::Lost { call, cause },
        }
    }

    /// What the engine says of a call that it stopped.
    pub(crate) async fn stopped(&self, error: &wasmtime::Error, memory: &MemoryLimit) -> HookError {
        if error.is::<PoolConcurrencyLimitError>() {
            return HookError::Instances { call: self.call(Vec::new()) };
        }
        if error.is::<NoTransform>() {
            return HookError::Transforms { call: self.call(Vec::new()), limit: self.limits.transforms };
        }
        let call = self.call(self.sources.trace(error, self.limits.trace as usize, self.workers).await);
        if error.is::<DeadlineReached>() {
            return HookError::Deadline { call, limit: self.limits.cpu };
        }
        // A guest whose allocation fails traps on its own account; what it wanted is the better answer.
        match memory.refused() {
            Some(Refused::Own) => return HookError::Memory { call, limit: self.limits.memory },
            Some(Refused::Everybody) => {
                return HookError::Crowded { call, limit: ByteSize::b(memory.budget_limit()) };
            }
            None => {}
        }
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return HookError::Trap { call, cause: format!("it called exit({})", exit.0) };
        }
        match error.downcast_ref::<Trap>() {
            // Most languages keep a stack in linear memory; running over its end looks like this.
            Some(trap @ Trap::MemoryOutOfBounds) => {
                HookError::Trap { call, cause: format!("{trap} (endless recursion, perhaps)") }
            }
            Some(trap) => HookError::Trap { call, cause: trap.to_string() },
            None => {
                let cause = spoken(self.secrets, &error.root_cause().to_string());
                HookError::Output { call, cause }
            }
        }
    }

    fn call(&self, trace: Vec<String>) -> Box<CallReport> {
        Box::new(CallReport { called: self.called.clone(), trace, log: self.log.last_lines() })
    }
}

/// Words of a guest as they may stand in the node's log.
pub(crate) fn spoken(secrets: &Secrets, words: &str) -> String {
    secrets.redact(words.as_bytes(), MESSAGE_BYTES)
}
