//! What a coefficient adds to each pixel of a reduced block.

use std::f32::consts::PI;

/// Place in a block, row by row, of the coefficients as they are written (T.81 figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Weights of the 64 coefficients, in the order in which they are written, on the `PIXELS` pixels of a block of
/// `width` columns: how much of each is in the mean of the pixels that one stands for, times its quantisation.
#[derive(Debug)]
pub(crate) struct Basis<const PIXELS: usize>(Box<[[f32; PIXELS]; 64]>);

impl<const PIXELS: usize> Basis<PIXELS> {
    pub(crate) fn new(width: usize, quantisation: &[u16; 64]) -> Self {
        let height = PIXELS / width;
        let mut weights = Box::new([[0.0; PIXELS]; 64]);
        for (order, (weights, &step)) in weights.iter_mut().zip(quantisation).enumerate() {
            let place = usize::from(ZIGZAG[order]);
            for (pixel, weight) in weights.iter_mut().enumerate() {
                let across = mean(place % 8, pixel % width, 8 / width);
                let down = mean(place / 8, pixel / width, 8 / height);
                *weight = across * down * f32::from(step);
            }
        }
        Self(weights)
    }

    #[inline(always)]
    pub(crate) fn weights(&self, order: usize) -> &[f32; PIXELS] {
        &self.0[order & 63]
    }
}

/// The mean of a cosine of the inverse transform over `count` pixels (T.81 section A.3.3).
fn mean(frequency: usize, pixel: usize, count: usize) -> f32 {
    let scale = if frequency == 0 { 0.125_f32.sqrt() } else { 0.5 };
    let cosine = |x: usize| ((2 * x + 1) as f32 * frequency as f32 * PI / 16.0).cos();
    let sum: f32 = (pixel * count..(pixel + 1) * count).map(cosine).sum();
    scale * sum / count as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_one_shade_is_that_shade_at_every_size() {
        // The first coefficient of a block of eights is 8 × 8.
        let basis = Basis::<4>::new(2, &[1; 64]);
        for weight in basis.weights(0) {
            assert!((weight * 64.0 - 8.0).abs() < 1e-4);
        }
        let weights = Basis::<1>::new(1, &[3; 64]);
        assert!((weights.weights(0)[0] - 0.375).abs() < 1e-6);
        assert!(weights.weights(1)[0].abs() < 1e-6, "a wave has no mean");
    }

    #[test]
    fn means_of_the_whole_transform_are_the_reduced_one() {
        let coefficients: Vec<f32> = (0..64).map(|order| ((order * 37 + 11) % 23) as f32 - 11.0).collect();
        let block = |width: usize, pixel: usize| -> f32 {
            match width {
                8 => sum::<64>(8, pixel, &coefficients),
                4 => sum::<16>(4, pixel, &coefficients),
                _ => sum::<4>(2, pixel, &coefficients),
            }
        };
        for width in [4, 2] {
            let (count, step) = (8 / width, 1.0 / (64 / (width * width)) as f32);
            for pixel in 0..width * width {
                let (x, y) = (pixel % width * count, pixel / width * count);
                let of_whole: f32 = (0..count * count)
                    .map(|inside| block(8, (y + inside / count) * 8 + x + inside % count) * step)
                    .sum();
                assert!((block(width, pixel) - of_whole).abs() < 1e-3, "{width} {pixel}");
            }
        }
    }

    fn sum<const PIXELS: usize>(width: usize, pixel: usize, coefficients: &[f32]) -> f32 {
        let basis = Basis::<PIXELS>::new(width, &[1; 64]);
        coefficients.iter().enumerate().map(|(order, value)| basis.weights(order)[pixel] * value).sum()
    }
}
