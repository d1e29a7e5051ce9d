//! Signing cookies in `Cookie` fields, found and taken out (RFC 6265 section 4.2, RFC 9113 section 8.2.3).

use crate::{Reason, SchemeName};

/// The cookies of one field, as name and value. What has no `=` is a name without a value.
fn pairs(field: &str) -> impl Iterator<Item = (&str, &str)> {
    field.split(';').map(|part| {
        let part = part.trim_matches([' ', '\t']);
        part.split_once('=').unwrap_or((part, ""))
    })
}

/// The values of these cookies, as sent. Names are case-sensitive; each may occur once, whatever the field.
pub(crate) fn find<'a, const N: usize>(
    fields: &[&'a str],
    names: [&'static str; N],
) -> Result<[Option<&'a str>; N], Reason> {
    let mut found = [None; N];
    for (name, value) in fields.iter().flat_map(|field| pairs(field)) {
        let Some(place) = names.iter().position(|known| *known == name) else { continue };
        if found[place].replace(value).is_some() {
            return Err(Reason::ParameterDuplicate(names[place]));
        }
    }
    Ok(found)
}

/// The values of all cookies of this name, as sent: browsers send those with the longest path first (RFC 6265 section 5.4).
pub(crate) fn all<'a>(fields: &'a [&'a str], name: &'static str) -> impl Iterator<Item = &'a str> {
    let pairs = fields.iter().flat_map(|field| pairs(field));
    pairs.filter_map(move |(known, value)| (known == name).then_some(value))
}

/// A `Cookie` field without the cookies that carry tokens of these schemes: `None` when it has none of them, and nothing when it has
/// no others. What is no text stays as it is.
#[must_use]
pub fn strip_cookies(field: &[u8], schemes: &[SchemeName]) -> Option<Vec<u8>> {
    let is_signing = |part: &&[u8]| {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        schemes.iter().any(|scheme| scheme.cookies().iter().any(|known| known.as_bytes() == name))
    };
    let parts = || field.split(|byte| *byte == b';').map(trim);
    if !parts().any(|part| is_signing(&part)) {
        return None;
    }
    let kept = parts().filter(|part| !part.is_empty() && !is_signing(part));
    Some(kept.collect::<Vec<_>>().join(&b"; "[..]))
}

/// Without blanks and tabs at its ends.
fn trim(part: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = part.iter().position(|byte| !is_blank(byte)).unwrap_or(part.len());
    let end = part.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &part[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_in_any_field_and_as_sent() {
        let found = find(&["a=1; P=x=y~; b", "c=2;S= \t;K"], ["P", "S", "K", "Z"]);
        assert_eq!(found, Ok([Some("x=y~"), Some(""), Some(""), None]));
        assert_eq!(find(&["p=1; xP=2; P x=3"], ["P"]), Ok([None]));
        assert_eq!(find(&["P=1", "P=1"], ["P"]), Err(Reason::ParameterDuplicate("P")));
        assert_eq!(find(&[], ["P"]), Ok([None]));
    }

    #[test]
    fn only_those_of_the_schemes_are_taken_out() {
        let strip = |field: &[u8]| strip_cookies(field, &[SchemeName::UriSigning, SchemeName::Hmac]);
        assert_eq!(strip(b"a=1; b=2; CloudFront-Policy=x; xSelvedge-Token=1"), None);
        let left = strip(b"a=1; Selvedge-Token=2;\tb=Selvedge-Token; URISigningPackage").unwrap();
        assert_eq!(String::from_utf8(left).unwrap(), "a=1; b=Selvedge-Token");
        assert_eq!(strip(b"Selvedge-Token=2; URISigningPackage=3;"), Some(Vec::new()));
        assert_eq!(strip(b"name=J\xfcrgen; Selvedge-Token=2"), Some(b"name=J\xfcrgen".to_vec()));
    }
}
