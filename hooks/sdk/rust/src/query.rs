//! A query, taken apart and put together.

use std::fmt::{self, Display, Write as _};

/// The pairs of a query, in order. What is not touched stays byte for byte as the viewer wrote it.
///
/// ```
/// use selvedge_hook::Query;
///
/// let mut query = Query::parse("q=caf%C3%A9+au+lait&utm_source=mail&page=2");
/// assert_eq!(query.get("q").as_deref(), Some("café au lait"));
/// query.retain(|name| !name.starts_with("utm_"));
/// query.set("page", "3 of 4");
/// assert_eq!(query.to_string(), "q=caf%C3%A9+au+lait&page=3%20of%204");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// As written: `name=value` or `name`.
    pairs: Vec<String>,
}

impl Query {
    /// Takes a query apart, the text without the question mark. Empty pairs (`a&&b`) are dropped.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        Self { pairs: query.split('&').filter(|pair| !pair.is_empty()).map(str::to_owned).collect() }
    }

    /// The first value of a name, decoded; empty for a name without `=`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Names and values, decoded, in order.
    pub fn iter(&self) -> impl Iterator<Item = (String, String)> {
        self.pairs.iter().map(|pair| {
            let (name, value) = split(pair);
            (decode(name), decode(value))
        })
    }

    /// Sets a name to one value, in the place of its first, or at the end.
    pub fn set(&mut self, name: &str, value: &str) {
        let place = self.position(name).unwrap_or(self.pairs.len());
        self.retain(|other| other != name);
        self.pairs.insert(place, format!("{}={}", encode(name), encode(value)));
    }

    /// Adds a pair at the end.
    pub fn append(&mut self, name: &str, value: &str) {
        self.pairs.push(format!("{}={}", encode(name), encode(value)));
    }

    /// Removes every pair of a name.
    pub fn remove(&mut self, name: &str) {
        self.retain(|other| other != name);
    }

    /// Keeps the pairs whose name the function approves.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.pairs.retain(|pair| keep(&decode(split(pair).0)));
    }

    /// Sorts by name; pairs of one name keep their order, which may mean something.
    pub fn sort(&mut self) {
        self.pairs.sort_by_cached_key(|pair| decode(split(pair).0));
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.pairs.iter().position(|pair| decode(split(pair).0) == name)
    }
}

impl Display for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.pairs.join("&"))
    }
}

fn split(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

/// Decodes what browsers send: `%C3%A9`, and `+` for a space. What is no valid escape stays as it is; what is not UTF-8
/// becomes U+FFFD.
///
/// ```
/// assert_eq!(selvedge_hook::query::decode("100%+caf%C3%A9"), "100% café");
/// ```
#[must_use]
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while let Some(&byte) = bytes.get(place) {
        let escaped = (byte == b'%').then(|| hex(bytes.get(place + 1..place + 3)?)).flatten();
        decoded.push(match (escaped, byte) {
            (Some(escaped), _) => escaped,
            (None, b'+') => b' ',
            (None, other) => other,
        });
        place += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Encodes a text for a place in a query or a path: all but letters, digits and `-._~` is escaped (RFC 3986 section 2.3).
///
/// ```
/// assert_eq!(selvedge_hook::query::encode("a b&c=/é"), "a%20b%26c%3D%2F%C3%A9");
/// ```
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*digits.first()?)? * 16 + digit(*digits.get(1)?)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untouched_pairs_keep_their_spelling() {
        for text in ["a=%7E&b&c=", "q=a+b", "%=%zz", "한=글"] {
            assert_eq!(Query::parse(text).to_string(), text);
        }
        assert_eq!(Query::parse("&a=1&&b=2&").to_string(), "a=1&b=2");
    }

    #[test]
    fn setting_keeps_the_place_and_leaves_one_value() {
        let mut query = Query::parse("a=1&b=2&a=3&c=4");
        query.set("a", "&");
        query.set("d", "");
        assert_eq!(query.to_string(), "a=%26&b=2&c=4&d=");
        query.remove("%61");
        assert_eq!(query.get("a").as_deref(), Some("&"));
        query.remove("a");
        assert_eq!(query.get("a"), None);
    }

    #[test]
    fn sorting_is_by_the_decoded_name_and_stable() {
        let mut query = Query::parse("b=2&%61=1&b=1&a=0");
        query.sort();
        assert_eq!(query.to_string(), "%61=1&a=0&b=2&b=1");
    }

    #[test]
    fn broken_escapes_and_broken_text_do_no_harm() {
        assert_eq!(decode("%"), "%");
        assert_eq!(decode("%4"), "%4");
        assert_eq!(decode("%g1%41"), "%g1A");
        assert_eq!(decode("%FF"), "\u{fffd}");
    }
}
