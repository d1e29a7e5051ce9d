//! `Accept-Language` (RFC 9110 §12.5.4): the same wishes in one form, and the first of them.

/// One wish: weight in thousandths, language range in lower case.
type Wish = (u16, String);

/// The wishes, most wanted first and otherwise by name: their order and spelling mean nothing (RFC 9111 §4.1). `None` when the value
/// cannot be read.
pub(crate) fn normalised(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    for (weight, range) in wishes(value)? {
        let separator = if text.is_empty() { "" } else { "," };
        text.push_str(&format!("{separator}{range};{weight}"));
    }
    Some(text)
}

/// Whether a language is wanted more than every other: whoever has that need not look further.
pub(crate) fn is_first_choice(value: &str, language: &str) -> bool {
    let Some(wishes) = wishes(value) else { return false };
    match wishes.as_slice() {
        [(weight, _), (next, _), ..] if weight == next => false,
        [(1.., range), ..] => range.eq_ignore_ascii_case(language.trim()),
        _ => false,
    }
}

fn wishes(value: &str) -> Option<Vec<Wish>> {
    let members = value.split(',').map(str::trim).filter(|member| !member.is_empty());
    let mut wishes = members.map(wish).collect::<Option<Vec<Wish>>>()?;
    wishes.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Some(wishes)
}

fn wish(member: &str) -> Option<Wish> {
    let (range, parameter) = match member.split_once(';') {
        Some((range, parameter)) => (range.trim(), Some(parameter.trim())),
        None => (member, None),
    };
    let is_range = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*');
    if range.is_empty() || !range.bytes().all(is_range) {
        return None;
    }
    let weight = match parameter {
        None => 1000,
        Some(parameter) => weight(parameter)?,
    };
    Some((weight, range.to_ascii_lowercase()))
}

/// RFC 9110 §12.4.2: `q=` and a number from 0 to 1 with at most three digits behind the point.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (whole, thousandths) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_digits = thousandths.len() <= 3 && thousandths.bytes().all(|byte| byte.is_ascii_digit());
    if !name.trim().eq_ignore_ascii_case("q") || !is_digits {
        return None;
    }
    let below: u16 = format!("{thousandths:0<3}").parse().ok()?;
    match whole {
        "0" => Some(below),
        "1" if below == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_and_order_mean_nothing() {
        for same in ["de, en", " en ,   de", "eN, De", "en,de;q=1", "en;q=1.0, de ; q=1.000,"] {
            assert_eq!(normalised(same), normalised("en, de"), "{same}");
        }
        for other in ["en", "en, de;q=0.9", "en, fr", "en-GB, de", ""] {
            assert_ne!(normalised(other), normalised("en, de"), "{other}");
        }
        for broken in ["en;q=2", "en;q=0.1234", "en;level=1", "e n", "en;q=-1", "\"en\""] {
            assert_eq!(normalised(broken), None, "{broken}");
        }
    }

    #[test]
    fn there_is_at_most_one_first_choice() {
        for (value, language, first) in [
            ("fr;q=0.5, de;q=1.0", "de", true),
            ("fr;q=0.5, DE", "de", true),
            ("de", "De", true),
            ("fr, de", "de", false),
            ("fr;q=0.5, de;q=1.0", "fr", false),
            ("de;q=0", "de", false),
            ("de", "de-AT", false),
            ("de-AT", "de", false),
            ("de", "de, en", false),
            ("", "de", false),
        ] {
            assert_eq!(is_first_choice(value, language), first, "{value} {language}");
        }
    }
}
