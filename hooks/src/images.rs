//! Pictures are made on threads of this module's own: bounded in number, in what waits for them, and in memory.
//!
//! They are nicer than the threads that serve, so that a hit never waits behind a picture. What nobody waits for any more
//! is not begun. A decoder that panics fails its one picture.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use bytes::Bytes;
use bytesize::ByteSize;
use picture::{Limits, Made, Operations, PictureError, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Niceness of the threads: a tenth of the weight of one that serves. With all that there is (19), pictures would wait for
/// every other program of the machine, too, and longer than hooks may.
const NICENESS: i32 = 10;
const PIXELS_PER_MEGAPIXEL: u64 = 1_000_000;

/// What the node spends on pictures that it makes for hooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ImageSettings {
    /// Threads that make pictures; 0 is one per core.
    pub threads: usize,
    /// Pictures that may wait for a thread; to one more the hook is told that the node is busy.
    pub queue: usize,
    /// Pixels of a picture, in millions; a larger one is refused before it is decoded.
    pub megapixels: u32,
    /// Memory of all pictures that are being made.
    #[schemars(with = "String")]
    pub memory: ByteSize,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self { threads: 0, queue: 128, megapixels: 50, memory: ByteSize::mib(512) }
    }
}

/// Why there is no picture.
#[derive(Debug)]
pub(crate) enum NoImage {
    /// The queue is full.
    Busy,
    Picture(PictureError),
}

/// Makes pictures, as the settings of the moment say.
#[derive(Default)]
pub(crate) struct Images {
    pool: Mutex<Option<Pool>>,
    settings: Mutex<ImageSettings>,
}

impl Images {
    /// Other settings from now on. The threads of before finish what waits for them and end.
    pub(crate) fn change(&self, settings: &ImageSettings) {
        let mut current = lock(&self.settings);
        if *current != *settings {
            *current = settings.clone();
            drop(lock(&self.pool).take());
        }
    }

    /// Makes a picture; dropping the future takes it out of the queue.
    pub(crate) async fn transform(
        &self,
        input: Bytes,
        operations: Operations,
        most_pixels: Option<u64>,
    ) -> Result<Made, NoImage> {
        let answer = self.submit(input, operations, most_pixels)?;
        // Nobody answers when the node is going down.
        answer.await.unwrap_or(Err(NoImage::Busy))
    }

    fn submit(
        &self,
        input: Bytes,
        operations: Operations,
        most_pixels: Option<u64>,
    ) -> Result<oneshot::Receiver<Result<Made, NoImage>>, NoImage> {
        let settings = lock(&self.settings).clone();
        let own = u64::from(settings.megapixels) * PIXELS_PER_MEGAPIXEL;
        let limits = Limits {
            pixels: most_pixels.map_or(own, |most| most.min(own)),
            memory: settings.memory.as_u64(),
        };
        let (tell, answer) = oneshot::channel();
        let job = Job { input, operations, limits, tell };
        let mut pool = lock(&self.pool);
        let pool = match &mut *pool {
            Some(pool) => pool,
            // Threads are started for the first picture: most nodes make none.
            none => none.insert(Pool::start(&settings).map_err(|_| NoImage::Busy)?),
        };
        pool.shared.push(job, settings.queue)?;
        Ok(answer)
    }
}

struct Job {
    input: Bytes,
    operations: Operations,
    limits: Limits,
    tell: oneshot::Sender<Result<Made, NoImage>>,
}

/// The threads and what waits for them.
struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    threads: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    working: usize,
    /// Bytes of the pictures that are being made.
    memory: u64,
    is_ending: bool,
}

impl Pool {
    fn start(settings: &ImageSettings) -> std::io::Result<Self> {
        let threads = match settings.threads {
            0 => available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let pool = Self { shared: Arc::new(Shared { threads, ..Shared::default() }) };
        for _ in 0..threads {
            let shared = Arc::clone(&pool.shared);
            std::thread::Builder::new().name("selvedge-image".into()).spawn(move || work(&shared))?;
        }
        Ok(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.state).is_ending = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn push(&self, job: Job, queue: usize) -> Result<(), NoImage> {
        let mut state = lock(&self.state);
        let places = queue.saturating_add(self.threads - state.working.min(self.threads));
        if state.jobs.len() >= places {
            state.jobs.retain(|job| !job.tell.is_closed());
        }
        if state.jobs.len() >= places {
            return Err(NoImage::Busy);
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// The next picture that somebody waits for; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            match state.jobs.pop_front() {
                Some(job) if job.tell.is_closed() => {}
                Some(job) => {
                    state.working += 1;
                    return Some(job);
                }
                None if state.is_ending => return None,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Waits until so much memory is free; what is asked for is never more than there is.
    fn reserve(&self, bytes: u64, most: u64) -> Reserved<'_> {
        let mut state = lock(&self.state);
        while state.memory.saturating_add(bytes) > most {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.memory += bytes;
        Reserved { shared: self, bytes }
    }
}

/// Memory of one picture, free again when it is dropped.
struct Reserved<'a> {
    shared: &'a Shared,
    bytes: u64,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        lock(&self.shared.state).memory -= self.bytes;
        self.shared.changed.notify_all();
    }
}

fn work(shared: &Shared) {
    // Without the right to be nicer the work is done all the same.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    while let Some(Job { input, operations, limits, tell }) = shared.next() {
        let made = catch_unwind(AssertUnwindSafe(|| {
            let plan = Plan::new(&input, &operations, limits)?;
            let _reserved = shared.reserve(plan.memory(), limits.memory);
            // Memory may have taken its time.
            if tell.is_closed() { Ok(None) } else { plan.run().map(Some) }
        }));
        let made = made.unwrap_or_else(|_| Err(PictureError::Damaged("its decoder failed".to_owned())));
        lock(&shared.state).working -= 1;
        let _ = tell.send(made.map_err(NoImage::Picture).and_then(|made| made.ok_or(NoImage::Busy)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Bytes {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner().into()
    }

    fn small() -> Operations {
        Operations { width: Some(8), height: Some(8), ..Operations::default() }
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_picture_is_made_beside() {
        let made = block(Images::default().transform(png(100, 50), small(), None)).unwrap();
        assert_eq!((made.width, made.height), (8, 8));
    }

    #[test]
    fn one_more_than_may_wait_is_told_so_and_who_went_away_makes_room() {
        let shared = Shared::default();
        let job = || {
            let (tell, answer) = oneshot::channel();
            let limits = Limits { pixels: 1, memory: 1 };
            (Job { input: Bytes::new(), operations: small(), limits, tell }, answer)
        };
        let ((first, waits), (second, _stays), (third, _other)) = (job(), job(), job());
        shared.push(first, 2).unwrap();
        shared.push(second, 2).unwrap();
        assert!(matches!(shared.push(third, 2), Err(NoImage::Busy)));
        drop(waits);
        let (fourth, _answer) = job();
        shared.push(fourth, 2).unwrap();
        assert_eq!(lock(&shared.state).jobs.len(), 2);
    }

    #[test]
    fn memory_is_waited_for_and_given_back() {
        let shared = Shared::default();
        let first = shared.reserve(60, 100);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| shared.reserve(60, 100).bytes);
            assert!(!second.is_finished());
            drop(first);
            assert_eq!(second.join().unwrap(), 60);
        });
        assert_eq!(lock(&shared.state).memory, 0);
    }

    #[test]
    fn the_hook_can_only_tighten_the_limit_of_pixels() {
        let images = Images::default();
        images.change(&ImageSettings { megapixels: 1, ..ImageSettings::default() });
        let is_too_large = |width, most| {
            let made = block(images.transform(png(width, 1000), small(), most));
            matches!(made, Err(NoImage::Picture(PictureError::TooLarge(_))))
        };
        assert!(!is_too_large(1000, None) && is_too_large(1001, None));
        assert!(is_too_large(1001, Some(u64::MAX)) && is_too_large(100, Some(99_999)));
    }

    #[test]
    fn settings_may_change_while_pictures_are_made() {
        let images = Images::default();
        for threads in [1, 2, 1] {
            images.change(&ImageSettings { threads, ..ImageSettings::default() });
            assert!(block(images.transform(png(100, 50), small(), None)).is_ok());
        }
    }
}
