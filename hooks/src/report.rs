//! From what stopped a call to an error that says what to do.

use bytesize::ByteSize;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::error::{CallReport, Called, HookError};
use crate::log::CallLog;
use crate::meter::{DeadlineReached, MemoryLimit, Refused};
use crate::places::NoTransform;
use crate::secrets::Secrets;
use crate::settings::LimitSettings;
use crate::workers::Lost;

/// Functions in a report; a deep recursion would fill pages.
const MAX_FRAMES: usize = 12;
/// Of what a guest says went wrong.
const MESSAGE_BYTES: usize = 2048;

/// Makes the errors of one call.
pub(crate) struct Reporter<'a> {
    pub(crate) called: Called,
    pub(crate) secrets: &'a Secrets,
    pub(crate) limits: &'a LimitSettings,
    pub(crate) log: &'a CallLog,
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
            Lost::Task(error) => HookError::Lost { call, cause: error.to_string() },
        }
    }

    /// What the engine says of a call that it stopped.
    pub(crate) fn stopped(&self, error: &wasmtime::Error, memory: &MemoryLimit) -> HookError {
        if error.is::<PoolConcurrencyLimitError>() {
            return HookError::Instances { call: self.call(Vec::new()) };
        }
        if error.is::<NoTransform>() {
            return HookError::Transforms { call: self.call(Vec::new()), limit: self.limits.transforms };
        }
        let call = self.call(trace(error));
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

/// Function names, innermost first, a recursion once with its depth. The engine's own rendering is taken apart because
/// it demangles: `  3:  0x1a2b - module!path::function::h0123456789abcdef`.
fn trace(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let rendered = backtrace.to_string();
    let mut frames: Vec<(&str, u32)> = Vec::new();
    for (_, place) in rendered.lines().filter_map(|line| line.split_once(" - ")) {
        let name = function_name(place);
        match frames.last_mut() {
            Some((last, depth)) if *last == name => *depth += 1,
            _ => frames.push((name, 1)),
        }
    }
    let spoken = frames.into_iter().take(MAX_FRAMES);
    spoken
        .map(|(name, depth)| if depth > 1 { format!("{name} ({depth} deep)") } else { name.to_owned() })
        .collect()
}

fn function_name(place: &str) -> &str {
    const HASH_DIGITS: usize = 16;

    let name = place.split_once('!').map_or(place, |(_module, name)| name);
    match name.rsplit_once("::h") {
        Some((path, hash))
            if hash.len() == HASH_DIGITS && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) =>
        {
            path
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_without_its_module_and_hash() {
        assert_eq!(function_name("x-871f.wasm!guest::recurse::h2bc0f3570a9c32d9"), "guest::recurse");
        assert_eq!(function_name("x.wasm!selvedge:edge/log@0.1.0#log"), "selvedge:edge/log@0.1.0#log");
        assert_eq!(function_name("<unknown>!<wasm function 12>"), "<wasm function 12>");
        assert_eq!(function_name("x.wasm!a::help"), "a::help");
    }
}
