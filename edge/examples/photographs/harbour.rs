//! A harbour at sunset: sky, hills in haze, a town, boats, and all of it again in the water.

use crate::Picture;
use crate::colour::{Colour, gradient, ramp};
use crate::noise::{layered, smooth};

const HORIZON: f32 = 0.58;
const SUN: (f32, f32) = (0.80, 0.405);
const SUNLIGHT: Colour = Colour::hex(0xFF_E2_A6);
const HAZE: Colour = Colour::hex(0xF2_B0_7E);
const DEEP: Colour = Colour::hex(0x1B_2C_48);

pub(crate) fn render(width: u32, height: u32) -> Picture {
    let middle = width as f32 / height as f32 / 2.0;
    Picture::shade(width, height, |x, y| {
        let colour = if y < HORIZON { land(x, y) } else { water(x, y) };
        let colour = boats(x, y, colour);
        // A lens darkens the corners; a sensor adds a little grain.
        let corner = ((x - middle).powi(2) + (y - 0.5).powi(2)).sqrt();
        let grain = smooth(x * 900.0, y * 900.0, 99) * 0.008;
        colour * (1.04 - 0.34 * ramp(0.45, 1.0, corner)) + Colour(grain, grain, grain)
    })
}

fn sky(x: f32, y: f32) -> Colour {
    const STOPS: [(f32, Colour); 5] = [
        (0.0, Colour::hex(0x2A_44_77)),
        (0.36, Colour::hex(0x6A_77_A6)),
        (0.62, Colour::hex(0xC7_8F_9C)),
        (0.84, Colour::hex(0xF6_AE_78)),
        (1.0, Colour::hex(0xFF_D2_92)),
    ];
    let clear = gradient(&STOPS, y / HORIZON);
    let distance = ((x - SUN.0).powi(2) + (y - SUN.1).powi(2)).sqrt();
    let glow = (-distance * 5.5).exp();
    let clouded = clouds(x, y, clear, distance);
    let disc = 0.7 * ramp(0.044, 0.028, distance);
    (clouded + SUNLIGHT * (glow * 0.55)).mix(Colour::hex(0xFF_F6_DC), disc)
}

/// Bands of cloud, thicker to the sides, lit from below by the sun.
fn clouds(x: f32, y: f32, clear: Colour, distance: f32) -> Colour {
    let stretched = |offset: f32| {
        let warp = layered(x * 2.0, y * 5.0, 3, 40) * 0.35;
        layered(x * 2.2 + warp, (y + offset) * 9.0 + warp * 2.0, 6, 7)
    };
    let thickness = stretched(0.0);
    let cover = ramp(-0.05, 0.5, thickness) * ramp(0.02, 0.14, y) * ramp(0.56, 0.40, y);
    let lit = ramp(-0.12, 0.22, thickness - stretched(0.018));
    let near = (-distance * 2.2).exp();
    let dark = Colour::hex(0x5C_55_7E).mix(Colour::hex(0xB8_6E_72), near);
    let bright = Colour::hex(0xE8_A8_9A).mix(Colour::hex(0xFF_DE_A8), near);
    clear.mix(dark.mix(bright, lit), cover * 0.85)
}

/// Everything above the waterline: the nearest thing that is there.
fn land(x: f32, y: f32) -> Colour {
    let mut colour = sky(x, y);
    let ridges = [
        (0.445, 0.070, 1.6, 11, Colour::hex(0xB9_8A_97)),
        (0.480, 0.060, 2.3, 23, Colour::hex(0x8E_6D_86)),
        (0.512, 0.050, 3.1, 31, Colour::hex(0x5E_53_70)),
    ];
    for (height, relief, width, seed, tint) in ridges {
        let crest = height - relief * layered(x * width, 0.5, 6, seed);
        let slope = layered(x * 14.0, y * 30.0, 4, seed + 5) * 0.06;
        let haze = ramp(crest, HORIZON, y) * 0.55;
        let hill = tint.mix(HAZE, haze) * (1.0 + slope);
        colour = colour.mix(hill, ramp(crest - 0.0012, crest + 0.0012, y));
    }
    lighthouse(x, y, town(x, y, shore(x, y, colour)))
}

/// The wooded promontory on the left and the low bank on the right.
fn shore(x: f32, y: f32, behind: Colour) -> Colour {
    let left = 0.085 * ramp(0.52, 0.0, x);
    let right = 0.050 * ramp(0.96, 1.30, x);
    let trees = 0.016 * layered(x * 26.0, 1.0, 5, 53) * ramp(0.0, 0.02, left + right);
    let crest = HORIZON + 0.002 - left - right - trees;
    let leaves = layered(x * 70.0, y * 90.0, 4, 61);
    let tint = Colour::hex(0x2C_30_42) * (1.0 + 0.35 * leaves);
    behind.mix(tint.mix(HAZE, 0.06), ramp(crest - 0.0012, crest + 0.0012, y))
}

/// Gabled houses along the right bank, some windows lit.
fn town(x: f32, y: f32, behind: Colour) -> Colour {
    const WALLS: [u32; 5] = [0x8A_6A_62, 0x6E_58_60, 0xA0_7C_68, 0x5C_52_62, 0x94_70_58];
    let mut colour = behind;
    for row in [0.0_f32, 1.0] {
        let lot = 0.036 - 0.006 * row;
        let index = ((x + row * 0.017) / lot).floor();
        let dice = |salt: u32| 0.5 + 0.5 * smooth(index + 0.5, row * 7.0 + 0.5, 70 + salt);
        let from = if row == 0.0 { 0.97 } else { 1.0 };
        if index * lot < from + 0.02 {
            continue;
        }
        let foot = HORIZON - 0.004 - 0.016 * (1.0 - row) * ramp(0.96, 1.25, x);
        let (wall, roof) = (0.020 + 0.014 * dice(1), 0.012 + 0.008 * dice(2));
        let across = (x + row * 0.017) / lot - index;
        let side = (across - 0.5).abs() * 2.0;
        let eaves = foot - wall;
        let is_wall = side < 0.80 && y > eaves && y < foot;
        let is_roof = y <= eaves && y > eaves - roof * (1.0 - side / 0.92);
        if is_wall {
            let tint = Colour::hex(WALLS[(dice(3) * 4.99) as usize]);
            // The sun stands on the left.
            colour = tint * if across < 0.32 { 1.15 } else { 0.82 };
            let (column, storey) = ((across * 5.0).fract(), ((y - eaves) / 0.011).fract());
            let window = (0.28..0.72).contains(&column) && (0.3..0.75).contains(&storey);
            let number = (across * 5.0).floor() * 3.1 + ((y - eaves) / 0.011).floor() * 7.7 + index;
            if window && (0.15..0.85).contains(&across) {
                let is_lit = smooth(number + 0.5, row + 0.5, 83) > 0.15;
                colour = if is_lit { Colour::hex(0xFF_D4_7E) } else { Colour::hex(0x33_30_40) };
            }
        } else if is_roof && side < 0.92 {
            colour = Colour::hex(0x5A_34_36) * (0.85 + 0.4 * dice(4));
        }
    }
    colour
}

fn lighthouse(x: f32, y: f32, behind: Colour) -> Colour {
    let (centre, foot, top) = (0.375, HORIZON - 0.012, HORIZON - 0.165);
    let height = (foot - y) / (foot - top);
    let half = 0.0125 - 0.0045 * height.clamp(0.0, 1.0);
    let off = (x - centre) / half;
    let mut colour = behind;
    if (0.0..1.0).contains(&height) {
        let band = (height * 5.0).floor() as i32 % 2 == 1;
        let paint = if band { Colour::hex(0xB4_3A_34) } else { Colour::hex(0xF4_E6_D6) };
        let round = 0.62 + 0.38 * ramp(-1.2, 1.0, off);
        colour = colour.mix(paint * round, ramp(1.06, 0.94, off.abs()));
    }
    let gallery = y > top - 0.004 && y < top + 0.003 && (x - centre).abs() < 0.0115;
    let lantern = y > top - 0.022 && y <= top - 0.004 && (x - centre).abs() < 0.0058;
    let cap = y > top - 0.034 && y <= top - 0.022 && (x - centre).abs() < 0.0085 * (y - top + 0.034) / 0.012;
    if gallery || cap {
        colour = Colour::hex(0x3A_2C_34);
    } else if lantern {
        colour = Colour::hex(0xFF_F2_C4);
    }
    let lamp = ((x - centre).powi(2) + (y - top + 0.013).powi(2)).sqrt();
    colour + SUNLIGHT * (0.5 * (-lamp * 60.0).exp())
}

/// The mirror of the land, broken by waves that grow towards the viewer, and the sun's glitter.
fn water(x: f32, y: f32) -> Colour {
    let depth = (y - HORIZON) / (1.0 - HORIZON);
    let far = 1.0 / (depth + 0.045);
    let wave = layered(x * far * 1.6, far * 5.5, 5, 101);
    let ripple = layered(x * far * 5.0, far * 16.0, 3, 113);
    let swell = (0.006 + 0.055 * depth) * wave + (0.002 + 0.012 * depth) * ripple;
    let mirrored = land(x + swell * 0.35, (HORIZON - 0.003 - (y - HORIZON) * 0.95 - swell.abs()).max(0.0));
    let steep = ramp(-0.35, 0.65, wave + 0.5 * ripple);
    let body = DEEP.mix(Colour::hex(0x3C_57_70), steep * 0.6);
    let colour = (mirrored * 0.94).mix(body, 0.16 + 0.42 * depth * (1.0 - 0.5 * steep));
    let path = (-((x - SUN.0 + swell * 0.8) / (0.022 + 0.11 * depth)).powi(2)).exp();
    let glint = ramp(0.05, 0.42, ripple + wave * 0.4);
    colour + SUNLIGHT * (path * (0.10 + 0.75 * glint) * (1.0 - 0.35 * depth))
}

/// Where a boat floats, how large it is, where its bow points and what its sails look like.
struct Boat {
    x: f32,
    waterline: f32,
    size: f32,
    bow: f32,
    sail: Colour,
    hull: Colour,
}

const BOATS: [Boat; 4] = [
    Boat {
        x: 0.62,
        waterline: 0.598,
        size: 0.045,
        bow: 1.0,
        sail: Colour::hex(0xF0_C8_A4),
        hull: Colour::hex(0x4A_3A_48),
    },
    Boat {
        x: 1.13,
        waterline: 0.628,
        size: 0.070,
        bow: -1.0,
        sail: Colour::hex(0xD8_84_5C),
        hull: Colour::hex(0x3A_2C_38),
    },
    Boat {
        x: 0.20,
        waterline: 0.672,
        size: 0.105,
        bow: 1.0,
        sail: Colour::hex(0xF6_DE_C2),
        hull: Colour::hex(0x2A_3C_54),
    },
    Boat {
        x: 0.98,
        waterline: 0.800,
        size: 0.220,
        bow: -1.0,
        sail: Colour::hex(0xFB_E8_CF),
        hull: Colour::hex(0x7A_2A_2C),
    },
];

fn boats(x: f32, y: f32, behind: Colour) -> Colour {
    let mut colour = behind;
    for boat in &BOATS {
        let across = (x - boat.x) / boat.size * boat.bow;
        let up = (boat.waterline - y) / boat.size;
        if !(-1.2..1.2).contains(&across) || !(-1.7..1.7).contains(&up) {
            continue;
        }
        if up >= 0.0 {
            colour = boat.paint(across, up).map_or(colour, |(paint, cover)| colour.mix(paint, cover));
        } else {
            let broken = layered(x * 30.0, y * 110.0, 3, 131) * (0.05 - 0.10 * up);
            let seen = boat.paint(across + broken, -up * 1.02 + broken.abs() * 0.3);
            let faded = 0.62 * ramp(-1.7, -0.1, up);
            colour = seen.map_or(colour, |(paint, cover)| colour.mix(paint * 0.78, cover * faded));
        }
    }
    colour
}

impl Boat {
    /// What is seen of it, in units of its size above its waterline and ahead of its mast; and how much it covers.
    fn paint(&self, ahead: f32, up: f32) -> Option<(Colour, f32)> {
        let soft = 0.0009 / self.size;
        let inside = |distance: f32| ramp(-soft, soft, distance);
        let stern = ahead + 0.50 - up * 0.15;
        let bow = 0.62 + up * 0.55 - ahead;
        let sheer = 0.125 + 0.09 * ahead * ahead - up;
        let hull = inside(stern) * inside(bow) * inside(sheer) * inside(up + 0.01);
        let mast = inside(0.011 - ahead.abs()) * inside(1.52 - up) * inside(up);
        let boom = inside(0.010 - (up - 0.235).abs()) * inside(-ahead) * inside(ahead + 0.52);
        let leech = 0.50 * (1.0 - (up - 0.25) / 1.22).max(0.0).powf(0.85);
        let main = inside(-ahead - 0.018) * inside(ahead + leech) * inside(up - 0.25) * inside(1.46 - up);
        let stay = 0.60 * (1.0 - (up - 0.20) / 1.14);
        let jib = inside(ahead - 0.03 - 0.10 * (1.0 - up) * up) * inside(stay - ahead) * inside(up - 0.20);
        let panel = 1.0 - 0.05 * ((up * 6.0).fract() < 0.06) as i32 as f32;
        let belly = 0.80 + 0.22 * ramp(-0.45, 0.0, ahead);
        let waterline = ramp(0.030, 0.036, up);
        let wood = Colour::hex(0x3A_2A_26);
        let layers = [
            (self.sail * (belly * panel), main),
            (self.sail * (0.98 * panel), jib),
            (wood, mast.max(boom)),
            (Colour::hex(0xE8_DC_CC).mix(self.hull * (0.8 + 1.2 * up), waterline), hull),
        ];
        let mut seen: Option<(Colour, f32)> = None;
        for (paint, cover) in layers.into_iter().filter(|layer| layer.1 > 0.0) {
            seen = Some(match seen {
                None => (paint, cover),
                Some((below, covered)) => (below.mix(paint, cover), covered.max(cover)),
            });
        }
        seen
    }
}
