//! Watches raw request heads for two framings of one body (RFC 9112 §6.1): the HTTP parser settles such a conflict silently,
//! which is safe for the edge itself, but whoever sends it means harm to somebody.

/// Longest name looked for.
const LONGEST: usize = "transfer-encoding".len();

/// Looks at the names of header lines, however the head is cut into reads.
#[derive(Debug, Default)]
pub(super) struct FramingScan {
    /// The beginning of the current line, lower case.
    name: [u8; LONGEST],
    length: usize,
    /// The rest of the line does not matter.
    skipping: bool,
    line_is_empty: bool,
    in_header_lines: bool,
    done: bool,
    content_length: bool,
    transfer_encoding: bool,
}

impl FramingScan {
    /// Whether the head, as far as it has come, holds both fields. Stops looking at the empty line that ends it.
    pub(super) fn finds_both(&mut self, mut bytes: &[u8]) -> bool {
        while !self.done && !bytes.is_empty() {
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
            b'\n' if self.line_is_empty => self.done = true,
            b'\n' => self.next_line(),
            b':' => {
                match &self.name[..self.length] {
                    b"content-length" => self.content_length = true,
                    b"transfer-encoding" => self.transfer_encoding = true,
                    _ => {}
                }
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
    fn one_field_other_names_and_bodies_do_not_count() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nX-Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nA: \r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 5\r\n",
            "GET /content-length:\ttransfer-encoding: HTTP/1.1\r\n\r\n",
        ] {
            assert!(!FramingScan::default().finds_both(head.as_bytes()), "{head}");
        }
    }
}
