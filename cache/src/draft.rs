//! Heads that are made once for many answers.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::mem;

/// Header fields that are all there, and some of whose values are open: those that differ from one answer to the next. To copy them and
/// to fill in what is open costs less than half of what it costs to add field after field.
#[derive(Debug)]
pub struct Draft {
    headers: HeaderMap,
    /// By place.
    open: Box<[Open]>,
}

/// An open value.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    /// How many values come before it.
    place: usize,
    /// Which of those that are filled in belongs here.
    which: usize,
}

impl Draft {
    /// A draft of these fields. The last value under each of these names is open, where there is one.
    #[must_use]
    pub fn of<const NAMES: usize>(headers: &HeaderMap, names: &[HeaderName; NAMES]) -> Self {
        let place_of = |name: &HeaderName| {
            let named = headers.iter().enumerate().filter(|(_, (present, _))| *present == name);
            named.last().map(|(place, _)| place)
        };
        let places =
            names.iter().enumerate().map(|(which, name)| Some(Open { place: place_of(name)?, which }));
        let mut open: Box<[Open]> = places.flatten().collect();
        open.sort_unstable();
        let first = Self { headers: headers.clone(), open };
        // Nothing of the answer that it was made of stays, and a copy has no room to spare.
        Self { headers: first.filled([const { HeaderValue::from_static("") }; NAMES]), ..first }
    }

    /// The fields with these values where they are open, one for each of the names.
    #[must_use]
    pub fn filled<const NAMES: usize>(&self, mut values: [HeaderValue; NAMES]) -> HeaderMap {
        let mut headers = self.headers.clone();
        let mut rest = headers.values_mut();
        let mut passed = 0;
        for Open { place, which } in &self.open {
            if let (Some(open), Some(value)) = (rest.nth(place - passed), values.get_mut(*which)) {
                mem::swap(open, value);
            }
            passed = place + 1;
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{AGE, VIA};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_last_value_of_a_name_is_filled_in_and_nothing_else() {
        let first = [("via", "1.1 a"), ("server", "s"), ("age", "1"), ("via", "1.1 b"), ("via", "1.1 own")];
        let draft = Draft::of(&headers(&first), &[AGE, VIA]);
        for (age, own) in [("7", "1.1 c"), ("8", "1.1 d")] {
            let filled = draft.filled([HeaderValue::from_static(age), HeaderValue::from_static(own)]);
            let expected = [("via", "1.1 a"), ("via", "1.1 b"), ("via", own), ("server", "s"), ("age", age)];
            let lines = filled.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
            assert_eq!(lines.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_is_missing_stays_out() {
        let draft = Draft::of(&headers(&[("server", "s"), ("via", "1.1 own")]), &[AGE, VIA]);
        let filled = draft.filled([HeaderValue::from_static("7"), HeaderValue::from_static("1.1 c")]);
        assert_eq!(filled, headers(&[("server", "s"), ("via", "1.1 c")]));
    }
}
