//! Signing cookies in `Cookie` fields, found and taken out (RFC 6265 section 4.2, RFC 9113 section 8.2.3).

use crate::Reason;

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

/// The field without the cookies of these names; `None` when it has none of them, and the empty text when it has no others.
pub(crate) fn strip(field: &str, is_signing: impl Fn(&str) -> bool) -> Option<String> {
    if !pairs(field).any(|(name, _)| is_signing(name)) {
        return None;
    }
    let kept = field
        .split(';')
        .map(|part| part.trim_matches([' ', '\t']))
        .filter(|part| !part.is_empty() && !is_signing(part.split_once('=').map_or(*part, |pair| pair.0)));
    Some(kept.collect::<Vec<_>>().join("; "))
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
    fn only_the_named_ones_are_taken_out() {
        let strip = |field| strip(field, |name| ["P", "S"].contains(&name));
        assert_eq!(strip("a=1; b=2"), None);
        assert_eq!(strip("a=1; P=2;b=P; S").as_deref(), Some("a=1; b=P"));
        assert_eq!(strip("P=2; S=3;").as_deref(), Some(""));
    }
}
