//! A large object, and the origin that has it.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tests::{Answer, Received};

/// A film: bytes that follow from their position and its version, so that any part of it can be made and checked.
#[derive(Clone)]
pub(super) struct Film {
    pub(super) total: u64,
    version: Arc<AtomicU64>,
    /// The parts that were asked for; `None` for the whole.
    asked: Arc<Mutex<Vec<Option<Range<u64>>>>>,
}

impl Film {
    pub(super) fn new(total: u64) -> Self {
        Self { total, version: Arc::new(AtomicU64::new(1)), asked: Arc::default() }
    }

    /// Another version of the same length.
    pub(super) fn change(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn etag(&self) -> String {
        format!("\"v{}\"", self.version.load(Ordering::SeqCst))
    }

    pub(super) fn bytes(&self, part: Range<u64>) -> Vec<u8> {
        let version = self.version.load(Ordering::SeqCst);
        part.map(|position| (position ^ (position >> 8) ^ (position >> 16) ^ (version * 85)) as u8).collect()
    }

    /// What an origin that follows RFC 9110 answers.
    pub(super) fn answer(&self, request: &Received) -> Answer {
        let condition = request.header("if-range");
        let range = request.header("range").filter(|_| condition.is_none_or(|tag| tag == self.etag()));
        let part = range.map(|range| self.part(&range));
        self.asked.lock().unwrap().push(part.clone().and_then(Result::ok));
        let answer = match part {
            _ if request.header("if-none-match") == Some(self.etag()) => Answer::new(304),
            None => Answer::ok(self.bytes(0..self.total)),
            Some(Err(())) => Answer::new(416).header("content-range", &format!("bytes */{}", self.total)),
            Some(Ok(part)) => {
                let range = format!("bytes {}-{}/{}", part.start, part.end - 1, self.total);
                Answer::new(206).body(self.bytes(part)).header("content-range", &range)
            }
        };
        self.described(answer)
    }

    pub(super) fn described(&self, answer: Answer) -> Answer {
        let answer = answer.header("etag", &self.etag()).header("accept-ranges", "bytes");
        answer.header("content-type", "video/mp4").header("cache-control", "max-age=3600")
    }

    fn part(&self, range: &str) -> Result<Range<u64>, ()> {
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let part = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), last) => first..last.map_or(self.total, |last| self.total.min(last + 1)),
            (Err(_), last) => self.total.saturating_sub(last.unwrap())..self.total,
        };
        if part.is_empty() { Err(()) } else { Ok(part) }
    }

    pub(super) fn asked(&self) -> Vec<Option<Range<u64>>> {
        self.asked.lock().unwrap().clone()
    }

    /// How many bytes the origin was asked for.
    pub(super) fn cost(&self) -> u64 {
        let length = |part: Option<Range<u64>>| part.map_or(self.total, |part| part.end - part.start);
        self.asked().into_iter().map(length).sum()
    }
}
