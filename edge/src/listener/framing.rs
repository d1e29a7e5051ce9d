//! Watches raw request heads for two framings of one body (RFC 9112 §6.1): the HTTP parser settles such a conflict silently,
//! which is safe for the edge itself, but whoever sends it means harm to somebody.

const CONTENT_LENGTH: &[u8] = b"content-length:";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";
/// Room for a line of either field, as far as it matters: `Content-Length` with a number of twenty digits.
const LINE: usize = 40;

/// Looks at header lines, however heads are cut into reads. A head without either field has no body, so the next one follows at
/// once. A body of a known length is passed over; at one in chunks the scan rests until it is told that a head begins.
#[derive(Debug)]
pub(super) struct FramingScan {
    /// The beginning of a line whose end has not come, as far as it matters.
    begun: [u8; LINE],
    length: usize,
    in_header_lines: bool,
    at_body: bool,
    /// Bytes of a body that are still to come before the next head.
    passing: u64,
    content_length: Length,
    transfer_encoding: bool,
}

/// What a head says of its body's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Unsaid,
    Known(u64),
    /// In a way that is for the HTTP parser to judge.
    Unclear,
}

impl Default for FramingScan {
    fn default() -> Self {
        Self {
            begun: [0; LINE],
            length: 0,
            in_header_lines: false,
            at_body: false,
            passing: 0,
            content_length: Length::Unsaid,
            transfer_encoding: false,
        }
    }
}

impl FramingScan {
    /// A head begins, unless one is being read already.
    pub(super) fn resume(&mut self) {
        if self.at_body {
            *self = Self::default();
        }
    }

    /// Whether a head, as far as it has come, holds both fields.
    pub(super) fn finds_both(&mut self, mut bytes: &[u8]) -> bool {
        while !self.at_body && !bytes.is_empty() {
            bytes = self.pass_over(bytes);
            match memchr::memchr(b'\n', bytes) {
                Some(end) => {
                    self.end(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                }
                None => {
                    self.begin(bytes);
                    break;
                }
            }
        }
        self.content_length != Length::Unsaid && self.transfer_encoding
    }

    /// What follows the body that is arriving.
    fn pass_over<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let passed = usize::try_from(self.passing).unwrap_or(usize::MAX).min(bytes.len());
        self.passing -= passed as u64;
        &bytes[passed..]
    }

    /// Keeps what has come of a line.
    fn begin(&mut self, part: &[u8]) {
        let room = &mut self.begun[self.length..];
        let kept = part.len().min(room.len());
        room[..kept].copy_from_slice(&part[..kept]);
        self.length += kept;
    }

    /// Looks at a line whose last part has come.
    fn end(&mut self, part: &[u8]) {
        if self.length == 0 {
            return self.look_at(part);
        }
        self.begin(part);
        let (line, length) = (self.begun, std::mem::take(&mut self.length));
        self.look_at(&line[..length]);
    }

    fn look_at(&mut self, line: &[u8]) {
        match line {
            _ if !self.in_header_lines => self.in_header_lines = true,
            [] | [b'\r'] => self.end_head(),
            [b'c' | b'C', ..] if begins_with(line, CONTENT_LENGTH) => {
                self.content_length = match self.content_length {
                    Length::Unsaid => length(&line[CONTENT_LENGTH.len()..]),
                    Length::Known(_) | Length::Unclear => Length::Unclear,
                };
            }
            [b't' | b'T', ..] => self.transfer_encoding |= begins_with(line, TRANSFER_ENCODING),
            _ => {}
        }
    }

    fn end_head(&mut self) {
        let passing = match self.content_length {
            Length::Unsaid if !self.transfer_encoding => 0,
            Length::Known(bytes) if !self.transfer_encoding => bytes,
            _ => {
                self.at_body = true;
                return;
            }
        };
        *self = Self { passing, ..Self::default() };
    }
}

/// Digits alone are clear (RFC 9110 section 8.6). What fills the room for a line may have been cut.
fn length(value: &[u8]) -> Length {
    let is_whole = value.len() < LINE - CONTENT_LENGTH.len();
    let digits = value.trim_ascii();
    if !is_whole || !digits.iter().all(u8::is_ascii_digit) {
        return Length::Unclear;
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.map_or(Length::Unclear, Length::Known)
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str =
        "POST /transfer-encoding: HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 5\r\nTransfer-Encoding: x\r\n\r\n";

    #[test]
    fn both_fields_are_found_wherever_the_head_is_cut() {
        for cut in 0..BOTH.len() {
            let mut scan = FramingScan::default();
            scan.finds_both(&BOTH.as_bytes()[..cut]);
            assert!(scan.finds_both(&BOTH.as_bytes()[cut..]), "cut at {cut}");
        }
    }

    #[test]
    fn a_head_that_follows_another_at_once_is_looked_at_too() {
        let pipelined = ["GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b HTTP/1.1\nHost: a\n\n", BOTH].concat();
        for cut in 0..pipelined.len() {
            let mut scan = FramingScan::default();
            let first = scan.finds_both(&pipelined.as_bytes()[..cut]);
            scan.resume();
            assert!(first || scan.finds_both(&pipelined.as_bytes()[cut..]), "cut at {cut}");
        }
    }

    #[test]
    fn what_follows_a_body_is_looked_at_when_it_begins() {
        for unclear in [
            "Transfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: +5",
            "Content-Length: 5, 5",
            "Content-Length: ",
            "Content-Length: 99999999999999999999",
            "Content-Length:                                               5",
        ] {
            let mut scan = FramingScan::default();
            assert!(!scan.finds_both(format!("POST / HTTP/1.1\r\n{unclear}\r\n\r\n").as_bytes()));
            assert!(!scan.finds_both(BOTH.as_bytes()), "this is a body, for all that is known: {unclear}");
            scan.resume();
            assert!(scan.finds_both(BOTH.as_bytes()), "{unclear}");
        }
    }

    #[test]
    fn a_body_of_a_known_length_is_passed_over_and_what_follows_it_looked_at() {
        let post = |length: usize| {
            let body = &BOTH.repeat(9)[..length];
            format!("POST / HTTP/1.1\r\nHost: a\r\ncontent-length:  {length} \r\n\r\n{body}")
        };
        for length in [0, 1, 5, BOTH.len() + 5] {
            let innocent =
                [post(length), post(length), "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()].concat();
            let pipelined = [&innocent, BOTH].concat();
            for cut in 0..pipelined.len() {
                let mut scan = FramingScan::default();
                let (first, rest) = pipelined.as_bytes().split_at(cut);
                let early = scan.finds_both(first);
                assert!(!early || cut > innocent.len(), "{length}, cut at {cut}");
                scan.resume();
                assert!(early || scan.finds_both(rest), "{length}, cut at {cut}");
            }
            let mut scan = FramingScan::default();
            assert!(!innocent.as_bytes().chunks(1).any(|byte| scan.finds_both(byte)), "{length}");
        }
    }

    #[test]
    fn one_field_other_names_and_bodies_do_not_count() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nX-Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nA: \r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 5\r\n",
            "GET /content-length:\ttransfer-encoding: HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nTransfer-Encoding: a\r\n",
        ] {
            assert!(!FramingScan::default().finds_both(head.as_bytes()), "{head}");
        }
    }
}
