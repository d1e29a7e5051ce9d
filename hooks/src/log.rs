//! A call's log lines: the guest's `log`, stdout and stderr, bounded however much it writes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::bounds::{Bounds, LogBounds};
use crate::secrets::Secrets;
use crate::settings::LimitSettings;

/// What a stream may hand over at once.
const WRITE_BYTES: usize = 4096;

/// How much a line matters, as its hook sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// For whoever looks for a mistake.
    Debug,
    /// What happened.
    Info,
    /// What somebody should look at.
    Warn,
    /// What went wrong.
    Error,
    /// Written to standard output or standard error.
    Output,
}

impl LogLevel {
    /// The word for it in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Output => "output",
        }
    }
}

/// A line that a hook has logged; at most `limits.log-line` of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            LogLevel::Output => formatter.write_str(&self.text),
            level => write!(formatter, "{}: {}", level.as_str(), self.text),
        }
    }
}

/// Shared by the call, its output streams and whoever reports its failure. No secret gets into it.
#[derive(Debug, Clone)]
pub(crate) struct CallLog {
    lines: Arc<Mutex<Lines>>,
    secrets: Arc<Secrets>,
    bounds: LogBounds,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<LogLine>,
    dropped: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
}

/// Of nobody's call: it has no secrets, and the bounds that hooks have where nothing else is said.
impl Default for CallLog {
    fn default() -> Self {
        Self::without(&Arc::default(), Bounds::of(&LimitSettings::default()).log)
    }
}

impl CallLog {
    /// For a hook with these secrets.
    pub(crate) fn without(secrets: &Arc<Secrets>, bounds: LogBounds) -> Self {
        Self { lines: Arc::default(), secrets: Arc::clone(secrets), bounds }
    }

    pub(crate) fn line(&self, level: LogLevel, message: &str) {
        let text = self.secrets.redact(message.as_bytes(), self.bounds.bytes);
        self.lines().keep(LogLine { level, text }, self.bounds);
    }

    /// The lines that are kept, oldest first, and how many came before them.
    pub(crate) fn kept(&self) -> (Vec<LogLine>, u64) {
        let mut lines = self.lines();
        lines.end_line(&self.secrets, self.bounds);
        (lines.kept.iter().cloned().collect(), lines.dropped)
    }

    /// Takes the lines out, for whoever reports the call, and begins anew for another one.
    pub(crate) fn take(&self) -> Self {
        let lines = Arc::new(Mutex::new(std::mem::take(&mut *self.lines())));
        Self { lines, secrets: Arc::clone(&self.secrets), bounds: self.bounds }
    }

    /// The last lines, oldest first.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let (kept, dropped) = self.kept();
        let earlier = (dropped > 0).then(|| format!("({dropped} earlier lines dropped)"));
        earlier.into_iter().chain(kept.iter().map(ToString::to_string)).collect()
    }

    fn write(&self, bytes: &[u8]) {
        self.lines().write(bytes, &self.secrets, self.bounds);
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn keep(&mut self, line: LogLine, bounds: LogBounds) {
        self.kept.push_back(line);
        while self.kept.len() > bounds.lines {
            self.kept.pop_front();
            self.dropped += 1;
        }
    }

    fn write(&mut self, bytes: &[u8], secrets: &Secrets, bounds: LogBounds) {
        for (index, piece) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                self.end_line(secrets, bounds);
            }
            let room = secrets.needed(bounds.bytes).saturating_sub(self.partial.len()).min(piece.len());
            self.partial.extend_from_slice(&piece[..room]);
        }
    }

    fn end_line(&mut self, secrets: &Secrets, bounds: LogBounds) {
        if !self.partial.is_empty() {
            let text = secrets.redact(&self.partial, bounds.bytes);
            self.partial.clear();
            self.keep(LogLine { level: LogLevel::Output, text }, bounds);
        }
    }
}

impl IsTerminal for CallLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for CallLog {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 streams ask for this; the linker offers 0.2.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for CallLog {
    async fn ready(&mut self) {}
}

impl OutputStream for CallLog {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        CallLog::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: LogBounds = LogBounds { lines: 32, bytes: 512 };

    fn log() -> CallLog {
        CallLog::without(&Arc::default(), BOUNDS)
    }

    #[test]
    fn a_flood_keeps_the_last_lines_and_counts_the_rest() {
        let log = log();
        for number in 0..1000 {
            log.line(LogLevel::Info, &format!("line {number}"));
        }
        let last = log.last_lines();
        assert_eq!(last.len(), BOUNDS.lines + 1);
        assert_eq!(last[0], "(968 earlier lines dropped)");
        assert_eq!(last[BOUNDS.lines], "info: line 999");
    }

    #[test]
    fn streams_are_cut_into_lines_and_long_lines_are_cut_short() {
        let log = log();
        log.write(b"one\ntw");
        log.write(b"o\n\n");
        log.write(&[b'x'; 5000]);
        let last = log.last_lines();
        assert_eq!(last[..2], ["one", "two"]);
        assert_eq!(last[2].len(), BOUNDS.bytes);
        assert_eq!(last.len(), 3);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let log = log();
        log.line(LogLevel::Warn, &"é".repeat(BOUNDS.bytes));
        assert!(log.last_lines()[0].len() <= BOUNDS.bytes + "warn: ".len());
    }
}
