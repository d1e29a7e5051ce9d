//! A call's log lines: the guest's `log`, stdout and stderr, bounded however much it writes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::secrets::Secrets;

/// The last lines of one call, and the last of a hook: more would only bury what matters.
const LINES: usize = 32;
/// Longer lines are cut.
const LINE_BYTES: usize = 512;
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

/// A line that a hook has logged; at most 512 bytes of it.
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
#[derive(Debug, Clone, Default)]
pub(crate) struct CallLog {
    lines: Arc<Mutex<Lines>>,
    secrets: Arc<Secrets>,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<LogLine>,
    dropped: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
}

impl CallLog {
    /// For a hook with these secrets.
    pub(crate) fn without(secrets: &Arc<Secrets>) -> Self {
        Self { lines: Arc::default(), secrets: Arc::clone(secrets) }
    }

    pub(crate) fn line(&self, level: LogLevel, message: &str) {
        let text = self.secrets.redact(message.as_bytes(), LINE_BYTES);
        self.lines().keep(LogLine { level, text });
    }

    /// The lines that are kept, oldest first, and how many came before them.
    pub(crate) fn kept(&self) -> (Vec<LogLine>, u64) {
        let mut lines = self.lines();
        lines.end_line(&self.secrets);
        (lines.kept.iter().cloned().collect(), lines.dropped)
    }

    /// Takes the lines out, for whoever reports the call, and begins anew for another one.
    pub(crate) fn take(&self) -> Self {
        let lines = Arc::new(Mutex::new(std::mem::take(&mut *self.lines())));
        Self { lines, secrets: Arc::clone(&self.secrets) }
    }

    /// The last lines, oldest first.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let (kept, dropped) = self.kept();
        let earlier = (dropped > 0).then(|| format!("({dropped} earlier lines dropped)"));
        earlier.into_iter().chain(kept.iter().map(ToString::to_string)).collect()
    }

    fn write(&self, bytes: &[u8]) {
        self.lines().write(bytes, &self.secrets);
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn keep(&mut self, line: LogLine) {
        if self.kept.len() == LINES {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(line);
    }

    fn write(&mut self, bytes: &[u8], secrets: &Secrets) {
        for (index, piece) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                self.end_line(secrets);
            }
            let room = secrets.needed(LINE_BYTES).saturating_sub(self.partial.len()).min(piece.len());
            self.partial.extend_from_slice(&piece[..room]);
        }
    }

    fn end_line(&mut self, secrets: &Secrets) {
        if !self.partial.is_empty() {
            let text = secrets.redact(&self.partial, LINE_BYTES);
            self.partial.clear();
            self.keep(LogLine { level: LogLevel::Output, text });
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

    #[test]
    fn a_flood_keeps_the_last_lines_and_counts_the_rest() {
        let log = CallLog::default();
        for number in 0..1000 {
            log.line(LogLevel::Info, &format!("line {number}"));
        }
        let last = log.last_lines();
        assert_eq!(last.len(), LINES + 1);
        assert_eq!(last[0], "(968 earlier lines dropped)");
        assert_eq!(last[LINES], "info: line 999");
    }

    #[test]
    fn streams_are_cut_into_lines_and_long_lines_are_cut_short() {
        let log = CallLog::default();
        log.write(b"one\ntw");
        log.write(b"o\n\n");
        log.write(&[b'x'; 5000]);
        let last = log.last_lines();
        assert_eq!(last[..2], ["one", "two"]);
        assert_eq!(last[2].len(), LINE_BYTES);
        assert_eq!(last.len(), 3);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let log = CallLog::default();
        log.line(LogLevel::Warn, &"é".repeat(LINE_BYTES));
        assert!(log.last_lines()[0].len() <= LINE_BYTES + "warn: ".len());
    }
}
