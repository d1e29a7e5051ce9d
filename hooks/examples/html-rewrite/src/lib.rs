//! Replaces texts in pages as they pass, piece by piece: a page of any length costs the memory of one piece.
//!
//! The config is what is replaced by what: `"http://old.example.com" = "https://www.example.com"`,
//! `"</head>" = "<script src=\"/tour.js\"></script></head>"`. What is replaced is stored, so it costs nothing on a hit.
//! A page in a coding that the node does not take off (it does gzip, br and zstd) passes as it is, with a line in the log.

use selvedge_hook::prelude::*;

hook!(origin-response: rewrite, body-transform);

fn rewrite(_: &Request, response: &Response) -> Result {
    if response.status() != 200
        || !response.header("content-type").is_some_and(|kind| kind.starts_with("text/html"))
    {
        return Ok(());
    }
    let olds = config::keys().into_iter().filter(|old| !old.is_empty());
    let mut pairs: Vec<_> = olds.map(|old| (config::get(&old).unwrap_or_default(), old)).collect();
    // Where one text begins another, the longer one counts.
    pairs.sort_by_key(|(_, old)| std::cmp::Reverse(old.len()));
    let mut held = Vec::new();
    let told = response.transform_body(move |piece| {
        let is_last = piece.is_none();
        held.extend(piece.unwrap_or_default());
        let (done, used) = replace(&held, &pairs, is_last);
        held.drain(..used);
        Ok(done)
    });
    match told {
        // Better the page as it is than none.
        Err(why @ (TransformRefusal::Coded | TransformRefusal::Partial)) => warn!("not rewritten: {why}"),
        told => told?,
    }
    Ok(())
}

/// What can be given of these bytes, and how many of them it stands for: the beginning of a text that may go on in the next
/// piece is held back.
fn replace(bytes: &[u8], pairs: &[(String, String)], is_last: bool) -> (Vec<u8>, usize) {
    let (mut done, mut place) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(rest) = bytes.get(place..).filter(|rest| !rest.is_empty()) {
        let may_go_on = |old: &str| old.len() > rest.len() && old.as_bytes().starts_with(rest);
        if !is_last && pairs.iter().any(|(_, old)| may_go_on(old)) {
            break;
        }
        if let Some((new, old)) = pairs.iter().find(|(_, old)| rest.starts_with(old.as_bytes())) {
            done.extend_from_slice(new.as_bytes());
            place += old.len();
        } else {
            done.push(rest[0]);
            place += 1;
        }
    }
    (done, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_wherever_pieces_end() {
        let pairs =
            [("1", "<tag>"), ("2", "<t"), ("3", "x")].map(|(new, old)| (new.to_owned(), old.to_owned()));
        let page = b"a < <tag> <ta <<tag>x<";
        for cut in 0..page.len() {
            let (first, used) = replace(&page[..cut], &pairs, false);
            let (second, _) = replace(&page[used..], &pairs, true);
            assert_eq!([first, second].concat(), b"a < 1 2a <13<", "cut at {cut}");
        }
    }
}
