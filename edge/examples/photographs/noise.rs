//! Smooth randomness that is the same every time.

/// -1 to 1 at each point of a grid.
fn grid(x: i32, y: i32, seed: u32) -> f32 {
    let mut mixed = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    mixed ^= seed.wrapping_mul(0xC2B2_AE3D);
    mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2C1B_3C6D);
    mixed = (mixed ^ (mixed >> 12)).wrapping_mul(0x297A_2D39);
    (mixed ^ (mixed >> 15)) as f32 / (u32::MAX as f32 / 2.0) - 1.0
}

/// -1 to 1, smooth over distances of 1.
pub(crate) fn smooth(x: f32, y: f32, seed: u32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let ease = |share: f32| share * share * (3.0 - 2.0 * share);
    let (across, down) = (ease(x - left), ease(y - top));
    let (left, top) = (left as i32, top as i32);
    let row = |y| {
        let (from, to) = (grid(left, y, seed), grid(left + 1, y, seed));
        from + (to - from) * across
    };
    let (above, below) = (row(top), row(top + 1));
    above + (below - above) * down
}

/// Noise on several scales, each half as large and half as strong as the one before; about -1 to 1.
pub(crate) fn layered(x: f32, y: f32, layers: u32, seed: u32) -> f32 {
    let layer = |index: u32| {
        let scale = (1 << index) as f32;
        smooth(x * scale, y * scale, seed + index) / scale
    };
    (0..layers).map(layer).sum::<f32>() * 0.62
}
