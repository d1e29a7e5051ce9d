//! Colours as shares of light, and how they mix.

use std::ops::{Add, Mul};

/// Red, green and blue, 0 to 1, as a screen takes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Colour(pub(crate) f32, pub(crate) f32, pub(crate) f32);

impl Colour {
    /// `0x_rr_gg_bb`.
    pub(crate) const fn hex(value: u32) -> Self {
        Self(
            ((value >> 16) & 255) as f32 / 255.0,
            ((value >> 8) & 255) as f32 / 255.0,
            (value & 255) as f32 / 255.0,
        )
    }

    /// This much of the way to `other`.
    pub(crate) fn mix(self, other: Self, share: f32) -> Self {
        self * (1.0 - share) + other * share
    }

    pub(crate) fn bytes(self) -> [u8; 3] {
        [self.0, self.1, self.2].map(|channel| (channel.clamp(0.0, 1.0) * 255.0).round() as u8)
    }
}

impl Add for Colour {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1, self.2 + other.2)
    }
}

impl Mul<f32> for Colour {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        Self(self.0 * factor, self.1 * factor, self.2 * factor)
    }
}

/// 0 up to `from`, 1 beyond `to`, smooth between.
pub(crate) fn ramp(from: f32, to: f32, value: f32) -> f32 {
    let share = ((value - from) / (to - from)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

/// The colour at `place` of a gradient whose stops are in order.
pub(crate) fn gradient(stops: &[(f32, Colour)], place: f32) -> Colour {
    let after = stops.iter().position(|stop| stop.0 >= place).unwrap_or(stops.len() - 1).max(1);
    let ((from, below), (to, above)) = (stops[after - 1], stops[after]);
    below.mix(above, ((place - from) / (to - from)).clamp(0.0, 1.0))
}
