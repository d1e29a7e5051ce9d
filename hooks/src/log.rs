//! A call's log lines: the guest's `log`, stdout and stderr, bounded however much it writes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The last lines of one call, and the last of a hook: more would only bury what matters.
const LINES: usize = 32;
/// Longer lines are cut.
const LINE_BYTES: usize = 512;
/// What a stream may hand over at once.
const WRITE_BYTES: usize = 4096;

/// Shared by the call, its output streams and whoever reports its failure.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallLog(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    dropped: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
}

impl CallLog {
    pub(crate) fn line(&self, level: &str, message: &str) {
        let mut text = String::with_capacity(level.len() + 2 + message.len().min(LINE_BYTES));
        text.push_str(level);
        text.push_str(": ");
        text.push_str(cut(message));
        self.lines().keep(text);
    }

    /// The last lines, oldest first.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.end_line();
        let mut last = Vec::with_capacity(lines.kept.len() + 1);
        if lines.dropped > 0 {
            last.push(format!("({} earlier lines dropped)", lines.dropped));
        }
        last.extend(lines.kept.iter().cloned());
        last
    }

    fn write(&self, bytes: &[u8]) {
        self.lines().write(bytes);
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn keep(&mut self, line: String) {
        if self.kept.len() == LINES {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(line);
    }

    fn write(&mut self, bytes: &[u8]) {
        for (index, piece) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                self.end_line();
            }
            let room = LINE_BYTES.saturating_sub(self.partial.len()).min(piece.len());
            self.partial.extend_from_slice(&piece[..room]);
        }
    }

    fn end_line(&mut self) {
        if !self.partial.is_empty() {
            let line = String::from_utf8_lossy(&self.partial).into_owned();
            self.partial.clear();
            self.keep(line);
        }
    }
}

fn cut(message: &str) -> &str {
    let mut end = message.len().min(LINE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
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
            log.line("info", &format!("line {number}"));
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
        log.line("warn", &"é".repeat(LINE_BYTES));
        assert!(log.last_lines()[0].len() <= LINE_BYTES + "warn: ".len());
    }
}
