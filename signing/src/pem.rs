//! The textual encoding of keys (RFC 7468), as strict as its section 3 asks of a parser that it trusts with keys.

use crate::SigningError;
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// One PEM block: its label and its bytes, which may be secret and so are cleared when dropped.
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Reads the first block of `text`; words around it are allowed (RFC 7468 section 2). `expected` is for the error.
pub(crate) fn decode<'a>(text: &'a str, expected: &'static str) -> Result<Block<'a>, SigningError> {
    let pem_error = |cause| SigningError::Pem { cause, expected };
    let (_, rest) = text.split_once("-----BEGIN ").ok_or_else(|| pem_error("there is no BEGIN line"))?;
    let (label, rest) = rest.split_once("-----").ok_or_else(|| pem_error("the BEGIN line is cut off"))?;
    let end = format!("-----END {label}-----");
    let (body, _) = rest
        .split_once(end.as_str())
        .ok_or_else(|| pem_error("there is no END line that fits the BEGIN line"))?;
    let mut compact = Zeroizing::new(String::with_capacity(body.len()));
    compact.extend(body.split_ascii_whitespace());
    let der = STANDARD
        .decode(compact.as_bytes())
        .map_err(|_| pem_error("the lines between BEGIN and END are not base64"))?;
    Ok(Block { label, der: der.into() })
}

/// Writes one block with lines of 64 characters (RFC 7468 section 2).
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // As long as it will be, so that no half of it is left behind where it grew.
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for length in [0, 1, 47, 48, 49, 300] {
            let der = vec![7_u8; length];
            let text = encode("TEST DATA", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            let block = decode(&text, "-").unwrap();
            assert_eq!((block.label, &*block.der), ("TEST DATA", &der));
        }
    }

    #[test]
    fn words_around_a_block_and_windows_line_ends_are_allowed() {
        let text = "my key:\r\n-----BEGIN A-----\r\nAQID\r\nBA==\r\n-----END A-----\r\nbye";
        assert_eq!(*decode(text, "-").unwrap().der, [1, 2, 3, 4]);
    }

    #[test]
    fn damaged_blocks_are_refused() {
        for text in [
            "",
            "AQID",
            "-----BEGIN A",
            "-----BEGIN A-----\nAQID",
            "-----BEGIN A-----\nAQID\n-----END B-----",
            "-----BEGIN A-----\nA*ID\n-----END A-----",
            "-----BEGIN A-----\nAQI\n-----END A-----",
        ] {
            assert!(matches!(decode(text, "-"), Err(SigningError::Pem { .. })), "{text:?} was taken");
        }
    }
}
