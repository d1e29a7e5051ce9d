//! Watches raw request heads for two framings of one body (RFC 9112 §6.1): the HTTP parser settles such a conflict silently,
//! which is safe for the edge itself, but whoever sends it means harm to somebody.

/// Longest name looked for.
const LONGEST: usize = "transfer-encoding".len();

/// Looks at the names of header lines, however heads are cut into reads. A head without either field has no body, so the
/// next one follows at once; at a body the scan rests until it is told that a head begins.
#[derive(Debug, Default)]
pub(super) struct FramingScan {
    /// The beginning of the current line, lower case.
    name: [u8; LONGEST],
    length: usize,
    /// The rest of the line does not matter.
    skipping: bool,
    line_is_empty: bool,
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
    pub(super) fn finds_both(&mut self, mut bytes: &[u8]) -> bool {
        while !self.at_body && !bytes.is_empty() {
            if !self.in_header_lines || self.skipping {
                let Some(end) = memchr::memchr(b'\n', bytes) else { return self.both() };
                bytes = &bytes[end + 1..];
                self.next_line();
                continue;
            }
            self.take(bytes[0]);
            bytes = &bytes[1..];
        }
        self.both()
    }

    fn take(&mut self, byte: u8) {
        match byte {
            b'\r' if self.line_is_empty => {}
            b'\n' if self.line_is_empty => self.end_head(),
            b'\n' => self.next_line(),
            b':' => {
                match &self.name[..self.length] {
                    b"content-length" => self.content_length = true,
                    b"transfer-encoding" => self.transfer_encoding = true,
                    _ => {}
                }
                self.skipping = true;
            }
            // Most names are told apart by how they begin.
            _ if self.length == 0 && !matches!(byte.to_ascii_lowercase(), b'c' | b't') => {
                self.line_is_empty = false;
                self.skipping = true;
            }
            _ if self.length < LONGEST => {
                self.name[self.length] = byte.to_ascii_lowercase();
                self.length += 1;
                self.line_is_empty = false;
            }
            _ => self.skipping = true,
        }
    }

    fn end_head(&mut self) {
        if self.content_length || self.transfer_encoding {
            self.at_body = true;
        } else {
            *self = Self::default();
        }
    }

    fn next_line(&mut self) {
        self.length = 0;
        self.skipping = false;
        self.line_is_empty = true;
        self.in_header_lines = true;
    }

    fn both(&self) -> bool {
        self.content_length && self.transfer_encoding
    }
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
