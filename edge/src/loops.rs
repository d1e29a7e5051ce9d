//! Requests that come back to where they were (RFC 8586).

use crate::headers::{self, CDN_LOOP};
use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderValue};

/// By what this process knows its own requests. The name alone would not do: two nodes that bear the same one by mistake, an edge
/// and its shield perhaps, are no loop.
#[derive(Debug, Clone)]
pub struct Mark {
    name: String,
    number: String,
    /// The member of `CDN-Loop`: the name, and a number that is drawn at start.
    pub member: HeaderValue,
}

/// What `CDN-Loop` says of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// Nothing.
    Unseen,
    /// The request has passed another node of the same name.
    Namesake,
    /// The request has been here.
    Seen,
}

impl Mark {
    /// A mark for this name.
    ///
    /// # Errors
    /// The name cannot stand in a header.
    pub fn new(name: &str) -> Result<Self, InvalidHeaderValue> {
        let number = format!("{:016x}", fastrand::u64(..));
        let member = HeaderValue::from_str(&format!("{name};n={number}"))?;
        Ok(Self { name: name.to_owned(), number, member })
    }

    /// Looks for this node among those that the request has passed (RFC 8586 §2).
    #[must_use]
    pub fn trace(&self, headers: &HeaderMap) -> Trace {
        let mut trace = Trace::Unseen;
        if !headers::has(headers, &CDN_LOOP) {
            return trace;
        }
        for member in headers.get_all(CDN_LOOP).iter().flat_map(members) {
            let mut parts = member.split(';').map(str::trim);
            if parts.next() != Some(&*self.name) {
                continue;
            }
            let number = parts.find_map(|part| part.strip_prefix("n="));
            // Our own always say a number: a bare name is taken at its word.
            if number.is_none_or(|number| number == self.number) {
                return Trace::Seen;
            }
            trace = Trace::Namesake;
        }
        trace
    }
}

/// The members of one line that are text: what a viewer puts beside them must not hide them.
fn members(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.as_bytes().split(|byte| *byte == b',').filter_map(|member| std::str::from_utf8(member).ok())
}

/// The nodes that the request has passed, for the log: the last few of them.
#[must_use]
pub fn passed(headers: &HeaderMap) -> String {
    const MOST: usize = 8;
    let names = headers.get_all(CDN_LOOP).iter().flat_map(members);
    let names: Vec<_> = names.filter_map(|member| member.split(';').next()).map(str::trim).collect();
    names[names.len().saturating_sub(MOST)..].join(" > ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (CDN_LOOP, line.parse().unwrap())).collect()
    }

    #[test]
    fn a_loop_is_this_very_process() {
        let (mark, namesake) = (Mark::new("icn1").unwrap(), Mark::new("icn1").unwrap());
        let (own, other) = (mark.member.to_str().unwrap(), namesake.member.to_str().unwrap());
        for (lines, trace) in [
            (vec![], Trace::Unseen),
            (vec!["icn10;n=1, other"], Trace::Unseen),
            (vec![other], Trace::Namesake),
            (vec!["icn1"], Trace::Seen),
            (vec![own], Trace::Seen),
            (vec!["other; a=1", &format!("{other}, {own}, shield")], Trace::Seen),
            (vec![&own.replace(";n", " ; v=1; n")], Trace::Seen),
        ] {
            assert_eq!(mark.trace(&headers(&lines)), trace, "{lines:?}");
        }
    }

    #[test]
    fn what_is_not_text_hides_nobody() {
        let mark = Mark::new("icn1").unwrap();
        let line = [b"\xe9, ", mark.member.as_bytes()].concat();
        let headers = HeaderMap::from_iter([(CDN_LOOP, HeaderValue::from_bytes(&line).unwrap())]);
        assert_eq!(mark.trace(&headers), Trace::Seen);
    }

    #[test]
    fn the_log_names_who_was_passed() {
        assert_eq!(passed(&headers(&["a;n=1, b", "c"])), "a > b > c");
        assert_eq!(passed(&headers(&["a,".repeat(100).as_str()])).matches('a').count(), 7);
    }
}
