//! Watches raw request heads for two framings of one body (RFC 9112 §6.1): the HTTP parser settles such a conflict silently,
//! which is safe for the edge itself, but whoever sends it means harm to somebody.

const CONTENT_LENGTH: &[u8] = b"content-length:";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";

/// Looks at the names of header lines, however heads are cut into reads. A head without either field has no body, so the
/// next one follows at once; at a body the scan rests until it is told that a head begins.
#[derive(Debug, Default)]
pub(super) struct FramingScan {
    /// The beginning of a line whose end has not come, as far as it matters.
    begun: [u8; TRANSFER_ENCODING.len()],
    length: usize,
    in_header_lines: bool,
    at_body: bool,
    content_length: bool,
    transfer_encoding: bool,
}

impl FramingScan {
    /// A head begins, unless one is being read already.
    pub(super) fn resume(&mut self) {
        if self.at_body {
            *self = Self::default();
        }
    }

    /// Whether a head, as far as it has come, holds both fields.
    pub(super) fn finds_both(&mut self, bytes: &[u8]) -> bool {
        let mut parts = bytes.split_inclusive(|byte| *byte == b'\n');
        while !self.at_body
            && let Some(part) = parts.next()
        {
            match part.strip_suffix(b"\n") {
                Some(end) => self.end(end),
                None => self.begin(part),
            }
        }
        self.content_length && self.transfer_encoding
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
            [b'c' | b'C', ..] => self.content_length |= begins_with(line, CONTENT_LENGTH),
            [b't' | b'T', ..] => self.transfer_encoding |= begins_with(line, TRANSFER_ENCODING),
            _ => {}
        }
    }

    fn end_head(&mut self) {
        if self.content_length || self.transfer_encoding {
            self.at_body = true;
        } else {
            *self = Self::default();
        }
    }
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
        let mut scan = FramingScan::default();
        assert!(!scan.finds_both(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"));
        assert!(!scan.finds_both(BOTH.as_bytes()), "this is a body, for all that is known");
        scan.resume();
        assert!(scan.finds_both(BOTH.as_bytes()));
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
