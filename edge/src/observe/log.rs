//! Lines on standard error, written by a thread of their own: a slow reader of the log never slows a request.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

/// Lines that may wait; more are dropped and counted.
const WAITING: usize = 8192;

#[derive(Debug)]
pub(super) struct Log {
    lines: SyncSender<Line>,
    dropped: AtomicU64,
}

enum Line {
    Text(String),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

impl Log {
    pub(super) fn start() -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let started = thread::Builder::new().name("log".into()).spawn(move || write_all(&waiting));
        if let Err(error) = started {
            // The node can serve without a log; whoever started it still learns why there is none.
            eprintln!("no log: cannot start its thread: {error}");
        }
        Self { lines, dropped: AtomicU64::new(0) }
    }

    pub(super) fn write(&self, line: String) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Line::Text(line)) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(super) fn flush(&self) {
        let (written, wait) = sync_channel(1);
        if self.lines.send(Line::Flush(written)).is_ok() {
            // An error means that the thread is gone, and nothing is left to wait for.
            let _ = wait.recv();
        }
    }
}

fn write_all(waiting: &Receiver<Line>) {
    for line in waiting {
        match line {
            // Nowhere is left to complain when standard error itself is gone.
            Line::Text(text) => drop(writeln!(std::io::stderr(), "{text}")),
            Line::Flush(written) => drop(written.send(())),
        }
    }
}
