//! HTTP/2 frames that cost their sender nothing: SETTINGS, PING and PRIORITY in any number. The HTTP/2 library bounds resets,
//! CONTINUATION and empty DATA by itself and answers these three one by one, so the edge counts them on the way in.

use std::time::Duration;
use tokio::time::Instant;

const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const WINDOW: Duration = Duration::from_secs(60);

/// GOAWAY for all streams with ENHANCE_YOUR_CALM (RFC 9113 §6.8, §7).
pub(super) const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0x0b];

/// Follows the frames of a connection, however they are cut into reads.
#[derive(Debug)]
pub(super) struct FloodWatch {
    allowed: u32,
    counted: u32,
    since: Option<Instant>,
    /// Bytes to pass over: the preface, then payloads.
    skip: usize,
    header: [u8; 9],
    have: usize,
}

impl FloodWatch {
    /// `allowed` is the number of such frames in a minute.
    pub(super) fn new(allowed: u32) -> Self {
        Self { allowed, counted: 0, since: None, skip: PREFACE, header: [0; 9], have: 0 }
    }

    /// Whether these bytes bring more such frames than are allowed.
    pub(super) fn overflows(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (self.header.len() - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == self.header.len() && self.frame_overflows() {
                return true;
            }
        }
        false
    }

    /// RFC 9113 §4.1: 24 bits of length, then the type.
    fn frame_overflows(&mut self) -> bool {
        const PRIORITY: u8 = 2;
        const SETTINGS: u8 = 4;
        const PING: u8 = 6;
        let [high, middle, low, kind, ..] = self.header;
        self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
        self.have = 0;
        matches!(kind, PRIORITY | SETTINGS | PING) && self.count(Instant::now())
    }

    fn count(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since > WINDOW) {
            self.since = Some(now);
            self.counted = 0;
        }
        self.counted += 1;
        self.counted > self.allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![0, (payload >> 8) as u8, payload as u8, kind, 0, 0, 0, 0, 0];
        frame.resize(9 + payload, 6);
        frame
    }

    fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![6; PREFACE];
        frames.iter().for_each(|frame| bytes.extend_from_slice(frame));
        bytes
    }

    #[test]
    fn cheap_frames_are_counted_wherever_the_bytes_are_cut() {
        let bytes = connection(&[frame(4, 12), frame(0, 300), frame(6, 8), frame(2, 5), frame(1, 40)]);
        for cut in 0..bytes.len() {
            for (allowed, expected) in [(3, false), (2, true)] {
                let mut watch = FloodWatch::new(allowed);
                let first = watch.overflows(&bytes[..cut]);
                assert_eq!(first || watch.overflows(&bytes[cut..]), expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn frames_that_carry_something_do_not_count() {
        let bytes = connection(&vec![frame(0, 10); 100]);
        assert!(!FloodWatch::new(0).overflows(&bytes));
    }

    #[tokio::test(start_paused = true)]
    async fn every_minute_begins_anew() {
        let mut watch = FloodWatch::new(1);
        assert!(!watch.overflows(&connection(&[frame(6, 8)])));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!watch.overflows(&frame(6, 8)));
        assert!(watch.overflows(&frame(6, 8)));
    }
}
