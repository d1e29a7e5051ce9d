//! What counts say for certain, however often one looks. Pure.
//!
//! Bounds that hold at one look are broken sooner or later by whoever looks every second. These hold at all looks together:
//! for a true rate `p`, the ratio of what a mixture of all rates gives to the counts seen and what `p` gives to them is a
//! martingale that begins at 1, so the chance that it ever reaches 1/e is at most e (Ville's inequality). The rates at which
//! it has not reached 1/e are those that remain possible. H. Robbins, "Statistical methods related to the law of the
//! iterated logarithm", 1970; with the mixture Beta(½, ½), whose price is half a logarithm of the number of calls.

use std::f64::consts::PI;

/// Halvings of the search for a bound: more than a `f64` has digits.
const HALVINGS: u32 = 60;

/// The rates that remain possible after `hits` of `of`: the lowest and the highest. The chance that the true rate is ever
/// outside, at any look, is at most `error`.
pub(crate) fn bounds(hits: u64, of: u64, error: f64) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (seen, limit) = (Seen::new(hits, of), -error.ln());
    let rate = seen.rate();
    let low = if hits == 0 { 0.0 } else { search(0.0, rate, |rate| seen.speaks_against(rate) >= limit) };
    let high = if hits >= of { 1.0 } else { search(1.0, rate, |rate| seen.speaks_against(rate) >= limit) };
    (low, high)
}

/// Whether the rate is surely above `rate`, at any look, but for a chance of `error`.
pub(crate) fn is_above(rate: f64, hits: u64, of: u64, error: f64) -> bool {
    if of == 0 || Seen::share(hits, of) <= rate {
        return false;
    }
    Seen::new(hits, of).speaks_against(rate) >= -error.ln()
}

/// Whether the rate is surely below `rate`, at any look, but for a chance of `error`.
pub(crate) fn is_below(rate: f64, hits: u64, of: u64, error: f64) -> bool {
    is_above(1.0 - rate, of.saturating_sub(hits), of, error)
}

struct Seen {
    hits: f64,
    misses: f64,
    /// The logarithm of what the mixture gives to these counts.
    mixture: f64,
}

impl Seen {
    #[expect(clippy::cast_precision_loss, reason = "nobody counts 2^53 calls")]
    fn new(hits: u64, of: u64) -> Self {
        let (hits, misses) = (hits as f64, of.saturating_sub(hits) as f64);
        let mixture = ln_gamma(hits + 0.5) + ln_gamma(misses + 0.5) - ln_gamma(hits + misses + 1.0) - PI.ln();
        Self { hits, misses, mixture }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody counts 2^53 calls")]
    fn share(hits: u64, of: u64) -> f64 {
        hits as f64 / of as f64
    }

    fn rate(&self) -> f64 {
        self.hits / (self.hits + self.misses)
    }

    /// The logarithm of the martingale of this rate.
    fn speaks_against(&self, rate: f64) -> f64 {
        let given = |count: f64, rate: f64| if count == 0.0 { 0.0 } else { count * rate.ln() };
        self.mixture - given(self.hits, rate) - given(self.misses, 1.0 - rate)
    }
}

/// The edge of what is ruled out, from `out`, which is, to `possible`, which is not; ruled out if anything.
fn search(mut out: f64, mut possible: f64, is_out: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(out, possible);
        if is_out(middle) { out = middle } else { possible = middle }
    }
    out
}

/// The logarithm of Γ: DLMF 5.11.1 (Stirling's series) after DLMF 5.5.1 has made the argument large enough for it.
fn ln_gamma(mut x: f64) -> f64 {
    const LARGE: f64 = 10.0;
    let mut shift = 0.0;
    while x < LARGE {
        shift -= x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + series
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "small counts")]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_of_gamma_is_right() {
        for (x, expected) in
            [(0.5, PI.sqrt().ln()), (1.0, 0.0), (5.0, 24_f64.ln()), (100.5, 361.435_540_467_592_7)]
        {
            assert!((ln_gamma(x) - expected).abs() < 1e-9, "{x}: {}", ln_gamma(x));
        }
    }

    #[test]
    fn bounds_close_in_on_the_rate_and_never_cross_it() {
        assert_eq!(bounds(0, 0, 0.01), (0.0, 1.0));
        let mut last = 1.0;
        for of in [10, 100, 1_000, 10_000, 1_000_000] {
            let (low, high) = bounds(of / 10, of, 0.01);
            assert!(low < 0.1 && high > 0.1 && high - low < last, "{of}: {low} {high}");
            last = high - low;
        }
        assert_eq!(bounds(0, 100, 0.01).0, 0.0);
        assert_eq!(bounds(100, 100, 0.01).1, 1.0);
        assert!(bounds(0, 100, 0.01).1 < 0.12 && bounds(100, 100, 0.01).0 > 0.88);
    }

    #[test]
    fn bounds_and_questions_agree() {
        for (hits, of) in [(0, 500), (5, 500), (25, 500), (250, 500), (500, 500)] {
            let (low, high) = bounds(hits, of, 0.01);
            for rate in [0.001, 0.01, 0.05, 0.3, 0.7, 0.99] {
                assert_eq!(is_above(rate, hits, of, 0.01), low > rate, "{hits}/{of} above {rate}");
                assert_eq!(is_below(rate, hits, of, 0.01), high < rate, "{hits}/{of} below {rate}");
            }
        }
    }

    #[test]
    fn however_often_one_looks_the_rate_is_outside_as_rarely_as_promised() {
        const ERROR: f64 = 0.05;
        let mut random = fastrand::Rng::with_seed(7);
        for rate in [0.01, 0.3] {
            let is_ever_outside = |random: &mut fastrand::Rng| {
                let mut hits = 0;
                (1..=2_000).any(|of| {
                    hits += u64::from(random.f64() < rate);
                    is_above(rate, hits, of, ERROR) || is_below(rate, hits, of, ERROR)
                })
            };
            let runs = 300;
            let outside = (0..runs).filter(|_| is_ever_outside(&mut random)).count();
            assert!(outside as f64 / f64::from(runs) <= ERROR, "{rate}: {outside} of {runs}");
        }
    }
}
