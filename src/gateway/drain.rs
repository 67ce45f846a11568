//! Ending well: connections are told once, finish what they run, and are counted until the last is gone.
//!
//! A connection registers its task's waker when it opens and looks at a flag whenever it is polled, so that draining
//! costs nothing per request. A `watch` channel was left: it takes a lock at each wait.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The switch and the count; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    is_draining: AtomicBool,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    connections: HashMap<u64, Waker>,
    /// Accept loops, and whoever waits for the end.
    watchers: Vec<Waker>,
}

impl Drain {
    /// Not draining.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells everyone: no new connections, no further requests on the open ones.
    pub fn start(&self) {
        self.inner.is_draining.store(true, Ordering::Release);
        let mut waiting = self.lock();
        waiting.connections.values().for_each(Waker::wake_by_ref);
        waiting.watchers.drain(..).for_each(Waker::wake);
    }

    /// Has it started?
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.is_draining.load(Ordering::Acquire)
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.lock().connections.len()
    }

    /// Ready when draining has started; for accept loops.
    pub(super) fn poll_started(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_draining() {
            return Poll::Ready(());
        }
        let mut waiting = self.lock();
        if !waiting.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.watchers.push(cx.waker().clone());
        }
        drop(waiting);
        if self.is_draining() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until draining has started and the last connection is gone.
    pub async fn finished(&self) {
        poll_fn(|cx| {
            let mut waiting = self.lock();
            if self.is_draining() && waiting.connections.is_empty() {
                return Poll::Ready(());
            }
            if !waiting.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.watchers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Registers the current task as a connection until the guard is dropped.
    pub(super) async fn register(&self) -> Registered {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        poll_fn(|cx| {
            self.lock().connections.insert(id, cx.waker().clone());
            Poll::Ready(())
        })
        .await;
        Registered { drain: self.clone(), id }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Registered {
    drain: Drain,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut waiting = self.drain.lock();
        waiting.connections.remove(&self.id);
        if waiting.connections.is_empty() && self.drain.is_draining() {
            waiting.watchers.drain(..).for_each(Waker::wake);
        }
    }
}
