//! The long way itself: a program that carries packets between two devices, late, no faster than it may, and not all of them.

use crate::failure::Failure;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tappers::{Interface, Tun};

/// More than any packet: the devices carry 1500 bytes.
const PACKET: usize = 2048;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The device on this side
    #[arg(long)]
    near: String,
    /// The device on the other side
    #[arg(long)]
    far: String,
    #[command(flatten)]
    nature: Nature,
    /// What the losses come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What a way is like, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, clap::Args)]
pub(crate) struct Nature {
    /// Milliseconds that a packet is under way, one way
    #[arg(long)]
    pub(crate) delay: u64,
    /// Megabits a second that fit through
    #[arg(long)]
    pub(crate) rate: f64,
    /// Bytes that may wait to get through; what comes then is lost
    #[arg(long)]
    pub(crate) queue: usize,
    /// Packets lost of a thousand, at random
    #[arg(long)]
    pub(crate) loss: f64,
}

/// Carries packets until it is killed. Says `ready` when both devices are there.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (near, far) = (device(&arguments.near)?, device(&arguments.far)?);
    println!("ready");
    let (there, back) = (arguments.seed * 2, arguments.seed * 2 + 1);
    let other = carry(Arc::clone(&far), Arc::clone(&near), Line::new(arguments.nature, back));
    let this = carry(near, far, Line::new(arguments.nature, there));
    for direction in [this, other] {
        direction.join().map_err(|_| Failure::Setup("a direction of the tunnel broke down".to_owned()))?;
    }
    Ok(())
}

fn device(name: &str) -> Result<Arc<Tun>, Failure> {
    let tun = Interface::new(name).and_then(Tun::new_named);
    tun.map(Arc::new).map_err(Failure::system(format!("the device {name}")))
}

/// One direction: one thread takes packets, another hands them over when their time has come.
fn carry(from: Arc<Tun>, to: Arc<Tun>, mut line: Line) -> thread::JoinHandle<()> {
    let (sender, receiver) = channel();
    thread::spawn(move || hand_over(&receiver, &to));
    thread::spawn(move || take(&from, &mut line, &sender))
}

type Packet = (Instant, Vec<u8>);

fn take(from: &Tun, line: &mut Line, sender: &Sender<Packet>) {
    let mut buffer = [0; PACKET];
    while let Ok(length) = from.recv(&mut buffer) {
        let packet = &buffer[..length];
        if let Some(arrives) = line.arrival(Instant::now(), length)
            && sender.send((arrives, packet.to_vec())).is_err()
        {
            return;
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "that packets arrive late is what the tunnel is for")]
fn hand_over(receiver: &Receiver<Packet>, to: &Tun) {
    while let Ok((arrives, packet)) = receiver.recv() {
        thread::sleep(arrives.saturating_duration_since(Instant::now()));
        // A device that is not up yet loses what it gets, as a cable would.
        let _ = to.send(&packet);
    }
}

/// One direction's bottleneck, as a router has it: what does not fit through waits in line, and what finds the line full is lost.
#[derive(Debug)]
struct Line {
    nature: Nature,
    /// When all that is in line is through.
    free: Option<Instant>,
    random: fastrand::Rng,
}

impl Line {
    fn new(nature: Nature, seed: u64) -> Self {
        Self { nature, free: None, random: fastrand::Rng::with_seed(seed) }
    }

    /// When a packet that comes `now` arrives at the other end; `None` if it is lost.
    fn arrival(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        if self.random.f64() * 1000.0 < self.nature.loss {
            return None;
        }
        let free = self.free.map_or(now, |free| free.max(now));
        if free - now > self.through(self.nature.queue) {
            return None;
        }
        let through = free + self.through(bytes);
        self.free = Some(through);
        Some(through + Duration::from_millis(self.nature.delay))
    }

    /// How long these bytes take to get through.
    fn through(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / (self.nature.rate * 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A millisecond for 1,000 bytes, room for ten such packets.
    const NATURE: Nature = Nature { delay: 100, rate: 8.0, queue: 10_000, loss: 0.0 };

    #[test]
    fn a_packet_takes_its_way_and_those_behind_it_wait_in_line() {
        let (now, mut line) = (Instant::now(), Line::new(NATURE, 1));
        let arrivals = [1, 2, 3].map(|_| line.arrival(now, 1000).unwrap() - now);
        assert_eq!(arrivals.map(|arrival| arrival.as_millis()), [101, 102, 103]);
        let later = now + Duration::from_secs(1);
        assert_eq!((line.arrival(later, 1000).unwrap() - later).as_millis(), 101, "the line is empty again");
    }

    #[test]
    fn what_finds_the_line_full_is_lost() {
        let (now, mut line) = (Instant::now(), Line::new(NATURE, 1));
        let through = (0..100).filter(|_| line.arrival(now, 1000).is_some()).count();
        assert_eq!(through, 11, "ten in line and the one that is on its way");
    }

    #[test]
    fn the_share_that_is_lost_is_the_one_asked_for_and_the_same_for_a_seed() {
        let lost = |seed| {
            let (now, mut line) =
                (Instant::now(), Line::new(Nature { queue: usize::MAX >> 16, loss: 3.0, ..NATURE }, seed));
            let lost = (0..100_000).filter(|_| line.arrival(now, 1).is_none());
            lost.collect::<Vec<_>>()
        };
        assert!((250..350).contains(&lost(7).len()), "{}", lost(7).len());
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(8));
    }
}
