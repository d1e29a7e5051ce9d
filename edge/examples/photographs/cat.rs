//! A ginger cat before an evening window: drawn hair by hair, from the outermost to the nose, as fur lies.

use crate::Picture;
use crate::colour::{Colour, gradient, ramp};
use crate::noise::{layered, smooth};

/// The nose, from which the fur of the face grows outward.
const NOSE: (f32, f32) = (0.667, 0.630);
const CREAM: Colour = Colour::hex(0xF8_EC_DA);
const GINGER: Colour = Colour::hex(0xDB_8E_48);
const STRIPE: Colour = Colour::hex(0x8C_48_20);
const PINK: Colour = Colour::hex(0xD8_8C_80);
const DARK: Colour = Colour::hex(0x2A_18_14);

pub(crate) fn render(width: u32, height: u32) -> Picture {
    let mut picture = Picture::shade(width, height, window);
    let mut random = fastrand::Rng::with_seed(20_261_121);
    picture.cover(|x, y| is_body(x, y).then(|| body_coat(x, y) * 0.62));
    grow(&mut picture, &mut random, 60_000, is_body, |x, y| y + 0.1 * (x - NOSE.0).abs(), body_hair);
    picture.cover(|x, y| ear(x, y).map(|(colour, _)| colour * 0.8));
    grow(&mut picture, &mut random, 26_000, |x, y| ear(x, y).is_some(), |_, y| -y, ear_hair);
    picture.cover(|x, y| is_head(x, y).then(|| face_coat(x, y) * 0.7));
    grow(&mut picture, &mut random, 130_000, is_head, from_nose, face_hair);
    picture.cover(eye);
    nose_and_mouth(&mut picture);
    whiskers(&mut picture, &mut random);
    picture
}

/// Lights of a street far out of focus.
fn window(x: f32, y: f32) -> Colour {
    const NIGHT: [(f32, Colour); 3] =
        [(0.0, Colour::hex(0x1E_30_48)), (0.55, Colour::hex(0x3A_44_5C)), (1.0, Colour::hex(0x4A_3A_40))];
    let mut colour = gradient(&NIGHT, y + 0.05 * layered(x * 2.0, y * 2.0, 2, 3));
    for index in 0..26 {
        let dice = |salt: u32| 0.5 + 0.5 * smooth(index as f32 * 3.7 + 0.5, salt as f32 + 0.5, 17);
        let (across, down) = (((dice(1) - 0.5) * 2.2 + 0.5) * 1.334, (dice(2) - 0.5) * 1.8 + 0.38);
        let size = 0.035 + 0.055 * dice(3);
        let distance = ((x - across).powi(2) + (y - down).powi(2)).sqrt();
        let tint = [0xFF_C8_78, 0xFF_9C_5C, 0x9C_C4_E8, 0xF4_E4_B4][index % 4];
        let rim = 0.75 + 0.35 * ramp(size * 0.75, size, distance);
        let disc = ramp(size * 1.04, size * 0.96, distance) * rim;
        colour = colour + Colour::hex(tint) * (disc * (0.10 + 0.22 * dice(4)));
    }
    colour
}

fn ellipse(x: f32, y: f32, centre: (f32, f32), radius: (f32, f32)) -> f32 {
    ((x - centre.0) / radius.0).powi(2) + ((y - centre.1) / radius.1).powi(2)
}

fn is_body(x: f32, y: f32) -> bool {
    ellipse(x, y, (NOSE.0, 1.20), (0.40, 0.42)) < 1.0 || ellipse(x, y, (NOSE.0, 0.92), (0.27, 0.22)) < 1.0
}

/// Wide at the cheeks, a little flat on top.
fn is_head(x: f32, y: f32) -> bool {
    let cheeks = ellipse(x, y, (NOSE.0, 0.625), (0.300, 0.195)) < 1.0;
    cheeks || ellipse(x, y, (NOSE.0, 0.560), (0.262, 0.232)) < 1.0
}

/// What of an ear is here, and how far across the ear.
fn ear(x: f32, y: f32) -> Option<(Colour, f32)> {
    let side = (x - NOSE.0).abs();
    let up = (0.50 - y) / 0.34;
    // The tip leans outward; the edges are a little round.
    let middle = 0.150 + 0.080 * up;
    let half = 0.132 * (1.0 - up).max(0.0).powf(0.72);
    let across = (side - middle) / half.max(0.001);
    if !(0.0..1.0).contains(&up) || across.abs() > 1.0 {
        return None;
    }
    let inner = ramp(0.80, 0.45, across.abs()) * ramp(0.93, 0.72, up);
    let skin = PINK.mix(Colour::hex(0x8A_4C_44), ramp(0.75, 0.2, up));
    Some((GINGER.mix(STRIPE, 0.35 + 0.3 * up).mix(skin, inner), across))
}

/// Light falls from the upper left.
fn light(x: f32, y: f32) -> f32 {
    1.12 - 0.36 * ramp(-0.35, 0.65, (x - NOSE.0) * 0.7 + (y - 0.52))
}

fn face_coat(x: f32, y: f32) -> Colour {
    let (side, up) = ((x - NOSE.0).abs(), NOSE.1 - y);
    let warp = layered(x * 7.0, y * 7.0, 3, 29) * 0.016;
    // Forehead: the tabby's M; cheeks: bands that follow the outline.
    let forehead = ramp(0.10, 0.17, up) * ramp(0.20, 0.12, side) * ((side + warp * 0.7) * 92.0 - 0.9).cos();
    let round = (side.powi(2) + (up * 1.5 - 0.05).powi(2)).sqrt();
    let cheek = ramp(0.15, 0.20, side) * ramp(0.20, 0.02, up) * ((round + warp) * 82.0).sin();
    let stripe = ramp(0.05, 0.75, forehead) + ramp(0.05, 0.8, cheek) * 0.9;
    let muzzle = ellipse(x, y, (NOSE.0 - 0.058, 0.690), (0.088, 0.068))
        .min(ellipse(x, y, (NOSE.0 + 0.058, 0.690), (0.088, 0.068)))
        .min(ellipse(x, y, (NOSE.0, 0.765), (0.105, 0.055)));
    let blaze = ramp(0.030, 0.012, side + 0.06 * up.max(0.0)) * ramp(0.24, 0.05, up);
    let brow = ellipse(side, y, (0.112, 0.482), (0.062, 0.022));
    let below = ellipse(side, y, (0.118, 0.635), (0.060, 0.018));
    let pale = ramp(1.5, 0.7, muzzle).max(blaze * 0.75).max(ramp(1.3, 0.4, brow.min(below)) * 0.6);
    let mottled = GINGER * (1.0 + 0.10 * layered(x * 16.0, y * 16.0, 3, 37));
    mottled.mix(STRIPE, stripe.min(1.0) * 0.85).mix(CREAM, pale) * light(x, y)
}

fn body_coat(x: f32, y: f32) -> Colour {
    let side = (x - NOSE.0).abs();
    let warp = layered(x * 5.0, y * 5.0, 3, 43) * 0.05;
    let stripe = ramp(0.1, 0.8, ((y * 0.9 + side * 0.5 + warp) * 46.0).sin()) * ramp(0.14, 0.22, side);
    let bib = ramp(0.19, 0.10, side + warp * 0.6);
    let chin = 1.0 - 0.5 * ramp(0.97, 0.80, y);
    GINGER.mix(STRIPE, stripe * 0.8).mix(CREAM, bib) * (light(x, y) * chin)
}

/// One hair: where it points and how long it is, its colour and its width.
struct Hair {
    towards: (f32, f32),
    colour: Colour,
    width: f32,
}

fn from_nose(x: f32, y: f32) -> f32 {
    ((x - NOSE.0).powi(2) + (y - NOSE.1).powi(2)).sqrt()
}

fn face_hair(x: f32, y: f32, random: &mut fastrand::Rng) -> Hair {
    let distance = from_nose(x, y).max(0.001);
    let length = (0.010 + 0.030 * ramp(0.04, 0.28, distance)) * (0.7 + 0.6 * random.f32());
    let bend = layered(x * 6.0, y * 6.0, 2, 47) * 0.5 + (random.f32() - 0.5) * 0.55;
    let droop = 0.35 * ramp(0.10, 0.30, distance);
    let angle = (y - NOSE.1 + droop * distance).atan2(x - NOSE.0) + bend;
    let shade = 0.78 + 0.44 * random.f32();
    Hair {
        towards: (angle.cos() * length, angle.sin() * length),
        colour: face_coat(x, y) * shade,
        width: 0.0011 + 0.0007 * random.f32(),
    }
}

fn body_hair(x: f32, y: f32, random: &mut fastrand::Rng) -> Hair {
    let length = 0.045 * (0.7 + 0.6 * random.f32());
    let angle =
        1.57 - (x - NOSE.0) * 1.6 + layered(x * 5.0, y * 5.0, 2, 51) * 0.6 + (random.f32() - 0.5) * 0.6;
    Hair {
        towards: (angle.cos() * length, angle.sin() * length),
        colour: body_coat(x, y) * (0.70 + 0.5 * random.f32()),
        width: 0.0014 + 0.0008 * random.f32(),
    }
}

/// Short outside; inside the ear, pale tufts from the inner edge.
fn ear_hair(x: f32, y: f32, random: &mut fastrand::Rng) -> Hair {
    let outward = (x - NOSE.0).signum();
    let (coat, across) = ear(x, y).unwrap_or((GINGER, 0.0));
    let is_tuft = across < -0.30 && y > 0.24 && random.f32() < 0.5;
    let (length, lean) = if is_tuft { (0.075, 0.75) } else { (0.020, 0.25) };
    let angle = -1.57 + outward * (lean + (random.f32() - 0.5) * 0.5);
    let length = length * (0.6 + 0.6 * random.f32());
    let colour = if is_tuft { CREAM * 0.86 } else { coat };
    Hair {
        towards: (angle.cos() * length, angle.sin() * length),
        colour: colour * (light(x, y) * (0.75 + 0.45 * random.f32())),
        width: 0.0012,
    }
}

/// Grows hairs at random roots where `is_skin`, those of the greatest `rank` first, so that the others lie on them.
fn grow(
    picture: &mut Picture,
    random: &mut fastrand::Rng,
    count: usize,
    is_skin: impl Fn(f32, f32) -> bool,
    rank: impl Fn(f32, f32) -> f32,
    hair: impl Fn(f32, f32, &mut fastrand::Rng) -> Hair,
) {
    let mut roots = Vec::with_capacity(count);
    while roots.len() < count {
        let root = (random.f32() * 1.334, random.f32() * 1.05);
        if is_skin(root.0, root.1) {
            roots.push(root);
        }
    }
    roots.sort_by(|one, other| rank(other.0, other.1).total_cmp(&rank(one.0, one.1)));
    for root in roots {
        let hair = hair(root.0, root.1, random);
        let sideways = (random.f32() - 0.5) * 0.35;
        let middle = (
            root.0 + hair.towards.0 * 0.5 - hair.towards.1 * sideways,
            root.1 + hair.towards.1 * 0.5 + hair.towards.0 * sideways,
        );
        let tip = (root.0 + hair.towards.0, root.1 + hair.towards.1);
        picture.curve([root, middle, tip], hair.width, |along| (hair.colour, 0.85 - 0.6 * along));
    }
}

fn eye(x: f32, y: f32) -> Option<Colour> {
    let side = (x - NOSE.0).abs() - 0.114;
    // The outer corners are higher.
    let (across, down) = (side, y - 0.562 + side * 0.10);
    let upper = 0.062 * (1.0 - (across / 0.072).powi(2)).max(0.0).powf(0.6);
    let lower = 0.050 * (1.0 - (across / 0.072).powi(2)).max(0.0).powf(0.8);
    let lid = if down < 0.0 { upper + down } else { lower - down };
    if lid < -0.007 || across.abs() > 0.0725 {
        return None;
    }
    if lid < 0.0045 {
        return Some(DARK);
    }
    let distance = (across.powi(2) + down.powi(2)).sqrt();
    let turn = down.atan2(across);
    let fibres = 1.0 + 0.22 * smooth(turn * 14.0, distance * 30.0, 59);
    let iris = gradient(
        &[
            (0.012, Colour::hex(0xE2_C8_5A)),
            (0.030, Colour::hex(0x9C_B4_4C)),
            (0.060, Colour::hex(0x44_6A_38)),
            (0.075, Colour::hex(0x26_3C_24)),
        ],
        distance,
    ) * fibres;
    let pupil = ramp(1.12, 0.92, (across / 0.030).powi(2) + ((down + 0.004) / 0.050).powi(2));
    let shadow = 0.55 + 0.45 * ramp(0.0, 0.028, lid + if down > 0.0 { 0.02 } else { 0.0 });
    let colour = iris.mix(Colour::hex(0x0C_08_0A), pupil) * shadow;
    // The lamp that both eyes see stands on the same side.
    let (lamp_x, lamp_y) = (x - NOSE.0 + 0.018, y - 0.540);
    let glint = ((lamp_x.abs() - 0.114) * lamp_x.signum()).hypot(lamp_y);
    let soft = ((lamp_x - 0.034).abs() - 0.114).hypot(y - 0.588);
    let shine = ramp(0.0155, 0.0120, glint) * 0.95 + ramp(0.016, 0.004, soft) * 0.16;
    Some(colour.mix(Colour(1.0, 1.0, 0.98), shine.min(1.0)))
}

fn nose_and_mouth(picture: &mut Picture) {
    picture.cover(|x, y| {
        let (side, down) = ((x - NOSE.0).abs(), y - NOSE.1);
        let half = 0.040 * ramp(0.036, -0.010, down).powf(0.8);
        let top = -0.014 + 0.10 * side * side / 0.04;
        if side > half || down < top || down > 0.034 {
            return None;
        }
        let nostril = ellipse(side, down, (0.021, 0.010), (0.0085, 0.0050));
        let shine = ramp(1.0, 0.1, ellipse(x - NOSE.0, down, (-0.010, -0.004), (0.014, 0.006)));
        let rim = ramp(0.006, 0.0, half - side) * 0.35;
        let skin = PINK * (1.05 - 8.0 * down.max(0.0)) + Colour(0.16, 0.15, 0.15) * shine;
        Some(skin.mix(DARK, rim).mix(DARK, ramp(1.2, 0.7, nostril) * 0.85))
    });
    let (x, y) = (NOSE.0, NOSE.1 + 0.030);
    let line = |_: f32| (Colour::hex(0x6A_38_30), 0.75);
    picture.curve([(x, y), (x, y + 0.02), (x, y + 0.040)], 0.0028, line);
    for side in [-1.0, 1.0] {
        let lip = [(x, y + 0.039), (x + side * 0.022, y + 0.078), (x + side * 0.074, y + 0.052)];
        picture.curve(lip, 0.0030, |along| (Colour::hex(0x6A_38_30), 0.75 - 0.6 * along));
        for spot in 0..9 {
            let (column, row) = ((spot % 3) as f32, (spot / 3) as f32);
            let place = (x + side * (0.052 + 0.023 * column + 0.006 * row), y + 0.012 + 0.015 * row);
            picture.curve([place, place, (place.0 + 0.001, place.1)], 0.0030, |_| (STRIPE, 0.5));
        }
    }
}

fn whiskers(picture: &mut Picture, random: &mut fastrand::Rng) {
    for side in [-1.0, 1.0] {
        for index in 0..9 {
            let row = index as f32 / 8.0 - 0.5;
            let root = (NOSE.0 + side * (0.060 + 0.040 * random.f32()), NOSE.1 + 0.056 + 0.034 * row);
            let reach = 0.30 + 0.09 * random.f32();
            let middle = (root.0 + side * reach * 0.55, root.1 - 0.045 + 0.10 * row);
            let tip = (root.0 + side * reach, root.1 + 0.045 + 0.22 * row);
            picture.curve([root, middle, tip], 0.0017, |along| (CREAM, 0.9 - 0.55 * along));
        }
        for index in 0..3 {
            let root = (NOSE.0 + side * (0.095 + 0.018 * index as f32), 0.492);
            let tip = (root.0 + side * (0.05 + 0.04 * index as f32), 0.300 + 0.03 * index as f32);
            let middle = (root.0 + side * 0.005, 0.38);
            picture.curve([root, middle, tip], 0.0012, |along| (CREAM, 0.7 - 0.6 * along));
        }
    }
}
