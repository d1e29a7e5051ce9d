//! The load's side of HTTP/1.1: one request at a time on a connection, and what its answer must be.

use crate::failure::Failure;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than any head that a program under test sends, and than chunks add to a body.
const HEAD: usize = 16 * 1024;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A body of this many bytes, as it is.
    Plain(usize),
    /// A body of this many bytes, compressed with gzip.
    Gzip(usize),
}

impl Expected {
    /// A request for a path, as bytes.
    pub(crate) fn request(self, path: &str) -> Vec<u8> {
        let coding = match self {
            Self::Plain(_) => "",
            Self::Gzip(_) => "Accept-Encoding: gzip\r\n",
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench/1\r\nAccept: */*\r\n{coding}\r\n"
        )
        .into_bytes()
    }

    fn most_bytes(self) -> usize {
        let (Self::Plain(size) | Self::Gzip(size)) = self;
        HEAD + size
    }

    /// The length of head and body together, as soon as that is known; an error when it cannot be the answer expected.
    fn length(self, answer: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&answer[..end]).map_err(|error| error.to_string())?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(head.lines().next().unwrap_or_default().to_owned());
        }
        let field = |wanted: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        let declared = field("content-length").and_then(|length| length.parse::<usize>().ok());
        match (self, declared) {
            (Self::Plain(size), Some(length)) if length == size => Ok(Some(end + 4 + length)),
            (Self::Plain(size), other) => Err(format!("length {other:?} where {size} bytes were asked for")),
            (Self::Gzip(_), _) if field("content-encoding") != Some("gzip") => {
                Err("not compressed".to_owned())
            }
            (Self::Gzip(_), Some(length)) => Ok(Some(end + 4 + length)),
            (Self::Gzip(_), None) => Ok(chunked_length(&answer[end + 4..])?.map(|length| end + 4 + length)),
        }
    }

    /// Whether a whole answer is the one expected, as far as that can be seen without work.
    fn check(self, answer: &[u8]) -> Result<(), String> {
        let Self::Gzip(size) = self else { return Ok(()) };
        // RFC 1952 §2.3.1: it ends with the length of what was compressed, before the last chunk where there is one.
        let body = answer.strip_suffix(b"\r\n0\r\n\r\n").unwrap_or(answer);
        match body.last_chunk::<4>() {
            Some(length) if u32::from_le_bytes(*length) as usize == size => Ok(()),
            _ => Err(format!("not {size} bytes compressed")),
        }
    }
}

/// The length of a chunked body with its chunks; `None` as long as the last one is missing.
fn chunked_length(body: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    while let Some(line) = body.get(at..).and_then(|rest| memchr::memmem::find(rest, b"\r\n")) {
        let size = std::str::from_utf8(&body[at..at + line]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).ok_or("no chunk")?;
        at += line + 2 + size + 2;
        if size == 0 {
            return Ok((at <= body.len()).then_some(at));
        }
    }
    Ok(None)
}

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    expected: Expected,
}

impl Connection {
    pub(crate) async fn open(target: SocketAddr, expected: Expected) -> Result<Self, Failure> {
        let failed = || Failure::system(format!("a connection to {target}"));
        let stream = TcpStream::connect(target).await.map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        Ok(Self { stream, buffer: vec![0; expected.most_bytes()], expected })
    }

    /// Sends a request, reads the whole answer and checks it.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<&[u8], Failure> {
        let failed = || Failure::system("a kept connection");
        self.stream.write_all(request).await.map_err(failed())?;
        let (mut filled, mut whole) = (0, None);
        while whole != Some(filled) {
            let read = self.stream.read(&mut self.buffer[filled..]).await.map_err(failed())?;
            filled += read;
            if whole.is_none() {
                whole = self.expected.length(&self.buffer[..filled]).map_err(Failure::Answer)?;
            }
            if read == 0 || whole.is_some_and(|whole| filled > whole) {
                return Err(Failure::Answer(format!("{filled} bytes where {whole:?} were promised")));
            }
        }
        let answer = &self.buffer[..filled];
        self.expected.check(answer).map_err(Failure::Answer)?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_expected_counts() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nAge: 1\r\n\r\nabc";
        assert_eq!(Expected::Plain(3).length(answer), Ok(Some(answer.len())));
        assert_eq!(Expected::Plain(3).length(&answer[..20]), Ok(None));
        assert!(Expected::Plain(4).length(answer).is_err());
        assert!(Expected::Gzip(3).length(answer).is_err());
        let error = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\n";
        assert!(Expected::Plain(3).length(error).is_err());
        assert!(Expected::Plain(3).length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn compressed_answers_end_with_the_length_of_what_they_hold() {
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n";
        let sized = [head.as_bytes(), b"Content-Length: 6\r\n\r\n..\x07\0\0\0"].concat();
        let chunks = [head.as_bytes(), b"\r\n2\r\n..\r\n4\r\n\x07\0\0\0\r\n0\r\n\r\n"].concat();
        for answer in [sized, chunks.clone()] {
            assert_eq!(Expected::Gzip(7).length(&answer), Ok(Some(answer.len())));
            assert_eq!(Expected::Gzip(7).check(&answer), Ok(()));
            assert!(Expected::Gzip(8).check(&answer).is_err());
        }
        for part in 0..chunks.len() {
            assert_eq!(Expected::Gzip(7).length(&chunks[..part]), Ok(None), "{part} bytes");
        }
    }
}
