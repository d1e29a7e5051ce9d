//! A future polled by hand, and only after it was woken, as a runtime would.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

/// Whether whoever waits was woken.
#[derive(Debug)]
pub(crate) struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Woken {
    /// Woken from the start: whoever is new looks first.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }

    /// Polls if it was woken since the last time.
    pub(crate) fn poll<T>(self: &Arc<Self>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if !self.0.swap(false, SeqCst) {
            return Poll::Pending;
        }
        let polled = poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))));
        if polled.is_ready() {
            self.0.store(true, SeqCst);
        }
        polled
    }
}

pub(crate) struct Task<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    woken: Arc<Woken>,
}

impl<T> Task<T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self { future: Box::pin(future), woken: Woken::new() }
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.is_set()
    }

    pub(crate) fn poll(&mut self) -> Poll<T> {
        let future = self.future.as_mut();
        self.woken.poll(|context| future.poll(context))
    }
}
