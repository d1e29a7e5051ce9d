//! What a viewer can read: `Accept-Encoding` (RFC 9110 §12.5.3).

use crate::headers;
use cache::Coding;
use cache::control::split_list;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL};

/// The coding that a viewer gets of those that the edge could make: the one of the highest weight, at equal weights the one that
/// comes first in `formats`. `None` is no coding: none is acceptable, or the viewer says that it would rather have none.
#[must_use]
pub fn negotiate(request: &HeaderMap, formats: &[Coding]) -> Option<Coding> {
    if !headers::has(request, &ACCEPT_ENCODING) {
        return None;
    }
    let mut best = None;
    let mut most = 0;
    for coding in formats {
        let weight = weight(request, *coding);
        if weight > most {
            (best, most) = (Some(*coding), weight);
        }
    }
    best.filter(|_| named(request, "identity").is_none_or(|plain| plain <= most))
}

/// Whether a viewer says that it reads a coding. One that says nothing (no `Accept-Encoding`) would have to, by the letter of
/// RFC 9110 §12.5.3, but those are the simplest programs, which read none.
#[must_use]
pub fn accepts(request: &HeaderMap, coding: Coding) -> bool {
    weight(request, coding) > 0
}

/// RFC 9111 §5.2.1.6: whether the viewer wants the body as the origin made it.
#[must_use]
pub(super) fn forbids_transforming(request: &HeaderMap) -> bool {
    let lines = request.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(split_list).any(|directive| directive.trim().eq_ignore_ascii_case("no-transform"))
}

/// The weight that a request gives a coding, in thousandths; 0 is "not acceptable".
fn weight(request: &HeaderMap, coding: Coding) -> u16 {
    // RFC 9110 §8.4.1.3: the same by its older name.
    let alias = || named(request, "x-gzip").filter(|_| coding == Coding::Gzip);
    let any = || named(request, "*");
    named(request, coding.token()).or_else(alias).or_else(any).unwrap_or(0)
}

/// The weight of the member that has this very name.
fn named(request: &HeaderMap, token: &str) -> Option<u16> {
    for line in request.get_all(ACCEPT_ENCODING) {
        for member in line.to_str().map(split_list).into_iter().flatten() {
            let mut parts = member.split(';');
            if parts.next().unwrap_or_default().trim().eq_ignore_ascii_case(token) {
                return Some(parts.find_map(quality).unwrap_or(1000));
            }
        }
    }
    None
}

/// RFC 9110 §12.4.2: `q=0.5` as thousandths; what cannot be read is not acceptable. `None` for other parameters.
fn quality(parameter: &str) -> Option<u16> {
    let value = parameter.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim();
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let read = value.parse::<f32>().ok().filter(|weight| is_number && (0.0..=1.0).contains(weight));
    Some(read.map_or(0, |weight| (weight * 1000.0).round() as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Br, Gzip, Zstd};

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, line.parse().unwrap());
        }
        headers
    }

    #[test]
    fn gzip_alone_is_taken_where_it_is_acceptable() {
        for value in ["gzip", "GZIP", "x-gzip", "br, gzip;q=0.5", "*", "gzip; q=0.001", "identity, gzip"] {
            assert_eq!(negotiate(&headers(&[value]), &[Gzip]), Some(Gzip), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "*;q=0", "gzip;q=0, *", "gzip;q=nan", "gzip;q=2", "identity"] {
            assert_eq!(negotiate(&headers(&[value]), &[Gzip]), None, "{value}");
        }
        for value in
            ["gzip;q=-1", "gzip;q=1e-1", "gzip;q=+1", "gzip;q=", "gzip;q=0.0.1", "gzipped", "gzip br"]
        {
            assert_eq!(negotiate(&headers(&[value]), &[Gzip]), None, "{value}");
        }
        assert_eq!(negotiate(&headers(&[]), &[Gzip]), None);
        assert_eq!(negotiate(&headers(&["gzip"]), &[]), None);
    }

    #[test]
    fn the_highest_weight_wins_and_then_the_order_of_the_config() {
        let all = [Zstd, Br, Gzip];
        for (lines, chosen) in [
            (&["gzip, deflate, br, zstd"][..], Some(Zstd)),
            (&["gzip, br"], Some(Br)),
            (&["gzip", "br"], Some(Br)),
            (&["gzip, br;q=0.9"], Some(Gzip)),
            (&["zstd;q=0.1, br;q=0.2, gzip;q=0.3"], Some(Gzip)),
            (&["*;q=0.5, br"], Some(Br)),
            (&["*;q=0.5, zstd;q=0"], Some(Br)),
            (&["*"], Some(Zstd)),
            (&["identity;q=1, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip;q=0.5"], Some(Gzip)),
            (&["identity;q=0, *;q=0.1"], Some(Zstd)),
            (&["identity, *;q=0.1"], None),
            (&["deflate, compress"], None),
        ] {
            assert_eq!(negotiate(&headers(lines), &all), chosen, "{lines:?}");
        }
    }

    #[test]
    fn a_viewer_that_says_nothing_reads_nothing() {
        assert!(accepts(&headers(&["br;q=0.1"]), Br));
        assert!(accepts(&headers(&["*"]), Br));
        assert!(!accepts(&headers(&["gzip"]), Br));
        assert!(!accepts(&headers(&[]), Gzip));
        assert!(!accepts(&headers(&[""]), Gzip));
    }
}
